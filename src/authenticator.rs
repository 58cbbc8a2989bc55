//! Token → principal: the provider is chosen, the cache asked, revocations checked.

mod cache;
mod derived;
mod possession;
mod replay;
mod revocations;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use scopegate_oidc::Form;
use scopegate_provider::{
    AuthnError, AuthnFailure, ClientId, Clock, Credentials, Excerpt, Freshness, Issuer, Outage, Principal,
    Provider, ProviderName, Rejection, Timestamp,
};

use self::{
    cache::{Entry, TokenCache},
    replay::ReplayMemory,
};
pub(crate) use self::{
    derived::{CacheSlot, DerivedToken},
    possession::{DpopEvidence, Evidence, TokenScheme},
};
use crate::store::ProviderState;

/// What knows which tokens have been withdrawn. Asked on every request, cached or not.
pub trait RevocationCheck: Send + Sync + fmt::Debug {
    /// Lets the principal of a good token pass `now`, or not.
    ///
    /// # Errors
    /// [`Rejection::Revoked`], or an outage if this node has not heard of revocations for too long.
    fn check(
        &self,
        principal: &Principal,
        credentials: &Credentials,
        now: Timestamp,
    ) -> Result<(), AuthnError>;

    /// As [`RevocationCheck::check`], for a stream that is open and is cut if this fails.
    ///
    /// # Errors
    /// As [`RevocationCheck::check`].
    fn recheck(
        &self,
        principal: &Principal,
        credentials: &Credentials,
        now: Timestamp,
    ) -> Result<(), AuthnError> {
        self.check(principal, credentials, now)
    }

    /// Lets this node decide, or not because its policy may be too old (`store.max_staleness.policy`).
    fn policy_is_fresh(&self) -> Result<(), Outage> {
        Ok(())
    }
}

/// Knows of no revocation: for programs without a store.
#[derive(Debug, Clone, Copy)]
pub struct NoRevocations;

impl RevocationCheck for NoRevocations {
    fn check(&self, _: &Principal, _: &Credentials, _: Timestamp) -> Result<(), AuthnError> {
        Ok(())
    }
}

/// A provider that was connected from certain settings. Connecting anew makes another, whose answers are not shared.
#[derive(Debug, Clone)]
pub struct Connected {
    name: ProviderName,
    provider: Arc<dyn Provider>,
    id: u64,
}

impl Connected {
    /// A provider just connected.
    pub fn new(name: ProviderName, provider: Arc<dyn Provider>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self { name, provider, id: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &ProviderName {
        &self.name
    }

    /// The provider.
    pub fn provider(&self) -> &Arc<dyn Provider> {
        &self.provider
    }

    /// Applies the state that administrators have given to this provider.
    pub(crate) fn apply_state(&self, states: &[ProviderState]) {
        let Some(control) = self.provider.key_control() else { return };
        let state = states.iter().find(|state| state.provider == self.name);
        control.set_disabled(state.is_some_and(|state| state.disabled));
        let distrusted: Vec<String> =
            state.map(|state| state.distrusted.iter().cloned().collect()).unwrap_or_default();
        control.distrust(&distrusted);
    }
}

/// Why providers cannot stand beside each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticatorError {
    /// An issuer of two providers: a token would have two judges.
    #[error("the providers `{first}` and `{second}` have the same issuer `{issuer}`")]
    SharedIssuer {
        /// The issuer.
        issuer: Issuer,
        /// The provider named first.
        first: ProviderName,
        /// The other.
        second: ProviderName,
    },
    /// Two providers for opaque tokens: a token would be shown to one that did not issue it (invariant 12).
    #[error("the providers `{first}` and `{second}` both take opaque tokens; only one may")]
    SharedOpaque {
        /// The provider named first.
        first: ProviderName,
        /// The other.
        second: ProviderName,
    },
}

/// Why a token gives no principal.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{error}")]
pub struct Unauthenticated {
    /// The token is bad, or nobody can tell.
    #[source]
    pub error: AuthnError,
    /// The provider that vouches for the client.
    pub provider: Option<ProviderName>,
    /// The client to which the token was issued, where that was verified before it was refused: of one that is revoked
    /// or has expired, never of one that only says so.
    pub client: Option<ClientId>,
}

impl From<Rejection> for Unauthenticated {
    fn from(rejection: Rejection) -> Self {
        Self { error: rejection.into(), provider: None, client: None }
    }
}

/// Keeps verified tokens and used proofs beyond the life of one [`Authenticator`]: shared by those before and after a
/// reload.
#[derive(Debug, Clone)]
pub struct VerifiedTokens(Arc<TokenCache>, Arc<ReplayMemory>);

impl VerifiedTokens {
    /// Room for about `capacity` tokens.
    pub fn new(capacity: usize) -> Self {
        Self(Arc::new(TokenCache::new(capacity)), Arc::new(ReplayMemory::new()))
    }

