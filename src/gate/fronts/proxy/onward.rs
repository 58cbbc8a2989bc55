//! Behind the gate: routes that name an upstream are proxied, all others reach what is served here.

use std::{sync::Arc, time::Duration};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Either, ready},
};
use http::{HeaderValue, StatusCode, Uri, header};
use poem::{Endpoint, Request, Response, Result};
use scopegate_provider::{Clock, Rejection};

use super::{Forwarded, Proxy, ProxyError, StreamGuard, headers::unlist};
use crate::{
    gate::{
        Gate, Permit, TrustedProxies,
        fronts::middleware::head,
        identity::identities::{Identities, Onwards},
        request::{Incoming, head::contradiction, trust::peer_scheme},
    },
    problem::Problem,
    telemetry::Outcome,
};

/// What a proxied request is prepared with.
#[derive(Debug, Clone)]
pub(crate) struct OnwardSettings {
    /// Whose forwarded headers are believed.
    pub trusted_proxies: TrustedProxies,
    /// What upstreams learn about the caller.
    pub identities: Identities,
    /// How long an open stream may go on once its token has ended.
    pub grace: Duration,
}

/// An endpoint for behind a [`Gate`].
pub(crate) struct Onward<E> {
    gate: Gate,
    proxy: Proxy,
    clock: Arc<dyn Clock>,
    settings: OnwardSettings,
    inner: E,
}

impl<E: Endpoint<Output = Response>> Onward<E> {
    /// An endpoint that sends what `gate` permits on where its route says, and to `inner` otherwise.
    pub(crate) fn new(
        gate: Gate,
        proxy: Proxy,
        clock: Arc<dyn Clock>,
        settings: OnwardSettings,
        inner: E,
    ) -> Self {
        Self { gate, proxy, clock, settings, inner }
    }

    /// Asks the upstream of the route that permitted the request.
    // Not an `async fn`, which would hold the request: nothing is kept but what the exchange needs.
    fn exchange(&self, mut request: Request) -> impl Future<Output = Result<Response>> + Send {
        let Some(permit) = request.extensions_mut().remove::<Permit>() else {
            return Either::Left(ready(Err(not_ready().into())).boxed());
        };
        let options = Arc::clone(&permit.options);
        let (route, principal) = (Arc::clone(&permit.route), permit.principal.clone());
        let failed = move |problem: Problem| {
            let mut response = problem.response();
            let outcome = Outcome::permitted(route, principal.as_ref());
            response.set_data(Outcome { reason: problem.reason(), ..outcome });
            response
        };
        match self.send_on(request, permit) {
            Err(problem) => Either::Left(ready(Ok(failed(problem))).boxed()),
            Ok(answer) => Either::Right(answer.map(move |answer| {
                let upstream = || options.upstream.as_deref().unwrap_or_default();
                Ok(answer.unwrap_or_else(|error| failed(told(upstream(), &error))))
            })),
        }
    }

    /// Begins to send a request on.
    fn send_on(
        &self,
        mut request: Request,
        permit: Permit,
    ) -> Result<BoxFuture<'_, Result<Response, ProxyError>>, Problem> {
        let options = Arc::clone(&permit.options);
        let upstream = options.upstream.as_deref().ok_or_else(not_ready)?;
        if let Some(prefix) = &options.strip_prefix {
            strip_prefix(&mut request, &self.settings.trusted_proxies, prefix)?;
        }
        let forwarded = self.forwarded(&mut request)?;
        let headers = self.settings.identities.find(options.identity.as_ref()).ok_or_else(not_ready)?;
        unlist(request.headers_mut());
        headers.set(permit.principal.as_ref(), request.headers_mut());
        match self.settings.identities.onwards(&permit)? {
            Onwards::Keep => {}
            Onwards::Strip => drop(request.headers_mut().remove(header::AUTHORIZATION)),
            Onwards::Replace(ours) => drop(request.headers_mut().insert(header::AUTHORIZATION, ours)),
        }
        let guard = self.guard(permit);
        Ok(self.proxy.forward(upstream, request, &forwarded, guard))
    }

    /// How the request came. The upstream gets the host that was decided on.
    fn forwarded(&self, request: &mut Request) -> Result<Forwarded, Problem> {
        let scheme = peer_scheme(request);
        let origin = self.settings.trusted_proxies.origin(request.remote_addr(), scheme, request.headers());
        let origin = origin.map_err(|error| contradiction(&error))?;
        let told = origin.host.cloned();
        let own = || request.uri().authority().and_then(|own| own.as_str().parse().ok());
        let sent = || own().or_else(|| request.headers().get(header::HOST).cloned());
        let host = told.clone().or_else(sent).unwrap_or(const { HeaderValue::from_static("") });
        let forwarded = Forwarded::new(&origin, host);
        if let Some(host) = told {
            request.headers_mut().insert(header::HOST, host);
            *request.uri_mut() = request.uri().path_and_query().cloned().map(Uri::from).unwrap_or_default();
        }
        Ok(forwarded)
    }

    /// Cuts the exchange when the token ends or is revoked; a caller without a token has nothing that could end.
    fn guard(&self, permit: Permit) -> Option<StreamGuard> {
        let (principal, credentials) = permit.principal.zip(permit.credentials)?;
        let (expires, gate) = (principal.expires_at(), self.gate.clone());
        let is_good = move || gate.current().authenticator().recheck(&principal, &credentials).is_ok();
        Some(StreamGuard::new(Arc::clone(&self.clock), expires, self.settings.grace, is_good))
    }
}

impl<E: Endpoint<Output = Response>> Endpoint for Onward<E> {
    type Output = Response;

    fn call(&self, mut request: Request) -> impl Future<Output = Result<Response>> + Send {
        self.settings.identities.stripped.strip(request.headers_mut());
        let permit = request.data::<Permit>().filter(|permit| permit.options.upstream.is_some());
        if permit.is_none() {
            return Either::Left(self.inner.call(request));
        }
        Either::Right(self.exchange(request))
    }
}

/// Takes whole segments off the front of the path. What is left was decided on with the whole; it goes on as the whole
/// would have: in normal form, or as sent where the route accepts what is irregular about it.
fn strip_prefix(request: &mut Request, trusted: &TrustedProxies, prefix: &str) -> Result<(), Problem> {
    let rest = head(request).target(request.method(), trusted)?.without_prefix(prefix)?;
    let regular = rest.irregularities().is_empty();
    let path = if regular { rest.normal_path() } else { rest.path_as_sent() };
    let query = rest.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = Some(format!("{path}{query}").parse().map_err(|_| not_ready())?);
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_| not_ready())?;
    Ok(())
}

/// What a route asks for is not there: its policy is newer than this endpoint, or asks for what no endpoint can do.
fn not_ready() -> Problem {
    let description = "the route cannot be served as it is configured";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "not_ready", description)
}

/// The caller learns what happened, the log what it was.
fn told(upstream: &str, error: &ProxyError) -> Problem {
    if matches!(error, ProxyError::TokenEnded) {
        return Problem::rejected(&Rejection::Expired, None);
    }
    tracing::warn!(upstream, %error, "an upstream gave no answer");
    let description = match error.status() {
        StatusCode::GATEWAY_TIMEOUT => "the service behind this one did not answer in time",
        _ => "the service behind this one gave no valid answer",
    };
    Problem::new(error.status(), error.reason(), description)
}

#[cfg(test)]
mod tests;
