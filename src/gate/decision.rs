//! The results of an authorization.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use poem::Response;
use scopegate_provider::{ClientId, Credentials, Principal, ProviderName, Subject};

use super::{
    cors::{CorsDecision, Preflight},
    request::subprotocol::{self, Selection, Subprotocols},
};
use crate::{
    authenticator::AuthenticatedAt,
    policy::{Refused, RouteOptions, Target},
    problem::Problem,
    reason::Reason,
    telemetry::{Held, Outcome, Recording, ShadowNote},
};

/// The permission for a request to pass.
#[derive(Debug, Clone)]
pub struct Permit {
    /// The verified caller; `None` for an anonymous caller, and on a route that ignores tokens.
    pub principal: Option<Principal>,
    /// The token and its proof.
    pub credentials: Option<Credentials>,
    /// The pattern of the route that decided.
    pub route: Arc<str>,
    /// The other settings of the route.
    pub options: Arc<RouteOptions>,
    /// The target that was decided on, for streams that outlive the policy; `None` where no handler follows.
    pub(crate) target: Option<Target>,
    /// The moment at which the token was authenticated, and its slot in the cache.
    pub(crate) authenticated: Option<AuthenticatedAt>,
    /// The treatment of the subprotocols that a `WebSocket` handshake offers.
    pub(crate) subprotocols: Subprotocols,
    /// The facts for the memory of decisions.
    pub(crate) recording: Recording,
}

/// The refusal of a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct Refusal {
    /// The answer to the caller.
    pub problem: Problem,
    /// The pattern of the route that decided; `None` if no route matched.
    pub route: Option<Arc<str>>,
    /// The provider of the token, if the token was verified.
    pub provider: Option<ProviderName>,
    /// The client of the token, if the token was verified, even if it was refused afterwards. Never an unverified claim.
    pub client: Option<ClientId>,
    /// The subject of the token, if the token was verified.
    pub subject: Option<Subject>,
    /// The facts of the token by which rules decide, if it was verified.
    pub held: Option<Box<Held>>,
    /// The decision of the routes in `mode: shadow`, if any takes part.
    pub(crate) shadow: Option<ShadowNote>,
}

/// The answer of the gate to one request.
#[expect(clippy::large_enum_variant, reason = "one exists per request: a box would allocate for each")]
pub(super) enum Answer {
    /// The request may go on to its handler.
    Permitted(Permit),
    /// The request is a CORS preflight, which the gate answers itself.
    Preflight(Box<Preflight>),
    /// The request may not pass.
    Refused(Box<Refusal>),
}

/// A request that was decided.
pub(super) struct Decided {
    /// The target that was decided on; `None` if it could not be parsed, and for a preflight.
    pub(super) target: Option<Target>,
    pub(super) answer: Answer,
    /// The CORS headers for the response.
    pub(super) cors: CorsDecision,
}

impl Answer {
    /// Adds the shadow decision, which the answer to the caller does not show.
    pub(super) fn beside(mut self, shadow: Option<ShadowNote>) -> Self {
        match &mut self {
            Self::Permitted(permit) => permit.recording.shadow = shadow,
            Self::Refused(refusal) => refusal.shadow = shadow,
            Self::Preflight(_) => {}
        }
        self
    }
}

impl Permit {
    /// Removes the token from the subprotocols of a request. A token that goes on does so as `Authorization`.
    pub(super) fn clear_subprotocols(&self, headers: &mut HeaderMap) -> Selection {
        if self.subprotocols == Subprotocols::Untouched {
            return Selection::Service;
        }
        if let Some(authorization) = self.subprotocol_authorization() {
            headers.insert(AUTHORIZATION, authorization);
        }
        subprotocol::strip(headers)
    }

    /// Returns the token that was among the subprotocols as a value of `Authorization`.
    pub(super) fn subprotocol_authorization(&self) -> Option<HeaderValue> {
        let credentials = self.credentials.as_ref()?;
        if self.subprotocols != Subprotocols::HeldTheToken {
            return None;
        }
        let mut value = HeaderValue::try_from(format!("Bearer {}", credentials.token.reveal())).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Returns the outcome for log, metrics and audit.
    pub(crate) fn outcome(&self) -> Outcome {
        Outcome {
            recording: self.recording.clone(),
            ..Outcome::permitted(self.route.clone(), self.principal.as_ref())
        }
    }
}

impl Refusal {
    /// A refusal that no route decided.
    pub(crate) fn unrouted(problem: Problem) -> Self {
        Self { problem, route: None, provider: None, client: None, subject: None, held: None, shadow: None }
    }

    /// Adds the client that could not be authenticated at one of scopegate's own endpoints.
    #[cfg(feature = "server")]
    pub(crate) fn of_client(self, client: Option<ClientId>) -> Self {
        Self { client, ..self }
    }

    /// Adds the verified caller.
    pub(super) fn of(self, caller: Option<&Principal>) -> Self {
        let provider = caller.map(|principal| principal.provider().clone());
        let client = caller.and_then(|principal| principal.client().cloned());
        let subject = caller.and_then(|principal| principal.subject().cloned());
        Self { provider, client, subject, ..self }
    }

    /// Returns the outcome for log, metrics and audit.
    pub(crate) fn outcome(&self) -> Outcome {
        Outcome {
            route: self.route.clone(),
            reason: self.problem.reason(),
            provider: self.provider.clone(),
            client: self.client.clone(),
            subject: self.subject.clone(),
            passed: false,
            missing: self.problem.missing_scopes().into(),
            recording: Recording {
                held: self.held.clone(),
                is_anonymous: self.problem.reason() == Reason::NoToken,
                shadow: self.shadow.clone(),
            },
            detail: Some(self.problem.description().into()),
            original: None,
        }
    }

    /// Returns the response to the caller, with the outcome as its data.
    pub(crate) fn response(&self) -> Response {
        let mut response = self.problem.response();
        response.set_data(self.outcome());
        response
    }

    /// Returns the response to a caller whose request has these header fields: a status of gRPC to a gRPC call.
    pub(super) fn response_to(&self, request: &HeaderMap) -> Response {
        let mut response = self.problem.response_to(request);
        response.set_data(self.outcome());
        response
    }
}

impl From<&Refused<'_>> for Refusal {
    fn from(refused: &Refused<'_>) -> Self {
        let route = refused.route.map(|route| route.label().clone());
        Self { route, ..Self::unrouted(Problem::from(&refused.denial)) }
    }
}

impl From<Refusal> for poem::Error {
    fn from(refusal: Refusal) -> Self {
        let mut error = poem::Error::from_response(refusal.response());
        // poem replaces the data of the response by those of the error.
        error.set_data(refusal.outcome());
        error.set_data(refusal.problem);
        error
    }
}
