//! The JSON Schema of the whole configuration, and questions to it: which keys a location knows, whether it wants text.

use serde_json::{Map, Value, json};

use crate::providers::{Kind, Kinds};

/// A JSON Schema (draft 2020-12) of a configuration.
#[derive(Debug, Clone)]
pub(super) struct Schema(Value);

impl Schema {
    /// The schema of `sections`, with the settings of every kind under `providers`.
    pub(super) fn new(sections: schemars::Schema, kinds: &Kinds) -> Self {
        let mut root = sections.to_value();
        let mut names = Map::new();
        let mut any = Vec::new();
        for kind in kinds {
            let name = definition(kind.name());
            let reference = json!({ "$ref": format!("#/$defs/{name}") });
            // Under the name of a kind, `kind` may be left out.
            let by_name = json!({
                "if": { "required": ["kind"] },
                "then": { "$ref": "#/$defs/AnyProvider" },
                "else": &reference,
            });
            names.insert(kind.name().to_owned(), by_name);
            any.push(json!({ "allOf": [reference], "required": ["kind"] }));
            let hoisted = entry_schema(kind);
            if let Some(definitions) = root.pointer_mut("/$defs").and_then(Value::as_object_mut) {
                definitions.extend(hoisted);
            }
        }
        let providers = json!({
            "description": "The identity providers: a name of your choice, and the settings of its kind. \
                            `kind` is the name unless said.",
            "type": "object", "properties": names,
            "additionalProperties": { "$ref": "#/$defs/AnyProvider" },
        });
        if let Some(properties) = root.pointer_mut("/properties").and_then(Value::as_object_mut) {
            properties.insert("providers".to_owned(), providers);
        }
        if let Some(definitions) = root.pointer_mut("/$defs").and_then(Value::as_object_mut) {
            definitions.insert("AnyProvider".to_owned(), json!({ "anyOf": any }));
        }
        Self(root)
    }

    pub(super) fn into_value(self) -> Value {
        self.0
    }

    pub(super) fn root(&self) -> Cursor<'_> {
        Cursor { root: &self.0, alternatives: self.expand(&self.0) }
    }

    /// The settings of a provider of this kind; nothing is known of an unknown kind's.
    pub(super) fn provider(&self, kind: &str) -> Cursor<'_> {
        let pointer = format!("/$defs/{}", definition(kind));
        let alternatives = self.0.pointer(&pointer).map(|schema| self.expand(schema)).unwrap_or_default();
        Cursor { root: &self.0, alternatives }
    }

    fn expand<'a>(&'a self, schema: &'a Value) -> Vec<&'a Value> {
        expand(&self.0, schema)
    }
}

fn definition(kind: &str) -> String {
    format!("provider.{kind}")
}

/// The settings of a kind with the keys that every provider has, and what they refer to under names of its own.
fn entry_schema(kind: &Kind) -> Map<String, Value> {
    let mut schema = kind.schema();
    let prefix = definition(kind.name());
    rename_references(&mut schema, &prefix);
    let definitions = schema.as_object_mut().and_then(|object| {
        object.remove("$schema");
        object.remove("$defs")
    });
    if let Some(object) = schema.as_object_mut() {
        let properties = object.entry("properties").or_insert_with(|| json!({}));
        properties["kind"] =
            json!({ "const": kind.name(), "description": "The kind: the provider's name unless said." });
        properties["required"] = json!({ "type": "boolean", "default": false,
            "description": "Whether this node is ready only once it has the keys of this provider." });
    }
    let mut hoisted = Map::new();
    if let Some(Value::Object(definitions)) = definitions {
        hoisted.extend(definitions.into_iter().map(|(name, schema)| (format!("{prefix}.{name}"), schema)));
    }
    hoisted.insert(prefix, schema);
    hoisted
}

