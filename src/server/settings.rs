//! What a listener may be told.

use schemars::JsonSchema;
use scopegate_provider::{ByteSize, Span};
use serde::{Deserialize, Serialize};

use super::{Listen, TlsSettings};

/// One listener, gathered from the sections that speak of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerSettings {
    /// Where to listen.
    pub listen: Listen,
    /// TLS; none means plain HTTP.
    pub tls: Option<TlsSettings>,
    /// What a caller may use.
    pub limits: Limits,
}

/// What one caller may use of the server (`server.limits`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The longest request head: request line and header fields. Longer: 431.
    pub headers: ByteSize,
    /// The longest bearer token. Longer: 401.
    pub token: ByteSize,
    /// The most connections at once; more wait in the system's queue.
    pub connections: u32,
    /// The most requests at once on one HTTP/2 connection.
    pub streams: u32,
    /// How long a caller may take to send a request's head, and for the TLS handshake before it.
    pub header_timeout: Span,
    /// How long a connection on which nothing is asked stays open.
    pub idle_timeout: Span,
    /// How long a caller may stop while it sends a request's body.
    pub body_timeout: Span,
    /// How long a caller may stop while it takes a response.
    pub send_timeout: Span,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            headers: ByteSize::new(32 << 10),
            token: ByteSize::new(16 << 10),
            connections: 25_000,
            streams: 200,
            header_timeout: Span::from_secs(10),
            idle_timeout: Span::from_secs(75),
            body_timeout: Span::from_secs(30),
            send_timeout: Span::from_secs(60),
        }
    }
}

impl Default for ListenerSettings {
    fn default() -> Self {
        Self { listen: Listen::any_loopback_port(), tls: None, limits: Limits::default() }
    }
}
