//! The two ways in which a token does not become a principal, never the same type: it is bad, or the gate cannot tell now.

use std::{fmt, time::Duration};

use crate::{ClientId, Span, Timestamp};

/// Untrusted text, made fit for a message: at most 80 characters, none of them a control character.
#[derive(Clone, PartialEq, Eq)]
pub struct Excerpt(Box<str>);

impl Excerpt {
    /// An excerpt of `text`. Never call it on a token or a secret.
    pub fn new(text: &str) -> Self {
        let mut short: String =
            text.chars().take(80).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        if text.chars().nth(80).is_some() {
            short.push('…');
        }
        Self(short.into())
    }

    /// The excerpt's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Excerpt {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The token is bad: 401. A variant per reason; what a variant holds may be shown to the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// `alg` is not among those that the provider's settings allow (RFC 8725, section 3.1).
    #[error("the algorithm {found} is not allowed for this provider")]
    AlgorithmNotAllowed {
        /// The header's `alg`.
        found: Excerpt,
    },
    /// The header names no key, and more keys could have signed than are tried.
    #[error(
        "the token names no key (`kid`, `x5t`), and more keys of the issuer could have signed it than are tried"
    )]
    AmbiguousKey,
    /// None of the token's audiences is one of the provider's settings (RFC 7519, section 4.1.3).
    #[error("expected the audience `{expected}`, found {found}{advice}")]
    AudienceMismatch {
        /// The token's audience.
        found: Excerpt,
        /// The configured audiences.
        expected: Box<str>,
        /// Advice of the provider's kind, or nothing.
        advice: &'static str,
    },
    /// `allowed_clients` does not name the token's client.
    #[error("the client {found} is not among the allowed clients")]
    ClientNotAllowed {
        /// The token's client.
        found: Excerpt,
    },
    /// The header's `crit` names an extension that is not understood (RFC 7515, section 4.1.11).
    #[error("the header's `crit` asks for an extension that is not understood")]
    CriticalHeader,
    /// A member stands twice in the header or the claims (RFC 7519, section 4).
    #[error("the member {name} stands twice in the token")]
    DuplicateMember {
        /// The member.
        name: Excerpt,
    },
    /// A JWE: five parts, or `enc` in the header.
    #[error(
        "the token is encrypted and cannot be verified here; the client probably did not ask for this API's audience"
    )]
    Encrypted,
    /// `exp` has passed.
    #[error("the token expired at {expiry}, {} ago by this server's clock ({now})", span(*now, *expiry))]
    Expired {
        /// `exp`.
        expiry: Timestamp,
        /// The time here.
        now: Timestamp,
    },
    /// The rule wants the provider asked now, and this provider cannot be asked.
    #[error("the route requires a fresh answer from the provider, which does not support introspection")]
    FreshnessUnavailable,
    /// It is an ID token, which speaks to a client about a user, not to an API (OIDC Core, section 2).
    #[error("an ID token is not an access token")]
    IdToken,
    /// The token expired or was revoked while a stream that it opened was running.
    #[error("the token is no longer accepted: it expired or was revoked while the request ran")]
    Ended,
    /// The provider said that the token is not active (RFC 7662, section 2.2).
    #[error("the provider says that the token is not active")]
    Inactive,
    /// The certificate that a proxy forwards cannot be read (RFC 8705).
    #[error("the client certificate that the proxy forwards is not accepted: {detail}")]
    InvalidCertificate {
        /// The fault.
        detail: &'static str,
    },
    /// The DPoP proof is missing or does not hold for this request (RFC 9449, section 4.3).
    #[error("the DPoP proof is not accepted: {detail}")]
    InvalidProof {
        /// The failed check.
        detail: &'static str,
    },
    /// `iat` lies in the future.
    #[error("the token was issued at {issued_at}, {} ahead of this server's clock ({now})", span(*issued_at, *now))]
    IssuedInFuture {
        /// `iat`.
        issued_at: Timestamp,
        /// The time here.
        now: Timestamp,
    },
    /// `iss` is not the provider's issuer, byte for byte.
    #[error("expected the issuer `{expected}`, found {found}{}", slash(expected, found))]
    IssuerMismatch {
        /// The configured issuer.
        expected: Box<str>,
        /// The token's `iss`.
        found: Excerpt,
    },
    /// An administrator distrusts the key that signed.
    #[error("the key that signed the token is distrusted")]
    KeyDistrusted,
    /// `exp` is further away than `max_token_lifetime` allows.
    #[error("the token lives longer than this provider's tokens may")]
    LifetimeTooLong,
    /// It is not three parts of base64url with JSON objects in them.
    #[error("the token is malformed: {detail}")]
    Malformed {
        /// The expected type.
        detail: &'static str,
    },
    /// A required claim is missing.
    #[error("the claim `{claim}` is missing{advice}")]
    MissingClaim {
        /// The claim.
        claim: Box<str>,
        /// Advice of the provider's kind, or nothing.
        advice: &'static str,
    },
    /// A required member is missing in an introspection answer.
    #[error(
        "the provider's introspection answer lacks the member `{member}`, which `introspection.required_members` asks for"
    )]
    MissingMember {
        /// The member.
        member: &'static str,
    },
    /// The DPoP proof holds no nonce of this server, or an old one (RFC 9449, section 9).
    #[error("the DPoP proof needs the nonce of this server that the header DPoP-Nonce holds")]
    NonceRequired {
        /// A nonce for the next proof.
        nonce: Box<str>,
    },
    /// The token was sent with the scheme `DPoP`, and no key is bound to it.
    #[error("the token is not bound to a key, so that it cannot be sent with the scheme DPoP")]
    NotBound,
    /// `nbf` lies in the future.
    #[error("the token is valid from {not_before}, {} ahead of this server's clock ({now})", span(*not_before, *now))]
    NotYetValid {
        /// `nbf`.
        not_before: Timestamp,
        /// The time here.
        now: Timestamp,
    },
    /// It is no JWT, and no provider is configured to take opaque tokens.
    #[error("the token is not a JWT, and no provider takes opaque tokens")]
    Opaque,
    /// A claim that the settings require has another value.
    #[error("the claim `{claim}` does not have the required value")]
    RequiredClaim {
        /// The claim.
        claim: Box<str>,
    },
    /// The token is bound to another key than the one that the sender has proven to possess (RFC 9449, RFC 8705).
    #[error("the token is bound to another key than the one that was proven")]
    ProofMismatch,
    /// A revocation matches.
    #[error("the token has been revoked")]
    Revoked,
    /// The token is bound to a key (`cnf`, RFC 7800) of which no proof was checked.
    #[error("the token is bound to a key (`cnf`), and its proof of possession was not checked")]
    SenderConstrained,
    /// The signature is not the key's.
    #[error("the signature is invalid")]
    SignatureInvalid,
    /// It is longer than `server.limits.token`.
    #[error("the token is longer than {limit} bytes")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The header's `typ` is not one that this provider's tokens have (RFC 8725, section 3.11).
    #[error("tokens of the type {found} are not taken as access tokens of this provider")]
    TypeNotAllowed {
        /// The header's `typ`, `none` if it has none.
        found: Excerpt,
    },
    /// No configured provider has this issuer.
    #[error("no configured provider has the issuer {found}")]
    UnknownIssuer {
        /// The token's `iss`.
        found: Excerpt,
    },
    /// The issuer has no such key.
    #[error("the issuer has no key with this `kid`")]
    UnknownKey,
    /// A claim's JSON type is not the one that its definition asks for.
    #[error("the claim `{claim}` has the wrong JSON type: expected {expected}")]
    WrongType {
        /// The claim.
        claim: Box<str>,
        /// The expected type.
        expected: &'static str,
    },
}

