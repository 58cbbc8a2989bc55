//! The gate as a reverse proxy: requests that may pass are sent on to an upstream, byte for byte as they come.
//!
//! A request's own task drives the connection to an HTTP/1.1 upstream too: no other task is woken between the caller's
//! socket and the upstream's, and a caller that stops reading stops the upstream.

mod address;
mod bell;
mod body;
mod connect;
mod error;
mod forwarded;
mod headers;
mod health;
mod http1;
mod http2;
mod onward;
mod patience;
mod pool;
mod resend;
mod stream;
mod tunnel;
mod upstream;

use std::{collections::BTreeMap, fmt, sync::Arc};

use bytes::Bytes;
use futures_util::{
    FutureExt,
    future::{BoxFuture, ready},
};
use http::{HeaderValue, Request, Uri, header::HOST};
use http_body_util::combinators::BoxBody;
use poem::Response;

pub(crate) use self::onward::{Onward, OnwardSettings};
use self::upstream::Upstream;
pub use self::{
    error::{ProxyError, UpstreamError},
    forwarded::Forwarded,
    stream::{StreamEnd, StreamGuard},
};
use crate::gate::request::upgrade::upgrade;
pub use crate::gate::upstreams::{HealthSettings, Protocol, UpstreamSettings, UpstreamUrl, UpstreamUrlError};

/// A body in either direction.
type Body = BoxBody<Bytes, std::io::Error>;

/// Sends requests on to upstreams. Clones share their connections.
#[derive(Clone, Default)]
pub struct Proxy {
    upstreams: Arc<BTreeMap<Box<str>, Arc<Upstream>>>,
}

impl Proxy {
    /// A proxy to these upstreams. Nothing is connected yet; health checks begin at once, on the current runtime.
    ///
    /// # Errors
    /// [`UpstreamError`].
    pub fn new(upstreams: &[(String, UpstreamSettings)]) -> Result<Self, UpstreamError> {
        Self::default().with(upstreams)
    }

    /// A proxy to these upstreams. Those that this one has with the same settings keep their connections.
    ///
    /// # Errors
    /// [`UpstreamError`].
    pub fn with(&self, upstreams: &[(String, UpstreamSettings)]) -> Result<Self, UpstreamError> {
        let connect = |(name, settings): &(String, UpstreamSettings)| {
            let known = self.upstreams.get(name.as_str()).filter(|known| known.settings == *settings);
            let upstream =
                known.map_or_else(|| Upstream::new(name, settings), |known| Ok(Arc::clone(known)))?;
            Ok((name.as_str().into(), upstream))
        };
        let upstreams = upstreams.iter().map(connect).collect::<Result<_, UpstreamError>>()?;
        Ok(Self { upstreams: Arc::new(upstreams) })
    }

    /// Sends a request to `upstream`, with its path and query as they are, and returns the answer as it begins to come.
    /// What identifies the caller must already be in its headers; hop-by-hop headers are taken off and
    /// `X-Forwarded-…` set anew. `guard` cuts the exchange, whatever streams in it, when it ends.
    ///
    /// # Errors
    /// [`ProxyError`]: 502, 503 or 504.
    // Not an `async fn`, which would keep what is left of the caller's request; boxed once, with no more than is needed.
    pub fn forward(
        &self,
        upstream: &str,
        request: poem::Request,
        forwarded: &Forwarded,
        guard: Option<StreamGuard>,
    ) -> BoxFuture<'_, Result<Response, ProxyError>> {
        let Some(upstream) = self.upstreams.get(upstream) else {
            return ready(Err(ProxyError::NoSuchUpstream)).boxed();
        };
        let upgrade = upgrade(request.headers()).and_then(|protocol| {
            let ours = request.take_upgrade().ok()?;
            Some((protocol, ours))
        });
        let mut outgoing = outgoing(request);
        headers::towards_upstream(outgoing.headers_mut(), forwarded);
        match upgrade {
            Some((protocol, ours)) => tunnel::open(upstream, outgoing, protocol, ours, guard).boxed(),
            None => Box::pin(upstream.exchange(outgoing, guard)),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.upstreams.keys()).finish()
    }
}

/// The request as it is sent on: in origin form, the host in `Host`.
fn outgoing(mut request: poem::Request) -> Request<Body> {
    let mut outgoing = Request::<Body>::new(request.take_body().into());
    *outgoing.method_mut() = request.method().clone();
    *outgoing.headers_mut() = std::mem::take(request.headers_mut());
    let uri = std::mem::take(request.uri_mut());
    let Some(authority) = uri.authority() else {
        *outgoing.uri_mut() = uri;
        return outgoing;
    };
    if let Ok(host) = HeaderValue::from_str(authority.as_str()) {
        outgoing.headers_mut().insert(HOST, host);
    }
    *outgoing.uri_mut() = uri.into_parts().path_and_query.map(Uri::from).unwrap_or_default();
    outgoing
}

#[cfg(test)]
pub(crate) mod tests;
