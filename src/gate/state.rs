//! The gate, and the snapshot of policy and providers that it decides by.

use std::{any::Any, fmt, sync::Arc, time::Instant};

use arc_swap::ArcSwap;

use super::{
    cors::Cors,
    decision::Refusal,
    request::trust::TrustedProxies,
    resources::{PublicOrigin, Resources, metadata_url},
};
use crate::{
    authenticator::{Authenticator, TokenScheme},
    policy::{Policy, Route, Target},
    problem::Problem,
    reason::Reason,
    telemetry::{Metrics, metrics::OpenStreams},
};

/// Admits requests or refuses them. Clones share their state.
///
/// As poem middleware it wraps any endpoint; a handler behind it can extract a [`Principal`](super::Principal) or a
/// [`Caller`](super::Caller).
#[derive(Clone)]
pub struct Gate {
    state: Arc<ArcSwap<State>>,
    #[expect(dead_code, reason = "it keeps the node of an embedded gate alive")]
    owner: Option<Arc<dyn Any + Send + Sync>>,
}

/// The policy and providers that a gate uses. Swapped atomically, so that each request sees one consistent snapshot.
#[derive(Debug)]
pub struct State {
    policy: Arc<Policy>,
    authenticator: Authenticator,
    settings: GateSettings,
    /// Set if CORS is configured, for all routes or for one.
    cors_enabled: bool,
    metrics: Option<Arc<Metrics>>,
}

/// Settings of a gate.
#[derive(Debug, Clone)]
pub struct GateSettings {
    /// The longest token in bytes (`server.limits.token`).
    pub token_limit: usize,
    /// The origin at which clients reach the gate. Challenges point there (RFC 9728), and proofs are made for it (RFC 9449).
    pub public_origin: PublicOrigin,
    /// The declared resources (`resources`).
    pub resources: Resources,
    /// The CORS settings of routes that have none of their own.
    pub cors: Cors,
    /// The proxies whose forwarded headers are believed (`server.trusted_proxies`).
    pub trusted_proxies: TrustedProxies,
}

/// The call that a challenge answers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Called<'r> {
    pub(crate) target: &'r Target,
    /// The route of the endpoint, if the policy does not decide about it.
    pub(crate) own_route: Option<&'r Arc<Route>>,
    /// The scheme with which the token was sent.
    pub(crate) scheme: TokenScheme,
    /// The host and port that a trusted proxy says the client called.
    pub(crate) forwarded: Option<&'r [u8]>,
}

impl Default for GateSettings {
    fn default() -> Self {
        Self {
            token_limit: 16 * 1024,
            public_origin: PublicOrigin::default(),
            resources: Resources::default(),
            cors: Cors::default(),
            trusted_proxies: TrustedProxies::default(),
        }
    }
}

impl State {
    /// Creates a snapshot.
    pub fn new(policy: Arc<Policy>, authenticator: Authenticator, settings: GateSettings) -> Self {
        let cors_enabled = settings.cors.is_enabled(&policy);
        Self { policy, authenticator, settings, cors_enabled, metrics: None }
    }

    /// Records the time that each decision takes.
    #[must_use]
    pub fn timed(self, metrics: Arc<Metrics>) -> Self {
        Self { metrics: Some(metrics), ..self }
    }

    /// Returns the policy.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Returns the authenticator, which turns tokens into principals.
    pub fn authenticator(&self) -> &Authenticator {
        &self.authenticator
    }

    /// Returns the settings.
    pub fn settings(&self) -> &GateSettings {
        &self.settings
    }

    /// Returns the CORS settings, if any are configured.
    pub(super) fn cors(&self) -> Option<&Cors> {
        self.cors_enabled.then_some(&self.settings.cors)
    }

    /// Completes the challenge of a problem: the only place that does. It gets the URL of the metadata of the resource that
    /// was called, and the algorithms of DPoP proofs where proofs are accepted.
    pub(crate) fn with_challenge(&self, problem: Problem, called: &Called<'_>) -> Problem {
        if !problem.is_challenge() {
            return problem;
        }
        let Called { target, own_route, scheme, forwarded } = *called;
        let url = if self.settings.resources.is_empty() {
            let origin = self.settings.public_origin.of(target.scheme(), forwarded);
            origin.map(|origin| metadata_url(&origin, target, own_route))
        } else {
            self.settings.resources.metadata_url(target)
        };
        let problem = match url {
            Some(url) => problem.with_resource_metadata(&url),
            None => problem,
        };
        let needs_proof = matches!(problem.reason(), Reason::SenderConstrained | Reason::ProofRequired);
        let is_dpop = scheme == TokenScheme::Dpop;
        match self.authenticator.dpop_algorithms(!is_dpop && !needs_proof) {
            Some(algorithms) => problem.with_dpop(&algorithms, is_dpop),
            None => problem,
        }
    }

    /// Completes the challenge of a refusal.
    pub(super) fn challenged(&self, refusal: Refusal, called: &Called<'_>) -> Box<Refusal> {
        Refusal { problem: self.with_challenge(refusal.problem, called), ..refusal }.into()
    }

    /// Returns the streams that are open, if the node counts them.
    pub(crate) fn streams(&self) -> Option<&Arc<OpenStreams>> {
        self.metrics.as_ref().map(|metrics| &metrics.streams)
    }

    /// Returns `true` if the facts of permitted callers are remembered: someone watches, or routes are in
    /// `mode: shadow`.
    pub(super) fn records_permits(&self) -> bool {
        self.policy.shadow().is_some()
            || self.metrics.as_ref().is_some_and(|metrics| metrics.live.is_watched())
    }

    /// Returns the start of a decision, if decisions are timed.
    pub(super) fn timer(&self) -> Option<Instant> {
        self.metrics.as_ref().map(|_| Instant::now())
    }

    /// Records the time of a decision.
    pub(super) fn observe(&self, started: Option<Instant>) {
        if let Some((metrics, started)) = self.metrics.as_ref().zip(started) {
            metrics.decisions.observe(started.elapsed());
        }
    }
}

impl Gate {
    /// Creates a gate that decides by `state`.
    pub fn new(state: impl Into<Arc<State>>) -> Self {
        Self { state: Arc::new(ArcSwap::new(state.into())), owner: None }
    }

    /// Keeps `owner` alive for as long as this gate or a clone of it exists.
    pub(crate) fn with_owner(self, owner: Arc<dyn Any + Send + Sync>) -> Self {
        Self { owner: Some(owner), ..self }
    }

    /// Returns the current state. A request keeps the state with which it began.
    pub fn current(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// Borrows the current state, which is cheaper than [`Gate::current`] for a short time.
    pub(super) fn load(&self) -> arc_swap::Guard<Arc<State>> {
        self.state.load()
    }

    /// Replaces the state for the requests that follow.
    pub fn replace(&self, state: impl Into<Arc<State>>) {
        self.state.store(state.into());
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}
