//! What pages of other origins may do, as it is written (`cors`).

use std::fmt;

use http::HeaderName;
use schemars::JsonSchema;
use scopegate_provider::Span;
use serde::{Deserialize, Serialize};
use url::Url;

/// Cross-origin requests (the Fetch standard, CORS protocol). On a route it stands instead of what is said for all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CorsSettings {
    /// Origins whose pages may call, such as `https://app.example.com`; none: no page of another origin may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<CorsOrigin>,
    /// Request headers that they may send; left out: `authorization` and `content-type`.
    #[serde(default = "usual_headers")]
    pub headers: Vec<CorsHeader>,
    /// Response headers that pages may read, beside those that scopegate exposes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expose: Vec<CorsHeader>,
    /// How long a browser may remember a preflight's answer; left out: as long as it does by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Span>,
}

/// An origin, as browsers write it: scheme, host, and the port unless it is the scheme's. Or every origin.
///
/// ```
/// use scopegate::policy::settings::{CorsOrigin, CorsOriginError};
///
/// let origin: CorsOrigin = "https://app.example.com".to_owned().try_into()?;
/// assert!(origin.allows(b"https://app.example.com") && !origin.allows(b"https://app.example.com.evil.example"));
/// # Ok::<(), CorsOriginError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct CorsOrigin(Box<str>);

/// The name of a request header that pages of other origins may send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct CorsHeader(HeaderName);

/// Errors of a text that is not an origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CorsOriginError {
    /// Not a scheme and a host.
    #[error("expected an origin such as `https://app.example.com`, found `{found}`")]
    NotOrigin {
        /// The text, without the part before `@`.
        found: String,
    },
    /// An origin, but no browser writes it like this.
    #[error("browsers write an origin as scheme, host and port, nothing else: write `{wanted}`")]
    Spelling {
        /// The text to write.
        wanted: String,
    },
    /// A pattern.
    #[error(
        "origins are exact: name each, such as `https://app.example.com`, or write `*` alone for every origin"
    )]
    Pattern,
    /// `null`, which browsers send for every page that has no origin.
    #[error("`null` is sent by every page without an origin, so that it would let in anybody: name origins")]
    Null,
}

/// A text that is not the name of a header that pages may send.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected the name of a header such as `content-type`, found `{found}`; each must be named")]
pub struct CorsHeaderError {
    /// The text.
    pub found: String,
}

impl CorsSettings {
    /// Returns `true` if pages of `origin`, the value of a request's `Origin`, may call.
    pub fn allows(&self, origin: &[u8]) -> bool {
        self.origins.iter().any(|allowed| allowed.allows(origin))
    }

    /// Returns `true` if every page that may call under these may call with the same headers under `other` too.
    pub(in crate::policy) fn allows_at_most(&self, other: &Self) -> bool {
        self.origins.is_empty()
            || self
                .origins
                .iter()
                .all(|ours: &CorsOrigin| other.origins.iter().any(|theirs| theirs.is_any() || ours == theirs))
                && self.headers.iter().all(|header| other.headers.contains(header))
    }
}

impl Default for CorsSettings {
    fn default() -> Self {
        Self { origins: Vec::new(), headers: usual_headers(), expose: Vec::new(), max_age: None }
    }
}

/// A bearer token, and JSON.
fn usual_headers() -> Vec<CorsHeader> {
    [http::header::AUTHORIZATION, http::header::CONTENT_TYPE].map(CorsHeader).into()
}

impl CorsOrigin {
    /// Returns `true` if the value of a request's `Origin` is this one, byte for byte. `null` never is.
    pub fn allows(&self, origin: &[u8]) -> bool {
        if self.is_any() { origin != b"null" } else { self.0.as_bytes() == origin }
    }

    fn is_any(&self) -> bool {
        &*self.0 == "*"
    }
}

impl TryFrom<String> for CorsOrigin {
    type Error = CorsOriginError;

