//! The HTTP client that a plugin is given.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

/// An HTTP client for talking to a provider: it follows no redirect, has limits of time and size, and speaks plain
/// `http` only to loopback and to the hosts that the settings name.
#[async_trait]
pub trait HttpClient: Send + Sync + fmt::Debug {
    /// Sends a request and reads the whole answer, whatever its status.
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpError>;
}

/// An error of a request. Neither the request's body nor its headers are in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// No connection, or it broke.
    #[error("cannot reach `{host}`: {detail}")]
    Connection {
        /// The host.
        host: String,
        /// The error of the network.
        detail: String,
    },
    /// A plain `http` URL that is neither loopback nor allowed by name.
    #[error("`{host}` must be reached by https; to allow plain http to it, name it in `http.insecure_hosts`")]
    Insecure {
        /// The host.
        host: String,
    },
    /// The answer is longer than allowed.
    #[error("the answer of `{host}` is longer than {limit} bytes")]
    TooLarge {
        /// The host.
        host: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// The answer took too long.
    #[error("`{host}` did not answer in time")]
    Timeout {
        /// The host.
        host: String,
    },
}
