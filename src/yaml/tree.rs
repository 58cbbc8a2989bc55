//! A configuration as a tree in which everything has its location.

use std::borrow::Cow;

use super::location::Location;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub struct Node {
    /// The location.
    pub location: Location,
    /// The value.
    pub value: Value,
}

/// A value.
#[derive(Debug, Clone)]
pub enum Value {
    /// Nothing.
    Null,
    /// Text, a number, a truth value.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order in which it was written; no key stands twice.
    Map(Vec<Entry>),
    /// Taken away because it is wrong, so that the rest can be read; its location in a list is kept.
    Redacted,
}

/// A scalar as it was written: what it is, the type that reads it says.
#[derive(Debug, Clone)]
pub struct Scalar {
    /// Without quotes and escapes.
    pub text: String,
    /// The style.
    pub style: Style,
}

/// The style of a scalar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Not quoted: text, or a number or truth value where one is wanted.
    Plain,
    /// Quoted, or known to be wanted as text: text and nothing else.
    Text,
    /// From the environment: like plain, and a list with commas where one is wanted.
    Variable,
}

/// An entry of a map.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The location of the key.
    pub key_location: Location,
    /// The value.
    pub node: Node,
}

/// A step from the root towards a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Into the value of a key.
    Key(String),
    /// Into an item of a list, from 0.
    Index(usize),
}

impl Node {
    /// The entries, if it is a map.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The entry with this key, if it is a map that has one.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The value of this key, if it is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The items, if it is a list.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The text, if it is a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    /// Returns `true` if nothing was written.
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// One step further, if there is something.
    pub fn child(&self, step: &Step) -> Option<&Node> {
        match step {
            Step::Key(key) => self.get(key),
            Step::Index(index) => self.items().get(*index),
        }
    }

    /// As far along `path` as there is something, and how many steps that was.
    pub fn nearest(&self, path: &[Step]) -> (&Node, usize) {
        let mut node = self;
        for (taken, step) in path.iter().enumerate() {
            match node.child(step) {
                Some(child) => node = child,
                None => return (node, taken),
            }
        }
        (node, path.len())
    }

    /// Returns the location of the value at `path`, or that of its key if it has one and `of_key` is set.
    pub fn location_of(&self, path: &[Step], of_key: bool) -> &Location {
        let (node, taken) = self.nearest(path);
        let last_key = path.get(taken.wrapping_sub(1)).filter(|_| of_key && taken == path.len());
        let Some(Step::Key(key)) = last_key else { return &node.location };
        let parent = self.nearest(path.get(..taken - 1).unwrap_or_default()).0;
        parent.entry(key).map_or(&node.location, |entry| &entry.key_location)
    }

    /// Returns `true` if the value was redacted.
    pub fn is_redacted(&self) -> bool {
        matches!(self.value, Value::Redacted)
    }

    /// The paths of what was taken away.
    pub fn redacted_paths(&self) -> Vec<Vec<Step>> {
        let mut redacted_paths = Vec::new();
        self.find_redacted(&mut Vec::new(), &mut redacted_paths);
        redacted_paths
    }

    fn find_redacted(&self, path: &mut Vec<Step>, redacted_paths: &mut Vec<Vec<Step>>) {
        match &self.value {
            Value::Map(entries) => {
                for entry in entries {
                    path.push(Step::Key(entry.key.clone()));
                    entry.node.find_redacted(path, redacted_paths);
                    path.pop();
                }
            }
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    path.push(Step::Index(index));
                    item.find_redacted(path, redacted_paths);
                    path.pop();
                }
            }
            Value::Redacted => redacted_paths.push(path.clone()),
            Value::Null | Value::Scalar(_) => {}
        }
    }

    /// One step further, if there is something.
    pub fn child_mut(&mut self, step: &Step) -> Option<&mut Node> {
        match (&mut self.value, step) {
            (Value::Map(entries), Step::Key(key)) => {
                entries.iter_mut().find(|entry| entry.key == *key).map(|entry| &mut entry.node)
            }
            (Value::List(items), Step::Index(index)) => items.get_mut(*index),
            _ => None,
        }
    }

    /// Makes a hole of what stands at `path`; says whether there was something.
    pub fn redact(&mut self, path: &[Step]) -> bool {
        match path.split_first() {
            Some((first, rest)) => self.child_mut(first).is_some_and(|child| child.redact(rest)),
            None => !matches!(std::mem::replace(&mut self.value, Value::Redacted), Value::Redacted),
        }
    }
}

/// `server.listen`, `routes[2].match`; a key with other characters than letters, digits, `_` and `-` in quotes.
pub fn path_text(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Index(index) => text.extend(["[", &index.to_string(), "]"]),
            Step::Key(key) => {
                if !text.is_empty() {
                    text.push('.');
                }
                let key = if is_plain(key) { Cow::Borrowed(key) } else { Cow::Owned(format!("{key:?}")) };
                text.push_str(&key);
            }
        }
    }
    text
}

fn is_plain(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || "_-".contains(c))
}
