//! The authenticator, which turns tokens into principals: it chooses the provider, looks into the cache, and checks the
//! revocations.

mod cache;
mod derived;
mod forwarded_certificate;
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
    time::Duration,
};

use scopegate_oidc::Form;
use scopegate_provider::{
    AuthnError, AuthnFailure, CertificateHeader, ClientId, Clock, Credentials, Excerpt, Freshness, Issuer,
    Outage, Principal, Provider, ProviderName, Rejection, Timestamp,
};

use self::{
    cache::{Entry, TokenCache},
    replay::ReplayMemory,
};
pub(crate) use self::{
    derived::{CacheSlot, DerivedToken},
    possession::{CertificateEvidence, DpopEvidence, Evidence, TokenScheme},
};
use crate::store::ProviderState;

/// The time between two removals of expired tokens.
const CLEAN_UP: Duration = Duration::from_secs(30);

/// A source of revocations. It is consulted on every request, whether or not the token is cached.
pub trait RevocationCheck: Send + Sync + fmt::Debug {
    /// Checks whether the principal of a verified token is revoked at `now`.
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

    /// Checks whether the policy of this node is recent enough to decide by (`store.max_staleness.policy`).
    ///
    /// # Errors
    /// The policy may be too old.
    fn policy_is_fresh(&self) -> Result<(), Outage> {
        Ok(())
    }
}

/// A source without revocations, for programs without a store.
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
    /// Creates the record of a provider that was just connected.
    pub fn new(name: ProviderName, provider: Arc<dyn Provider>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self { name, provider, id: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    /// Returns its name in the configuration.
    pub fn name(&self) -> &ProviderName {
        &self.name
    }

    /// Returns the provider.
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

/// Conflicts between providers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthenticatorError {
    /// Two providers have the same issuer, so that it is undefined which of them verifies its tokens.
    #[error("the providers `{first}` and `{second}` have the same issuer `{issuer}`")]
    SharedIssuer {
        /// The issuer.
        issuer: Issuer,
        /// The provider named first.
        first: ProviderName,
        /// The other.
        second: ProviderName,
    },
    /// Two providers expect the certificates of clients in different headers: one of them could be the client's own.
    #[error(
        "the providers `{first}` and `{second}` have different `proof.certificate_header`s; proxies must set one"
    )]
    SeveralCertificateHeaders {
        /// The provider named first.
        first: ProviderName,
        /// The other.
        second: ProviderName,
    },
    /// Two providers take opaque tokens: a token would be sent to one that did not issue it (invariant 12).
    #[error("the providers `{first}` and `{second}` both take opaque tokens; only one may")]
    SharedOpaque {
        /// The provider named first.
        first: ProviderName,
        /// The other.
        second: ProviderName,
    },
}

/// The failure to authenticate a token.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{error}")]
pub struct Unauthenticated {
    /// The token is bad, or its provider cannot be reached.
    #[source]
    pub error: AuthnError,
    /// The provider that verified the client.
    pub provider: Option<ProviderName>,
    /// The client to which the token was issued, if that was verified before the token was refused, such as for a revoked
    /// or expired one. Never an unverified claim.
    pub client: Option<ClientId>,
}

impl From<Rejection> for Unauthenticated {
    fn from(rejection: Rejection) -> Self {
        Self { error: rejection.into(), provider: None, client: None }
    }
}

/// Verified tokens and used proofs that outlive one [`Authenticator`]: those before and after a reload share them.
#[derive(Debug, Clone)]
pub struct VerifiedTokens(Arc<TokenCache>, Arc<ReplayMemory>);

impl VerifiedTokens {
    /// Creates room for about `capacity` tokens.
    pub fn new(capacity: usize) -> Self {
        Self(Arc::new(TokenCache::new(capacity)), Arc::new(ReplayMemory::new()))
    }

    /// Returns the number of tokens that are kept, including expired ones that were not removed yet.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Removes expired tokens twice a minute for as long as others use these tokens, so that a steady load needs a steady
    /// amount of memory.
    pub(crate) fn remove_expired_regularly(&self, clock: Arc<dyn Clock>) {
        let tokens = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(CLEAN_UP).await;
                let Some(tokens) = tokens.upgrade() else { return };
                let now = clock.now();
                // A walk through a large table would hold up a worker of the runtime.
                let _ = tokio::task::spawn_blocking(move || tokens.remove_expired(now)).await;
            }
        });
    }

    /// Returns the number of look-ups that found a usable principal.
    pub fn hits(&self) -> u64 {
        self.0.hits.load(Ordering::Relaxed)
    }

    /// Returns the number of look-ups that found none.
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
    certificate_header: Option<CertificateHeader>,
    verified: VerifiedTokens,
    revocations: Arc<dyn RevocationCheck>,
    clock: Arc<dyn Clock>,
}

