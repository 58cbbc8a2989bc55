//! Verified claims, kept as they were signed and read on demand.

use std::{fmt, sync::OnceLock};

use serde_json::{Map, Value};

/// The claims of a verified token: the bytes, and the JSON object once somebody has asked for a claim.
#[derive(Clone)]
pub struct Claims {
    json: Box<[u8]>,
    parsed: OnceLock<Map<String, Value>>,
}

impl Claims {
    /// From the verified bytes of a JSON object.
    pub fn from_json(json: impl Into<Box<[u8]>>) -> Self {
        Self { json: json.into(), parsed: OnceLock::new() }
    }

    /// From an object that is already at hand, such as an introspection answer.
    pub fn from_map(map: Map<String, Value>) -> Self {
        let json = serde_json::to_vec(&map).unwrap_or_default().into();
        Self { json, parsed: OnceLock::from(map) }
    }

    /// The JSON object, byte for byte as it was verified.
    pub fn as_json(&self) -> &[u8] {
        &self.json
    }

    /// All claims, parsed at the first call.
    pub fn map(&self) -> &Map<String, Value> {
        self.parsed.get_or_init(|| serde_json::from_slice(&self.json).unwrap_or_default())
    }

    /// What stands at `path`.
    pub fn get(&self, path: &ClaimPath) -> Option<&Value> {
        path.find(self.map())
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Claims({} bytes)", self.json.len())
    }
}

/// Where a claim stands: a member's name, tried exactly first, or a JSON Pointer (RFC 6901).
///
/// ```
/// use scopegate_provider::{ClaimPath, Claims};
///
/// let claims = Claims::from_json(*br#"{"https://acme.example/roles":["a"],"realm_access":{"roles":["b"]}}"#);
/// let roles = |path| claims.get(&ClaimPath::parse(path).unwrap()).map(ClaimPath::values);
/// assert_eq!(roles("https://acme.example/roles"), Some(vec!["a"]));
/// assert_eq!(roles("/realm_access/roles"), Some(vec!["b"]));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClaimPath(Box<str>);

/// Why a string is not a claim path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimPathError {
    /// The empty string.
    #[error("expected a claim's name or a JSON Pointer, found an empty string")]
    Empty,
    /// A pointer with a `~` that is followed by neither `0` nor `1`.
    #[error("in a JSON Pointer `~` must be followed by `0` or `1` (RFC 6901, section 3)")]
    Escape,
}

impl ClaimPath {
    /// Parses a path.
    ///
    /// # Errors
    /// [`ClaimPathError`].
    pub fn parse(text: &str) -> Result<Self, ClaimPathError> {
        if text.is_empty() {
            return Err(ClaimPathError::Empty);
        }
        let bad_escape = |rest: &str| !rest.starts_with(['0', '1']);
        if text.starts_with('/') && text.split('~').skip(1).any(bad_escape) {
            return Err(ClaimPathError::Escape);
        }
        Ok(Self(text.into()))
    }

    /// The path as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands there in `claims`.
    pub fn find<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a Value> {
        if let Some(exact) = claims.get(&*self.0) {
            return Some(exact);
        }
        let (first, rest) = match self.0.strip_prefix('/')?.split_once('/') {
            Some((first, _)) => (first, self.0.get(first.len() + 1..)?),
            None => (self.0.strip_prefix('/')?, ""),
        };
        claims.get(&first.replace("~1", "/").replace("~0", "~"))?.pointer(rest)
    }

    /// The strings that a claim holds: a string is its space-separated words, an array its strings, an object its keys
    /// (Zitadel's roles).
    pub fn values(claim: &Value) -> Vec<&str> {
        match claim {
            Value::String(text) => text.split(' ').filter(|word| !word.is_empty()).collect(),
            Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
            Value::Object(members) => members.keys().map(String::as_str).collect(),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn find<'a>(path: &str, claims: &'a Value) -> Option<&'a Value> {
        ClaimPath::parse(path).unwrap().find(claims.as_object().unwrap())
    }

    #[test]
    fn a_member_whose_name_looks_like_a_pointer_is_found_first() {
        let claims = json!({"/a/b": 1, "a": {"b": 2}});
        assert_eq!(find("/a/b", &claims), Some(&json!(1)));
    }

    #[test]
    fn a_pointer_reaches_into_objects_and_unescapes() {
        let claims = json!({"a/b": {"c~d": [1, {"e": 2}]}});
        assert_eq!(find("/a~1b/c~0d/1/e", &claims), Some(&json!(2)));
        assert_eq!(find("/a~1b/x", &claims), None);
    }

    #[test]
    fn an_objects_keys_are_its_values() {
        assert_eq!(ClaimPath::values(&json!({"reader": {"org": "x"}})), ["reader"]);
    }

    #[test]
    fn a_pointer_with_a_dangling_tilde_is_refused() {
        assert_eq!(ClaimPath::parse("/a~2"), Err(ClaimPathError::Escape));
    }
}
