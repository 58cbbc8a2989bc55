//! Envoy's `ext_authz` over gRPC: `envoy.service.auth.v3.Authorization/Check`. The check becomes a request like every
//! dialect's, and its answer Envoy's: what an upstream is told about the caller and what is taken off on the way to it, or
//! the refusal as it is, with its status, challenge and body.
//!
//! Envoy joins the headers of one name unless `encode_raw_headers` is set. Then it sends each by itself, and nothing needs
//! to be guessed here.

mod check_request;
mod check_response;
pub mod messages;

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, Method, uri::Scheme};
use poem::{
    Body, Endpoint, Request, Response, Result,
    web::{LocalAddr, RemoteAddr},
};

use self::{
    check_request::CheckedRequest,
    check_response::{denied, permitted},
    messages::{CheckRequest, CheckResponse},
};
use super::{
    Dialect,
    original_request::{MetadataError, OriginalRequest},
};
use crate::{
    gate::{Stripped, TrustedProxies, identity::identities::Identities},
    grpc::{self, Received},
    server::ClientCertVerified,
    telemetry::{TRACEPARENT, TRACESTATE},
};

/// Envoy, over gRPC: for a [`ForwardAuth`](super::ForwardAuth) behind [`Authorization`].
#[derive(Debug, Clone, Copy)]
pub struct EnvoyGrpc;

impl Dialect for EnvoyGrpc {
    fn original_request(&self, request: &Request) -> Result<OriginalRequest, MetadataError> {
        let asked = request.data::<Result<OriginalRequest, MetadataError>>().cloned();
        asked.unwrap_or(Err(MetadataError::Missing { header: "attributes" }))
    }
}

/// `Authorization/Check`: puts each check to an endpoint as a request.
pub struct Authorization<E> {
    inner: E,
    trusted: TrustedProxies,
    stripped: Stripped,
    /// Headers that are always removed on the way to an upstream: Envoy may be configured not to send a header here.
    taken_off: Box<[String]>,
}

/// The service of [`Authorization`].
pub const SERVICE: &str = "envoy.service.auth.v3.Authorization";

impl<E: Endpoint> Authorization<E> {
    /// Returns the service for `inner`, which must refuse peers that are neither `trusted` nor have a verified
    /// certificate, and sets the headers of `identities`.
    pub(crate) fn new(inner: E, trusted: TrustedProxies, identities: &Identities) -> Self {
        let stripped = identities.protected.clone();
        let taken_off = stripped.spellings().collect();
        Self { inner, trusted, stripped, taken_off }
    }

    async fn check(&self, sender: &Sender, check: Received<CheckRequest>) -> CheckResponse {
        let check = check
            .map_err(|_| MetadataError::Malformed { header: "CheckRequest", expected: "a protocol buffer" });
        let (asked, headers) = match check.and_then(CheckedRequest::read) {
            Ok(told) => (Ok(told.original), told.headers),
            Err(incomplete) => (Err(incomplete), HeaderMap::new()),
        };
        let spelt = self.stripped.found(&headers);
        let answer = self.inner.get_response(sender.ask(asked, headers)).await;
        if answer.status().is_success() {
            permitted(&answer, self.taken_off.iter().chain(&spelt))
        } else {
            denied(answer).await
        }
    }
}

impl<E: Endpoint> Endpoint for Authorization<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        let sender = Sender::of(&request);
        if !self.trusted.trusts_sender(&request) {
            // Whatever it says, it is refused; so what it says is not read.
            request.set_body(EMPTY);
        }
        let answer = grpc::unary(request, |check| async {
            Ok(tonic::Response::new(self.check(&sender, check).await))
        });
        Ok(answer.await)
    }
}

impl<E> fmt::Debug for Authorization<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorization").field("trusted", &self.trusted).finish_non_exhaustive()
    }
}

/// A message without fields, in its frame.
const EMPTY: Bytes = Bytes::from_static(&[0; 5]);

/// The sender of a check.
struct Sender {
    local: LocalAddr,
    remote: RemoteAddr,
    scheme: Scheme,
    certified: Option<ClientCertVerified>,
    /// The trace context of the check itself, which is Envoy's.
    trace: HeaderMap,
}

impl Sender {
    fn of(request: &Request) -> Self {
        Self {
            local: request.local_addr().clone(),
            remote: request.remote_addr().clone(),
            scheme: request.scheme().clone(),
            certified: request.data().copied(),
            trace: trace_headers(request.headers()),
        }
    }

    /// The request that it asks about, as if it came from this sender.
    fn ask(&self, asked: Result<OriginalRequest, MetadataError>, mut headers: HeaderMap) -> Request {
        if !self.trace.is_empty() {
            headers.remove(TRACEPARENT);
            headers.remove(TRACESTATE);
            headers.extend(self.trace.clone());
        }
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.method = asked.as_ref().map_or(Method::POST, |asked| asked.method.clone());
        parts.headers = headers;
        let parts = (parts, self.local.clone(), self.remote.clone(), self.scheme.clone()).into();
        let mut request = Request::from_parts(parts, Body::empty());
        request.set_data(asked);
        if let Some(certified) = self.certified {
            request.set_data(certified);
        }
        request
    }
}

/// Returns the headers of W3C Trace Context.
fn trace_headers(headers: &HeaderMap) -> HeaderMap {
    let names = [TRACEPARENT, TRACESTATE];
    let values = names.into_iter().flat_map(|name| {
        let values = headers.get_all(&name).iter().cloned();
        values.map(move |value| (name.clone(), value)).collect::<Vec<_>>()
    });
    values.collect()
}

#[cfg(test)]
mod tests;
