//! The gate as poem middleware.

use std::sync::Arc;

use arc_swap::Guard;
use futures_util::{
    FutureExt,
    future::{Either, ready},
};
use http::StatusCode;
use poem::{Endpoint, IntoResponse, Middleware, PathPattern, Request, Response, Result};

use crate::gate::{
    Gate, Refusal, State,
    admission::{Admission, Admitted, Answer, Unsettled},
    cors::Preflight,
    request::Head,
    subprotocol,
    trust::peer_scheme,
};
use crate::telemetry::Outcome;

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

    // Not an `async fn`, which would hold the request twice.
    fn call(&self, request: Request) -> impl Future<Output = Result<Response>> + Send {
        let state = self.gate.0.load();
        match state.admit_at_once(head(&request)) {
            Ok(admission) => Either::Left(self.go_on(admission, request)),
            Err(unsettled) => {
                Either::Right(Box::pin(self.ask(Guard::into_inner(state), request, *unsettled)))
            }
        }
    }
}

impl<E: Endpoint> GateEndpoint<E> {
    async fn ask(&self, state: Arc<State>, request: Request, unsettled: Unsettled) -> Result<Response> {
        let admission = state.admit_later(head(&request), unsettled).await;
        self.go_on(admission, request).await
    }

    fn go_on(
        &self,
        (admission, crossing): Admission,
        mut request: Request,
    ) -> impl Future<Output = Result<Response>> + Send {
        let answer = match admission {
            Ok(admitted) => {
                let (outcome, chosen_here) = enter(admitted, &mut request);
                let answer = self.inner.call(request);
                Either::Left(answer.map(move |answer| told(answer, outcome, chosen_here)))
            }
            Err(Answer::Preflight(preflight)) => return Either::Left(ready(Ok(answered(*preflight)))),
            Err(Answer::Refused(refusal)) => Either::Right(ready(refused(&refusal))),
        };
        Either::Right(answer.map(move |mut response| {
            crossing.tell(response.headers_mut());
            Ok(response)
        }))
    }
}

/// Where the gate stands inside a mounted part, poem has taken the mount's path off `uri` and kept the whole in
/// `original_uri`. Before any routing, `uri` is what the handler will see, whatever was rewritten before.
pub(in crate::gate) fn head(request: &Request) -> Head<'_> {
    let behind_a_router = request.data::<PathPattern>().is_some();
    let parameters = || request.path_params::<Vec<String>>();
    Head {
        method: request.method(),
        version: request.version(),
        headers: request.headers(),
        scheme: peer_scheme(request),
        peer: Some(request.remote_addr()),
        seen: request.uri(),
        sent: behind_a_router.then(|| request.original_uri()),
        // A mount has read its own front only, byte for byte.
        routed: behind_a_router && parameters().map_or(true, |values| !values.is_empty()),
    }
}

/// Makes the request what the handler is to see.
fn enter(admitted: Admitted, request: &mut Request) -> (Outcome, bool) {
    let permit = admitted.permit();
    let outcome = Outcome::permitted(permit.route.clone(), permit.principal.as_ref());
    let (mut uri, mut headers) = (std::mem::take(request.uri_mut()), std::mem::take(request.headers_mut()));
    let chosen_here = admitted.enter(&mut uri, &mut headers, request.extensions_mut());
    (*request.uri_mut(), *request.headers_mut()) = (uri, headers);
    (outcome, chosen_here)
}

/// What came of a request that was let through.
fn told(answer: Result<impl IntoResponse>, outcome: Outcome, chosen_here: bool) -> Response {
    let mut response = answer.map_or_else(poem::Error::into_response, IntoResponse::into_response);
    if chosen_here {
        subprotocol::choose(response.status(), response.headers_mut());
    }
    // What failed behind the gate may have said so itself.
    match response.extensions_mut().get_mut::<Outcome>() {
        Some(told) => told.passed = true,
        None => response.set_data(outcome),
    }
    response
}

fn answered(preflight: Preflight) -> Response {
    let mut response = Response::builder().status(StatusCode::NO_CONTENT).finish();
    *response.headers_mut() = preflight.headers;
    response.set_data(Outcome::permitted(preflight.route, None));
    response
}

fn refused(refusal: &Refusal) -> Response {
    let mut response = refusal.problem.response();
    response.set_data(Outcome {
        route: refusal.route.clone(),
        reason: refusal.problem.reason(),
        provider: refusal.provider.clone(),
        client: refusal.client.clone(),
        passed: false,
    });
    response
}
