//! The gate as an answer to a proxy that asks about each request before it sends it on: one endpoint and one file for
//! each dialect. Whatever the dialect, the request is decided as if it had come here itself.
//!
//! A dialect names the metadata that it requires. All of it must be there, once, from a peer that is trusted: otherwise
//! the answer is a denial (invariant 7). Nothing is taken from elsewhere where a part is missing.

mod caddy;
mod check_service;
mod envoy;
pub mod grpc;
mod haproxy;
mod nginx;
mod original_request;
mod traefik;

use std::fmt;

use http::{HeaderMap, HeaderValue, header};
use poem::{Endpoint, Request, Response, Result};

pub(crate) use self::check_service::CheckService;
pub use self::{
    caddy::Caddy,
    envoy::Envoy,
    haproxy::Haproxy,
    nginx::{Nginx, NginxProblem},
    original_request::{MetadataError, OriginalRequest},
    traefik::Traefik,
};
use crate::{
    gate::{Refusal, TrustedProxies},
    problem::Problem,
    reason::Reason,
    telemetry::{OriginalTarget, Outcome},
};

/// The protocol of a kind of proxy: the form of its checks, and of the responses that it can relay.
///
/// ```
/// use poem::Request;
/// use scopegate::{
///     gate::forward_auth::{Dialect, MetadataError, OriginalRequest},
///     policy::Scheme,
/// };
///
/// /// A proxy that sends the original request in headers of its own.
/// #[derive(Debug)]
/// struct Own;
///
/// impl Dialect for Own {
///     fn original_request(&self, request: &Request) -> Result<OriginalRequest, MetadataError> {
///         let path = request.headers().get("x-own-path");
///         let path = path.ok_or(MetadataError::Missing { header: "x-own-path" })?;
///         Ok(OriginalRequest {
///             method: request.method().clone(),
///             scheme: Scheme::Https,
///             host: b"api.example".to_vec(),
///             path_and_query: path.as_bytes().to_vec(),
///         })
///     }
/// }
/// ```
pub trait Dialect: Send + Sync + fmt::Debug + 'static {
    /// Returns the request that the proxy checks.
    ///
    /// # Errors
    /// [`MetadataError`] names what is missing or contradicts itself.
    fn original_request(&self, request: &Request) -> Result<OriginalRequest, MetadataError>;

    /// Returns the refusal in the form that the proxy relays.
    fn relay(&self, problem: &Problem) -> Response {
        problem.response()
    }
}

/// The endpoint of a dialect.
pub struct ForwardAuth<D> {
    service: CheckService,
    trusted: TrustedProxies,
    dialect: D,
}

impl<D: Dialect> ForwardAuth<D> {
    /// Returns the endpoint for proxies of `trusted`.
    pub(crate) fn new(service: CheckService, trusted: TrustedProxies, dialect: D) -> Self {
        Self { service, trusted, dialect }
    }

    /// Returns the request that a trusted proxy asks about.
    #[expect(clippy::result_large_err, reason = "it is turned into a response at once")]
    fn original_request(&self, request: &Request) -> Result<OriginalRequest, Refusal> {
        if !self.trusted.trusts_sender(request) {
            return Err(Refusal::unrouted(untrusted()));
        }
        self.dialect.original_request(request).map_err(|error| Refusal::unrouted(error.into()))
    }

    async fn decide(&self, asked: &OriginalRequest, headers: &HeaderMap) -> Result<Response, Refusal> {
        let pass = self.service.decide(asked, headers).await?;
        let mut response = Response::default();
        *response.headers_mut() = pass.request;
        if !pass.response.is_empty() {
            let request = std::mem::replace(response.headers_mut(), pass.response);
            response.headers_mut().extend(request);
        }
        let unkept = const { HeaderValue::from_static("no-store") };
        response.headers_mut().entry(header::CACHE_CONTROL).or_insert(unkept);
        response.set_data(pass.outcome);
        Ok(response)
    }
}

impl<D: Dialect> Endpoint for ForwardAuth<D> {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let asked = match self.original_request(&request) {
            Ok(asked) => asked,
            Err(refusal) => return Ok(self.refused(&refusal)),
        };
        let decided = self.decide(&asked, request.headers()).await;
        let mut response = decided.unwrap_or_else(|refusal| self.refused(&refusal));
        if let Some(outcome) = response.extensions_mut().get_mut::<Outcome>() {
            let OriginalRequest { method, host, path_and_query, .. } = asked;
            outcome.original = Some(Box::new(OriginalTarget { method, host, path_and_query }));
        }
        Ok(response)
    }
}

impl<D: Dialect> ForwardAuth<D> {
    fn refused(&self, refusal: &Refusal) -> Response {
        let mut response = self.dialect.relay(&refusal.problem);
        response.set_data(refusal.outcome());
        response
    }
}

impl<D: Dialect> fmt::Debug for ForwardAuth<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForwardAuth").field("dialect", &self.dialect).finish_non_exhaustive()
    }
}

fn untrusted() -> Problem {
    let description =
        "this peer is not among `server.trusted_proxies`, so nothing that it says of a request is believed";
    Problem::new(Reason::UntrustedProxy, description)
}

#[cfg(test)]
mod tests;
