//! The settings of an upstream (`upstreams.NAME`).

use std::{collections::BTreeMap, fmt, path::PathBuf, str::FromStr};

use http::{HeaderName, HeaderValue, uri::Authority};
use schemars::JsonSchema;
use scopegate_provider::{Secret, Span};
use serde::{Deserialize, Serialize};
use url::Url;

use super::headers::{folded, is_connection_field, is_same_field};
use crate::policy::KnownUpstream;

/// An upstream: where it is, and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamSettings {
    /// Its scheme, host and port. A path would be another than the one decided on, so there is none.
    pub url: UpstreamUrl,
    /// The addresses to connect to, `host:port`, in turn; left out: the URL's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// The audience of tokens that are minted for it (`forward: mint`); its URL by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// The version of HTTP.
    #[serde(default)]
    pub protocol: Protocol,
    /// A PEM file with certificate authorities that are trusted besides the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "path"))]
    pub ca: Option<PathBuf>,
    /// The longest time for making a connection, TLS included.
    #[serde(default = "connect_timeout")]
    pub connect_timeout: Span,
    /// The longest time until the head of the response, from when the request was sent. The body has no limit.
    #[serde(default = "response_timeout")]
    pub response_timeout: Span,
    /// The time that an idle connection is kept; shorter than the upstream's own limit.
    #[serde(default = "idle_timeout")]
    pub idle_timeout: Span,
    /// The number of idle connections that are kept for each address.
    #[serde(default = "idle_connections")]
    pub idle_connections: usize,
    /// The `Host` that it gets: a name, or `caller` for the one that the caller asked for.
    #[serde(default, skip_serializing_if = "UpstreamHost::is_caller")]
    #[schemars(with = "String")]
    pub host: UpstreamHost,
    /// Headers that it always gets, whatever the caller sends under their names.
    #[serde(default, skip_serializing)]
    #[schemars(with = "BTreeMap<String, Secret>")]
    pub headers: UpstreamHeaders,
    /// Asking addresses how they are; left out: one that takes no connection is left alone for a while, no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthSettings>,
}

/// Health checks of an upstream's addresses: `GET`; any status below 400 is healthy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthSettings {
    /// The path to ask for.
    pub path: String,
    /// The time between two checks.
    #[serde(default = "health_every")]
    pub every: Span,
    /// The longest time for a response.
    #[serde(default = "health_timeout")]
    pub timeout: Span,
}

/// The version of HTTP of an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// The version that TLS negotiates; HTTP/1.1 without TLS.
    #[default]
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, without TLS by prior knowledge (gRPC).
    Http2,
}

/// The `Host` that an upstream gets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum UpstreamHost {
    /// The host that the caller asked for.
    #[default]
    Caller,
    /// This host, with a port if it has one.
    Name(Authority),
}

/// Errors of `upstreams.NAME.host`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected `caller`, or a host such as `orders.internal` or `orders.internal:8080`, found `{found}`")]
pub struct UpstreamHostError {
    /// The text that was found.
    found: String,
}

impl UpstreamHost {
    /// Returns `true` for the host that the caller asked for.
    fn is_caller(&self) -> bool {
        *self == Self::Caller
    }

    /// Returns the configured host.
    pub fn name(&self) -> Option<&Authority> {
        match self {
            Self::Caller => None,
            Self::Name(name) => Some(name),
        }
    }
}

impl TryFrom<String> for UpstreamHost {
    type Error = UpstreamHostError;
    fn try_from(text: String) -> Result<Self, UpstreamHostError> {
        if text == "caller" {
            return Ok(Self::Caller);
        }
        let authority = text.parse::<Authority>().ok();
        let authority = authority.filter(|found| !found.as_str().contains('@') && !found.host().is_empty());
        authority.map(Self::Name).ok_or(UpstreamHostError { found: text })
    }
}

impl From<UpstreamHost> for String {
    fn from(host: UpstreamHost) -> Self {
        host.name().map_or_else(|| "caller".to_owned(), ToString::to_string)
    }
}

/// The headers that an upstream always gets. Their values may be secrets, and are not shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BTreeMap<String, Secret>")]
pub struct UpstreamHeaders(Vec<(HeaderName, HeaderValue)>);

