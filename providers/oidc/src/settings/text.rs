//! Values of settings that are parsed from text.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use scopegate_provider::{ClaimPath, ScopeSet};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;
use url::Url;

use crate::algorithm::Algorithm;

/// One value or a list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List<T>(pub Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: de::DeserializeOwned> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let items = match Value::deserialize(deserializer)? {
            Value::Array(items) => items,
            one => vec![one],
        };
        items.into_iter().map(T::deserialize).collect::<Result<_, _>>().map(Self).map_err(de::Error::custom)
    }
}

impl<T: JsonSchema> JsonSchema for List<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("ListOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

/// The URL of an endpoint: `https`, or `http` where that is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(pub Url);

/// The path of a claim: see [`ClaimPath`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimName(pub ClaimPath);

/// The name of a signature algorithm: see [`Algorithm`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlgorithmName(pub Algorithm);

/// Scopes, separated by spaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeText(pub ScopeSet);

/// Returns claims by their names, as a kind fixes them.
pub fn claim_names(names: &[&str]) -> Vec<ClaimName> {
    claim_paths(names).into_iter().map(ClaimName).collect()
}

/// Returns the paths of claims, as a kind fixes them.
pub fn claim_paths(names: &[&str]) -> Vec<ClaimPath> {
    names.iter().filter_map(|name| ClaimPath::parse(name).ok()).collect()
}

impl PartialOrd for ClaimName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ClaimName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.as_str().cmp(other.0.as_str())
    }
}

fn endpoint(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| format!("expected a URL such as `https://id.example/keys`, found `{text}`"))
}

macro_rules! from_text {
    ($name:ident, $schema:literal, $parse:expr, $($json:tt)+) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                $parse(&text).map(Self).map_err(de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                $schema.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($($json)+)
            }
        }
    };
}

from_text!(Endpoint, "Endpoint", endpoint, { "type": "string", "format": "uri", "pattern": "^https?://" });
from_text!(ClaimName, "ClaimPath", ClaimPath::parse, { "type": "string", "minLength": 1 });
from_text!(ScopeText, "ScopeText", ScopeSet::parse, { "type": "string" });
from_text!(AlgorithmName, "Algorithm", str::parse::<Algorithm>, {
    "enum": Algorithm::ALL.map(Algorithm::as_str)
});
