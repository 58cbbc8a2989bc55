//! The decision of routes in `mode: shadow`. It has no effect on the answer: a token that only these routes need is
//! verified apart from the request, after its answer.

use std::sync::Arc;

use scopegate_provider::{Credentials, Principal};
use tokio::{runtime::Handle, sync::Semaphore};

use super::{Presented, credentials, freshness, refuse, unauthenticated};
use crate::{
    authenticator::{Authenticated, Evidence, Lookup, Unauthenticated},
    gate::{
        decision::{Answer, Refusal},
        request::{Incoming, proof},
        state::State,
    },
    policy::{CallerAt, Decision, Refused, Resolved, Target},
    reason::Reason,
    telemetry::{DecisionOutcome, ShadowDecision, ShadowNote},
};

/// The number of tokens that are verified for shadow decisions at once. Further ones are counted as undecided.
static VERIFYING: Semaphore = Semaphore::const_new(256);

/// A shadow decision, which may wait for a token.
pub(super) struct Shadow {
    note: ShadowNote,
    token: Option<Token>,
}

/// The token of a request in the eyes of the routes in `mode: shadow`.
struct Token {
    credentials: Credentials,
    evidence: Evidence,
}

impl Shadow {
    /// Decides about a request as far as no token is needed; `None` if no route in `mode: shadow` takes part.
    pub(super) fn of(state: &State, target: &Target, request: &impl Incoming) -> Option<Self> {
        if request.own_route().is_some() {
            return None;
        }
        let routes = state.policy().resolve_in_shadow(target)?;
        let note = ShadowNote::default();
        let token = match routes {
            Err(refused) => Err(Box::new(Refusal::from(&refused))),
            Ok(routes) => token(state, &routes, target, request).inspect(|token| {
                if token.is_none() {
                    note.decide(decision(state, &routes, None));
                }
            }),
        };
        match token {
            Ok(token) => Some(Self { note, token }),
            Err(refusal) => {
                note.decide(refused(state, &refusal));
                Some(Self { note, token: None })
            }
        }
    }

    /// Decides about the token. If the enforced decision has used it, its result counts. Otherwise the token is verified
    /// apart from the request. Returns the place of the decision.
    pub(super) fn complete(
        self,
        state: &Arc<State>,
        target: &Target,
        enforced: &Answer,
        uses_token: bool,
    ) -> ShadowNote {
        let Self { note, token: Some(Token { credentials, evidence }) } = self else { return self.note };
        let Some(Ok(routes)) = state.policy().resolve_in_shadow(target) else { return note };
        match enforced {
            Answer::Permitted(permit) if permit.principal.is_some() => {
                note.decide(decision(state, &routes, permit.principal.as_ref()));
                return note;
            }
            Answer::Refused(refusal)
                if uses_token && refusal.held.is_none() && refusal.problem.reason() != Reason::NoToken =>
            {
                let route = Some(Arc::clone(routes.route().label()));
                note.decide(ShadowDecision { route, ..refused(state, refusal) });
                return note;
            }
            _ => {}
        }
        match state.authenticator().lookup(credentials.token.as_bytes(), freshness(&routes), &evidence) {
            Lookup::Cached(verified) => note.decide(decided(state, &routes, verified)),
            Lookup::Unverified => verify_apart(state, target, Token { credentials, evidence }, &note),
        }
        note
    }
}

/// Finds the token of a request, if the routes use one.
fn token(
    state: &State,
    routes: &Resolved<'_>,
    target: &Target,
    request: &impl Incoming,
) -> Result<Option<Token>, Box<Refusal>> {
    let Presented { token, .. } = credentials(state, routes, request)?;
    let Some(token) = token else { return Ok(None) };
    // The proof is left for the enforced decision, which may need it.
    let evidence = proof::evidence(state, request, target, token.scheme()).unrecorded();
    let token = token.parse().map_err(|error| refuse(error.into(), routes.route()))?;
    Ok(Some(Token { credentials: Credentials::bearer(token), evidence }))
}

/// Verifies a token in a task of its own.
fn verify_apart(state: &Arc<State>, target: &Target, token: Token, note: &ShadowNote) {
    let (Ok(permit), Ok(runtime)) = (VERIFYING.try_acquire(), Handle::try_current()) else {
        note.decide(undecided(state));
        return;
    };
    let state = Arc::clone(state);
    let target = target.clone();
    let note = note.clone();
    runtime.spawn(async move {
        let _permit = permit;
        let Token { credentials, evidence } = token;
        let decision = match state.policy().resolve_in_shadow(&target) {
            Some(Ok(routes)) => {
                let verified =
                    state.authenticator().verify(&credentials, freshness(&routes), &evidence).await;
                decided(&state, &routes, verified)
            }
            _ => undecided(&state),
        };
        note.decide(decision);
    });
}

fn decided(
    state: &State,
    routes: &Resolved<'_>,
    verified: Result<Authenticated, Unauthenticated>,
) -> ShadowDecision {
    match verified {
        Ok(caller) => decision(state, routes, Some(&caller.principal)),
        Err(error) => refused(state, &unauthenticated(error, routes)),
    }
}

/// Applies the rules to the caller.
fn decision(state: &State, routes: &Resolved<'_>, principal: Option<&Principal>) -> ShadowDecision {
    let now = state.authenticator().now();
    let decision = routes.decide(principal.map(|principal| CallerAt::new(principal, now)));
    let (outcome, reason, route) = match decision {
        Decision::Permit { route } => (DecisionOutcome::Permitted, Reason::Permitted, Some(route)),
        Decision::Deny(Refused { route, denial }) => (DecisionOutcome::Denied, denial.reason(), route),
    };
    ShadowDecision {
        at: now,
        outcome,
        reason,
        route: route.map(|route| Arc::clone(route.label())),
        provider: principal.map(|principal| principal.provider().clone()),
        client: principal.and_then(|principal| principal.client().cloned()),
    }
}

fn refused(state: &State, refusal: &Refusal) -> ShadowDecision {
    let reason = refusal.problem.reason();
    let is_outage = reason.status() == http::StatusCode::SERVICE_UNAVAILABLE;
    ShadowDecision {
        at: state.authenticator().now(),
        outcome: if is_outage { DecisionOutcome::Outage } else { DecisionOutcome::Denied },
        reason,
        route: refusal.route.clone(),
        provider: refusal.provider.clone(),
        client: refusal.client.clone(),
    }
}

/// Returns the decision about a request whose token was not verified, as too many others are.
fn undecided(state: &State) -> ShadowDecision {
    ShadowDecision {
        at: state.authenticator().now(),
        outcome: DecisionOutcome::Outage,
        reason: Reason::Overloaded,
        route: None,
        provider: None,
        client: None,
    }
}
