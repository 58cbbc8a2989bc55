//! Kinds that are presets: the common keys and a few of their own.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::Common;

/// The settings of a kind that takes keys of its own beside the common ones. Unknown keys are refused, which serde's
/// `flatten` would let through: the map is split by the names of the own keys, then each part is parsed strictly.
///
/// ```
/// use scopegate_oidc::Preset;
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// struct Own {
///     domain: String,
/// }
///
/// let preset: Preset<Own> = serde_json::from_str(r#"{"domain":"acme.example","audience":"items"}"#)?;
/// assert_eq!((preset.own.domain.as_str(), preset.common.audience.0.len()), ("acme.example", 1));
/// assert!(serde_json::from_str::<Preset<Own>>(r#"{"domain":"acme.example","audiense":"items"}"#).is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Preset<Own> {
    /// The keys of the kind's own.
    pub own: Own,
    /// The common keys.
    pub common: Common,
}

impl<Own: JsonSchema> Preset<Own> {
    /// The JSON Schema of both parts together.
    pub fn schema() -> Value {
        let mut schema = schemars::schema_for!(Common).to_value();
        let own = schemars::schema_for!(Own).to_value();
        for part in ["properties", "$defs", "required"] {
            match (schema.get_mut(part), own.get(part)) {
                (Some(Value::Object(all)), Some(Value::Object(more))) => all.extend(more.clone()),
                (Some(Value::Array(all)), Some(Value::Array(more))) => all.extend(more.iter().cloned()),
                (None, Some(more)) => {
                    let members = schema.as_object_mut();
                    members.and_then(|members| members.insert(part.to_owned(), more.clone()));
                }
                _ => {}
            }
        }
        schema
    }
}

impl<'de, Own: DeserializeOwned + JsonSchema> Deserialize<'de> for Preset<Own> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let all = Map::deserialize(deserializer)?;
        let schema = schemars::schema_for!(Own).to_value();
        let is_own = |key: &str| schema.get("properties").is_some_and(|keys| keys.get(key).is_some());
        let (own, common): (Map<_, _>, Map<_, _>) = all.into_iter().partition(|(key, _)| is_own(key));
        let common = Common::deserialize(Value::Object(common)).map_err(de::Error::custom)?;
        let own = Own::deserialize(Value::Object(own)).map_err(de::Error::custom)?;
        Ok(Self { own, common })
    }
}
