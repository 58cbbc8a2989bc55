//! The caller of a verified token.

use std::{fmt, sync::Arc, time::Duration};

use serde_json::{Map, Value};

use crate::{
    Actor, Audience, Binding, Claims, ClientId, Facts, Issuer, ProviderName, Role, ScopeSet, SessionId,
    Subject, Timestamp, TokenId,
};

/// The caller of a *verified* token. It exists only after every check ran (invariant 1): its fields are private and
/// its constructors are [`Principal::assert_verified`] and [`Principal::assert_verified_with`].
#[derive(Clone)]
pub struct Principal(Arc<Caller>);

#[derive(Clone)]
struct Caller {
    verified: Verified,
    /// Absent for the many tokens that state none.
    facts: Option<Box<Facts>>,
}

/// The findings of a plugin about a token, every check done. See [`Principal::assert_verified`].
#[derive(Clone, Debug)]
pub struct Verified {
    /// The provider that vouches for it.
    pub provider: ProviderName,
    /// The token's issuer: one of the provider's.
    pub issuer: Issuer,
    /// `sub`; some providers' machine tokens have none.
    pub subject: Option<Subject>,
    /// The client that the token was issued to.
    pub client: Option<ClientId>,
    /// `aud`, as the token has it; empty where the issuer's tokens carry none.
    pub audience: Arc<[Audience]>,
    /// The scopes in our names, after the provider's mapping.
    pub scopes: ScopeSet,
    /// Roles and groups.
    pub roles: Box<[Role]>,
    /// `jti`.
    pub token_id: Option<TokenId>,
    /// `sid`.
    pub session: Option<SessionId>,
    /// `iat`; a token without one counts as older than every revocation.
    pub issued_at: Option<Timestamp>,
    /// `exp`.
    pub expires_at: Timestamp,
    /// The time after `exp` for which the provider's settings still accept the token.
    pub leeway: Duration,
    /// The end of the time in which this may be answered from memory: expiry and leeway at most, sooner where the
    /// provider's answer may be kept for a shorter time only, and a moment not after now where it may not be kept at all.
    pub cache_until: Timestamp,
    /// The claims.
    pub claims: Claims,
}

impl Principal {
    /// Asserts that every check ran on the token from which `verified` was read: signature or introspection, issuer,
    /// audience, expiry, binding and all else that the provider's settings ask for. The name is the same wherever a
    /// principal is made, so that one search finds every place that claims one.
    pub fn assert_verified(verified: Verified) -> Self {
        Self(Arc::new(Caller { verified, facts: None }))
    }

    /// Asserts the same, of a token that states further facts.
    pub fn assert_verified_with(verified: Verified, facts: Facts) -> Self {
        let facts = (facts != Facts::default()).then(|| Box::new(facts));
        Self(Arc::new(Caller { verified, facts }))
    }

    /// Shortens the time in which the principal may be answered from memory. It never becomes longer.
    #[must_use]
    pub fn cached_until(self, until: Timestamp) -> Self {
        let mut caller = Arc::unwrap_or_clone(self.0);
        caller.verified.cache_until = caller.verified.cache_until.min(until);
        Self(Arc::new(caller))
    }

    fn facts(&self) -> Option<&Facts> {
        self.0.facts.as_deref()
    }

    /// Further names by which the provider's signals know the subject.
    pub fn aliases(&self) -> &[Subject] {
        self.facts().map_or(&[], |facts| &facts.aliases)
    }

    /// The provider that vouches for it.
    pub fn provider(&self) -> &ProviderName {
        &self.0.verified.provider
    }

    /// The token's issuer.
    pub fn issuer(&self) -> &Issuer {
        &self.0.verified.issuer
    }

    /// The token's subject, if it has one.
    pub fn subject(&self) -> Option<&Subject> {
        self.0.verified.subject.as_ref()
    }

    /// The client that the token was issued to, if it says so.
    pub fn client(&self) -> Option<&ClientId> {
        self.0.verified.client.as_ref()
    }

    /// The audiences that the token is meant for.
    pub fn audience(&self) -> &[Audience] {
        &self.0.verified.audience
    }

    /// The scopes that the token grants.
    pub fn scopes(&self) -> &ScopeSet {
        &self.0.verified.scopes
    }

    /// Roles and groups.
    pub fn roles(&self) -> &[Role] {
        &self.0.verified.roles
    }

    /// The token's id, if it has one.
    pub fn token_id(&self) -> Option<&TokenId> {
        self.0.verified.token_id.as_ref()
    }

    /// The session at the provider, if the token names one.
    pub fn session(&self) -> Option<&SessionId> {
        self.0.verified.session.as_ref()
    }

    /// The moment at which the token was issued, if it says so.
    pub fn issued_at(&self) -> Option<Timestamp> {
        self.0.verified.issued_at
    }

    /// The moment at which the token expires.
    pub fn expires_at(&self) -> Timestamp {
        self.0.verified.expires_at
    }

    /// Returns the moment from which the token is no longer accepted: `exp` and the provider's leeway.
    pub fn accepted_until(&self) -> Timestamp {
        self.0.verified.expires_at + self.0.verified.leeway
    }

    /// Returns the leeway that the provider's settings grant for clocks that differ.
    pub fn leeway(&self) -> Duration {
        self.0.verified.leeway
    }

    /// The end of the time in which this principal may be answered from memory.
    pub fn cache_until(&self) -> Timestamp {
        self.0.verified.cache_until
    }

    /// The verified claims.
    pub fn claims(&self) -> &Claims {
        &self.0.verified.claims
    }

    /// The authentication context class (`acr`), if the token names one.
    pub fn acr(&self) -> Option<&str> {
        self.facts()?.acr.as_deref()
    }

    /// The moment of the caller's last sign-in (`auth_time`), if the token names it.
    pub fn auth_time(&self) -> Option<Timestamp> {
        self.facts()?.auth_time
    }

    /// The current actor (outermost `act`), if the token is used on behalf of its subject.
    pub fn actor(&self) -> Option<&Actor> {
        self.facts()?.actor.as_ref()
    }

    /// The authorization details (RFC 9396).
    pub fn authorization_details(&self) -> &[Map<String, Value>] {
        self.facts().map_or(&[], |facts| &facts.authorization_details)
    }

    /// The keys that the token is bound to.
    pub fn binding(&self) -> Binding {
        self.facts().map_or_else(Binding::default, |facts| facts.binding)
    }

    /// Returns `true` if the provider left the caller's groups out of the token.
    pub fn groups_omitted(&self) -> bool {
        self.facts().is_some_and(|facts| facts.groups_omitted)
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal")
            .field("provider", self.provider())
            .field("issuer", self.issuer())
            .field("subject", &self.subject())
            .field("client", &self.client())
            .field("scopes", self.scopes())
            .finish_non_exhaustive()
    }
}
