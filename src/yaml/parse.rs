//! YAML → tree, with serde-saphyr: every value with its location, duplicate keys refused, bombs bounded.

use std::{cell::RefCell, fmt, sync::Arc};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, NonFiniteFloatPolicy, Options, Spanned};

use super::{
    diagnostic::{Diagnostic, Problem},
    hints::hint,
    location::{Document, Location},
    tree::{Entry, Node, Scalar, Step, Style, Value},
};

/// Reads a document. An empty one is an empty map.
///
/// # Errors
/// What is no YAML, and every key that stands twice.
pub fn parse(document: &Arc<Document>) -> Result<Node, Vec<Diagnostic>> {
    let raw: Spanned<Raw> = serde_saphyr::from_str_with_options(&document.text, options())
        .map_err(|error| vec![syntax(document, &error)])?;
    let build = Build { document, errors: RefCell::default() };
    let node = build.node(raw, &mut Vec::new());
    let errors = build.errors.into_inner();
    if errors.is_empty() { Ok(node) } else { Err(errors) }
}

fn options() -> Options {
    serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        reject_unsupported_tags: true,
        with_snippet: false,
        // Room for a hundred thousand routes; aliases keep their own, tighter limits.
        budget: serde_saphyr::budget! {
            max_events: 20_000_000,
            max_nodes: 10_000_000,
            max_total_scalar_bytes: 256 * 1024 * 1024,
        },
    }
}

fn syntax(document: &Arc<Document>, error: &serde_saphyr::Error) -> Diagnostic {
    let plain = error.without_snippet();
    let location = match plain.location() {
        Some(location) if location.line() > 0 => Location::new(document, location),
        _ => Location::of_document(document),
    };
    let rendered = plain.render_with_formatter(&serde_saphyr::UserMessageFormatter);
    // The location is added by the diagnostic.
    let message = rendered.split(" at line ").next().unwrap_or_default();
    let hint = hint(&location, message);
    let problem = Problem::Syntax { message: format!("{}{hint}", lower_first(message)) };
    Diagnostic::new(problem, location, &[])
}

fn lower_first(message: &str) -> String {
    let mut chars = message.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}

/// A value of serde-saphyr. The style of a scalar is read from the source by its location.
enum Raw {
    Null,
    Text(String),
    Inferred,
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

struct Build<'a> {
    document: &'a Arc<Document>,
    errors: RefCell<Vec<Diagnostic>>,
}

impl Build<'_> {
    fn node(&self, raw: Spanned<Raw>, path: &mut Vec<Step>) -> Node {
        let location = Location::new(self.document, raw.defined);
        let value = match raw.value {
            Raw::Null => Value::Null,
            Raw::Text(text) => {
                let plain = location.source_text() == Some(text.as_str());
                Value::Scalar(Scalar { text, style: if plain { Style::Plain } else { Style::Text } })
            }
            Raw::Inferred => {
                let text = location.source_text().unwrap_or_default().to_owned();
                Value::Scalar(Scalar { text, style: Style::Plain })
            }
            Raw::List(items) => Value::List(self.list(items, path)),
            Raw::Map(pairs) => Value::Map(self.map(pairs, path)),
        };
        Node { location, value }
    }

    fn list(&self, items: Vec<Spanned<Raw>>, path: &mut Vec<Step>) -> Vec<Node> {
        let with_index = items.into_iter().enumerate();
        with_index.map(|(index, item)| self.step(Step::Index(index), item, path)).collect()
    }

    fn map(&self, pairs: Vec<(Spanned<String>, Spanned<Raw>)>, path: &mut Vec<Step>) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::with_capacity(pairs.len());
        let mut seen = std::collections::HashMap::with_capacity(pairs.len());
        for (key, value) in pairs {
            let key_location = Location::new(self.document, key.defined);
            let node = self.step(Step::Key(key.value.clone()), value, path);
            if let Some(first) = seen.get(&key.value) {
                path.push(Step::Key(key.value.clone()));
                let problem = Problem::DuplicateKey { key: key.value, first: Location::clone(first) };
                self.errors.borrow_mut().push(Diagnostic::new(problem, key_location, path));
                path.pop();
                continue;
            }
            seen.insert(key.value.clone(), key_location.clone());
            entries.push(Entry { key: key.value, key_location, node });
        }
        entries
    }

    fn step(&self, step: Step, raw: Spanned<Raw>, path: &mut Vec<Step>) -> Node {
        path.push(step);
        let node = self.node(raw, path);
        path.pop();
        node
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Raw, E> {
        Ok(Raw::Inferred)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::Inferred)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::Inferred)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Raw, E> {
        Ok(Raw::Inferred)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Raw, E> {
        Ok(Raw::Inferred)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Inferred)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_bytes<E: serde::de::Error>(self, _: &[u8]) -> Result<Raw, E> {
        Err(E::custom("binary values have no meaning here"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(pair) = pairs.next_entry()? {
            map.push(pair);
        }
        Ok(Raw::Map(map))
    }
}
