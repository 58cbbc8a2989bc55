//! What enforces: `authorize(target, credentials)` and its fronts.

mod admission;
mod bearer;
mod caller;
mod cors;
mod decide;
mod fit;
mod fronts;
#[cfg(feature = "server")]
pub(crate) mod identities;
mod identity;
mod matter;
pub mod mint;
mod principal;
mod request;
mod subprotocol;
mod trust;
mod upgrade;
mod upstreams;

use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;
use http::HeaderMap;
use scopegate_provider::{ClientId, Credentials, ProviderName};

use crate::{
    authenticator::{Authenticator, Seen},
    policy::{Policy, Refused, Resolved, RouteOptions, Target},
    problem::Problem,
    telemetry::Metrics,
};

#[cfg(feature = "tower")]
pub use self::fronts::tower;
#[cfg(feature = "server")]
pub use self::fronts::{forward_auth, proxy};
pub(crate) use self::subprotocol::Subprotocols;
pub use self::{
    bearer::{BearerError, bearer},
    cors::Cors,
    fit::{Fitted, fit},
    fronts::{
        guard::{Guard, GuardEndpoint},
        middleware::GateEndpoint,
    },
    identity::{IdentityError, IdentityHeaders, Stripped},
    principal::{Caller, Principal},
    trust::{ForwardedError, Network, NetworkError, Origin, TrustedProxies},
    upstreams::{HealthSettings, Protocol, UpstreamSettings, UpstreamUrl, UpstreamUrlError},
};
use self::{matter::Matter, subprotocol::Hop};

/// Decides about requests and lets them through or not. Clones are the same gate.
///
/// As poem middleware it stands before any endpoint; a handler behind it may ask for a [`Principal`] or a [`Caller`].
#[derive(Clone)]
pub struct Gate(Arc<ArcSwap<State>>);

/// What a gate decides by: replaced as a whole, so that a request sees one policy and one set of providers.
#[derive(Debug)]
pub struct State {
    policy: Arc<Policy>,
    authenticator: Authenticator,
    settings: GateSettings,
    /// Whether anything is said about cross-origin requests, for all routes or for one.
    crossed: bool,
    metrics: Option<Arc<Metrics>>,
}

/// What else a gate is told.
#[derive(Debug, Clone)]
pub struct GateSettings {
    /// The longest token in bytes (`server.limits.token`).
    pub token_limit: usize,
    /// Where challenges point for the metadata of the protected resource (RFC 9728).
    pub resource_metadata: Option<Box<str>>,
    /// What browsers are told about cross-origin requests, where a route says nothing else.
    pub cors: Cors,
    /// Whose word is believed about the scheme and host that a caller used (`server.trusted_proxies`).
    pub trusted_proxies: TrustedProxies,
}

impl Default for GateSettings {
    fn default() -> Self {
        Self {
            token_limit: 16 * 1024,
            resource_metadata: None,
            cors: Cors::default(),
            trusted_proxies: TrustedProxies::default(),
        }
    }
}

/// A request may pass.
#[derive(Debug, Clone)]
pub struct Permit {
    /// Who calls; none for an anonymous caller, or on a route that looks at no token.
    pub principal: Option<scopegate_provider::Principal>,
    /// What the caller presented.
    pub credentials: Option<Credentials>,
    /// The pattern of the route that decided.
    pub route: Arc<str>,
    /// What else the route says.
    pub options: Arc<RouteOptions>,
    /// When the token was authenticated, and the room beside it.
    pub(crate) seen: Option<Seen>,
    /// What is to be done with the subprotocols of a `WebSocket`.
    pub(crate) subprotocols: Subprotocols,
}

/// A request may not pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct Refusal {
    /// What the caller is told.
    pub problem: Problem,
    /// The pattern of the route that decided; none where no route did.
    pub route: Option<Arc<str>>,
    /// The provider that vouched for the caller, if one did.
    pub provider: Option<ProviderName>,
    /// The client of the token, if one was verified: also of one that is revoked, never of one that only says so.
    pub client: Option<ClientId>,
}

impl State {
    /// What a gate decides by.
    pub fn new(policy: Arc<Policy>, authenticator: Authenticator, settings: GateSettings) -> Self {
        let crossed = settings.cors.is_told(&policy);
        Self { policy, authenticator, settings, crossed, metrics: None }
    }

    /// The same, with decisions timed.
    #[must_use]
    pub fn timed(self, metrics: Arc<Metrics>) -> Self {
        Self { metrics: Some(metrics), ..self }
    }

    /// The policy.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// What turns tokens into principals.
    pub fn authenticator(&self) -> &Authenticator {
        &self.authenticator
    }

    /// What else the gate is told.
    pub fn settings(&self) -> &GateSettings {
        &self.settings
    }

    /// Decides about a request: the one decision that every front asks for.
    ///
    /// # Errors
    /// [`Refusal`] holds the answer to the caller.
    pub async fn authorize(&self, target: &Target, headers: &HeaderMap) -> Result<Permit, Refusal> {
        self.decide(self.look_up(target, Hop::Direct), headers).await
    }

    /// The routes that were found, if this node may still decide by them.
    fn current<'s>(&self, matter: Matter<'s>) -> Result<Resolved<'s>, Box<Refusal>> {
        self.authenticator
            .policy_is_fresh()
            .map_err(|outage| refusal(Problem::unavailable(&outage), None))?;
        Ok(matter.found.map_err(|refused| denied(&refused))?)
    }

    fn point(&self, refusal: Refusal) -> Refusal {
        match &self.settings.resource_metadata {
            Some(url) => Refusal { problem: refusal.problem.with_resource_metadata(url), ..refusal },
            None => refusal,
        }
    }
}

impl Refusal {
    /// Of a caller whose token was verified.
    fn of(self, caller: Option<&scopegate_provider::Principal>) -> Self {
        let provider = caller.map(|principal| principal.provider().clone());
        let client = caller.and_then(|principal| principal.client().cloned());
        Self { provider, client, ..self }
    }
}

impl Gate {
    /// A gate that decides by `state`.
    pub fn new(state: State) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(state)))
    }

    /// What it decides by now. A request keeps what it began with.
    pub fn current(&self) -> Arc<State> {
        self.0.load_full()
    }

    /// Whether nobody else has this gate.
    pub(crate) fn is_last(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// Decides by `state` from now on.
    pub fn replace(&self, state: State) {
        self.0.store(Arc::new(state));
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}

fn denied(refused: &Refused<'_>) -> Refusal {
    refusal(Problem::from(&refused.denial), refused.route.map(|route| route.label().clone()))
}

fn refusal(problem: Problem, route: Option<Arc<str>>) -> Refusal {
    Refusal { problem, route, provider: None, client: None }
}

#[cfg(test)]
mod tests;
