//! What a route asks of a caller.

use std::{cmp::Ordering, fmt};

use scopegate_provider::{Principal, Scope, ScopeSet};

use super::{Alternative, ClaimTest, Denial};

/// What a route asks of a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// `allow: anonymous`: everybody; a token is not looked at.
    Anonymous,
    /// `allow: optional`: everybody without a token, or with a good one.
    Optional,
    /// `allow: authenticated`: any good token.
    Authenticated,
    /// `allow: nobody`.
    Nobody,
    /// `require`: a good token that has one of these alternatives, of which there is at least one.
    Require(Box<[Alternative]>),
}

/// What is to be done with a token before the rule is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TokenUse {
    /// It is not looked at.
    Ignored,
    /// There may be none; one that is there must be good.
    Optional,
    /// There must be one.
    Required,
}

impl Rule {
    /// Whether a token is to be looked at.
    pub fn token_use(&self) -> TokenUse {
        match self {
            Self::Anonymous | Self::Nobody => TokenUse::Ignored,
            Self::Optional => TokenUse::Optional,
            Self::Authenticated | Self::Require(_) => TokenUse::Required,
        }
    }

    /// Whether `principal`, none if no token came, satisfies the rule.
    ///
    /// # Errors
    /// Why not, and which scopes would do.
    pub fn decide(&self, principal: Option<&Principal>) -> Result<(), Denial> {
        match (self, principal) {
            (Self::Anonymous | Self::Optional, _) | (Self::Authenticated, Some(_)) => Ok(()),
            (Self::Nobody, _) => Err(Denial::Nobody),
            (Self::Authenticated | Self::Require(_), None) => {
                Err(Denial::NoToken { scopes: self.smallest_scopes() })
            }
            (Self::Require(alternatives), Some(principal)) => {
                if alternatives.iter().any(|one| one.permits(principal)) {
                    return Ok(());
                }
                Err(refuse(alternatives, principal))
            }
        }
    }

    /// The smallest set of scopes with which a caller can satisfy the rule; none if the rule names no scope.
    pub fn smallest_scopes(&self) -> Option<ScopeSet> {
        let Self::Require(alternatives) = self else {
            return None;
        };
        let sets =
            alternatives.iter().map(|one| (!one.is_scopes_only(), one.lack(&ScopeSet::default()).required));
        let smallest =
            sets.filter(|(_, set)| !set.is_empty()).min_by(|a, b| (a.0, a.1.len()).cmp(&(b.0, b.1.len())));
        smallest.map(|(_, set)| set)
    }

    /// The alternatives of `require`.
    pub fn alternatives(&self) -> &[Alternative] {
        match self {
            Self::Require(alternatives) => alternatives,
            Self::Anonymous | Self::Optional | Self::Authenticated | Self::Nobody => &[],
        }
    }

    /// Every scope that the rule names.
    pub fn scopes(&self) -> impl Iterator<Item = &Scope> {
        self.alternatives().iter().flat_map(Alternative::scopes)
    }
}

/// Of the alternatives that scopes would satisfy, the one that lacks the fewest, then the one that asks for the
/// fewest, then the first. If scopes would satisfy none, what stands in the way of the first.
fn refuse(alternatives: &[Alternative], principal: &Principal) -> Denial {
    let held = principal.scopes();
    let open = alternatives.iter().filter(|one| one.obstacle(principal).is_none()).map(|one| one.lack(held));
    let fewest =
        open.min_by(|a, b| fewer(a.missing.len(), b.missing.len(), a.required.len(), b.required.len()));
    if let Some(lack) = fewest {
        return Denial::InsufficientScope { missing: lack.missing, required: lack.required };
    }
    alternatives.iter().find_map(|one| one.obstacle(principal)).unwrap_or(Denial::Nobody)
}

fn fewer(missing_a: usize, missing_b: usize, required_a: usize, required_b: usize) -> Ordering {
    missing_a.cmp(&missing_b).then(required_a.cmp(&required_b))
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::Optional => f.write_str("optional"),
            Self::Authenticated => f.write_str("authenticated"),
            Self::Nobody => f.write_str("nobody"),
            Self::Require(alternatives) => {
                for (index, alternative) in alternatives.iter().enumerate() {
                    f.write_str(if index > 0 { " or " } else { "" })?;
                    alternative.fmt(f)?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Alternative {
    /// Such as `items, one of ledger:eu ledger:us, role analyst, org_id = "acme"`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = self.all.iter().map(ToString::to_string).collect();
        let mut one_of = |what: &str, names: Vec<String>| match names.as_slice() {
            [] => {}
            [name] => parts.push(format!("{what}{name}")),
            _ => parts.push(format!("{what}one of {}", names.join(" "))),
        };
        one_of("", self.any.iter().map(ToString::to_string).collect());
        one_of("role ", self.roles.iter().map(ToString::to_string).collect());
        one_of("client ", self.clients.iter().map(ToString::to_string).collect());
        one_of("provider ", self.providers.iter().map(ToString::to_string).collect());
        one_of("audience ", self.audience.iter().map(ToString::to_string).collect());
        parts.extend(self.claims.iter().map(ToString::to_string));
        f.write_str(&parts.join(", "))
    }
}

impl fmt::Display for ClaimTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values: Vec<String> = self.values.iter().map(ToString::to_string).collect();
        let one_of = if values.len() == 1 { "" } else { "one of " };
        write!(f, "{} = {one_of}{}", self.path.as_str(), values.join(" "))
    }
}