/// Errors of `upstreams.NAME.headers`. No value is shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamHeadersError {
    /// The name is not one of a header.
    #[error("expected the name of a header such as `X-Api-Key`, found `{found}`")]
    Name {
        /// The name.
        found: String,
    },
    /// The header is set by HTTP, by another setting, or by scopegate.
    #[error("`{found}` cannot be set here: {instead}")]
    Reserved {
        /// The name.
        found: String,
        /// The setting to use.
        instead: &'static str,
    },
    /// Two names are the same header to some services.
    #[error("`{first}` and `{second}` are the same header to many services; keep one of them")]
    Twice {
        /// The first name.
        first: String,
        /// The second name.
        second: String,
    },
    /// The value cannot be one of a header.
    #[error("the value of `{header}` holds characters that no header may hold (it is not shown)")]
    Value {
        /// The header.
        header: String,
    },
}

impl UpstreamHeaders {
    /// Returns the names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.0.iter().map(|(name, value)| (name, value))
    }
}

impl TryFrom<BTreeMap<String, Secret>> for UpstreamHeaders {
    type Error = UpstreamHeadersError;
    fn try_from(settings: BTreeMap<String, Secret>) -> Result<Self, UpstreamHeadersError> {
        let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::with_capacity(settings.len());
        for (found, value) in settings {
            let Ok(name) = found.parse::<HeaderName>() else {
                return Err(UpstreamHeadersError::Name { found });
            };
            if let Some(instead) = reserved(&folded(name.as_str())) {
                return Err(UpstreamHeadersError::Reserved { found, instead });
            }
            if let Some((first, _)) = headers.iter().find(|(known, _)| is_same_field(known, &name)) {
                return Err(UpstreamHeadersError::Twice { first: first.to_string(), second: found });
            }
            let Ok(mut value) = HeaderValue::from_str(value.reveal()) else {
                return Err(UpstreamHeadersError::Value { header: found });
            };
            value.set_sensitive(true);
            headers.push((name, value));
        }
        Ok(Self(headers))
    }
}

/// Returns what to use instead of a header that cannot be set for an upstream.
fn reserved(name: &str) -> Option<&'static str> {
    match name {
        "host" => Some("write `host: NAME`"),
        "content-length" | "trailer" | "te" => Some("HTTP sets it"),
        "forwarded" => Some("how the request came is told in X-Forwarded-For, -Proto and -Host"),
        name if name.starts_with("x-forwarded-") => Some("scopegate sets it"),
        name if is_connection_field(name) => Some("it belongs to one connection"),
        _ => None,
    }
}

/// `http` or `https`, a host, perhaps a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct UpstreamUrl(Url);

/// Errors of an upstream's URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamUrlError {
    /// Not a URL with a host.
    #[error("expected a URL such as `http://127.0.0.1:9001` or `https://orders.internal`, found `{found}`")]
    Url {
        /// The URL, without what precedes `@`.
        found: String,
    },
    /// More than scheme, host and port.
    #[error(
        "expected only scheme, host and port: the upstream gets the path that was decided on; write `{wanted}`, and `strip_prefix` on the route where it expects another path"
    )]
    More {
        /// The form to write.
        wanted: String,
    },
}

impl UpstreamUrl {
    /// Returns the URL.
    #[cfg(feature = "server")]
    pub(crate) fn as_url(&self) -> &Url {
        &self.0
    }

    /// Returns `true` if the scheme is `https`.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The host.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// Host and port, as they are connected to.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host(), self.0.port_or_known_default().unwrap_or(80))
    }
}

impl FromStr for UpstreamUrl {
    type Err = UpstreamUrlError;
    fn from_str(text: &str) -> Result<Self, UpstreamUrlError> {
        let found = || text.rsplit('@').next().unwrap_or_default().to_owned();
        let url = Url::parse(text).map_err(|_| UpstreamUrlError::Url { found: found() })?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
            return Err(UpstreamUrlError::Url { found: found() });
        }
        let origin = url.origin().ascii_serialization();
        let extra = url.query().is_some() || url.fragment().is_some() || url.password().is_some();
        if extra || url.path() != "/" || !url.username().is_empty() {
            return Err(UpstreamUrlError::More { wanted: origin });
        }
        Ok(Self(url))
    }
}

impl TryFrom<String> for UpstreamUrl {
    type Error = UpstreamUrlError;
    fn try_from(text: String) -> Result<Self, UpstreamUrlError> {
        text.parse()
    }
}

