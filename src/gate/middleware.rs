//! The gate as poem middleware.

use poem::{Endpoint, IntoResponse, Middleware, Request, Response, Result};

use super::{Caller, Gate, Permit, Refusal, State, refusal, request};
use crate::{
    policy::Target,
    problem::Problem,
    telemetry::{Outcome, Passed},
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

    async fn call(&self, mut request: Request) -> Result<Response> {
        let state = self.gate.current();
        if let Some(answer) = state.preflight(&request) {
            return Ok(answer.unwrap_or_else(|refusal| refused(&refusal)));
        }
        let target = request::target(&request);
        let crossing = state.crossing(target.as_ref().ok(), request.headers());
        let mut response = match admit(&state, target, &mut request).await {
            Ok(outcome) => self.enter(request, outcome).await,
            Err(refusal) => refused(&refusal),
        };
        crossing.tell(response.headers_mut());
        Ok(response)
    }
}

impl<E: Endpoint> GateEndpoint<E> {
    async fn enter(&self, request: Request, outcome: Outcome) -> Response {
        let answer = self.inner.call(request).await;
        let mut response = answer.map_or_else(poem::Error::into_response, IntoResponse::into_response);
        response.set_data(Passed);
        // What failed behind the gate may have said so itself.
        if response.data::<Outcome>().is_none() {
            response.set_data(outcome);
        }
        response
    }
}

async fn admit(
    state: &State,
    target: Result<Target, Problem>,
    request: &mut Request,
) -> Result<Outcome, Refusal> {
    let unrouted = |problem| refusal(problem, None);
    let target = target.map_err(unrouted)?;
    let permit = state.authorize(&target, request.headers()).await?;
    request::normalise(request, &target).map_err(unrouted)?;
    let outcome = Outcome::permitted(permit.route.clone(), permit.principal.as_ref());
    request.extensions_mut().insert(Caller::new(permit.principal.clone()));
    request.extensions_mut().insert::<Permit>(permit);
    Ok(outcome)
}

fn refused(refusal: &Refusal) -> Response {
    let mut response = refusal.problem.response();
    response.set_data(Outcome {
        route: refusal.route.clone(),
        reason: refusal.problem.reason(),
        provider: refusal.provider.clone(),
        client: refusal.client.clone(),
    });
    response
}
