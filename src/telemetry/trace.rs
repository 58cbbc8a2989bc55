//! A span and a log line for each request.

use std::{sync::Arc, time::Instant};

use futures_util::FutureExt;
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use poem::{Endpoint, IntoResponse, Middleware, Request, Response, Result};
use scopegate_provider::{ClientId, Principal, ProviderName, Role, Scope, ScopeSet, Timestamp};
use tracing::Instrument;

use super::{DecisionOutcome, DecisionRecord, Metrics, RequestId, RequestIds};
use crate::reason::Reason;

/// What the gate decided, told to the log beside the response.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The pattern of the route that decided, if one did: never the raw path.
    pub route: Option<Arc<str>>,
    /// The reason in the one vocabulary; `permitted` for a request that was let through.
    pub reason: Reason,
    /// The provider that vouched for the caller.
    pub provider: Option<ProviderName>,
    /// The client of the token, if one was verified.
    pub client: Option<ClientId>,
    /// Whether a gate let the request through, whatever became of it behind.
    pub passed: bool,
    /// The scopes that the token lacks.
    pub missing: Box<[Scope]>,
    /// The scopes and roles of a token that was refused after it was verified.
    pub held: Option<Box<Held>>,
}

impl Outcome {
    /// A request that was let through by this route.
    pub(crate) fn permitted(route: Arc<str>, principal: Option<&Principal>) -> Self {
        Self {
            route: Some(route),
            reason: Reason::Permitted,
            provider: principal.map(|principal| principal.provider().clone()),
            client: principal.and_then(|principal| principal.client().cloned()),
            passed: true,
            missing: Box::default(),
            held: None,
        }
    }

    /// Returns the outcome of a request that one of scopegate's own endpoints denied.
    pub(crate) fn denied(route: Arc<str>, reason: Reason) -> Self {
        Self { reason, passed: false, ..Self::permitted(route, None) }
    }
}

/// The scopes and roles of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The scopes.
    pub scopes: ScopeSet,
    /// The roles.
    pub roles: Vec<Role>,
}

/// Marks a response that restores a refusal which was logged and counted before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Restored;

/// What a gate decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The request was let through.
    Permit,
    /// It was not.
    Deny,
    /// No gate was asked: scopegate's own endpoints are in no policy.
    None,
}

impl Verdict {
    fn of(response: &Response) -> Self {
        match response.data::<Outcome>() {
            Some(outcome) if outcome.passed => Self::Permit,
            Some(_) => Self::Deny,
            None => Self::None,
        }
    }

    /// Its name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Permit => "permit",
            Self::Deny => "deny",
            Self::None => "none",
        }
    }
}

/// Gives each request an id, a span, and a line in the log (refusals at `info`, the rest at `debug`), and counts its
/// answer.
#[derive(Debug, Clone)]
pub struct Trace {
    header: HeaderName,
    ids: Arc<RequestIds>,
    metrics: Arc<Metrics>,
}

impl Trace {
    /// Reads and writes ids under this header.
    pub fn new(header: HeaderName, metrics: Arc<Metrics>) -> Self {
        Self { header, ids: Arc::new(RequestIds::new()), metrics }
    }
}

impl<E: Endpoint> Middleware<E> for Trace {
    type Output = TraceEndpoint<E>;

    fn transform(&self, inner: E) -> Self::Output {
        TraceEndpoint { inner, trace: self.clone() }
    }
}

/// The endpoint that [`Trace`] makes.
#[derive(Debug)]
pub struct TraceEndpoint<E> {
    inner: E,
    trace: Trace,
}

impl<E: Endpoint> Endpoint for TraceEndpoint<E> {
    type Output = Response;

    // Not an `async fn`, which would hold the request twice: whatever a layer holds is copied with every request.
    fn call(&self, mut request: Request) -> impl Future<Output = Result<Response>> + Send {
        let id = self.trace.ids.of(request.headers().get(&self.trace.header));
        let method = request.method().clone();
        let start = Instant::now();
        let uri = request.uri().clone();
        let host = request.headers().get(header::HOST).cloned();
        let span = tracing::debug_span!("request", id = id.as_str(), %method);
        // Whoever is behind gets the same one, in place of what a caller may have brought.
        request.headers_mut().insert(self.trace.header.clone(), id.header().clone());
        self.inner.call(request).instrument(span).map(move |answer| {
            let mut response = answer.map_or_else(poem::Error::into_response, IntoResponse::into_response);
            response.headers_mut().insert(self.trace.header.clone(), id.header().clone());
            if response.data::<Restored>().is_none() {
                self.trace.metrics.requests.count(response.data(), Verdict::of(&response), response.status());
                log(&id, &method, &response, start);
                self.remember(&id, &method, &uri, host.as_ref(), &response, start);
            }
            Ok(response)
        })
    }
}

impl<E> TraceEndpoint<E> {
    /// Records the decision, if it is a denial or someone watches.
    fn remember(
        &self,
        id: &RequestId,
        method: &Method,
        uri: &Uri,
        host: Option<&HeaderValue>,
        response: &Response,
        start: Instant,
    ) {
        let live = &self.trace.metrics.live;
        let Some(outcome) = response.data::<Outcome>() else { return };
        if outcome.passed && !live.is_watched() {
            return;
        }
        let status = response.status();
        let own = uri.authority().map(http::uri::Authority::as_str);
        let host = own.or_else(|| host.and_then(|host| host.to_str().ok())).unwrap_or_default();
        live.record(DecisionRecord {
            number: 0,
            request_id: id.as_str().to_owned(),
            at: Timestamp::MAX,
            outcome: match (outcome.passed, status.is_server_error()) {
                (true, _) => DecisionOutcome::Permitted,
                (false, true) => DecisionOutcome::Outage,
                (false, false) => DecisionOutcome::Denied,
            },
            status: status.as_u16(),
            reason: outcome.reason.to_string(),
            method: method.clone(),
            host: host.to_owned(),
            path: uri.path().to_owned(),
            route: outcome.route.clone(),
            provider: outcome.provider.clone(),
            client: outcome.client.clone(),
            missing: outcome.missing.to_vec(),
            held: outcome.held.clone(),
            micros: micros(start),
        });
    }
}

fn micros(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}

fn log(id: &RequestId, method: &Method, response: &Response, start: Instant) {
    let outcome = response.data::<Outcome>();
    // A refused gRPC call has the status 200.
    let is_refused = refused(response.status()) || outcome.is_some_and(|outcome| !outcome.passed);
    if !is_refused && !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    let route = outcome.and_then(|outcome| outcome.route.as_deref());
    let reason = outcome.map(|outcome| outcome.reason.as_str());
    let provider = outcome.and_then(|outcome| outcome.provider.as_ref()).map(tracing::field::display);
    let (id, status) = (id.as_str(), response.status().as_u16());
    let micros = micros(start);
    if is_refused {
        tracing::info!(id, %method, status, route, reason, provider, micros, "refused");
    } else {
        tracing::debug!(id, %method, status, route, reason, provider, micros, "answered");
    }
}

fn refused(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 400 | 401 | 403 | 405)
}