impl From<UpstreamUrl> for String {
    fn from(url: UpstreamUrl) -> Self {
        url.to_string()
    }
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl UpstreamSettings {
    /// Returns the upstream as routes refer to it.
    pub(crate) fn known_as(&self, name: &str) -> KnownUpstream {
        let mut addresses = self.addresses.clone();
        addresses.push(self.url.address());
        let host = self.host.name().map(ToString::to_string);
        KnownUpstream { name: name.to_owned(), addresses, host }
    }

    /// An upstream at `url`, everything else as it is unless said.
    pub fn at(url: UpstreamUrl) -> Self {
        Self {
            url,
            addresses: Vec::new(),
            audience: None,
            protocol: Protocol::default(),
            ca: None,
            connect_timeout: connect_timeout(),
            response_timeout: response_timeout(),
            idle_timeout: idle_timeout(),
            idle_connections: idle_connections(),
            host: UpstreamHost::default(),
            headers: UpstreamHeaders::default(),
            health: None,
        }
    }
}

const fn connect_timeout() -> Span {
    Span::from_secs(5)
}

const fn response_timeout() -> Span {
    Span::from_secs(60)
}

const fn idle_timeout() -> Span {
    Span::from_secs(30)
}

const fn idle_connections() -> usize {
    256
}

const fn health_every() -> Span {
    Span::from_secs(10)
}

const fn health_timeout() -> Span {
    Span::from_secs(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_refused_with_what_to_write() {
        for url in ["http://127.0.0.1:9001/api", "http://u@127.0.0.1:9001", "http://127.0.0.1:9001/?q"] {
            let refused = url.parse::<UpstreamUrl>();
            assert_eq!(refused, Err(UpstreamUrlError::More { wanted: "http://127.0.0.1:9001".into() }));
        }
    }

    #[test]
    fn a_host_without_a_scheme_is_refused() {
        for url in ["127.0.0.1:9001", "orders:9001", "ftp://orders", "http://"] {
            assert!(matches!(url.parse::<UpstreamUrl>(), Err(UpstreamUrlError::Url { .. })), "{url}");
        }
    }

    #[test]
    fn a_secret_in_a_url_is_not_repeated() {
        let error = "ftp://u:hunter2@orders".parse::<UpstreamUrl>().unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    fn settings(more: &serde_json::Value) -> Result<UpstreamSettings, serde_json::Error> {
        let mut settings = serde_json::json!({ "url": "http://127.0.0.1:9001" });
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(settings)
    }

    /// P8: the host is a name or the caller's.
    #[test]
    fn the_host_is_a_name_or_the_callers() {
        for (text, expected) in
            [("caller", None), ("orders.internal", Some("orders.internal")), ("[::1]:80", Some("[::1]:80"))]
        {
            let host = settings(&serde_json::json!({ "host": text })).unwrap().host;
            assert_eq!(host.name().map(Authority::as_str), expected);
        }
        for text in ["", "a b", "user@orders.internal", "http://orders.internal"] {
            let error = settings(&serde_json::json!({ "host": text })).unwrap_err().to_string();
            assert!(error.contains("expected `caller`"), "{text}: {error}");
        }
    }

    /// P8, A4: headers that HTTP or scopegate sets are refused, and so are two spellings of one header.
    #[test]
    fn headers_of_http_and_of_scopegate_are_refused() {
        for (name, message) in [
            ("Host", "host: NAME"),
            ("Content-Length", "HTTP sets it"),
            ("X-Forwarded-For", "scopegate sets it"),
            ("X.Forwarded_For", "scopegate sets it"),
            ("Connection", "one connection"),
            ("a b", "expected the name of a header"),
        ] {
            let error =
                settings(&serde_json::json!({ "headers": { name: "hunter2" } })).unwrap_err().to_string();
            assert!(error.contains(message) && !error.contains("hunter2"), "{name}: {error}");
        }
        let error = settings(&serde_json::json!({ "headers": { "X-Api-Key": "a", "x_api_key": "b" } }));
        assert!(error.unwrap_err().to_string().contains("the same header"));
        let error = settings(&serde_json::json!({ "headers": { "X-Api-Key": "hunter2\n" } }))
            .unwrap_err()
            .to_string();
        assert!(error.contains("X-Api-Key") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn the_value_of_a_header_is_not_shown() {
        let settings = settings(&serde_json::json!({ "headers": { "X-Api-Key": "hunter2" } })).unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
        assert!(!serde_json::to_string(&settings).unwrap().contains("hunter2"));
    }

    #[test]
    fn the_port_is_the_schemes_unless_said() {
        let address = |url: &str| url.parse::<UpstreamUrl>().unwrap().address();
        assert_eq!(address("https://orders.internal"), "orders.internal:443");
        assert_eq!(address("http://[::1]:9001"), "[::1]:9001");
    }
}
