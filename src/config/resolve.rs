//! Makes a tree ready to be read, as its schema asks: text stays text, secrets are fetched, paths start at the file that
//! names them.

use std::path::PathBuf;

use super::{
    diagnostics::{Cause, ConfigError},
    schema::{Cursor, Schema},
};
use crate::yaml::{Location, Node, Scalar, Step, Style, Value};

/// The files and secrets that were found while resolving, and the errors.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    /// Files whose change changes the configuration: secrets, certificates.
    pub(super) files: Vec<PathBuf>,
    /// The locations of secrets.
    pub(super) secrets: Vec<Location>,
    pub(super) errors: Vec<ConfigError>,
}

/// Resolves the whole tree; secrets are read from `variables` and from files.
pub(super) fn resolve(root: &mut Node, schema: &Schema, variables: &[(String, String)]) -> Resolved {
    let mut resolver = Resolver { schema, variables, resolved: Resolved::default() };
    resolver.node(root, &schema.root(), &mut Vec::new());
    resolver.resolved
}

struct Resolver<'s, 'a> {
    schema: &'s Schema,
    variables: &'a [(String, String)],
    resolved: Resolved,
}

impl<'s> Resolver<'s, '_> {
    fn node(&mut self, node: &mut Node, cursor: &Cursor<'s>, path: &mut Vec<Step>) {
        if cursor.is_secret() {
            return self.secret(node, path);
        }
        let location = node.location.clone();
        match &mut node.value {
            Value::Scalar(scalar) => {
                if let Some(list) = scalar_as_list(scalar, cursor, &location) {
                    node.value = list;
                    return self.node(node, cursor, path);
                }
                self.scalar(scalar, cursor, &location);
            }
            Value::List(items) => {
                let inner = cursor.item();
                for (index, item) in items.iter_mut().enumerate() {
                    path.push(Step::Index(index));
                    self.node(item, &inner, path);
                    path.pop();
                }
            }
            Value::Map(entries) => {
                for entry in entries {
                    let inner = self.child(cursor, &entry.key, &entry.node, path);
                    path.push(Step::Key(entry.key.clone()));
                    self.node(&mut entry.node, &inner, path);
                    path.pop();
                }
            }
            Value::Null | Value::Redacted => {}
        }
    }

    fn child(&self, cursor: &Cursor<'s>, key: &str, node: &Node, path: &[Step]) -> Cursor<'s> {
        match path {
            [Step::Key(section)] if section == "providers" => {
                self.schema.provider(node.get("kind").and_then(Node::text).unwrap_or(key))
            }
            _ => cursor.child(key),
        }
    }

    fn scalar(&mut self, scalar: &mut Scalar, cursor: &Cursor<'_>, location: &Location) {
        if cursor.is_path() {
            let file = location.beside(&scalar.text);
            scalar.text = file.display().to_string();
            self.resolved.files.push(file);
        }
        if cursor.takes_only_text() && (scalar.style == Style::Plain || !cursor.takes_list()) {
            scalar.style = Style::Text;
        }
    }

    fn secret(&mut self, node: &mut Node, path: &[Step]) {
        self.resolved.secrets.push(node.location.clone());
        let fetched = match &mut node.value {
            Value::Scalar(scalar) => {
                scalar.style = Style::Text;
                return;
            }
            Value::Map(entries) => match entries.as_slice() {
                [entry] if entry.key == "env" => entry.node.text().map(|name| {
                    let mut variables = self.variables.iter();
                    let found = variables.find(|(known, text)| known == name && !text.is_empty());
                    let missing = Cause::SecretVariable { name: name.to_owned() };
                    found.map(|(_, text)| text.clone()).ok_or(missing)
                }),
                [entry] if entry.key == "file" => {
                    entry.node.text().map(|file| self.file_secret(&entry.node.location, file))
                }
                _ => None,
            },
            Value::Null | Value::Redacted | Value::List(_) => None,
        };
        match fetched {
            Some(Ok(text)) => node.value = Value::Scalar(Scalar { text, style: Style::Text }),
            Some(Err(cause)) => {
                self.resolved.errors.push(ConfigError::new(cause, node.location.clone(), path));
                node.value = Value::Redacted;
            }
            // Another form is refused by the type that reads it, without being shown.
            None => {}
        }
    }

    fn file_secret(&mut self, location: &Location, file: &str) -> Result<String, Cause> {
        let file = location.beside(file);
        self.resolved.files.push(file.clone());
        let name = file.display().to_string();
        let text = std::fs::read_to_string(&file)
            .map_err(|error| Cause::SecretFile { path: name.clone(), detail: error.to_string() })?;
        let text = text.trim_end_matches(['\r', '\n']);
        let empty = Cause::SecretFile { path: name, detail: "it is empty".to_owned() };
        if text.is_empty() { Err(empty) } else { Ok(text.to_owned()) }
    }
}

/// A variable that holds a list has its items between commas.
fn scalar_as_list(scalar: &Scalar, cursor: &Cursor<'_>, location: &Location) -> Option<Value> {
    let several = !cursor.takes_text() || scalar.text.contains(',');
    if scalar.style != Style::Variable || !cursor.takes_list() || !several {
        return None;
    }
    let mut items = Vec::new();
    for text in scalar.text.split(',').filter(|text| !text.trim().is_empty()) {
        let scalar = Scalar { text: text.trim().to_owned(), style: Style::Plain };
        items.push(Node { location: location.clone(), value: Value::Scalar(scalar) });
    }
    Some(Value::List(items))
}