    /// How many tokens are kept, expired ones that nothing has replaced yet included.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// How many look-ups found a principal that could be used.
    pub fn hits(&self) -> u64 {
        self.0.hits.load(Ordering::Relaxed)
    }

    /// How many found none.
    pub fn misses(&self) -> u64 {
        self.0.misses.load(Ordering::Relaxed)
    }
}

/// A verified token that is not revoked.
#[derive(Debug, Clone)]
pub(crate) struct Authenticated {
    pub(crate) principal: Principal,
    pub(crate) credentials: Credentials,
    pub(crate) at: AuthenticatedAt,
}

/// The moment of an authentication, and the cache entry of its token.
#[derive(Debug, Clone)]
pub(crate) struct AuthenticatedAt {
    pub(crate) at: Timestamp,
    pub(crate) slot: CacheSlot,
}

/// The result of the token cache lookup.
pub(crate) enum Lookup {
    /// The token was verified before. It may have been revoked since.
    Cached(Result<Authenticated, Unauthenticated>),
    /// The token has to be verified: [`Authenticator::verify`].
    Unverified,
}

/// Turns tokens into principals.
#[derive(Debug)]
pub struct Authenticator {
    providers: Box<[Connected]>,
    by_issuer: HashMap<Issuer, usize, ahash::RandomState>,
    opaque: Option<usize>,
    verified: VerifiedTokens,
    revocations: Arc<dyn RevocationCheck>,
    clock: Arc<dyn Clock>,
}

impl Authenticator {
    /// Joins connected providers.
    ///
    /// # Errors
    /// [`AuthenticatorError`] if two of them would judge the same tokens.
    pub fn new(
        providers: Vec<Connected>,
        verified: VerifiedTokens,
        revocations: Arc<dyn RevocationCheck>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, AuthenticatorError> {
        let by_issuer = issuers(&providers)?;
        let opaque = opaque(&providers)?;
        Ok(Self { providers: providers.into(), by_issuer, opaque, verified, revocations, clock })
    }

    /// The connected providers, in the order of the configuration.
    pub fn providers(&self) -> &[Connected] {
        &self.providers
    }

    /// Whether this node may decide by the policy that it has.
    ///
    /// # Errors
    /// The policy may be too old.
    pub fn policy_is_fresh(&self) -> Result<(), Outage> {
        self.revocations.policy_is_fresh()
    }

    /// The provider of this name.
    pub fn provider(&self, name: &str) -> Option<&Connected> {
        self.providers.iter().find(|connected| connected.name.as_str() == name)
    }

    /// The provider that judges this token, by its unverified issuer or as the one that takes opaque tokens.
    ///
    /// # Errors
    /// The token is of no configured provider.
    pub fn provider_of(&self, credentials: &Credentials) -> Result<&Connected, Rejection> {
        let opaque = || self.opaque.and_then(|index| self.providers.get(index));
        match Form::of(credentials)? {
            Form::Jwt(jwt) => {
                let issuer = jwt.unverified_issuer()?;
                let connected = self.by_issuer.get(issuer).and_then(|index| self.providers.get(*index));
                let connected =
                    connected.or_else(|| self.providers.iter().find(|known| known.provider.serves(issuer)));
                connected.ok_or_else(|| Rejection::UnknownIssuer { found: Excerpt::new(issuer) })
            }
            Form::Encrypted => opaque().ok_or(Rejection::Encrypted),
            Form::Opaque => opaque().ok_or(Rejection::Opaque),
        }
    }

    /// Authenticates a token: from the cache if possible, else by its provider.
    ///
    /// # Errors
    /// [`AuthnError`]: the token is bad, or the provider cannot be asked.
    pub async fn authenticate(
        &self,
        credentials: &Credentials,
        freshness: Freshness,
    ) -> Result<Principal, AuthnError> {
        let evidence = Evidence::proven(credentials.proof);
        let authenticated = match self.lookup(credentials.token.as_bytes(), freshness, &evidence) {
            Lookup::Cached(authenticated) => authenticated,
            Lookup::Unverified => self.verify_with(credentials, freshness, &evidence).await,
        };
        authenticated.map(|authenticated| authenticated.principal).map_err(|refused| refused.error)
    }

    /// Returns the time by which tokens and sign-ins are judged.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Looks a token up in the cache and among the revocations. Does not wait, and reads the clock once. The bytes need
    /// not be those of a token: other bytes are not in the cache.
    pub(crate) fn lookup(&self, token: &[u8], freshness: Freshness, evidence: &Evidence) -> Lookup {
        if freshness == Freshness::Fresh {
            return Lookup::Unverified;
        }
        let now = self.clock.now();
        let Some((entry, connected)) = self.cached(token, now) else { return Lookup::Unverified };
        self.verified.0.hits.fetch_add(1, Ordering::Relaxed);
        let principal = entry.principal.clone();
        let credentials = Credentials::bearer(entry.token.clone());
        let at = AuthenticatedAt { at: now, slot: CacheSlot::of(entry) };
        Lookup::Cached(self.check_request(connected, principal, credentials, evidence, at))
    }

    /// Verifies a token with its provider, then the evidence that its sender possesses the keys that it is bound to.
    ///
    /// # Errors
    /// [`Unauthenticated`]: the token or the evidence is bad, or the provider cannot be asked.
    pub(crate) async fn verify_with(
        &self,
        credentials: &Credentials,
        freshness: Freshness,
        evidence: &Evidence,
    ) -> Result<Authenticated, Unauthenticated> {
        if freshness == Freshness::Cached {
            self.verified.0.misses.fetch_add(1, Ordering::Relaxed);
        }
        let connected = self.provider_of(credentials)?;
        // Read first: a key that is withdrawn meanwhile makes the result one of an earlier epoch.
        let epoch = connected.provider.epoch();
        let (proof, fault) = evidence.claimed(connected.provider.verify_proof());
        let credentials = credentials.clone().with_proof(proof);
        let verified = connected.provider.authenticate(&credentials, freshness).await;
        let principal = verified.map_err(|AuthnFailure { error, client }| Unauthenticated {
            // The token is good, and what is wrong with the proof says more.
            error: match (error, fault) {
                (AuthnError::Rejected(Rejection::SenderConstrained), Some(fault)) => fault.into(),
                (error, _) => error,
            },
            provider: client.is_some().then(|| connected.name.clone()),
            client,
        })?;
        let now = self.clock.now();
        let mut slot = CacheSlot::default();
        if now < principal.cache_until() {
            let entry = Entry::new(credentials.token.clone(), connected.id, epoch, principal.clone());
            slot = CacheSlot::of(self.verified.0.insert(entry, now));
        }
        // The parsed parts of the token are not kept with the request.
        let credentials = Credentials::bearer(credentials.token.clone());
        self.check_request(connected, principal, credentials, evidence, AuthenticatedAt { at: now, slot })
    }

    /// Checks again whether a principal that was authenticated before is revoked: for streams that stay open. Does not
    /// wait.
    ///
    /// # Errors
    /// As [`RevocationCheck::check`].
    pub fn recheck(&self, principal: &Principal, credentials: &Credentials) -> Result<(), AuthnError> {
        self.revocations.recheck(principal, credentials, self.clock.now())
    }

    /// Makes the checks of every request, whether or not its token was cached (T2.14): the proof of possession and the
    /// revocations.
    fn check_request(
        &self,
        connected: &Connected,
        principal: Principal,
        credentials: Credentials,
        evidence: &Evidence,
        at: AuthenticatedAt,
    ) -> Result<Authenticated, Unauthenticated> {
        let verifier = connected.provider.verify_proof();
        let token = credentials.token.as_bytes();
        let checked =
            evidence.check(&principal, token, verifier, &self.verified.1, at.at).and_then(|proof| {
                self.revocations.check(&principal, &credentials, at.at)?;
                Ok(proof)
            });
        match checked {
            Ok(proof) => Ok(Authenticated { principal, credentials: credentials.with_proof(proof), at }),
            Err(error) => {
                let provider = Some(principal.provider().clone());
                Err(Unauthenticated { error, provider, client: principal.client().cloned() })
            }
        }
    }

    /// Returns the algorithms of DPoP proofs for a challenge: those of the providers that advertise DPoP, or of all
    /// providers for a request that has to do with DPoP already. Nothing if there are none.
    pub(crate) fn dpop_algorithms(&self, is_advertised: bool) -> Option<Box<str>> {
        let verifiers = self.providers.iter().filter_map(|connected| connected.provider.verify_proof());
        let mut names: Vec<&str> = Vec::new();
        for verifier in verifiers.filter(|verifier| !is_advertised || verifier.is_advertised()) {
            for name in verifier.algorithms().split(' ') {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        (!names.is_empty()).then(|| names.join(" ").into())
    }

    fn cached(&self, token: &[u8], now: Timestamp) -> Option<(Arc<Entry>, &Connected)> {
        let entry = self.verified.0.find(token)?;
        let connected = self.providers.iter().find(|connected| connected.id == entry.provider)?;
        let holds = connected.provider.epoch() == entry.epoch && now < entry.principal.cache_until();
        holds.then_some((entry, connected))
    }
}

#[cfg(test)]
impl AuthenticatedAt {
    /// The authentication of a token that is not cached.
    pub(crate) fn uncached(at: Timestamp) -> Self {
        Self { at, slot: CacheSlot::default() }
    }

    /// The authentication of a token that is cached.
    pub(crate) fn cached(principal: &Principal, at: Timestamp) -> Self {
        let token = scopegate_provider::BearerToken::parse("kept").unwrap();
        Self { at, slot: CacheSlot::of(Arc::new(Entry::new(token, 1, 1, principal.clone()))) }
    }
}

fn issuers(
    providers: &[Connected],
) -> Result<HashMap<Issuer, usize, ahash::RandomState>, AuthenticatorError> {
    let mut by_issuer = HashMap::<Issuer, usize, _>::default();
    for (index, connected) in providers.iter().enumerate() {
        for issuer in connected.provider.issuers() {
            let earlier = by_issuer.insert(issuer.clone(), index).and_then(|earlier| providers.get(earlier));
            if let Some(earlier) = earlier.filter(|earlier| earlier.id != connected.id) {
                let (first, second) = (earlier.name.clone(), connected.name.clone());
                return Err(AuthenticatorError::SharedIssuer { issuer: issuer.clone(), first, second });
            }
        }
    }
    Ok(by_issuer)
}

fn opaque(providers: &[Connected]) -> Result<Option<usize>, AuthenticatorError> {
    let mut takers =
        providers.iter().enumerate().filter(|(_, connected)| connected.provider.takes_opaque_tokens());
    let first = takers.next();
    match (first, takers.next()) {
        (Some((_, first)), Some((_, second))) => {
            Err(AuthenticatorError::SharedOpaque { first: first.name.clone(), second: second.name.clone() })
        }
        (first, _) => Ok(first.map(|(index, _)| index)),
    }
}

#[cfg(test)]
mod tests;
