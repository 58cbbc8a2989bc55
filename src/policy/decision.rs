//! Decisions, and the vocabulary of their reasons.

use http::Method;
use scopegate_provider::{ScopeSet, Span};

use super::{Irregularities, McpError, Route, TargetError, settings::ProofRequirement};
use crate::reason::Reason;

/// The decision about a request.
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
    /// The route that decided; `None` if no route did.
    pub route: Option<&'p Route>,
    /// The reason.
    pub denial: Denial,
}

/// The reason of a denial, and what would satisfy the rule. It tells a caller no more about the policy than RFC 6750 and
/// RFC 9470 ask for.
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
    #[error("the path is irregular, and the route does not accept it: it holds {}", .0.described())]
    IrregularPath(Irregularities),
    /// An interpretation of the irregular path is never acceptable.
    #[error("one way to read the path is not acceptable: {0}")]
    Interpretation(TargetError),
    /// The headers of an MCP request cannot be relied on.
    #[error(transparent)]
    Mcp(McpError),
    /// The rule is `allow: nobody`.
    #[error("nobody may do this")]
    Nobody,
    /// A token is needed.
    #[error("this needs a token")]
    NoToken {
        /// The smallest set of scopes that satisfies the rule, if scopes do.
        scopes: Option<ScopeSet>,
    },
    /// Further scopes are needed.
    #[error("the token lacks {}", list(missing))]
    InsufficientScope {
        /// The missing scopes.
        missing: ScopeSet,
        /// The whole smallest set that satisfies the rule (RFC 6750, section 3).
        required: ScopeSet,
    },
    /// The caller has to sign in again (RFC 9470).
    #[error("this needs {}", sign_in(acr_values, *max_age))]
    InsufficientUserAuthentication {
        /// The authentication context classes of which one is needed, the preferred one first.
        acr_values: Box<[Box<str>]>,
        /// The longest time since the sign-in.
        max_age: Option<Span>,
        /// The missing scopes.
        missing: ScopeSet,
        /// The whole smallest set of scopes that satisfies the rule.
        required: ScopeSet,
    },
    /// A sign-in is needed, and the token is not a person's.
    #[error("this needs the sign-in of a person, and the token is a client's own")]
    UserRequired,
    /// The token is not bound to a key, or to another kind of key than required.
    #[error("this needs {proof}")]
    ProofRequired {
        /// The required kind.
        proof: ProofRequirement,
    },
    /// The caller has none of the roles.
    #[error("the caller has none of the roles that this needs")]
    RoleMissing,
    /// The provider left the caller's groups out of the token, so that its roles are unknown.
    #[error(
        "the provider left the caller's groups out of the token, as there are too many: assign roles, or let the provider send only the groups that are assigned to the application"
    )]
    GroupsOmitted,
    /// A claim has another value.
    #[error("a claim of the token does not have the value that this needs")]
    ClaimMismatch,
    /// The token has another actor than required.
    #[error("the token's actor may not do this")]
    ActorNotAllowed,
    /// The token lacks authorization details (RFC 9396).
    #[error("the token lacks authorization details that this needs")]
    DetailsMissing,
    /// The token was issued to another client.
    #[error("the token's client may not do this")]
    ClientNotAllowed,
    /// Another provider issued the token.
    #[error("tokens of this provider are not enough for this")]
    ProviderNotAllowed,
    /// The token is meant for another resource (RFC 8707).
    #[error("the token is meant for another audience than this resource")]
    AudienceNotAllowed,
}

impl Denial {
    /// Returns its name in the vocabulary of reasons.
    pub fn reason(&self) -> Reason {
        match self {
            Self::NoRoute => Reason::NoRoute,
            Self::MethodNotAllowed { .. } => Reason::MethodNotAllowed,
            Self::IrregularPath(_) => Reason::IrregularPath,
            Self::Interpretation(error) => error.reason(),
            Self::Mcp(_) => Reason::McpHeaders,
            Self::Nobody => Reason::Nobody,
            Self::NoToken { .. } => Reason::NoToken,
            Self::InsufficientScope { .. } => Reason::InsufficientScope,
            Self::InsufficientUserAuthentication { .. } => Reason::InsufficientUserAuthentication,
            Self::UserRequired => Reason::UserRequired,
            Self::ProofRequired { .. } => Reason::ProofRequired,
            Self::RoleMissing => Reason::RoleMissing,
            Self::GroupsOmitted => Reason::GroupsOmitted,
            Self::ActorNotAllowed => Reason::ActorNotAllowed,
            Self::DetailsMissing => Reason::DetailsMissing,
            Self::ClaimMismatch => Reason::ClaimMismatch,
            Self::ClientNotAllowed => Reason::ClientNotAllowedByRule,
            Self::ProviderNotAllowed => Reason::ProviderNotAllowed,
            Self::AudienceNotAllowed => Reason::AudienceNotAllowed,
        }
    }

    /// Returns the scopes that the token lacks, where scopes would do.
    pub fn missing_scopes(&self) -> Option<&ScopeSet> {
        match self {
            Self::InsufficientScope { missing, .. } => Some(missing),
            Self::InsufficientUserAuthentication { missing, .. } => {
                Some(missing).filter(|set| !set.is_empty())
            }
            _ => None,
        }
    }

    /// Returns the challenge's `scope`: the whole smallest set that satisfies the rule; `None` where scopes do not help.
    pub fn challenge_scopes(&self) -> Option<&ScopeSet> {
        match self {
            Self::InsufficientScope { required, .. } => Some(required),
            Self::InsufficientUserAuthentication { required, .. } => {
                Some(required).filter(|set| !set.is_empty())
            }
            Self::NoToken { scopes } => scopes.as_ref(),
            _ => None,
        }
    }
}

fn sign_in(acr_values: &[Box<str>], max_age: Option<Span>) -> String {
    let strength = if acr_values.is_empty() { "a sign-in" } else { "a stronger sign-in" };
    let age = max_age.map(|age| format!(" within the last {age}")).unwrap_or_default();
    strength.to_owned() + &age
}

fn list(scopes: &ScopeSet) -> String {
    let names: Vec<String> = scopes.iter().map(|scope| format!("`{scope}`")).collect();
    format!("the scope{} {}", if names.len() == 1 { "" } else { "s" }, names.join(", "))
}