/// The time from `earlier` to `later` in words.
fn span(later: Timestamp, earlier: Timestamp) -> Span {
    Span::from_secs(later.since(earlier).as_secs())
}

fn slash(expected: &str, found: &Excerpt) -> &'static str {
    let found = found.as_str();
    if expected.strip_suffix('/') == Some(found) || found.strip_suffix('/') == Some(expected) {
        " (they differ in the final slash)"
    } else {
        ""
    }
}

impl Rejection {
    /// The reason's name in the one vocabulary of bodies, logs, metrics and audit.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::AlgorithmNotAllowed { .. } => "algorithm_not_allowed",
            Self::AmbiguousKey => "ambiguous_key",
            Self::AudienceMismatch { .. } => "audience_mismatch",
            Self::ClientNotAllowed { .. } => "client_not_allowed",
            Self::CriticalHeader => "critical_header",
            Self::DuplicateMember { .. } => "duplicate_member",
            Self::Encrypted => "encrypted_token",
            Self::Expired { .. } | Self::Ended => "expired",
            Self::FreshnessUnavailable => "freshness_unavailable",
            Self::IdToken => "id_token",
            Self::Inactive => "inactive",
            Self::InvalidCertificate { .. } => "invalid_client_certificate",
            Self::InvalidProof { .. } => "invalid_dpop_proof",
            Self::IssuedInFuture { .. } => "issued_in_future",
            Self::IssuerMismatch { .. } => "issuer_mismatch",
            Self::KeyDistrusted => "key_distrusted",
            Self::LifetimeTooLong => "lifetime_too_long",
            Self::Malformed { .. } => "malformed_token",
            Self::MissingClaim { .. } | Self::MissingMember { .. } => "missing_claim",
            Self::NonceRequired { .. } => "use_dpop_nonce",
            Self::NotBound => "token_not_bound",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::Opaque => "opaque_token",
            Self::RequiredClaim { .. } => "required_claim",
            Self::ProofMismatch => "proof_key_mismatch",
            Self::Revoked => "revoked",
            Self::SenderConstrained => "sender_constrained",
            Self::SignatureInvalid => "signature_invalid",
            Self::TooLong { .. } => "token_too_long",
            Self::TypeNotAllowed { .. } => "type_not_allowed",
            Self::UnknownIssuer { .. } => "unknown_issuer",
            Self::UnknownKey => "unknown_key",
            Self::WrongType { .. } => "wrong_claim_type",
        }
    }
}

