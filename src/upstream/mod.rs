//! Connections to upstreams: addresses and their health, pools, HTTP/1.1 and HTTP/2, replay, tunnels.
//!
//! This module knows nothing of tokens, permits or routes. It exchanges a request that its caller has prepared, and
//! ends a stream when the [`AbortSignal`] that came with the request says so.
//!
//! A request's own task drives the connection to an HTTP/1.1 upstream: no other task is woken between the caller's
//! socket and the upstream's, and a caller that stops reading stops the upstream. HTTP/2 connections are shared, but
//! no exchange can use up what the others on its connection need: see `http2`.

#[cfg(feature = "server")]
mod abort;
#[cfg(feature = "server")]
mod address;
#[cfg(feature = "server")]
mod body;
#[cfg(feature = "server")]
mod connect;
#[cfg(feature = "server")]
mod error;
#[cfg(feature = "server")]
mod exchange;
pub(crate) mod headers;
#[cfg(feature = "server")]
mod health;
#[cfg(feature = "server")]
mod http1;
#[cfg(feature = "server")]
mod http2;
#[cfg(feature = "server")]
mod pool;
#[cfg(feature = "server")]
mod replay;
#[cfg(feature = "server")]
mod response_timeout;
mod settings;
#[cfg(feature = "server")]
mod tunnel;
#[cfg(feature = "server")]
mod upload;
#[cfg(feature = "server")]
mod waker;

#[cfg(feature = "server")]
use std::{collections::BTreeMap, fmt, io, sync::Arc};

#[cfg(feature = "server")]
use bytes::Bytes;
#[cfg(feature = "server")]
use futures_util::future::BoxFuture;
#[cfg(feature = "server")]
use http::{HeaderName, Response};
#[cfg(feature = "server")]
use http_body_util::combinators::BoxBody;

#[cfg(feature = "server")]
use self::exchange::Upstream;
pub use self::settings::{
    HealthSettings, Protocol, UpstreamHeaders, UpstreamHeadersError, UpstreamHost, UpstreamHostError,
    UpstreamSettings, UpstreamUrl, UpstreamUrlError,
};
#[cfg(feature = "server")]
pub use self::{
    abort::{AbortSignal, Aborted},
    body::RelayBody,
    error::{BodyError, CallerFault, ExchangeError, UpstreamError},
    tunnel::{CallerStream, Upgrade},
};

/// The body of a caller's request.
#[cfg(feature = "server")]
pub type CallerBody = BoxBody<Bytes, io::Error>;

/// Returns `true` for the names of trailer fields that are not forwarded.
#[cfg(feature = "server")]
pub type TrailerFilter = Arc<dyn Fn(&HeaderName) -> bool + Send + Sync>;

/// A request for an upstream, in origin form, with the headers that the upstream is to get.
#[cfg(feature = "server")]
pub struct Exchange {
    /// The request.
    pub request: http::Request<CallerBody>,
    /// The caller's side of the connection if the request asks for a `WebSocket`.
    pub upgrade: Option<Upgrade>,
    /// Ends the exchange early if it is a stream.
    pub abort: Option<Arc<dyn AbortSignal>>,
    /// Selects the trailer fields that are dropped, in both directions.
    pub trailers: Option<TrailerFilter>,
}

/// The configured upstreams. Clones share their connections.
#[cfg(feature = "server")]
#[derive(Clone, Default)]
pub struct Upstreams(Arc<BTreeMap<Box<str>, Arc<Upstream>>>);

#[cfg(feature = "server")]
impl Upstreams {
    /// Returns these upstreams. Nothing is connected yet; health checks begin at once, on the current tokio runtime.
    ///
    /// # Errors
    /// [`UpstreamError`] if TLS cannot be set up for one of them.
    pub fn new(upstreams: &[(String, UpstreamSettings)]) -> Result<Self, UpstreamError> {
        Self::default().with(upstreams)
    }

    /// Returns these upstreams. Those that `self` has with the same settings keep their connections.
    ///
    /// # Errors
    /// [`UpstreamError`] if TLS cannot be set up for one of them.
    pub fn with(&self, upstreams: &[(String, UpstreamSettings)]) -> Result<Self, UpstreamError> {
        let mut connected = BTreeMap::new();
        for (name, settings) in upstreams {
            let known = self.0.get(name.as_str()).filter(|known| known.settings == *settings);
            let upstream = if let Some(known) = known {
                Arc::clone(known)
            } else {
                let upstream = Arc::new(Upstream::new(name, settings)?);
                health::watch(&upstream, settings);
                upstream
            };
            connected.insert(name.as_str().into(), upstream);
        }
        Ok(Self(Arc::new(connected)))
    }

    /// Returns the URL of an upstream.
    pub(crate) fn url(&self, name: &str) -> Option<&url::Url> {
        self.0.get(name).map(|upstream| upstream.settings.url.as_url())
    }

    /// Sends a request to the upstream called `name`, and returns the response as soon as its head has arrived.
    ///
    /// # Errors
    /// [`ExchangeError`] if there is no response.
    // Boxed once, with no more than is needed: an `async fn` would be moved through every layer above.
    pub fn send(
        &self,
        name: &str,
        exchange: Exchange,
    ) -> BoxFuture<'_, Result<Response<RelayBody>, ExchangeError>> {
        let Some(upstream) = self.0.get(name) else {
            return Box::pin(std::future::ready(Err(ExchangeError::UnknownUpstream)));
        };
        match exchange.upgrade {
            Some(upgrade) => Box::pin(tunnel::open(upstream, exchange.request, upgrade, exchange.abort)),
            None => Box::pin(upstream.exchange(exchange.request, exchange.abort, exchange.trailers)),
        }
    }
}

#[cfg(feature = "server")]
impl fmt::Debug for Upstreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
#[cfg(feature = "server")]
pub(crate) mod tests;
