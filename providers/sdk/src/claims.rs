//! Verified claims, kept as they were signed and read on demand.

use std::{borrow::Cow, fmt, ops::Range, sync::OnceLock};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use crate::BearerToken;

/// The claims of a verified token: the bytes, and the JSON object once somebody has asked for a claim.
#[derive(Clone)]
pub struct Claims {
    kept: Kept,
    parsed: OnceLock<Box<Map<String, Value>>>,
}

#[derive(Clone)]
enum Kept {
    Json(Box<[u8]>),
    /// In base64url, where they stand in their token: whoever keeps that keeps them.
    Encoded {
        token: BearerToken,
        start: u32,
        end: u32,
    },
}

impl Claims {
    /// From the verified bytes of a JSON object.
    pub fn from_json(json: impl Into<Box<[u8]>>) -> Self {
        Self { kept: Kept::Json(json.into()), parsed: OnceLock::new() }
    }

    /// From an object that is already at hand, such as an introspection answer.
    pub fn from_map(map: Map<String, Value>) -> Self {
        let json = serde_json::to_vec(&map).unwrap_or_default().into();
        Self { kept: Kept::Json(json), parsed: OnceLock::from(Box::new(map)) }
    }

    /// From a part of a verified token that is a JSON object in base64url without padding. They take no memory beside the
    /// token's; a part that is none of it holds no claims.
    ///
    /// ```
    /// use scopegate_provider::{BearerToken, Claims};
    ///
    /// let token = BearerToken::parse("e30.eyJzdWIiOiJhIn0.c2ln")?;
    /// assert_eq!(Claims::within(&token, 4..19).map()["sub"], "a");
    /// # Ok::<(), scopegate_provider::TokenError>(())
    /// ```
    pub fn within(token: &BearerToken, part: Range<usize>) -> Self {
        let [start, end] = [part.start, part.end].map(|at| u32::try_from(at).unwrap_or(u32::MAX));
        Self { kept: Kept::Encoded { token: token.clone(), start, end }, parsed: OnceLock::new() }
    }

    /// The JSON object, byte for byte as it was verified.
    pub fn as_json(&self) -> Cow<'_, [u8]> {
        match &self.kept {
            Kept::Json(json) => Cow::Borrowed(json),
            Kept::Encoded { token, start, end } => {
                let part = token.as_bytes().get(*start as usize..*end as usize).unwrap_or_default();
                URL_SAFE_NO_PAD.decode(part).unwrap_or_default().into()
            }
        }
    }

    /// All claims, parsed at the first call.
    pub fn map(&self) -> &Map<String, Value> {
        self.parsed.get_or_init(|| serde_json::from_slice(&self.as_json()).unwrap_or_default())
    }

    /// Returns the claim at `path`.
    pub fn get(&self, path: &ClaimPath) -> Option<&Value> {
        path.find(self.map())
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Claims({} bytes)", self.as_json().len())
    }
}

/// The path of a claim: a member's name, tried exactly first, or a JSON Pointer (RFC 6901).
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

/// A string that is not a claim path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimPathError {
    /// The empty string.
    #[error("expected a claim's name or a JSON Pointer, found an empty string")]
    Empty,
    /// A path in another notation than that of JSON Pointers.
    #[error(
        "`{found}` looks like a path into the claims: write `{pointer}`, or `{literal}` for a claim of this very name"
    )]
    Notation {
        /// The text.
        found: String,
        /// The path as a JSON Pointer.
        pointer: String,
        /// The pointer to the member of this name.
        literal: String,
    },
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
        if let Some(pointer) = pointer_of_other_notation(text) {
            let literal = format!("/{}", text.replace('~', "~0").replace('/', "~1"));
            return Err(ClaimPathError::Notation { found: text.to_owned(), pointer, literal });
        }
        Ok(Self(text.into()))
    }

    /// The path as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Finds the claim in `claims`.
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

/// Returns the JSON Pointer that was meant by a path with dots, with `$.`, or with slashes and none in front. Names that are
/// URLs or URNs are names.
fn pointer_of_other_notation(text: &str) -> Option<String> {
    if text.starts_with('/') || text.contains(':') {
        return None;
    }
    let inner = text.strip_prefix('$').unwrap_or(text);
    let separator = if inner.contains('/') { '/' } else { '.' };
    let is_path = text.starts_with('$') || inner.contains(separator);
    let plain = inner.replace("['", ".").replace("[\"", ".").replace(['\'', '"', ']'], "").replace('[', ".");
    let mut pointer = String::new();
    for step in plain.split(separator).filter(|step| !step.is_empty()) {
        pointer.push('/');
        pointer.push_str(&step.replace('~', "~0").replace('/', "~1"));
    }
    (is_path && !pointer.is_empty()).then_some(pointer)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn find<'a>(path: &str, claims: &'a Value) -> Option<&'a Value> {
        ClaimPath::parse(path).unwrap().find(claims.as_object().unwrap())
    }

    #[test]
    fn claims_are_read_from_their_token_and_are_none_where_there_are_none() {
        let token = BearerToken::parse("e30.eyJzdWIiOiAiYSJ9.c2ln").unwrap();
        assert_eq!(*Claims::within(&token, 4..20).as_json(), *br#"{"sub": "a"}"#);
        for (part, why) in [(0..40, "beyond the token"), (3..20, "not base64url"), (21..25, "not JSON")] {
            assert!(Claims::within(&token, part).map().is_empty(), "{why}");
        }
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

    /// CASES C4: paths in the notations of other programs would find nothing, silently.
    #[test]
    fn a_path_in_another_notation_is_refused_with_its_pointer() {
        for (text, expected) in [
            ("resource_access.web.roles", "/resource_access/web/roles"),
            ("realm_access.roles", "/realm_access/roles"),
            ("resource_access/web/roles", "/resource_access/web/roles"),
            ("$.realm_access.roles", "/realm_access/roles"),
            ("$['realm_access']['roles']", "/realm_access/roles"),
        ] {
            let error = ClaimPath::parse(text).unwrap_err();
            let ClaimPathError::Notation { pointer, literal, .. } = error else { panic!("{error}") };
            assert_eq!(pointer, expected, "{text}");
            assert_eq!(find(&literal, &json!({ text: 1 })), Some(&json!(1)), "{text}");
        }
    }

    #[test]
    fn names_that_are_urls_or_urns_are_names() {
        for name in [
            "https://acme.example/roles",
            "urn:zitadel:iam:org:project:roles",
            "cognito:groups",
            "scp",
            "x5t#S256",
        ] {
            assert!(ClaimPath::parse(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn a_pointer_with_a_dangling_tilde_is_refused() {
        assert_eq!(ClaimPath::parse("/a~2"), Err(ClaimPathError::Escape));
    }
}
