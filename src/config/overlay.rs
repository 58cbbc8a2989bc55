//! Settings from the environment over those of the file: `SCOPEGATE_SERVER__LISTEN` is `server.listen`. Only variables that
//! start with `SCOPEGATE_` and hold a `__` behind it are settings; others are ignored, because Kubernetes sets its own.

use std::{collections::HashMap, sync::Arc};

use super::{
    diagnostics::{Cause, ConfigError, Warning},
    schema::{Cursor, Schema},
};
use crate::yaml::{Document, Entry, Location, Node, Origin, Scalar, Step, Style, Value, nearest};

const PREFIX: &str = "SCOPEGATE_";

/// A setting of the environment, and its value.
#[derive(Debug)]
struct Setting {
    path: Vec<String>,
    node: Node,
}

/// Puts the settings among `variables` over those of `file`. Variables that name no setting are errors; those that name one
/// but for an underscore are warnings.
pub(super) fn overlay(
    mut file: Node,
    variables: &[(String, String)],
    schema: &Schema,
    errors: &mut Vec<ConfigError>,
) -> (Node, Vec<Warning>) {
    let warnings = almost_settings(variables, &file, schema);
    for setting in settings(variables, &file, schema, errors) {
        put(&mut file, &setting.path, &setting.node);
    }
    (file, warnings)
}

/// Returns `true` if one of the process' environment variables is a setting.
pub(super) fn has_settings(mut names: impl Iterator<Item = String>) -> bool {
    names.any(|name| words(&name).is_some())
}

/// Warns of variables that would be settings if their keys had two underscores between them.
fn almost_settings(variables: &[(String, String)], file: &Node, schema: &Schema) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut paths = Vec::new();
    for (name, _) in variables {
        let rest = name.get(..PREFIX.len()).filter(|start| start.eq_ignore_ascii_case(PREFIX));
        let Some(rest) = rest.and_then(|start| name.get(start.len()..)).filter(|rest| !rest.contains("__"))
        else {
            continue;
        };
        if paths.is_empty() {
            collect_paths(&schema.root(), Some(file), schema, &mut Vec::new(), &mut paths);
        }
        let rest = normal(rest);
        let Some(path) = paths
            .iter()
            .find(|path| path.iter().map(|key| normal(key)).collect::<Vec<_>>().join("_") == rest)
        else {
            continue;
        };
        let message = format!(
            "the environment variable `{name}` is not read: two underscores separate the keys of a setting; write `{}`",
            variable_name(path)
        );
        warnings.push(Warning { location: Some(location(name)), key: path.join("."), message });
    }
    warnings
}

/// The most keys that the path of a setting has.
const DEEPEST: usize = 4;

/// Collects the paths of all settings below `cursor`; names of the user's choice are those of the file.
fn collect_paths(
    cursor: &Cursor<'_>,
    file: Option<&Node>,
    schema: &Schema,
    path: &mut Vec<String>,
    paths: &mut Vec<Vec<String>>,
) {
    if path.len() > 1 {
        paths.push(path.clone());
    }
    if path.len() == DEEPEST {
        return;
    }
    let mut keys: Vec<String> = cursor.keys().into_iter().map(str::to_owned).collect();
    if cursor.takes_any_key() {
        let entries = file.map(Node::entries).unwrap_or_default();
        keys.extend(entries.iter().map(|entry| entry.key.clone()));
    }
    for key in keys {
        let node = file.and_then(|file| file.get(&key));
        let inner = match path.as_slice() {
            [section] if section == "providers" => {
                schema.provider(node.and_then(|node| node.get("kind")).and_then(Node::text).unwrap_or(&key))
            }
            _ => cursor.child(&key),
        };
        path.push(key);
        collect_paths(&inner, node, schema, path, paths);
        path.pop();
    }
}

/// The environment variable of a setting.
fn variable_name(path: &[String]) -> String {
    format!("{PREFIX}{}", path.join("__").to_uppercase().replace('-', "_"))
}

