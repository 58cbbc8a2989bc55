//! The HTTP client that a plugin is given.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

/// An HTTP client for talking to a provider: it follows no redirect, has limits of time and size, and speaks plain
/// `http` only to loopback and to the hosts that the settings name.
///
/// ```
/// use async_trait::async_trait;
/// use bytes::Bytes;
/// use scopegate_provider::{HttpClient, HttpError};
///
/// /// Answers every request with the same metadata, for a test.
/// #[derive(Debug)]
/// struct Canned(&'static str);
///
/// #[async_trait]
/// impl HttpClient for Canned {
///     async fn send(&self, _: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpError> {
///         Ok(http::Response::new(Bytes::from_static(self.0.as_bytes())))
///     }
/// }
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # runtime.block_on(async {
/// let response = Canned(r#"{"issuer":"https://id.example"}"#).send(http::Request::default()).await?;
/// assert_eq!(response.status(), 200);
/// # Ok::<(), HttpError>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
