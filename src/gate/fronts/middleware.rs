//! The gate as poem middleware.

use bytes::Bytes;
use futures_util::{
    FutureExt,
    future::{Either, ready},
};
use http::StatusCode;
use poem::{Endpoint, IntoResponse, Middleware, PathPattern, Request, Response, Result};

use super::handler::Admitted;
use crate::{
    gate::{
        authorize::{Authorization, authorize},
        cors::Preflight,
        decision::{Answer, Decided},
        request::{head::Head, subprotocol::Selection, trust::peer_scheme},
        resources,
        state::Gate,
    },
    problem::Problem,
    server::ClientCertThumbprint,
    telemetry::Outcome,
};

impl<E: Endpoint> Middleware<E> for Gate {
    type Output = GateEndpoint<E>;

    fn transform(&self, inner: E) -> Self::Output {
        GateEndpoint { gate: self.clone(), inner }
    }
}

/// The endpoint that a [`Gate`] makes of another.
#[derive(Debug)]
pub struct GateEndpoint<E> {
    gate: Gate,
    inner: E,
}

impl<E: Endpoint> Endpoint for GateEndpoint<E> {
    type Output = Response;

    // Not an `async fn`, whose future would hold the request twice.
    fn call(&self, request: Request) -> impl Future<Output = Result<Response>> + Send {
        let state = self.gate.load();
        if let Some(metadata) = resources::answer(&state, &head(&request)) {
            return Either::Right(Either::Right(ready(Ok(poem_response(metadata)))));
        }
        match authorize(&state, &head(&request)) {
            Authorization::Ready(decided) => Either::Left(self.answer(decided, request)),
            Authorization::Pending(pending) => Either::Right(Either::Left(Box::pin(async move {
                let decided = pending.await;
                self.answer(decided, request).await
            }))),
        }
    }
}

impl<E: Endpoint> GateEndpoint<E> {
    /// Calls the handler, or answers in its place.
    fn answer(
        &self,
        decided: Decided,
        mut request: Request,
    ) -> impl Future<Output = Result<Response>> + Send {
        let Decided { target, answer, cors } = decided;
        let admitted = match answer {
            Answer::Permitted(permit) => Admitted::new(permit, &head(&request), target),
            Answer::Preflight(preflight) => return Either::Left(ready(Ok(no_content(*preflight)))),
            Answer::Refused(refusal) => Err(refusal),
        };
        match admitted {
            Ok(admitted) => {
                let outcome = admitted.permit().outcome();
                let selection = admitted.enter(&mut request);
                Either::Right(self.inner.call(request).map(move |answer| {
                    let mut response = finish(answer, outcome, selection);
                    cors.apply(response.headers_mut());
                    Ok(response)
                }))
            }
            Err(refusal) => {
                let mut response = refusal.response_to(request.headers());
                cors.apply(response.headers_mut());
                Either::Left(ready(Ok(response)))
            }
        }
    }
}

/// Returns the head of a request. Where the gate stands inside a mounted part, poem has removed the mount's path from
/// `uri` and kept the whole in `original_uri`. Before any routing, `uri` is what the handler will see, even if it was
/// rewritten before.
pub(in crate::gate) fn head(request: &Request) -> Head<'_> {
    let behind_a_router = request.data::<PathPattern>().is_some();
    // A mount has read only its own front, byte for byte.
    let has_parameters = behind_a_router
        && request.path_params::<Vec<String>>().map_or(true, |parameters| !parameters.is_empty());
    Head {
        method: request.method(),
        version: request.version(),
        headers: request.headers(),
        scheme: peer_scheme(request),
        peer: Some(request.remote_addr()),
        seen: request.uri(),
        sent: behind_a_router.then(|| request.original_uri()),
        certificate: request.data::<ClientCertThumbprint>().map(|found| found.0),
        routed: has_parameters,
    }
}

/// Checks the form of a request for one of scopegate's own endpoints: origin form and exactly one host.
///
/// # Errors
/// 400, as for every other request.
pub(crate) fn check_form(request: &Request) -> Result<(), Problem> {
    head(request).check_form()
}

/// Returns the response of the handler, with the outcome as its data.
fn finish(answer: Result<impl IntoResponse>, outcome: Outcome, selection: Selection) -> Response {
    let mut response = answer.map_or_else(Problem::error_response, IntoResponse::into_response);
    selection.apply(response.status(), response.headers_mut());
    // A failure behind the gate may have set its own reason.
    match response.extensions_mut().get_mut::<Outcome>() {
        Some(set) => *set = Outcome { reason: set.reason, detail: set.detail.take(), ..outcome },
        None => response.set_data(outcome),
    }
    response
}

fn poem_response(response: http::Response<Bytes>) -> Response {
    let (parts, body) = response.into_parts();
    let mut response = Response::builder().status(parts.status).body(body);
    *response.headers_mut() = parts.headers;
    response
}

fn no_content(preflight: Preflight) -> Response {
    let mut response = Response::builder().status(StatusCode::NO_CONTENT).finish();
    *response.headers_mut() = preflight.headers;
    response.set_data(Outcome::permitted(preflight.route, None));
    response
}