    fn try_from(text: String) -> Result<Self, CorsOriginError> {
        match text.as_str() {
            "*" => return Ok(Self(text.into())),
            "null" => return Err(CorsOriginError::Null),
            pattern if pattern.contains('*') => return Err(CorsOriginError::Pattern),
            _ => {}
        }
        let not_origin = || {
            let found = text.rsplit('@').next().unwrap_or_default().to_owned();
            CorsOriginError::NotOrigin { found }
        };
        let wanted = Url::parse(&text).ok().as_ref().and_then(as_browsers_write).ok_or_else(not_origin)?;
        if wanted == text { Ok(Self(wanted.into())) } else { Err(CorsOriginError::Spelling { wanted }) }
    }
}

/// Scheme, host and port. Applications in a shell of their own have schemes of their own (`capacitor://localhost`).
fn as_browsers_write(url: &Url) -> Option<String> {
    let host = url.host_str().filter(|host| is_host(host))?.to_ascii_lowercase();
    match url.scheme() {
        "http" | "https" => Some(url.origin().ascii_serialization()),
        "ftp" | "ws" | "wss" | "file" | "blob" => None,
        scheme => {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            Some(format!("{scheme}://{host}{port}"))
        }
    }
}

fn is_host(host: &str) -> bool {
    !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte))
}

impl From<CorsOrigin> for String {
    fn from(origin: CorsOrigin) -> Self {
        origin.0.into()
    }
}

impl fmt::Display for CorsOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl CorsHeader {
    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl TryFrom<String> for CorsHeader {
    type Error = CorsHeaderError;

    fn try_from(found: String) -> Result<Self, CorsHeaderError> {
        // `*` would be a name to HTTP, and all headers but `Authorization` to a browser.
        match found.parse() {
            Ok(name) if found != "*" => Ok(Self(name)),
            _ => Err(CorsHeaderError { found }),
        }
    }
}

impl From<CorsHeader> for String {
    fn from(header: CorsHeader) -> Self {
        header.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Result<CorsOrigin, CorsOriginError> {
        text.to_owned().try_into()
    }

    #[test]
    fn an_origin_is_taken_as_browsers_write_it() {
        for text in [
            "https://app.example.com",
            "http://localhost:3000",
            "http://[::1]:3000",
            "https://xn--bcher-kva.example",
            "capacitor://localhost",
        ] {
            assert!(origin(text).unwrap().allows(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn another_spelling_is_refused_with_what_to_write() {
        for text in [
            "https://app.example.com/",
            "https://App.Example.com",
            "https://app.example.com:443",
            "https://app.example.com/login?x#y",
            "https://user:hunter2@app.example.com",
        ] {
            let wanted = "https://app.example.com".to_owned();
            assert_eq!(origin(text), Err(CorsOriginError::Spelling { wanted }));
        }
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for text in ["app.example.com", "localhost:3000", "https://", "", "file:///a", "https://a,https://b"]
        {
            assert!(matches!(origin(text), Err(CorsOriginError::NotOrigin { .. })), "{text}");
        }
    }

    #[test]
    fn patterns_and_null_are_refused() {
        assert_eq!(origin("https://*.example.com"), Err(CorsOriginError::Pattern));
        assert_eq!(origin("null"), Err(CorsOriginError::Null));
    }

    #[test]
    fn every_origin_is_not_null() {
        let any = origin("*").unwrap();
        assert!(any.allows(b"https://a.example") && !any.allows(b"null"));
    }

    #[test]
    fn an_origin_is_compared_byte_for_byte() {
        let origin = origin("https://a.example").unwrap();
        for other in
            ["https://a.example.evil", "https://a.exampl", "http://a.example", "https://A.example", ""]
        {
            assert!(!origin.allows(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn headers_are_named_each() {
        let header = |text: &str| CorsHeader::try_from(text.to_owned());
        assert_eq!(header("Content-Type").unwrap().as_str(), "content-type");
        for text in ["*", "", "a b", "a,b"] {
            assert_eq!(header(text), Err(CorsHeaderError { found: text.to_owned() }));
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_taken_is_what_a_browser_would_send(text in "(https?|app)://[a-zA-Z0-9.:@/-]{0,12}") {
            if let Ok(origin) = origin(&text) {
                proptest::prop_assert_eq!(origin.to_string(), text.as_str());
                let (_, host) = text.split_once("://").unwrap();
                proptest::prop_assert!(!host.contains(['/', '@']));
            }
        }
    }
}
