//! What the policy says to a request, and the one vocabulary in which it says why not.

use http::Method;
use scopegate_provider::ScopeSet;

use super::{Irregularities, Route, TargetError};
use crate::reason::Reason;

/// The policy's answer.
#[derive(Debug, Clone)]
pub enum Decision<'p> {
    /// The request may pass.
    Permit {
        /// The route that decided.
        route: &'p Route,
    },
    /// It may not.
    Deny(Refused<'p>),
}

/// A denial, and the route that it came from.
#[derive(Debug, Clone)]
pub struct Refused<'p> {
    /// The route that decided; none where no route did.
    pub route: Option<&'p Route>,
    /// Why.
    pub denial: Denial,
}

/// Why a request is denied, and what would satisfy the rule. Nothing in it tells a caller more about the policy than
/// RFC 6750 asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// No pattern matches.
    #[error("no route leads there")]
    NoRoute,
    /// A pattern matches, but none of its routes names the method.
    #[error("the method is not allowed here")]
    MethodNotAllowed {
        /// The methods that are, for `Allow` (RFC 9110, section 10.2.1).
        allowed: Box<[Method]>,
    },
    /// The path is irregular in a way that the route does not accept.
    #[error("the path is irregular: {0}")]
    IrregularPath(Irregularities),
    /// A reading of the irregular path is never acceptable.
    #[error("one way to read the path is not acceptable: {0}")]
    Interpretation(TargetError),
    /// The rule is `allow: nobody`.
    #[error("nobody may do this")]
    Nobody,
    /// A token is needed.
    #[error("this needs a token")]
    NoToken {
        /// The smallest set of scopes that satisfies the rule, if scopes do.
        scopes: Option<ScopeSet>,
    },
    /// More scopes would do.
    #[error("the token lacks {}", list(missing))]
    InsufficientScope {
        /// What the token lacks.
        missing: ScopeSet,
        /// The whole smallest set that satisfies the rule (RFC 6750, section 3).
        required: ScopeSet,
    },
    /// The caller has none of the roles.
    #[error("the caller has none of the roles that this needs")]
    RoleMissing,
    /// A claim has another value.
    #[error("a claim of the token does not have the value that this needs")]
    ClaimMismatch,
    /// The token was issued to another client.
    #[error("the token's client may not do this")]
    ClientNotAllowed,
    /// Another provider vouches for the token.
    #[error("tokens of this provider are not enough for this")]
    ProviderNotAllowed,
    /// The token is meant for another audience.
    #[error("the token's audience is not this route's")]
    AudienceNotAllowed,
}

impl Denial {
    /// Its name in the one vocabulary.
    pub fn reason(&self) -> Reason {
        match self {
            Self::NoRoute => Reason::NoRoute,
            Self::MethodNotAllowed { .. } => Reason::MethodNotAllowed,
            Self::IrregularPath(_) => Reason::IrregularPath,
            Self::Interpretation(error) => error.reason(),
            Self::Nobody => Reason::Nobody,
            Self::NoToken { .. } => Reason::NoToken,
            Self::InsufficientScope { .. } => Reason::InsufficientScope,
            Self::RoleMissing => Reason::RoleMissing,
            Self::ClaimMismatch => Reason::ClaimMismatch,
            Self::ClientNotAllowed => Reason::ClientNotAllowedByRule,
            Self::ProviderNotAllowed => Reason::ProviderNotAllowed,
            Self::AudienceNotAllowed => Reason::AudienceNotAllowed,
        }
    }

    /// What the token lacks, where scopes would do.
    pub fn missing_scopes(&self) -> Option<&ScopeSet> {
        match self {
            Self::InsufficientScope { missing, .. } => Some(missing),
            _ => None,
        }
    }

    /// The challenge's `scope`: the whole smallest set that satisfies the rule. None where scopes alone do not help.
    pub fn challenge_scopes(&self) -> Option<&ScopeSet> {
        match self {
            Self::InsufficientScope { required, .. } => Some(required),
            Self::NoToken { scopes } => scopes.as_ref(),
            _ => None,
        }
    }
}

fn list(scopes: &ScopeSet) -> String {
    let names: Vec<String> = scopes.iter().map(|scope| format!("`{scope}`")).collect();
    format!("the scope{} {}", if names.len() == 1 { "" } else { "s" }, names.join(", "))
}