fn rename_references(schema: &mut Value, prefix: &str) {
    match schema {
        Value::Object(members) => {
            for (key, member) in members {
                match member {
                    Value::String(target) if key == "$ref" => {
                        *target = target.replace("#/$defs/", &format!("#/$defs/{prefix}."));
                    }
                    other => rename_references(other, prefix),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename_references(item, prefix)),
        _ => {}
    }
}

/// Every alternative that the schema allows at one place of a configuration.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    root: &'a Value,
    alternatives: Vec<&'a Value>,
}

/// The most references that are followed one after another.
const DEEPEST: usize = 16;

fn expand<'a>(root: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    let mut found = Vec::new();
    let mut open = vec![(schema, 0)];
    while let Some((schema, depth)) = open.pop() {
        if depth > DEEPEST {
            continue;
        }
        found.push(schema);
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix('#'));
        open.extend(target.and_then(|target| root.pointer(target)).map(|schema| (schema, depth + 1)));
        for key in ["anyOf", "oneOf", "allOf"] {
            let branches = schema.get(key).and_then(Value::as_array).into_iter().flatten();
            open.extend(branches.map(|branch| (branch, depth + 1)));
        }
        open.extend(
            ["then", "else"].iter().filter_map(|key| schema.get(key)).map(|branch| (branch, depth + 1)),
        );
    }
    found
}

impl<'a> Cursor<'a> {
    fn properties(&self) -> impl Iterator<Item = &'a Map<String, Value>> {
        self.alternatives.iter().filter_map(|schema| schema.get("properties")?.as_object())
    }

    fn at(&self, schemas: impl Iterator<Item = &'a Value>) -> Self {
        let alternatives = schemas.flat_map(|schema| expand(self.root, schema)).collect();
        Self { root: self.root, alternatives }
    }

    /// The keys that have a meaning here.
    pub(super) fn keys(&self) -> Vec<&'a str> {
        let mut keys: Vec<&str> =
            self.properties().flat_map(|properties| properties.keys().map(String::as_str)).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Returns the alternatives of the value of `key`.
    pub(super) fn child(&self, key: &str) -> Self {
        let named: Vec<&Value> = self.properties().filter_map(|properties| properties.get(key)).collect();
        if !named.is_empty() {
            return self.at(named.into_iter());
        }
        self.at(self.free())
    }

    /// Returns the schemas of values whose key the user chooses.
    fn free(&self) -> impl Iterator<Item = &'a Value> {
        self.alternatives
            .iter()
            .filter_map(|schema| schema.get("additionalProperties"))
            .filter(|schema| schema.is_object())
    }

    /// Returns `true` if the user chooses the keys.
    pub(super) fn takes_any_key(&self) -> bool {
        self.free().next().is_some()
    }

    /// Returns the alternatives of the items of a list.
    pub(super) fn item(&self) -> Self {
        self.at(self.alternatives.iter().filter_map(|schema| schema.get("items")))
    }

    /// Returns `true` if the schema says nothing of this place.
    pub(super) fn is_unknown(&self) -> bool {
        self.alternatives.is_empty()
    }

    fn takes(&self, wanted: &str) -> bool {
        self.alternatives.iter().any(|schema| match schema.get("type") {
            Some(Value::String(name)) => name == wanted,
            Some(Value::Array(names)) => names.iter().any(|name| name == wanted),
            _ => false,
        })
    }

    /// Returns `true` if a scalar here is text and never a number or a truth value.
    pub(super) fn takes_only_text(&self) -> bool {
        let other = ["boolean", "integer", "number"].iter().any(|name| self.takes(name));
        !other
            && (self.takes("string") || self.alternatives.iter().any(|schema| schema.get("enum").is_some()))
    }

    /// Returns `true` if text is allowed.
    pub(super) fn takes_text(&self) -> bool {
        self.takes("string")
    }

    /// Returns `true` if a list is allowed.
    pub(super) fn takes_list(&self) -> bool {
        self.takes("array")
    }

    /// Returns `true` for a secret, or a URL that may hold one: it can be written as `{ env: NAME }` or `{ file: PATH }`.
    pub(super) fn is_secret(&self) -> bool {
        let keys = self.keys();
        keys == ["env", "file"] && self.takes_text()
    }

    /// Returns `true` for the path of a file.
    pub(super) fn is_path(&self) -> bool {
        self.alternatives.iter().any(|schema| schema.get("format").is_some_and(|format| format == "path"))
    }
}
