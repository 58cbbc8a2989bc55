//! JSON → tree, so that definitions that arrive as JSON are read by the parser of the file.

use std::sync::Arc;

use serde_json::Value as Json;

use super::{
    location::{Document, Location, Origin},
    tree::{Entry, Node, Scalar, Style, Value},
};

/// Turns JSON into a tree. Every location is that of the whole document, which messages call `name`.
pub fn from_json(json: &Json, name: &str) -> Node {
    let document = Document { origin: Origin::Text(name.to_owned()), text: Box::default() };
    node(json, &Location::of_document(&Arc::new(document)))
}

fn node(json: &Json, location: &Location) -> Node {
    let value = match json {
        Json::Null => Value::Null,
        Json::Bool(value) => plain(value.to_string()),
        Json::Number(number) => plain(number.to_string()),
        Json::String(text) => Value::Scalar(Scalar { text: text.clone(), style: Style::Text }),
        Json::Array(items) => Value::List(items.iter().map(|item| node(item, location)).collect()),
        Json::Object(members) => Value::Map(entries(members, location)),
    };
    Node { location: location.clone(), value }
}

fn plain(text: String) -> Value {
    Value::Scalar(Scalar { text, style: Style::Plain })
}

fn entries(members: &serde_json::Map<String, Json>, location: &Location) -> Vec<Entry> {
    let mut entries = Vec::with_capacity(members.len());
    for (key, member) in members {
        let node = node(member, location);
        entries.push(Entry { key: key.clone(), key_location: location.clone(), node });
    }
    entries
}
