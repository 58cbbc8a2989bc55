//! The outcome of a request, as log, metrics and audit get it.

use std::sync::Arc;

use http::{Method, StatusCode};
use scopegate_provider::{ClientId, Principal, ProviderName, Role, Scope, ScopeSet, Subject};

use crate::reason::Reason;

/// The outcome of a request, which the response carries to log, metrics and audit.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The pattern of the route that decided, if one did: never the raw path.
    pub route: Option<Arc<str>>,
    /// The reason in the one vocabulary; `permitted` for a request that was let through.
    pub reason: Reason,
    /// The provider that vouched for the caller.
    pub provider: Option<ProviderName>,
    /// The client of the token, if one was verified; at `/token` and `/introspect` the client that was refused.
    pub client: Option<ClientId>,
    /// The subject of the token, if one was verified.
    pub subject: Option<Subject>,
    /// Set if a gate let the request through, even if it failed behind the gate.
    pub passed: bool,
    /// The scopes that the token lacks.
    pub missing: Box<[Scope]>,
    /// The scopes and roles of a token that was refused after it was verified.
    pub held: Option<Box<Held>>,
    /// The description of a refusal.
    pub detail: Option<Box<str>>,
    /// The request that a proxy asked about, if one did.
    pub original: Option<Box<OriginalTarget>>,
}

impl Outcome {
    /// Returns the outcome of a request that was let through by this route.
    pub(crate) fn permitted(route: Arc<str>, principal: Option<&Principal>) -> Self {
        Self {
            route: Some(route),
            reason: Reason::Permitted,
            provider: principal.map(|principal| principal.provider().clone()),
            client: principal.and_then(|principal| principal.client().cloned()),
            subject: principal.and_then(|principal| principal.subject().cloned()),
            passed: true,
            missing: Box::default(),
            held: None,
            detail: None,
            original: None,
        }
    }

    /// Returns the outcome of a request that one of scopegate's own endpoints denied.
    pub(crate) fn denied(route: Arc<str>, reason: Reason) -> Self {
        Self { reason, passed: false, ..Self::permitted(route, None) }
    }
}

/// The target of a request that a proxy asked about.
#[derive(Debug, Clone)]
pub struct OriginalTarget {
    /// The method.
    pub method: Method,
    /// The host, as it was sent.
    pub host: Vec<u8>,
    /// The path and query, as they were sent.
    pub path_and_query: Vec<u8>,
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

/// The decision of a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The request was let through.
    Permit,
    /// The request was refused.
    Deny,
    /// The gate could not decide.
    Unavailable,
    /// No decision was needed: an endpoint of scopegate's own answered.
    None,
}

impl Verdict {
    /// Returns the decision of a request with this outcome.
    pub(super) fn of(outcome: Option<&Outcome>) -> Self {
        match outcome {
            None => Self::None,
            Some(outcome) if outcome.passed => Self::Permit,
            // A refused gRPC call has the status 200, and a proxy may relay another status.
            Some(outcome) if outcome.reason.status() == StatusCode::SERVICE_UNAVAILABLE => Self::Unavailable,
            Some(_) => Self::Deny,
        }
    }

    /// Returns its name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Permit => "permit",
            Self::Deny => "deny",
            Self::Unavailable => "unavailable",
            Self::None => "none",
        }
    }
}
