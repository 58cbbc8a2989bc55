//! What is answered about a request that a proxy asks about, by whatever protocol it asks.

use http::{HeaderMap, StatusCode};

use super::Asked;
use crate::{
    gate::{Gate, Matter, Permit, Refusal, State, identities::Identities, refusal},
    policy::{Handling, TargetError},
    problem::Problem,
    telemetry::Outcome,
};

/// Answers proxies.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    gate: Gate,
    identities: Identities,
}

/// A request may pass.
#[derive(Debug)]
pub(crate) struct Pass {
    /// What is to be set on it, in place of whatever it holds under these names; empty is to be set, too.
    pub(crate) request: HeaderMap,
    /// Whose pages may read the answer, for proxies that can tell them.
    pub(crate) response: HeaderMap,
    /// For the log.
    pub(crate) outcome: Outcome,
}

impl Desk {
    /// Asks `gate`, and tells what `identities` hold.
    pub(crate) fn new(gate: Gate, identities: Identities) -> Self {
        Self { gate, identities }
    }

    /// Decides about a request that came with these headers, as if it had come here itself. A browser's preflight that
    /// may be answered passes: no proxy can be given the answer to it, so that the service has to.
    ///
    /// # Errors
    /// The refusal, as the caller is to get it.
    pub(crate) async fn decide(&self, asked: &Asked, headers: &HeaderMap) -> Result<Pass, Refusal> {
        let state = self.gate.current();
        let announced = |method: &_| asked.target_as(method).map_err(Problem::from);
        if let Some(answer) = state.preflight(&asked.method, headers, announced) {
            let preflight = answer.map_err(|refusal| elsewhere(*refusal))?;
            let request = self.told(None, &preflight.handling).ok_or_else(not_ready)?;
            let outcome = Outcome::permitted(preflight.route, None);
            return Ok(Pass { request, response: preflight.headers, outcome });
        }
        let matter = asked.target_as(&asked.method).map(|target| state.look_up(&target));
        let mut pages = HeaderMap::new();
        state.crossing(matter.as_ref().ok(), headers).tell(&mut pages);
        match self.judge(&state, matter, headers).await {
            Ok((request, outcome)) => Ok(Pass { request, response: pages, outcome }),
            Err(refusal) => Err(Refusal { problem: refusal.problem.with_pages(pages), ..refusal }),
        }
    }

    async fn judge(
        &self,
        state: &State,
        matter: Result<Matter<'_>, TargetError>,
        headers: &HeaderMap,
    ) -> Result<(HeaderMap, Outcome), Refusal> {
        let matter = matter.map_err(|error| refusal(error.into(), None))?;
        let permit = state.decide(matter, headers).await.map_err(elsewhere)?;
        let told = self.told(Some(&permit), &permit.handling).ok_or_else(not_ready)?;
        Ok((told, Outcome::permitted(permit.route, permit.principal.as_ref())))
    }

    /// What the service is told about the caller; none if the policy is newer than this endpoint.
    fn told(&self, permit: Option<&Permit>, handling: &Handling) -> Option<HeaderMap> {
        let identity = self.identities.find(handling.identity.as_ref())?;
        let mut headers = HeaderMap::new();
        identity.set(permit.and_then(|permit| permit.principal.as_ref()), &mut headers);
        Some(headers)
    }
}

/// What is not found is not scopegate's to say where another serves: no route is a denial.
fn elsewhere(refusal: Refusal) -> Refusal {
    match refusal.problem.status() {
        StatusCode::NOT_FOUND => {
            Refusal { problem: refusal.problem.with_status(StatusCode::FORBIDDEN), ..refusal }
        }
        _ => refusal,
    }
}

fn not_ready() -> Refusal {
    let description = "the policy is newer than this endpoint";
    refusal(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", description), None)
}
