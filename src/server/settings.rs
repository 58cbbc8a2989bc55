//! What a listener may be told.

use std::{num::NonZeroU32, path::PathBuf};

use schemars::JsonSchema;
use scopegate_provider::{ByteSize, Span};
use serde::{Deserialize, Deserializer, Serialize, de};

use super::Listen;

/// hyper reads heads into a buffer that is never smaller.
const LEAST_HEADERS: ByteSize = ByteSize::new(8 << 10);

/// One listener, gathered from the sections that speak of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerSettings {
    /// Where to listen.
    pub listen: Listen,
    /// TLS; none means plain HTTP.
    pub tls: Option<TlsSettings>,
    /// Over TLS, the authorities that vouch for clients, in PEM; none: no client is asked for a certificate. One may come
    /// without all the same; who came with one is told to endpoints by [`Certified`](super::Certified).
    pub client_ca: Option<PathBuf>,
    /// What a caller may use.
    pub limits: Limits,
}

/// `server.tls`: the certificate chain and its key, in PEM. Both are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// The certificate chain, the server's own first.
    #[schemars(with = "String", extend("format" = "path"))]
    pub certificate: PathBuf,
    /// The private key.
    #[schemars(with = "String", extend("format" = "path"))]
    pub key: PathBuf,
}

/// Among a request's data: it came over a connection whose client presented a certificate that the listener's authorities
/// vouch for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Certified;

/// What one caller may use of the server (`server.limits`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The longest request head: request line and header fields. Longer: 431.
    #[serde(deserialize_with = "headers")]
    pub headers: ByteSize,
    /// The longest bearer token. Longer: 401.
    pub token: ByteSize,
    /// The most connections at once; more wait in the system's queue.
    pub connections: NonZeroU32,
    /// The most requests at once on one HTTP/2 connection.
    pub streams: NonZeroU32,
    /// How long a caller may take to send a request's head, and for the TLS handshake before it.
    #[serde(deserialize_with = "some_time")]
    pub header_timeout: Span,
    /// How long a connection on which nothing is asked stays open.
    #[serde(deserialize_with = "some_time")]
    pub idle_timeout: Span,
    /// How long a caller may stop while it sends a request's body.
    #[serde(deserialize_with = "some_time")]
    pub body_timeout: Span,
    /// How long a caller may stop while it takes a response.
    #[serde(deserialize_with = "some_time")]
    pub send_timeout: Span,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            headers: ByteSize::new(32 << 10),
            token: ByteSize::new(16 << 10),
            connections: const { NonZeroU32::new(25_000).unwrap() },
            streams: const { NonZeroU32::new(200).unwrap() },
            header_timeout: Span::from_secs(10),
            idle_timeout: Span::from_secs(75),
            body_timeout: Span::from_secs(30),
            send_timeout: Span::from_secs(60),
        }
    }
}

impl Default for ListenerSettings {
    fn default() -> Self {
        Self { listen: Listen::any_loopback_port(), tls: None, client_ca: None, limits: Limits::default() }
    }
}

fn headers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ByteSize, D::Error> {
    let size = ByteSize::deserialize(deserializer)?;
    let short = || de::Error::custom(format_args!("expected {LEAST_HEADERS} or more, found {size}"));
    (size >= LEAST_HEADERS).then_some(size).ok_or_else(short)
}

fn some_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
    let span = Span::deserialize(deserializer)?;
    let none = || de::Error::custom("expected more than no time at all: nobody could be served");
    (!span.get().is_zero()).then_some(span).ok_or_else(none)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(yaml: &str) -> String {
        serde_json::from_str::<Limits>(yaml).unwrap_err().to_string()
    }

    #[test]
    fn limits_that_would_serve_nobody_are_refused() {
        assert!(refused(r#"{"headers": "1KiB"}"#).contains("expected 8KiB or more, found 1KiB"));
        assert!(refused(r#"{"idle_timeout": "0s"}"#).contains("more than no time"));
        assert!(refused(r#"{"connections": 0}"#).contains("nonzero"));
    }
}
