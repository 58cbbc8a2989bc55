//! What wins: the environment over the file. figment merges; the trees keep places, order and the way a scalar was
//! written, so what figment is given are numbers of values, never the values.

use std::collections::BTreeMap;

use figment::{
    Figment, Metadata, Profile, Provider,
    value::{Dict, Map, Num, Tag, Value},
};

use super::environment::{Setting, put};
use crate::yaml::{self, Node};

/// The file's tree with the environment's settings over it.
pub(super) fn merge(file: Node, settings: &[Setting]) -> Node {
    let file_layer = Layer { name: "file", dict: dict_of(&file) };
    let mut variables = Dict::new();
    for (number, setting) in settings.iter().enumerate() {
        place_number(&mut variables, &setting.path, number + 1);
    }
    let merged = Figment::from(file_layer).merge(Layer { name: "environment", dict: variables });
    let mut root = file;
    if let Ok(merged) = merged.extract::<BTreeMap<String, Value>>() {
        for (key, value) in merged {
            apply(&mut root, &mut vec![key], &value, settings);
        }
    }
    root
}

struct Layer {
    name: &'static str,
    dict: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.dict.clone()))
    }
}

/// Nought stands for what the file says.
fn dict_of(node: &Node) -> Dict {
    node.entries().iter().map(|entry| (entry.key.clone(), value_of(&entry.node))).collect()
}

fn value_of(node: &Node) -> Value {
    match node.value {
        yaml::Value::Map(_) => Value::Dict(Tag::Default, dict_of(node)),
        _ => numbered(0),
    }
}

fn numbered(number: usize) -> Value {
    Value::Num(Tag::Default, Num::USize(number))
}

fn place_number(dict: &mut Dict, path: &[String], number: usize) {
    match path {
        [] => {}
        [key] => {
            dict.insert(key.clone(), numbered(number));
        }
        [key, rest @ ..] => {
            let inner = dict.entry(key.clone()).or_insert_with(|| Value::Dict(Tag::Default, Dict::new()));
            if let Value::Dict(_, inner) = inner {
                place_number(inner, rest, number);
            }
        }
    }
}

fn apply(root: &mut Node, path: &mut Vec<String>, merged: &Value, settings: &[Setting]) {
    if let Value::Dict(_, members) = merged {
        for (key, value) in members {
            path.push(key.clone());
            apply(root, path, value, settings);
            path.pop();
        }
        return;
    }
    let number = merged.to_u128().and_then(|number| usize::try_from(number).ok()).unwrap_or_default();
    if let Some(setting) = number.checked_sub(1).and_then(|index| settings.get(index)) {
        put(root, path, &setting.node);
    }
}
