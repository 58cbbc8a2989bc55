//! Who a verified token speaks for.

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    Audience, Claims, ClientId, Issuer, ProviderName, Role, ScopeSet, SessionId, Subject, Timestamp, TokenId,
};

/// Who a *verified* token speaks for. It exists only after every check ran (invariant 1): its fields are private and
/// its one constructor is [`Principal::assert_verified`].
#[derive(Clone)]
pub struct Principal(Arc<Verified>);

/// What a plugin has established about a token, every check done. See [`Principal::assert_verified`].
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
    /// Until when this may be answered from memory: expiry and leeway at most, sooner where the provider's answer may
    /// be kept for a shorter time only, and a moment not after now where it may not be kept at all.
    pub cache_until: Timestamp,
    /// The claims.
    pub claims: Claims,
}

impl Principal {
    /// Asserts that every check ran on the token from which `verified` was read: signature or introspection, issuer,
    /// audience, expiry and all else that the provider's settings ask for. The only way to make a principal, so that
    /// one search finds every place that claims one.
    pub fn assert_verified(verified: Verified) -> Self {
        Self(Arc::new(verified))
    }

    /// The provider that vouches for it.
    pub fn provider(&self) -> &ProviderName {
        &self.0.provider
    }

    /// The token's issuer.
    pub fn issuer(&self) -> &Issuer {
        &self.0.issuer
    }

    /// Whom the token speaks for, if it says so.
    pub fn subject(&self) -> Option<&Subject> {
        self.0.subject.as_ref()
    }

    /// The client that the token was issued to, if it says so.
    pub fn client(&self) -> Option<&ClientId> {
        self.0.client.as_ref()
    }

    /// Whom the token is meant for.
    pub fn audience(&self) -> &[Audience] {
        &self.0.audience
    }

    /// What the token may do.
    pub fn scopes(&self) -> &ScopeSet {
        &self.0.scopes
    }

    /// Roles and groups.
    pub fn roles(&self) -> &[Role] {
        &self.0.roles
    }

    /// The token's id, if it has one.
    pub fn token_id(&self) -> Option<&TokenId> {
        self.0.token_id.as_ref()
    }

    /// The session at the provider, if the token names one.
    pub fn session(&self) -> Option<&SessionId> {
        self.0.session.as_ref()
    }

    /// When the token was issued, if it says so.
    pub fn issued_at(&self) -> Option<Timestamp> {
        self.0.issued_at
    }

    /// When the token expires.
    pub fn expires_at(&self) -> Timestamp {
        self.0.expires_at
    }

    /// Returns the moment from which the token is no longer accepted: `exp` and the provider's leeway.
    pub fn accepted_until(&self) -> Timestamp {
        self.0.expires_at + self.0.leeway
    }

    /// Until when this principal may be answered from memory.
    pub fn cache_until(&self) -> Timestamp {
        self.0.cache_until
    }

    /// The verified claims.
    pub fn claims(&self) -> &Claims {
        &self.0.claims
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal")
            .field("provider", &self.0.provider)
            .field("issuer", &self.0.issuer)
            .field("subject", &self.0.subject)
            .field("client", &self.0.client)
            .field("scopes", &self.0.scopes)
            .finish_non_exhaustive()
    }
}
