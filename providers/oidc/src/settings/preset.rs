//! Kinds that are presets: the common keys and a few of their own.

use std::{fmt, marker::PhantomData, sync::Arc};

use async_trait::async_trait;
use schemars::JsonSchema;
use scopegate_provider::{ConnectError, Context, Outline, Provider};
use serde::{
    Deserialize, Deserializer,
    de::{
        self, DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, Visitor,
        value::MapAccessDeserializer,
    },
};
use serde_json::{Map, Value};

use super::{Common, Settings, SettingsError};
use crate::provider::OidcProvider;

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
        deserializer.deserialize_map(Split(PhantomData))
    }
}

/// A kind that is OIDC with a few values fixed: its own keys, and their translation into common settings.
///
/// ```
/// use scopegate_oidc::{Common, PresetKind, PresetSettings, Settings, SettingsError};
/// use scopegate_provider::Issuer;
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// struct Tenant {
///     tenant: String,
/// }
///
/// impl PresetKind for Tenant {
///     const KIND: &'static str = "acme";
///
///     fn settings(self, mut common: Common) -> Result<Settings, SettingsError> {
///         let issuer = Issuer::parse(&format!("https://{}.acme.example", self.tenant));
///         common.issuer = Some(issuer.map_err(|error| SettingsError::kind("tenant", error.to_string()))?);
///         Settings::check(common)
///     }
/// }
///
/// let settings: PresetSettings<Tenant> = serde_json::from_str(r#"{"tenant":"blue","audience":"items"}"#)?;
/// # Ok::<(), serde_json::Error>(())
/// ```
pub trait PresetKind: DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// The kind's name in the configuration.
    const KIND: &'static str;

    /// Fills in the values that the kind fixes, and checks the whole.
    ///
    /// # Errors
    /// [`SettingsError`] names the key and says what to write.
    fn settings(self, common: Common) -> Result<Settings, SettingsError>;
}

/// The settings of a kind that is a preset, checked.
#[derive(Debug, Clone)]
pub struct PresetSettings<Kind> {
    settings: Settings,
    kind: PhantomData<fn() -> Kind>,
}

impl<'de, Kind: PresetKind> Deserialize<'de> for PresetSettings<Kind> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Preset { own, common } = Preset::<Kind>::deserialize(deserializer)?;
        let settings = own.settings(common).map_err(de::Error::custom)?;
        Ok(Self { settings, kind: PhantomData })
    }
}

#[async_trait]
impl<Kind: PresetKind> scopegate_provider::Settings for PresetSettings<Kind> {
    const KIND: &'static str = Kind::KIND;

    async fn connect(self, context: Context) -> Result<Arc<dyn Provider>, ConnectError> {
        Ok(OidcProvider::connect(self.settings, context)?)
    }

    fn outline(&self) -> Outline {
        self.settings.outline()
    }

    fn schema() -> Value {
        Preset::<Kind>::schema()
    }
}

/// A visitor that reads both parts in one pass, so that an error has its place.
struct Split<Own>(PhantomData<Own>);

impl<'de, Own: DeserializeOwned + JsonSchema> Visitor<'de> for Split<Own> {
    type Value = Preset<Own>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Preset<Own>, A::Error> {
        let keys = Keys { own: keys_of::<Own>(), common: keys_of::<Common>() };
        let mut own = Map::new();
        let others = Others::<A, Own> { map, keys: &keys, own: &mut own, kind: PhantomData };
        let common = Common::deserialize(MapAccessDeserializer::new(others))?;
        let own = Own::deserialize(Value::Object(own)).map_err(de::Error::custom)?;
        Ok(Preset { own, common })
    }
}

/// The names of both parts.
struct Keys {
    own: Vec<String>,
    common: Vec<String>,
}

fn keys_of<T: JsonSchema>() -> Vec<String> {
    let schema = schemars::schema_for!(T).to_value();
    let names =
        schema.get("properties").and_then(Value::as_object).map(|keys| keys.keys().cloned().collect());
    names.unwrap_or_default()
}

