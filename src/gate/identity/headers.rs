//! What services behind the gate learn about the caller (invariant 8).

use std::{borrow::Cow, collections::BTreeMap};

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use scopegate_provider::{ClaimPath, ClaimPathError, Principal, Role, Scope};
use serde_json::Value;

use crate::upstream::headers::folded;

/// By which some frameworks let a caller change the method or the path after the gate has decided on them.
const OVERRIDES: [&str; 5] =
    ["x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url"];

/// The characters that are percent-encoded in a value: what ends a field, what separates values, and the sign of encoding itself.
/// Everything beyond ASCII is too.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b',').add(b'%');

/// The headers that carry a caller's identity, compiled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdentityHeaders(Box<[(HeaderName, Fact)]>);

/// The names of headers that no caller may send: those that carry identity somewhere, and those that change method or
/// path.
/// Services compare names in their own ways (WSGI and CGI take `_` for `-`), so that the names are compared normalised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stripped {
    names: Box<[Box<str>]>,
    /// The lengths of the names, a bit for each: a field of another length is compared with none.
    lengths: u64,
}

/// The source of a header's value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fact {
    Subject,
    Client,
    Scopes,
    Roles,
    Provider,
    Claim(ClaimPath),
}

/// Errors in the configured identity headers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// Not a header's name.
    #[error("expected the name of a header such as `X-Auth-Subject`, found `{found}`")]
    Name {
        /// The text that was found.
        found: String,
    },
    /// A header that HTTP or the gate itself needs.
    #[error("`{found}` cannot carry identity: HTTP or the gate itself needs it; choose a name of your own")]
    Reserved {
        /// The text that was found.
        found: String,
    },
    /// The same header, written in two ways.
    #[error("`{found}` is there twice once names are compared without case and with `_` as `-`")]
    Twice {
        /// The second.
        found: String,
    },
    /// Not a claim.
    #[error("header `{header}`: {source}")]
    Claim {
        /// The header.
        header: String,
        /// The reason.
        source: ClaimPathError,
    },
}

impl IdentityHeaders {
    /// Compiles a map of header names to what they carry: `sub`, `client_id`, `scope`, `roles` and `provider` as the
    /// [`Principal`] has them, whatever the provider calls them; anything else is a claim's name or JSON Pointer.
    ///
    /// ```
    /// use scopegate::gate::{IdentityError, IdentityHeaders};
    ///
    /// let one = |name: &str, fact: &str| [(name.to_owned(), fact.to_owned())].into();
    /// assert!(IdentityHeaders::compile(&one("X-Auth-Org", "/org/id")).is_ok());
    /// assert!(matches!(IdentityHeaders::compile(&one("Host", "sub")), Err(IdentityError::Reserved { .. })));
    /// ```
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn compile(settings: &BTreeMap<String, String>) -> Result<Self, IdentityError> {
        let mut seen = Vec::new();
        let mut compiled = Vec::new();
        for (header, fact) in settings {
            let found = header.clone();
            let Ok(name) = header.parse::<HeaderName>() else {
                return Err(IdentityError::Name { found });
            };
            let normal = folded(name.as_str()).into_owned();
            if is_reserved(&normal) {
                return Err(IdentityError::Reserved { found });
            }
            if seen.contains(&normal) {
                return Err(IdentityError::Twice { found });
            }
            seen.push(normal);
            match Fact::parse(fact) {
                Ok(fact) => compiled.push((name, fact)),
                Err(source) => return Err(IdentityError::Claim { header: found, source }),
            }
        }
        Ok(Self(compiled.into()))
    }

    /// Sets every header; one that has nothing to tell is empty, so that nobody else's value is ever taken for it.
    pub fn set(&self, principal: Option<&Principal>, headers: &mut HeaderMap) {
        for (name, fact) in &self.0 {
            let text = principal.map(|principal| fact.of(principal)).unwrap_or_default();
            // Encoded text is visible ASCII and spaces.
            let value = HeaderValue::from_maybe_shared(bytes::Bytes::from(text));
            headers.insert(name, value.unwrap_or(const { HeaderValue::from_static("") }));
        }
    }
}

