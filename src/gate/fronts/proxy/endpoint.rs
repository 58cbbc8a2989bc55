//! The endpoint behind the gate: requests whose route names an upstream are proxied, all others are served here.

use std::{io, sync::Arc, time::Duration};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Either, ready},
};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use poem::{Endpoint, Request, Response, Result};
use scopegate_provider::{Clock, Rejection};

use super::{
    forwarded::Forwarded,
    headers::{remove_callers_own, set_forwarded},
    stream_guard::StreamGuard,
    trailers::trailer_filter,
};
use crate::{
    gate::{
        Gate, Permit, TrustedProxies,
        fronts::middleware::head,
        identity::identities::{Identities, TokenForwarding},
        request::{Incoming, head::contradiction, proof::DPOP, trust::peer_scheme},
    },
    policy::settings::TokenSource,
    problem::Problem,
    reason::Reason,
    telemetry::{Outcome, RequestSpan},
    upstream::{
        AbortSignal, CallerStream, Exchange, ExchangeError, RelayBody, TrailerFilter, Upgrade, Upstreams,
        headers::{is_grpc, upgrade},
    },
};

/// Settings of a [`ProxyEndpoint`].
#[derive(Debug, Clone)]
pub(crate) struct ProxySettings {
    /// The proxies whose forwarded headers are believed.
    pub trusted_proxies: TrustedProxies,
    /// The identity headers that upstreams get.
    pub identities: Identities,
    /// The time for which an open stream may go on after its token has expired.
    pub grace: Duration,
    /// The header that carries the id of a request.
    pub request_id: HeaderName,
}

/// An endpoint for behind a [`Gate`].
pub(crate) struct ProxyEndpoint<E> {
    gate: Gate,
    upstreams: Upstreams,
    clock: Arc<dyn Clock>,
    settings: ProxySettings,
    trailers: TrailerFilter,
    inner: E,
}

impl<E: Endpoint<Output = Response>> ProxyEndpoint<E> {
    /// Returns an endpoint that sends permitted requests to the upstream of their route, or else to `inner`.
    pub(crate) fn new(
        gate: Gate,
        upstreams: Upstreams,
        clock: Arc<dyn Clock>,
        settings: ProxySettings,
        inner: E,
    ) -> Self {
        let trailers = trailer_filter(settings.identities.protected.clone());
        Self { gate, upstreams, clock, settings, trailers, inner }
    }

    /// Sends a permitted request to its upstream.
    // Not an `async fn`, which would hold the request: nothing is kept but what the exchange needs.
    fn exchange(&self, mut request: Request) -> impl Future<Output = Result<Response>> + Send {
        let Some(permit) = request.extensions_mut().remove::<Permit>() else {
            return Either::Left(ready(Err(not_ready().into())).boxed());
        };
        let content_type = grpc_content_type(request.headers());
        let outcome = Outcome::permitted(Arc::clone(&permit.route), permit.principal.as_ref());
        let options = Arc::clone(&permit.options);
        match self.send(request, permit) {
            Err(problem) => Either::Left(ready(Ok(failed(&problem, outcome, &content_type))).boxed()),
            Ok(response) => Either::Right(response.map(move |response| {
                let upstream = options.upstream.as_deref().unwrap_or_default();
                Ok(response.map_or_else(
                    |error| failed(&problem(upstream, &error), outcome, &content_type),
                    Response::from,
                ))
            })),
        }
    }

    /// Prepares a request for its upstream, and begins to send it.
    fn send(&self, mut request: Request, permit: Permit) -> Result<Sending<'_>, Problem> {
        let options = Arc::clone(&permit.options);
        let upstream = options.upstream.as_deref().ok_or_else(not_ready)?;
        if let Some(prefix) = &options.strip_prefix {
            strip_prefix(&mut request, &self.settings.trusted_proxies, prefix)?;
        }
        let forwarded = self.forwarded(&mut request)?;
        let identity = self.settings.identities.find(options.identity.as_ref()).ok_or_else(not_ready)?;
        let upgrade = callers_upgrade(&request);
        let headers = request.headers_mut();
        // Nothing that is set below can be removed by the caller.
        remove_callers_own(headers, &self.settings.request_id, &options.accept_token);
        self.settings.identities.strip_own(options.identity.as_ref(), headers);
        identity.set(permit.principal.as_ref(), headers);
        let forwarding = self.settings.identities.token_forwarding(&permit)?;
        if forwarding != TokenForwarding::Keep {
            for (name, left) in TokenSource::without_tokens(&options.accept_token, headers) {
                headers.remove(&name);
                headers.extend(left.map(|left| (name, left)));
            }
        }
        match forwarding {
            TokenForwarding::Keep => {}
            TokenForwarding::Strip => {
                headers.remove(header::AUTHORIZATION);
                headers.remove(DPOP);
            }
            TokenForwarding::Replace(ours) => {
                headers.insert(header::AUTHORIZATION, ours);
                headers.remove(DPOP);
            }
        }
        let span = request.extensions_mut().remove::<RequestSpan>();
        let mut request = outgoing(request, &forwarded);
        let call = span.and_then(|span| span.call(upstream, self.upstreams.url(upstream), &mut request));
        let clock = Arc::clone(&self.clock);
        let guard = StreamGuard::new(clock, self.gate.clone(), permit, self.settings.grace);
        let abort = guard.map(|guard| Arc::new(guard) as Arc<dyn AbortSignal>);
        let trailers = Some(Arc::clone(&self.trailers));
        let sending = self.upstreams.send(upstream, Exchange { request, upgrade, abort, trailers });
        let Some(call) = call else { return Ok(sending) };
        let traced = sending.inspect(move |response| match response {
            Ok(response) => call.answered(response.status()),
            Err(error) => call.failed(error.reason().as_str()),
        });
        Ok(traced.boxed())
    }

    /// Returns how the request came. The upstream gets the host that was decided on.
    fn forwarded(&self, request: &mut Request) -> Result<Forwarded, Problem> {
        let scheme = peer_scheme(request);
        let origin = self.settings.trusted_proxies.origin(request.remote_addr(), scheme, request.headers());
        let origin = origin.map_err(|error| contradiction(&error))?;
        if let Some(host) = origin.host.cloned() {
            let forwarded = Forwarded::new(&origin, host.clone());
            request.headers_mut().insert(header::HOST, host);
            *request.uri_mut() = request.uri().path_and_query().cloned().map(Uri::from).unwrap_or_default();
            return Ok(forwarded);
        }
        let authority = request.uri().authority().and_then(|authority| authority.as_str().parse().ok());
        let host = authority.or_else(|| request.headers().get(header::HOST).cloned());
        Ok(Forwarded::new(&origin, host.unwrap_or(const { HeaderValue::from_static("") })))
    }
}