/// Returns the settings among `variables`. Their names are resolved by the schema and by the keys of `file`.
fn settings(
    variables: &[(String, String)],
    file: &Node,
    schema: &Schema,
    errors: &mut Vec<ConfigError>,
) -> Vec<Setting> {
    let mut settings = Vec::new();
    let mut seen: Vec<(Vec<String>, &str)> = Vec::new();
    // Kinds first: they say what the other variables of a provider may be.
    let mut candidates: Vec<_> =
        variables.iter().filter_map(|(name, text)| Some((name, words(name)?, text))).collect();
    candidates.sort();
    let kinds = kinds(&candidates, file);
    for (name, words, text) in &candidates {
        let location = location(name);
        let resolver = KeyResolver { schema, file, kinds: &kinds };
        match resolver.path(words) {
            Err(near) => {
                let nearest = near.map(|path| variable_name(&path));
                let cause = Cause::UnknownVariable { name: (*name).clone(), nearest };
                errors.push(ConfigError::new(cause, location, &[]));
            }
            Ok(path) => {
                let other =
                    seen.iter().find(|(other, _)| path.starts_with(other) || other.starts_with(&path));
                if let Some((_, other)) = other {
                    let cause = Cause::VariableTwice { name: (*name).clone(), other: (*other).to_owned() };
                    let path: Vec<Step> = path.into_iter().map(Step::Key).collect();
                    errors.push(ConfigError::new(cause, location, &path));
                    continue;
                }
                seen.push((path.clone(), name));
                settings.push(Setting { path, node: scalar(text, location) });
            }
        }
    }
    settings
}

/// Puts a setting into the tree, over whatever stood there.
fn put(root: &mut Node, path: &[String], node: &Node) {
    let Some((key, rest)) = path.split_first() else {
        *root = node.clone();
        return;
    };
    if !matches!(root.value, Value::Map(_)) {
        *root = Node { location: node.location.clone(), value: Value::Map(Vec::new()) };
    }
    let Value::Map(entries) = &mut root.value else { return };
    if !entries.iter().any(|entry| entry.key == *key) {
        let empty = Node { location: node.location.clone(), value: Value::Null };
        entries.push(Entry { key: key.clone(), key_location: node.location.clone(), node: empty });
    }
    if let Some(entry) = entries.iter_mut().find(|entry| entry.key == *key) {
        put(&mut entry.node, rest, node);
    }
}

fn words(name: &str) -> Option<Vec<String>> {
    let start = name.get(..PREFIX.len())?;
    let rest = name.get(PREFIX.len()..)?;
    let setting = start.eq_ignore_ascii_case(PREFIX) && rest.contains("__");
    setting.then(|| rest.split("__").map(normal).collect())
}

fn normal(name: &str) -> String {
    name.to_lowercase().replace('-', "_")
}

fn location(name: &str) -> Location {
    // The value is left out: it may be a secret.
    let document = Document { origin: Origin::Variable(name.to_owned()), text: Box::default() };
    Location::of_document(&Arc::new(document))
}

fn scalar(text: &str, location: Location) -> Node {
    let scalar = Scalar { text: text.to_owned(), style: Style::Variable };
    Node { location, value: Value::Scalar(scalar) }
}

/// The kinds of the providers, by normal name, as the file and then the environment say.
fn kinds(candidates: &[(&String, Vec<String>, &String)], file: &Node) -> HashMap<String, String> {
    let providers = file.get("providers").map(Node::entries).unwrap_or_default();
    let of_file = providers.iter().map(|entry| {
        let kind = entry.node.get("kind").and_then(Node::text).unwrap_or(&entry.key);
        (normal(&entry.key), kind.to_owned())
    });
    let of_variables = candidates.iter().filter_map(|(_, words, text)| match words.as_slice() {
        [section, name, key] if section == "providers" && key == "kind" => {
            Some((name.clone(), (*text).clone()))
        }
        _ => None,
    });
    of_file.chain(of_variables).collect()
}

struct KeyResolver<'a> {
    schema: &'a Schema,
    file: &'a Node,
    kinds: &'a HashMap<String, String>,
}

impl KeyResolver<'_> {
    /// The path that the words of a variable mean, or else the nearest one.
    fn path(&self, words: &[String]) -> Result<Vec<String>, Option<Vec<String>>> {
        let mut path: Vec<String> = Vec::new();
        let mut cursor = self.schema.root();
        let mut node = Some(self.file);
        for word in words {
            let mut candidates: Vec<&str> = Vec::new();
            candidates
                .extend(node.map(Node::entries).unwrap_or_default().iter().map(|entry| entry.key.as_str()));
            candidates.extend(cursor.keys());
            let key = match candidates.iter().find(|key| normal(key) == *word) {
                Some(key) => (*key).to_owned(),
                None if !word.is_empty() && (cursor.takes_any_key() || cursor.is_unknown()) => word.clone(),
                None => {
                    let near = nearest(word, &candidates);
                    return Err(near.map(|near| path.into_iter().chain([near]).collect()));
                }
            };
            node = node.and_then(|node| node.get(&key));
            path.push(key);
            cursor = match path.as_slice() {
                [section, name] if section == "providers" => {
                    self.schema.provider(self.kinds.get(&normal(name)).unwrap_or(name))
                }
                _ => cursor.child(path.last().map_or("", String::as_str)),
            };
        }
        Ok(path)
    }
}
