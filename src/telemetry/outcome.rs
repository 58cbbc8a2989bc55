//! The outcome of a request, as log, metrics and audit get it.

use std::sync::Arc;

use http::{Method, StatusCode};
use scopegate_provider::{
    Audience, ClaimPath, ClientId, Principal, ProviderName, Role, Scope, ScopeSet, Subject, Timestamp,
};
use serde_json::{Map, Value};

use super::ShadowNote;
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
    /// The description of a refusal.
    pub detail: Option<Box<str>>,
    /// The request that a proxy asked about, if one did.
    pub original: Option<Box<OriginalTarget>>,
    /// The facts for the memory of decisions.
    pub recording: Recording,
}

/// The facts about a decision that only the memory of decisions needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recording {
    /// The facts of a verified token by which rules decide. For a permitted request only where it is remembered.
    pub held: Option<Box<Held>>,
    /// Set if a token would have been used and the request carried none.
    pub is_anonymous: bool,
    /// The decision of the routes in `mode: shadow`, if any takes part.
    pub shadow: Option<ShadowNote>,
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
            detail: None,
            original: None,
            recording: Recording::default(),
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

/// The facts of a verified token by which rules decide. Nothing of the token itself is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// The scopes.
    pub scopes: ScopeSet,
    /// The roles.
    pub roles: Vec<Role>,
    /// The audience.
    pub audience: Vec<Audience>,
    /// The authentication context class.
    pub acr: Option<Box<str>>,
    /// The moment of the sign-in.
    pub auth_time: Option<Timestamp>,
    /// The id of the actor.
    pub actor: Option<Box<str>>,
    /// Set if the token is bound to a DPoP key.
    pub has_key: bool,
    /// Set if the token is bound to a certificate.
    pub has_certificate: bool,
    /// The authorization details.
    pub details: Vec<Map<String, Value>>,
    /// The claims that rules test.
    pub claims: Map<String, Value>,
    /// The paths of the claims that rules test. Claims elsewhere are not known.
    pub tested: Vec<ClaimPath>,
}

impl Held {
    /// Returns the facts of a caller, with the claims at these paths.
    pub fn of(principal: &Principal, tested: &[ClaimPath]) -> Self {
        let binding = principal.binding();
        let mut claims = Map::new();
        for path in tested {
            if let Some(value) = principal.claims().get(path) {
                place(&mut claims, path.as_str(), value.clone());
            }
        }
        Self {
            scopes: principal.scopes().clone(),
            roles: principal.roles().to_vec(),
            audience: principal.audience().to_vec(),
            acr: principal.acr().map(Into::into),
            auth_time: principal.auth_time(),
            actor: principal.actor().map(|actor| actor.id.clone()),
            has_key: binding.key.is_some(),
            has_certificate: binding.certificate.is_some(),
            details: principal.authorization_details().to_vec(),
            claims,
            tested: tested.to_vec(),
        }
    }

    /// Removes the subject, for nodes that do not name subjects.
    pub(super) fn forget_subject(&mut self) {
        self.claims.remove("sub");
        self.tested.retain(|path| !matches!(path.as_str(), "sub" | "/sub"));
    }
}

/// Sets a claim at a path: a name, or a JSON Pointer (RFC 6901).
fn place(claims: &mut Map<String, Value>, path: &str, value: Value) {
    let Some(pointer) = path.strip_prefix('/') else {
        claims.insert(path.to_owned(), value);
        return;
    };
    let mut names: Vec<String> =
        pointer.split('/').map(|name| name.replace("~1", "/").replace("~0", "~")).collect();
    let Some(last) = names.pop() else { return };
    let mut inner = claims;
    for name in names {
        let next = inner.entry(name).or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(members) = next else { return };
        inner = members;
    }
    inner.insert(last, value);
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
