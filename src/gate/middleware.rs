//! The gate as poem middleware.

use futures_util::FutureExt;
use http::StatusCode;
use poem::{Endpoint, IntoResponse, Middleware, Request, Response, Result};

use super::{Caller, Gate, Matter, Permit, Refusal, State, cors::Preflight, refusal, request};
use crate::{policy::Target, problem::Problem, telemetry::Outcome};

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
    fn call(&self, mut request: Request) -> impl Future<Output = Result<Response>> + Send {
        let state = self.gate.current();
        async move {
            let trusted = &state.settings().trusted_proxies;
            let announced = |method: &_| request::target_as(&request, method, trusted);
            if let Some(answer) = state.preflight(request.method(), request.headers(), announced) {
                return Ok(answer.map_or_else(|refusal| refused(&refusal), answered));
            }
            let asked = request::target(&request, trusted).map(|target| (state.look_up(&target), target));
            let crossing = state.crossing(asked.as_ref().ok().map(|(matter, _)| matter), request.headers());
            let mut response = match admit(&state, asked, &mut request).await {
                Ok(outcome) => self.enter(request, outcome).await,
                Err(refusal) => refused(&refusal),
            };
            crossing.tell(response.headers_mut());
            Ok(response)
        }
    }
}

impl<E: Endpoint> GateEndpoint<E> {
    fn enter(&self, request: Request, outcome: Outcome) -> impl Future<Output = Response> + Send {
        self.inner.call(request).map(|answer| told(answer, outcome))
    }
}

/// What came of a request that was let through.
fn told(answer: Result<impl IntoResponse>, outcome: Outcome) -> Response {
    let mut response = answer.map_or_else(poem::Error::into_response, IntoResponse::into_response);
    // What failed behind the gate may have said so itself.
    match response.extensions_mut().get_mut::<Outcome>() {
        Some(told) => told.passed = true,
        None => response.set_data(outcome),
    }
    response
}

async fn admit(
    state: &State,
    asked: Result<(Matter<'_>, Target), Problem>,
    request: &mut Request,
) -> Result<Outcome, Refusal> {
    let unrouted = |problem| refusal(problem, None);
    let (matter, target) = asked.map_err(unrouted)?;
    let permit = state.decide(matter, request.headers()).await?;
    request::normalise(request, &target).map_err(unrouted)?;
    let outcome = Outcome::permitted(permit.route.clone(), permit.principal.as_ref());
    request.extensions_mut().insert(Caller::new(permit.principal.clone()));
    request.extensions_mut().insert::<Permit>(permit);
    Ok(outcome)
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