impl Stripped {
    /// All headers of these, and those that change method or path.
    pub fn of<'a>(identities: impl IntoIterator<Item = &'a IdentityHeaders>) -> Self {
        let fields = identities.into_iter().flat_map(|identity| &identity.0);
        let names = fields.map(|(name, _)| folded(name.as_str()).into());
        let mut names: Vec<Box<str>> = names.chain(OVERRIDES.map(Into::into)).collect();
        names.sort_unstable();
        names.dedup();
        let lengths = names.iter().fold(0, |lengths, name| lengths | length_bit(name));
        Self { names: names.into(), lengths }
    }

    /// Takes these headers off an incoming request, however their names are spelt.
    pub fn strip(&self, headers: &mut HeaderMap) {
        while let Some(name) = headers.keys().find(|name| self.names(name.as_str())).cloned() {
            headers.remove(name);
        }
    }

    /// Returns `true` if a field has one of these names, in any spelling.
    pub(in crate::gate) fn contains(&self, name: &HeaderName) -> bool {
        self.names(name.as_str())
    }

    /// Returns the usual spellings of these names: with `-`, and with `_`.
    pub(in crate::gate) fn spellings(&self) -> impl Iterator<Item = String> {
        self.names.iter().flat_map(|name| {
            let other = Some(name.replace('-', "_")).filter(|other| *other != **name);
            std::iter::once(name.to_string()).chain(other)
        })
    }

    /// Those that a request has, as it spells them.
    pub(in crate::gate) fn found(&self, headers: &HeaderMap) -> Vec<String> {
        headers.keys().map(HeaderName::as_str).filter(|name| self.names(name)).map(str::to_owned).collect()
    }

    fn names(&self, name: &str) -> bool {
        match folded(name) {
            Cow::Borrowed(name) => self.holds(name),
            Cow::Owned(name) => self.holds(&name) || is_about_origin(&name),
        }
    }

    fn holds(&self, folded: &str) -> bool {
        self.lengths & length_bit(folded) != 0 && self.names.iter().any(|name| **name == *folded)
    }
}

impl Fact {
    fn parse(text: &str) -> Result<Self, ClaimPathError> {
        Ok(match text {
            "sub" => Self::Subject,
            "client_id" => Self::Client,
            "scope" => Self::Scopes,
            "roles" => Self::Roles,
            "provider" => Self::Provider,
            claim => Self::Claim(ClaimPath::parse(claim)?),
        })
    }

    fn of(&self, principal: &Principal) -> String {
        match self {
            Self::Subject => principal.subject().map(|subject| encoded(subject.as_str())).unwrap_or_default(),
            Self::Client => principal.client().map(|client| encoded(client.as_str())).unwrap_or_default(),
            Self::Scopes => joined(principal.scopes().iter().map(Scope::as_str), " "),
            Self::Roles => joined(principal.roles().iter().map(Role::as_str), ","),
            Self::Provider => encoded(principal.provider().as_str()),
            Self::Claim(path) => principal.claims().get(path).map(claim).unwrap_or_default(),
        }
    }
}

fn claim(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => encoded(text),
        Value::Array(items) => joined(items.iter().map(scalar), ","),
        Value::Object(members) => joined(members.keys(), ","),
    }
}

/// An element of an array; what is neither text nor a number is its JSON.
fn scalar(value: &Value) -> Cow<'_, str> {
    value.as_str().map_or_else(|| value.to_string().into(), Cow::Borrowed)
}

fn joined<T: AsRef<str>>(values: impl Iterator<Item = T>, separator: &str) -> String {
    values.map(|value| encoded(value.as_ref())).collect::<Vec<_>>().join(separator)
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// Returns the bit of a name's length; names of 63 bytes and more share one.
fn length_bit(name: &str) -> u64 {
    1 << name.len().min(63)
}

/// Returns `true` if a header of this folded name says where a request came from.
pub(in crate::gate) fn is_about_origin(folded: &str) -> bool {
    let Some(rest) = folded.strip_prefix("x-") else { return folded == "forwarded" };
    rest.starts_with("forwarded-") || rest.starts_with("original-") || matches!(rest, "forwarded" | "real-ip")
}

fn is_reserved(normal: &str) -> bool {
    const RESERVED: [&str; 14] = [
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "sec-websocket-protocol",
    ];
    RESERVED.contains(&normal) || normal.starts_with("x-forwarded-") || normal.starts_with("proxy-")
}

#[cfg(test)]
mod tests;