/// The gate cannot tell now whether the token is good: 503 with `Retry-After`. Never an answer about the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct Outage {
    /// The cause.
    #[source]
    pub cause: OutageCause,
    /// The time after which a new attempt is worthwhile.
    pub retry_after: Duration,
}

impl Outage {
    /// An outage that is worth a new try after `retry_after`.
    pub fn new(cause: OutageCause, retry_after: Duration) -> Self {
        Self { cause, retry_after }
    }
}

/// The cause of an outage. Details of the provider's answers go to the log, not into these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum OutageCause {
    /// An administrator has disabled the provider.
    #[error("the provider is disabled")]
    Disabled,
    /// The introspection endpoint did not answer as it should.
    #[error("the provider's introspection endpoint does not answer as it should")]
    Introspection,
    /// The issuer's keys are older than `jwks.stale_if_error` allows.
    #[error("the provider's keys are too old to be trusted, and new ones cannot be had")]
    KeysStale,
    /// The issuer's keys could not be fetched yet.
    #[error("the provider's keys could not be fetched yet")]
    KeysUnavailable,
    /// More tokens wait for verification than this node takes on.
    #[error("too many tokens wait for verification")]
    Overloaded,
    /// This node has not heard of changes of the policy for longer than `store.max_staleness` allows.
    #[error("the policy has not been heard of for too long")]
    PolicyStale,
    /// The provider's token, revocation or another endpoint did not answer as it should.
    #[error("the provider does not answer as it should")]
    Provider,
    /// This node has not heard of revocations for longer than `store.max_staleness` allows.
    #[error("revocations have not been heard of for too long")]
    RevocationsStale,
    /// The status list that a token refers to cannot be had, or does not hold.
    #[error("the provider's status list cannot be had")]
    StatusList,
}

impl OutageCause {
    /// The reason's name in the one vocabulary of bodies, logs, metrics and audit.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Disabled => "provider_disabled",
            Self::Introspection => "introspection_unavailable",
            Self::KeysStale => "keys_stale",
            Self::KeysUnavailable => "keys_unavailable",
            Self::Overloaded => "overloaded",
            Self::PolicyStale => "policy_stale",
            Self::Provider => "provider_unavailable",
            Self::RevocationsStale => "revocations_stale",
            Self::StatusList => "status_list_unavailable",
        }
    }
}

/// A token without a principal: it is bad, or the gate cannot tell now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthnError {
    /// The token is bad.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The gate cannot tell now.
    #[error(transparent)]
    Unavailable(#[from] Outage),
}

impl AuthnError {
    /// The reason's name in the one vocabulary of bodies, logs, metrics and audit.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Rejected(rejection) => rejection.reason(),
            Self::Unavailable(outage) => outage.cause.reason(),
        }
    }
}

/// The error of [`Provider::authenticate`](crate::Provider::authenticate), and the client of the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct AuthnFailure {
    /// The error.
    #[source]
    pub error: AuthnError,
    /// The client to which the token was issued, where its issuer vouches for that: it signed the token or was asked
    /// about it. Never an unverified claim.
    pub client: Option<ClientId>,
}

impl From<AuthnError> for AuthnFailure {
    fn from(error: AuthnError) -> Self {
        Self { error, client: None }
    }
}

impl From<AuthnFailure> for AuthnError {
    /// Drops the client.
    fn from(failure: AuthnFailure) -> Self {
        failure.error
    }
}

impl From<Rejection> for AuthnFailure {
    fn from(rejection: Rejection) -> Self {
        AuthnError::from(rejection).into()
    }
}

impl From<Outage> for AuthnFailure {
    fn from(outage: Outage) -> Self {
        AuthnError::from(outage).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_final_slash_is_pointed_at() {
        let rejection = Rejection::IssuerMismatch {
            expected: "https://acme.eu.auth0.com/".into(),
            found: "https://acme.eu.auth0.com".into(),
        };
        assert!(rejection.to_string().ends_with("(they differ in the final slash)"), "{rejection}");
    }

    #[test]
    fn an_excerpt_is_short_and_holds_no_line_break() {
        let excerpt = Excerpt::new(&"a\n".repeat(100));
        assert!(excerpt.as_str().chars().count() == 81 && !excerpt.as_str().contains('\n'));
    }
}
