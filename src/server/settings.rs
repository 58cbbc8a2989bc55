//! The settings of a listener.

use std::{num::NonZeroU32, path::PathBuf};

use schemars::JsonSchema;
use scopegate_provider::{ByteSize, Span, Thumbprint};
use serde::{Deserialize, Deserializer, Serialize, de};

use super::Listen;
#[cfg(feature = "server")]
use super::progress::ProgressLimit;

/// The smallest limit for heads: hyper reads them into a buffer that is never smaller.
const LEAST_HEADERS: ByteSize = ByteSize::new(8 << 10);

/// The settings of one listener, gathered from several sections of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerSettings {
    /// The configuration key that names the address, for error messages.
    pub key: &'static str,
    /// The address.
    pub listen: Listen,
    /// TLS; none means plain HTTP.
    pub tls: Option<TlsSettings>,
    /// Over TLS, the authorities that issue the certificates of clients, in PEM; none: clients are not asked for a
    /// certificate. A client may connect without one all the same; a request of one that has presented a certificate
    /// carries [`ClientCertVerified`].
    pub client_ca: Option<PathBuf>,
    /// The limits of each caller.
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
    /// Asks each client for a certificate, which anyone may have issued: it proves the possession of tokens that are bound
    /// to it (RFC 8705), and nothing else. Clients may come without one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ask_client_certificate: bool,
}

/// Marks a request, among its data, whose connection presented a certificate issued by one of the listener's
/// authorities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientCertVerified;

/// The SHA-256 thumbprint of the certificate that the client presented on its connection, among the data of a request. Its
/// issuer was not verified: it is a proof of possession for tokens that are bound to it (RFC 8705), and nothing else.
///
/// A program that serves TLS itself and embeds a gate adds it to the extensions of its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientCertThumbprint(pub Thumbprint);

/// The limits of the server, of each peer and of each request (`server.limits`).
///
/// One peer (an address, or an IPv6 network of 64 bits, unless it is a trusted proxy) holds at most about
/// `connections_per_peer` × (2 × `headers` + 32 KiB) + 4 × `headers_per_peer` + `bodies_per_peer` × 64 KiB of memory
/// (158 MiB by default). While the bytes of an HTTP/2 connection are decoded, up to `streams` × 4 × `headers` more are in
/// use on each thread (25 MiB).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The longest request head: request line and header fields. Longer: 431.
    #[serde(deserialize_with = "headers")]
    pub headers: ByteSize,
    /// The most header fields of a request. More: 431.
    pub header_fields: NonZeroU32,
    /// The most decoded bytes of request heads in flight on one HTTP/2 connection. More: 429.
    pub headers_per_connection: ByteSize,
    /// The most decoded bytes of request heads in flight on all HTTP/2 connections of one peer. More: 429.
    pub headers_per_peer: ByteSize,
    /// The longest bearer token. Longer: 401.
    pub token: ByteSize,
    /// The most connections at once. More wait in the system's queue; connections without a request give way.
    pub connections: NonZeroU32,
    /// The most connections at once of one peer. More are closed.
    pub connections_per_peer: NonZeroU32,
    /// The most unfinished request bodies of one peer. More: 429.
    pub bodies_per_peer: NonZeroU32,
    /// The most requests at once on one HTTP/2 connection.
    pub streams: NonZeroU32,
    /// The time that a caller may take to send a request's head, and for the TLS handshake before it.
    #[serde(deserialize_with = "some_time")]
    pub header_timeout: Span,
    /// The time that a connection without a request stays open.
    #[serde(deserialize_with = "some_time")]
    pub idle_timeout: Span,
    /// The longest pause of a caller that sends a request's body.
    #[serde(deserialize_with = "some_time")]
    pub body_timeout: Span,
    /// The longest pause of a caller that receives a response.
    #[serde(deserialize_with = "some_time")]
    pub send_timeout: Span,
    /// The bytes that a caller has to send of a body, or receive of a response, for each second that it is waited for,
    /// beyond the first pause. Streams (gRPC, server-sent events) may send nothing for as long as they want.
    pub minimum_rate: ByteSize,
}

impl Limits {
    /// Returns the limit of a request's body.
    #[cfg(feature = "server")]
    pub(super) fn receiving(&self) -> ProgressLimit {
        ProgressLimit { pause: self.body_timeout.get(), minimum_rate: self.minimum_rate.get() }
    }

    /// Returns the limit of a response.
    #[cfg(feature = "server")]
    pub(super) fn sending(&self) -> ProgressLimit {
        ProgressLimit { pause: self.send_timeout.get(), minimum_rate: self.minimum_rate.get() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            headers: ByteSize::new(32 << 10),
            header_fields: const { NonZeroU32::new(100).unwrap() },
            headers_per_connection: ByteSize::new(1 << 20),
            headers_per_peer: ByteSize::new(8 << 20),
            token: ByteSize::new(16 << 10),
            connections: const { NonZeroU32::new(25_000).unwrap() },
            connections_per_peer: const { NonZeroU32::new(1000).unwrap() },
            bodies_per_peer: const { NonZeroU32::new(512).unwrap() },
            streams: const { NonZeroU32::new(200).unwrap() },
            header_timeout: Span::from_secs(10),
            idle_timeout: Span::from_secs(75),
            body_timeout: Span::from_secs(30),
            send_timeout: Span::from_secs(60),
            minimum_rate: ByteSize::new(240),
        }
    }
}

impl Default for ListenerSettings {
    fn default() -> Self {
        let listen = Listen::any_loopback_port();
        Self { key: "listen", listen, tls: None, client_ca: None, limits: Limits::default() }
    }
}

fn headers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ByteSize, D::Error> {
    let size = ByteSize::deserialize(deserializer)?;
    if size < LEAST_HEADERS {
        return Err(de::Error::custom(format_args!("expected {LEAST_HEADERS} or more, found {size}")));
    }
    Ok(size)
}

fn some_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
    let span = Span::deserialize(deserializer)?;
    if span.get().is_zero() {
        return Err(de::Error::custom("expected more than no time at all: no request could be served"));
    }
    Ok(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(yaml: &str) -> String {
        serde_json::from_str::<Limits>(yaml).unwrap_err().to_string()
    }

    #[test]
    fn refuses_limits_under_which_no_request_could_be_served() {
        assert!(refused(r#"{"headers": "1KiB"}"#).contains("expected 8KiB or more, found 1KiB"));
        assert!(refused(r#"{"idle_timeout": "0s"}"#).contains("more than no time"));
        assert!(refused(r#"{"connections": 0}"#).contains("nonzero"));
    }
}
