//! The guard of scopegate's own endpoints: one rule of the configuration, not the policy.

use std::{fmt, sync::Arc};

use http::{HeaderMap, Method};
use poem::{Endpoint, IntoResponse, Middleware, Request, Response, Result};

use super::{extract::Caller, middleware::head};
use crate::{
    gate::{
        authorize::{Authorization, authorize},
        decision::{Answer, Decided, Permit, Refusal},
        request::{
            CertificateSource, Incoming,
            head::{Head, misplaced},
            trust::TrustedProxies,
        },
        state::Gate,
    },
    policy::{Route, Rule, Target},
    problem::Problem,
};

/// Admits callers whose token satisfies a rule (`admin.require`, `introspection.require`), as poem middleware. A handler
/// behind it can extract a [`Principal`](crate::gate::Principal). Clones are the same guard.
#[derive(Clone)]
pub struct Guard {
    gate: Gate,
    route: Arc<Route>,
}

/// A request to an own endpoint, which is decided by the rule of that endpoint.
struct Guarded<'r> {
    head: Head<'r>,
    route: &'r Arc<Route>,
}

impl Incoming for Guarded<'_> {
    fn method(&self) -> &Method {
        self.head.method
    }

    fn headers(&self) -> &HeaderMap {
        self.head.headers
    }

    fn target(&self, method: &Method, trusted: &TrustedProxies) -> Result<Target, Problem> {
        self.head.target(method, trusted)
    }

    fn authority(&self, trusted: &TrustedProxies) -> Option<&[u8]> {
        self.head.authority(trusted)
    }

    fn forwarded_authority(&self, trusted: &TrustedProxies) -> Option<&[u8]> {
        self.head.forwarded_authority(trusted)
    }

    fn certificate_source(&self, trusted: &TrustedProxies) -> CertificateSource {
        self.head.certificate_source(trusted)
    }

    fn opens_websocket(&self) -> bool {
        self.head.opens_websocket()
    }

    fn own_route(&self) -> Option<&Arc<Route>> {
        Some(self.route)
    }
}

impl Guard {
    /// Requires `rule` of the tokens that `gate` accepts, for the endpoints that `label` describes in logs and metrics.
    pub fn new(gate: Gate, label: &str, rule: Rule) -> Self {
        Self { gate, route: Arc::new(Route::of_own_endpoint(label, rule)) }
    }

    /// Decides about a request.
    ///
    /// # Errors
    /// [`Refusal`] holds the answer to the caller.
    pub async fn admit(&self, request: &Request) -> Result<Permit, Refusal> {
        let head = Head { sent: None, seen: sent(request), ..head(request) };
        permitted(authorize(&self.gate.load(), &Guarded { head, route: &self.route })).await
    }
}

/// Returns the URI as it was sent, if a router has kept it.
fn sent(request: &Request) -> &http::Uri {
    let original = request.original_uri();
    if original.path().ends_with(request.uri().path()) { original } else { request.uri() }
}

/// Waits for the permit.
async fn permitted(authorization: Authorization) -> Result<Permit, Refusal> {
    let Decided { answer, .. } = authorization.decided().await;
    match answer {
        Answer::Permitted(permit) => Ok(permit),
        Answer::Refused(refusal) => Err(*refusal),
        Answer::Preflight(_) => Err(Refusal::unrouted(misplaced())),
    }
}

impl<E: Endpoint> Middleware<E> for Guard {
    type Output = GuardEndpoint<E>;

    fn transform(&self, inner: E) -> Self::Output {
        GuardEndpoint { guard: self.clone(), inner }
    }
}

/// The endpoint that a [`Guard`] makes of another.
#[derive(Debug)]
pub struct GuardEndpoint<E> {
    guard: Guard,
    inner: E,
}

impl<E: Endpoint> Endpoint for GuardEndpoint<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        let permit = self.guard.admit(&request).await?;
        let outcome = permit.outcome();
        request.extensions_mut().insert(Caller::new(permit.principal));
        let answer = self.inner.call(request).await;
        let mut response = answer.map_or_else(Problem::error_response, IntoResponse::into_response);
        response.set_data(outcome);
        Ok(response)
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}