impl Authenticator {
    /// Creates an authenticator of connected providers.
    ///
    /// # Errors
    /// [`AuthenticatorError`] if two of them would verify the same tokens.
    pub fn new(
        providers: Vec<Connected>,
        verified: VerifiedTokens,
        revocations: Arc<dyn RevocationCheck>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, AuthenticatorError> {
        let by_issuer = issuers(&providers)?;
        let opaque = opaque(&providers)?;
        let certificate_header = certificate_header(&providers)?;
        let providers = providers.into();
        Ok(Self { providers, by_issuer, opaque, certificate_header, verified, revocations, clock })
    }

    /// Creates an authenticator of at most one provider, which shares its tokens with no other.
    pub(crate) fn of_one(provider: Option<Connected>, clock: Arc<dyn Clock>) -> Self {
        let by_issuer = provider.iter().flat_map(|connected| connected.provider.issuers());
        let takes_opaque =
            provider.as_ref().is_some_and(|connected| connected.provider.takes_opaque_tokens());
        Self {
            by_issuer: by_issuer.map(|issuer| (issuer.clone(), 0)).collect(),
            opaque: takes_opaque.then_some(0),
            certificate_header: None,
            providers: provider.into_iter().collect(),
            verified: VerifiedTokens::new(0),
            revocations: Arc::new(NoRevocations),
            clock,
        }
    }

    /// Returns the connected providers, in the order of the configuration.
    pub fn providers(&self) -> &[Connected] {
        &self.providers
    }

    /// Checks whether this node may decide by its policy.
    ///
    /// # Errors
    /// The policy may be too old.
    pub fn policy_is_fresh(&self) -> Result<(), Outage> {
        self.revocations.policy_is_fresh()
    }

    /// Returns the provider of this name.
    pub fn provider(&self, name: &str) -> Option<&Connected> {
        self.providers.iter().find(|connected| connected.name.as_str() == name)
    }

    /// Returns the provider that verifies this token: that of its unverified issuer, or the one that takes opaque tokens.
    ///
    /// # Errors
    /// No configured provider issued the token.
    pub fn provider_of(&self, credentials: &Credentials) -> Result<&Connected, Rejection> {
        let opaque = self.opaque.and_then(|index| self.providers.get(index));
        match Form::of(credentials)? {
            Form::Jwt(jwt) => {
                let issuer = jwt.unverified_issuer()?;
                let connected = self.by_issuer.get(issuer).and_then(|index| self.providers.get(*index));
                let connected =
                    connected.or_else(|| self.providers.iter().find(|known| known.provider.serves(issuer)));
                connected.ok_or_else(|| Rejection::UnknownIssuer { found: Excerpt::new(issuer) })
            }
            Form::Encrypted => opaque.ok_or(Rejection::Encrypted),
            Form::Opaque => opaque.ok_or(Rejection::Opaque),
        }
    }

    /// Authenticates a token: from the cache if possible, else by its provider.
    ///
    /// # Errors
    /// [`AuthnError`]: the token is bad, or the provider cannot be reached.
    pub async fn authenticate(
        &self,
        credentials: &Credentials,
        freshness: Freshness,
    ) -> Result<Principal, AuthnError> {
        let evidence = Evidence::proven(credentials.proof);
        let authenticated = match self.lookup(credentials.token.as_bytes(), freshness, &evidence) {
            Lookup::Cached(authenticated) => authenticated,
            Lookup::Unverified => self.verify(credentials, freshness, &evidence).await,
        };
        authenticated.map(|authenticated| authenticated.principal).map_err(|refused| refused.error)
    }

    /// Returns the time at which tokens and sign-ins are verified.
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
    /// [`Unauthenticated`]: the token or the evidence is bad, or the provider cannot be reached.
    pub(crate) async fn verify(
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

    /// Returns the connection of a provider and the epoch of its answers: an open stream is verified again when either
    /// changes. None if the provider is no longer configured.
    pub(crate) fn standing(&self, provider: &ProviderName) -> Option<(u64, u64)> {
        let connected = self.provider(provider.as_str())?;
        Some((connected.id, connected.provider.epoch()))
    }

    /// Verifies the token of an open stream again, as its provider is now. The cache answers where it can. The proof that
    /// opened the stream holds until its end.
    ///
    /// # Errors
    /// As [`Authenticator::authenticate`].
    pub(crate) async fn reverify(&self, credentials: &Credentials) -> Result<(), AuthnError> {
        if self.cached(credentials.token.as_bytes(), self.clock.now()).is_some() {
            return Ok(());
        }
        let evidence = Evidence::proven(credentials.proof);
        let verified = self.verify(credentials, Freshness::Cached, &evidence).await;
        verified.map(drop).map_err(|refused| refused.error)
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

    /// Returns the header in which trusted proxies forward the certificates of their clients, if one is configured.
    pub(crate) fn certificate_header(&self) -> Option<&CertificateHeader> {
        self.certificate_header.as_ref()
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

/// Returns the one header in which proxies forward the certificates of their clients.
fn certificate_header(providers: &[Connected]) -> Result<Option<CertificateHeader>, AuthenticatorError> {
    let mut found: Option<(&Connected, &CertificateHeader)> = None;
    for connected in providers {
        let header = connected.provider.verify_proof().and_then(|verifier| verifier.certificate_header());
        match (found, header) {
            (Some((first, known)), Some(header)) if known != header => {
                let (first, second) = (first.name.clone(), connected.name.clone());
                return Err(AuthenticatorError::SeveralCertificateHeaders { first, second });
            }
            (None, Some(header)) => found = Some((connected, header)),
            _ => {}
        }
    }
    Ok(found.map(|(_, header)| header.clone()))
}

#[cfg(test)]
mod tests;