impl Keys {
    fn is_own(&self, key: &str) -> bool {
        self.own.iter().any(|own| own == key)
    }

    /// The own key that was meant by one that nobody knows, if it is near.
    fn meant(&self, key: &str) -> Option<&str> {
        if self.common.iter().any(|common| common == key) {
            return None;
        }
        self.own.iter().map(String::as_str).find(|own| strsim::jaro_winkler(own, key) >= 0.9)
    }
}

/// The map without the own keys, which are put aside.
struct Others<'a, A, Own> {
    map: A,
    keys: &'a Keys,
    own: &'a mut Map<String, Value>,
    kind: PhantomData<Own>,
}

impl<'de, A: MapAccess<'de>, Own: DeserializeOwned> MapAccess<'de> for Others<'_, A, Own> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        let mut seed = Some(seed);
        loop {
            match self.map.next_key_seed(KeySeed { seed: &mut seed, keys: self.keys })? {
                None => return Ok(None),
                Some(Key::Common(key)) => return Ok(Some(key)),
                Some(Key::Own(key)) => {
                    let value = self.map.next_value_seed(OwnValue::<Own> { key: &key, kind: PhantomData })?;
                    self.own.insert(key, value);
                }
            }
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

enum Key<T> {
    Own(String),
    Common(T),
}

struct KeySeed<'a, K> {
    seed: &'a mut Option<K>,
    keys: &'a Keys,
}

impl<'de, K: DeserializeSeed<'de>> DeserializeSeed<'de> for KeySeed<'_, K> {
    type Value = Key<K::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let key = String::deserialize(deserializer)?;
        if self.keys.is_own(&key) {
            return Ok(Key::Own(key));
        }
        if let Some(meant) = self.keys.meant(&key) {
            return Err(de::Error::custom(format!("unknown field `{key}`; did you mean `{meant}`?")));
        }
        // Taken once only: after a common key the next call brings a seed of its own.
        let seed = self.seed.take().ok_or_else(|| de::Error::custom("a key was asked for twice"))?;
        seed.deserialize(key.into_deserializer()).map(Key::Common)
    }
}

/// The value of an own key, parsed alone so that an error has its place.
struct OwnValue<'a, Own> {
    key: &'a str,
    kind: PhantomData<Own>,
}

impl<'de, Own: DeserializeOwned> DeserializeSeed<'de> for OwnValue<'_, Own> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let alone = Value::Object([(self.key.to_owned(), value.clone())].into_iter().collect());
        match Own::deserialize(alone) {
            Err(error) if !error.to_string().starts_with("missing field") => Err(de::Error::custom(error)),
            Ok(_) | Err(_) => Ok(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Own {
        domain: String,
        number: Option<u8>,
    }

    fn error(settings: Value) -> String {
        serde_json::from_value::<Preset<Own>>(settings).unwrap_err().to_string()
    }

    #[test]
    fn own_and_common_keys_are_told_apart_in_any_order() {
        let settings =
            json!({ "audience": "a", "number": 1, "leeway": "1s", "domain": "d", "validate": "jwt" });
        let preset: Preset<Own> = serde_json::from_value(settings).unwrap();
        assert_eq!((preset.own.domain.as_str(), preset.own.number), ("d", Some(1)));
        assert_eq!(preset.common.leeway.unwrap().to_string(), "1s");
    }

    #[test]
    fn an_unknown_key_is_refused_and_the_nearest_own_one_named() {
        assert!(error(json!({ "domain": "d", "audiense": "a" })).contains("unknown field `audiense`"));
        assert!(error(json!({ "domian": "d" })).contains("did you mean `domain`?"));
    }

    #[test]
    fn what_is_missing_or_of_the_wrong_type_is_said() {
        assert!(error(json!({ "audience": "a" })).contains("missing field `domain`"));
        assert!(error(json!({ "domain": "d", "number": 300 })).contains("300"));
        assert!(error(json!({ "domain": "d", "leeway": 30 })).contains("30"));
    }
}