/// A request that is being sent.
type Sending<'a> = BoxFuture<'a, Result<http::Response<RelayBody>, ExchangeError>>;

impl<E: Endpoint<Output = Response>> Endpoint for ProxyEndpoint<E> {
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

/// Returns the caller's connection if the request asks for a `WebSocket`.
fn callers_upgrade(request: &Request) -> Option<Upgrade> {
    upgrade(request.headers())?;
    let upgrade = request.take_upgrade().ok()?;
    let upgrade = upgrade.map(|upgraded| match upgraded {
        Ok(upgraded) => Ok(Box::new(upgraded) as Box<dyn CallerStream>),
        Err(error) => Err(io::Error::other(error)),
    });
    Some(upgrade.boxed())
}

/// Returns the request as it is sent on: in origin form, with the host in `Host`.
fn outgoing(mut request: Request, forwarded: &Forwarded) -> http::Request<crate::upstream::CallerBody> {
    let mut outgoing = http::Request::new(request.take_body().into());
    *outgoing.method_mut() = request.method().clone();
    *outgoing.headers_mut() = std::mem::take(request.headers_mut());
    let uri = std::mem::take(request.uri_mut());
    let authority = uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    if let Some(host) = authority {
        outgoing.headers_mut().insert(header::HOST, host);
        *outgoing.uri_mut() = uri.into_parts().path_and_query.map(Uri::from).unwrap_or_default();
    } else {
        *outgoing.uri_mut() = uri;
    }
    set_forwarded(outgoing.headers_mut(), forwarded);
    outgoing
}

/// Removes whole segments from the front of the path. What is left was decided on with the whole; it goes on as the
/// whole would have: in normal form, or as sent where the route accepts its irregularities.
fn strip_prefix(request: &mut Request, trusted: &TrustedProxies, prefix: &str) -> Result<(), Problem> {
    let rest = head(request).target(request.method(), trusted)?.without_prefix(prefix)?;
    let is_regular = rest.irregularities().is_empty();
    let path = if is_regular { rest.normal_path() } else { rest.path_as_sent() };
    let query = rest.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = Some(format!("{path}{query}").parse().map_err(|_| not_ready())?);
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_| not_ready())?;
    Ok(())
}

/// Returns the problem of a route that this endpoint cannot serve: its policy is newer than the endpoint.
fn not_ready() -> Problem {
    let description = "the route cannot be served as it is configured";
    Problem::new(Reason::NotReady, description)
}

/// Returns the response to a permitted request that got none from its upstream.
fn failed(problem: &Problem, outcome: Outcome, content_type: &HeaderMap) -> Response {
    let mut response = problem.response_to(content_type);
    response.set_data(Outcome { reason: problem.reason(), ..outcome });
    response
}

/// Returns the media type of a gRPC call, which the response to it depends on; nothing of any other request.
fn grpc_content_type(headers: &HeaderMap) -> HeaderMap {
    let content_type = headers.get(header::CONTENT_TYPE).filter(|_| is_grpc(headers));
    content_type.map(|value| (header::CONTENT_TYPE, value.clone())).into_iter().collect()
}

/// Returns what the caller learns of an error. The log gets its details.
fn problem(upstream: &str, error: &ExchangeError) -> Problem {
    let description = match error {
        ExchangeError::Aborted(_) => return Problem::rejected(&Rejection::Ended, None),
        ExchangeError::Caller(fault) => {
            return Problem::new(error.reason(), fault.to_string());
        }
        ExchangeError::Timeout { .. } => "the service behind this one did not answer in time",
        _ => "the service behind this one gave no valid answer",
    };
    tracing::warn!(upstream, %error, "an upstream sent no response");
    Problem::new(error.reason(), description)
}

#[cfg(test)]
mod tests;
