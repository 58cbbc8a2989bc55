//! Merges several documents into one configuration: maps are united, the items of `routes`, `tests` and `policy_from` are put
//! one behind the other, and anything else may be said once.

use std::{collections::HashMap, sync::Arc};

use super::diagnostics::ConfigError;
use crate::yaml::{Diagnostic, Document, Entry, Location, Node, Origin, Problem, Step, Value};

const LISTS: [&str; 3] = ["routes", "tests", "policy_from"];

#[derive(Default)]
pub(super) struct Merger {
    root: Option<Node>,
    errors: Vec<ConfigError>,
}

impl Merger {
    pub(super) fn add(&mut self, document: Node) {
        let entries = match document.value {
            Value::Map(entries) => entries,
            Value::Null | Value::Redacted => Vec::new(),
            Value::Scalar(_) | Value::List(_) => {
                let problem = Problem::WrongType {
                    expected: "a map of sections such as `server:` and `providers:`".into(),
                    found: "something else".into(),
                };
                return self.errors.push(Diagnostic::new(problem, document.location, &[]).into());
            }
        };
        let empty = Node { location: document.location, value: Value::Map(Vec::new()) };
        let root = self.root.get_or_insert(empty);
        let Value::Map(sections) = &mut root.value else { return };
        for entry in entries {
            match sections.iter_mut().find(|section| section.key == entry.key) {
                None => sections.push(entry),
                Some(section) => unite(section, entry, &mut self.errors),
            }
        }
    }

    /// Everything in one tree; an empty one if there was nothing.
    pub(super) fn finish(self, errors: &mut Vec<ConfigError>) -> Option<Node> {
        let failed = !self.errors.is_empty();
        errors.extend(self.errors);
        if failed {
            return None;
        }
        let document = Document { origin: Origin::Text("nothing".into()), text: Box::default() };
        let location = Location::of_document(&Arc::new(document));
        Some(self.root.unwrap_or(Node { location, value: Value::Map(Vec::new()) }))
    }
}

/// Adds what a further document says of a section.
fn unite(section: &mut Entry, more: Entry, errors: &mut Vec<ConfigError>) {
    let path = [Step::Key(more.key.clone())];
    match (&mut section.node.value, more.node.value) {
        (_, Value::Null) => {}
        (Value::List(items), Value::List(further)) if LISTS.contains(&more.key.as_str()) => {
            items.extend(further);
        }
        (Value::Map(entries), Value::Map(further)) => {
            let known: HashMap<String, Location> =
                entries.iter().map(|entry| (entry.key.clone(), entry.key_location.clone())).collect();
            for entry in further {
                match known.get(&entry.key) {
                    None => entries.push(entry),
                    Some(first) => {
                        let path = [Step::Key(more.key.clone()), Step::Key(entry.key.clone())];
                        errors.push(duplicate(&entry.key, entry.key_location, first, &path));
                    }
                }
            }
        }
        _ => errors.push(duplicate(&more.key, more.key_location, &section.key_location, &path)),
    }
}

fn duplicate(key: &str, location: Location, first: &Location, path: &[Step]) -> ConfigError {
    let problem = Problem::DuplicateKey { key: key.to_owned(), first: first.clone() };
    Diagnostic::new(problem, location, path).into()
}
