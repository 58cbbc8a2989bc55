//! Rules: what a route requires of a caller.

use std::fmt;

use scopegate_provider::{Principal, Scope, ScopeSet, Timestamp};

use super::{
    ActorTest, Alternative, ClaimTest, ClaimValue, Denial,
    compare::Stripped,
    settings::{DetailSettings, ProofRequirement},
};

/// The requirement of a route.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// `allow: anonymous`: every request; a token is not looked at.
    Anonymous,
    /// `allow: optional`: every request without a token, or with a good one.
    Optional,
    /// `allow: authenticated`: any good token.
    Authenticated,
    /// `allow: nobody`.
    Nobody,
    /// `require`: a good token that satisfies one of these alternatives, of which there is at least one.
    Require(Box<[Alternative]>),
}

/// The treatment of a token before the rule is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TokenUse {
    /// It is not looked at.
    Ignored,
    /// It may be absent; a token that is there must be good.
    Optional,
    /// It must be there.
    Required,
}

/// A verified caller, the time of the decision, and the path that was asked for.
#[derive(Debug, Clone, Copy)]
pub struct CallerAt<'a> {
    pub(super) principal: &'a Principal,
    pub(super) now: Timestamp,
    /// The path in normal form. It is empty for a rule that belongs to no route.
    pub(super) path: &'a str,
}

impl<'a> CallerAt<'a> {
    /// Creates the caller of a decision that is made now.
    pub fn new(principal: &'a Principal, now: Timestamp) -> Self {
        Self { principal, now, path: "" }
    }

    /// Adds the path that was asked for.
    pub(super) fn at_path(self, path: &'a str) -> Self {
        Self { path, ..self }
    }
}

impl Rule {
    /// Returns the treatment of a token.
    pub fn token_use(&self) -> TokenUse {
        match self {
            Self::Anonymous | Self::Nobody => TokenUse::Ignored,
            Self::Optional => TokenUse::Optional,
            Self::Authenticated | Self::Require(_) => TokenUse::Required,
        }
    }

    /// Decides whether `caller`, `None` for a request without a token, satisfies the rule.
    ///
    /// # Errors
    /// The reason, and what would satisfy the rule.
    pub fn decide(&self, caller: Option<CallerAt<'_>>) -> Result<(), Denial> {
        match (self, caller) {
            (Self::Anonymous | Self::Optional, _) | (Self::Authenticated, Some(_)) => Ok(()),
            (Self::Nobody, _) => Err(Denial::Nobody),
            (Self::Authenticated | Self::Require(_), None) => {
                Err(Denial::NoToken { scopes: self.smallest_scopes() })
            }
            (Self::Require(alternatives), Some(caller)) => {
                if alternatives.iter().any(|one| one.permits(caller)) {
                    return Ok(());
                }
                Err(refuse(alternatives, caller))
            }
        }
    }

    /// Returns the smallest set of scopes with which a caller can satisfy the rule, or `None` if it names no scope.
    pub fn smallest_scopes(&self) -> Option<ScopeSet> {
        let sets = self.alternatives().iter().map(|one| {
            let scopes = one.smallest_scopes(&ScopeSet::default());
            (!one.is_scopes_only(), scopes.len(), scopes)
        });
        let smallest =
            sets.filter(|(_, count, _)| *count > 0).min_by_key(|(others, count, _)| (*others, *count));
        smallest.map(|(.., scopes)| scopes)
    }

    /// The alternatives of `require`.
    pub fn alternatives(&self) -> &[Alternative] {
        match self {
            Self::Require(alternatives) => alternatives,
            Self::Anonymous | Self::Optional | Self::Authenticated | Self::Nobody => &[],
        }
    }

    /// Returns the alternatives of `require` without those that ask for at least as much as another one.
    pub fn least_alternatives(&self) -> Vec<&Alternative> {
        let mut least: Vec<&Alternative> = Vec::new();
        for alternative in self.alternatives() {
            if least.iter().any(|other| alternative.asks_at_least(other, Stripped::default())) {
                continue;
            }
            least.retain(|other| !other.asks_at_least(alternative, Stripped::default()));
            least.push(alternative);
        }
        least
    }

    /// Returns `true` if a caller with just these scopes satisfies the scopes of the rule. Its other terms are ignored.
    pub fn is_reached_with(&self, held: &ScopeSet) -> bool {
        match self {
            Self::Anonymous | Self::Optional | Self::Authenticated => true,
            Self::Nobody => false,
            Self::Require(alternatives) => alternatives.iter().any(|one| one.is_granted_by(held)),
        }
    }

    /// The scopes that the rule names.
    pub fn scopes(&self) -> impl Iterator<Item = &Scope> {
        self.alternatives().iter().flat_map(Alternative::scopes)
    }

    /// Returns `true` if the decision depends on the path of the request.
    pub(super) fn reads_path(&self) -> bool {
        self.alternatives().iter().any(Alternative::reads_path)
    }
}

/// Returns the denial of a caller that satisfies no alternative. Of the alternatives that scopes and a new sign-in would
/// satisfy, the one that lacks the least counts, then the one that asks for the fewest scopes, then the first. If there
/// is none, the first obstacle counts.
fn refuse(alternatives: &[Alternative], caller: CallerAt<'_>) -> Denial {
    let open = alternatives.iter().filter(|one| one.obstacle(caller).is_none());
    let least = open.map(|one| (one, one.lack(caller))).min_by_key(|(_, lack)| {
        (lack.missing.len() + usize::from(lack.sign_in), lack.sign_in, lack.required.len())
    });
    match least {
        Some((alternative, lack)) if lack.sign_in => alternative.sign_in_denial(lack),
        Some((_, lack)) => Denial::InsufficientScope { missing: lack.missing, required: lack.required },
        None => refuse_obstructed(alternatives, caller),
    }
}

/// Returns the denial where every alternative has an obstacle. The alternative that came furthest counts, then the
/// first. Authentication is checked before authorization (RFC 9470): an insufficient sign-in is told before a missing role.
fn refuse_obstructed(alternatives: &[Alternative], caller: CallerAt<'_>) -> Denial {
    let obstacles = alternatives.iter().filter_map(|one| Some((one, one.obstacle(caller)?)));
    // Of equal ones `max_by_key` takes the last.
    match obstacles.rev().max_by_key(|(_, obstacle)| progress(obstacle)) {
        Some((one, obstacle)) if progress(&obstacle) > progress(&Denial::UserRequired) => {
            let lack = one.lack(caller);
            if lack.sign_in { one.sign_in_denial(lack) } else { obstacle }
        }
        Some((_, obstacle)) => obstacle,
        None => Denial::Nobody,
    }
}

/// Returns how far the checks came before this obstacle, in the order of [`Alternative::obstacle`].
fn progress(obstacle: &Denial) -> u8 {
    match obstacle {
        Denial::AudienceNotAllowed => 0,
        Denial::ProofRequired { .. } => 1,
        Denial::ProviderNotAllowed => 2,
        Denial::ClientNotAllowed => 3,
        Denial::UserRequired => 4,
        _ => 5,
    }
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
        f.write_str(&self.terms().iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
    }
}

impl fmt::Display for ClaimTest {
    /// Such as `org = "acme"`, `repository begins with "acme/"` or `sub = one of "a" {id}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path.as_str())?;
        match &*self.values {
            [ClaimValue::Prefix(prefix)] => write!(f, " begins with {prefix:?}"),
            [value] => write!(f, " = {value}"),
            values => {
                f.write_str(" = one of")?;
                values.iter().try_for_each(|value| write!(f, " {value}"))
            }
        }
    }
}

impl fmt::Display for ClaimValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equals(value) => write!(f, "{value}"),
            Self::Prefix(prefix) => write!(f, "{prefix:?}…"),
            Self::Segment { name, .. } => write!(f, "{{{name}}}"),
        }
    }
}

impl fmt::Display for ProofRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Required => "a token that is bound to a key or certificate",
            Self::Dpop => "a token that is bound to a DPoP key",
            Self::Certificate => "a token that is bound to a client certificate",
        })
    }
}

impl fmt::Display for ActorTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("no actor"),
            Self::Present => f.write_str("an actor"),
            Self::OneOf(ids) => match &**ids {
                [id] => write!(f, "actor {id}"),
                ids => write!(f, "actor one of {}", ids.join(" ")),
            },
        }
    }
}

impl fmt::Display for DetailSettings {
    /// Such as `detail payment (actions: initiate cancel)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "detail {}", self.kind)?;
        let lists =
            [("actions", &self.actions), ("datatypes", &self.datatypes), ("privileges", &self.privileges)];
        let mut parts: Vec<String> = lists
            .iter()
            .filter(|(_, list)| !list.is_empty())
            .map(|(name, list)| format!("{name}: {}", list.join(" ")))
            .collect();
        parts.extend(self.identifier.iter().map(|identifier| format!("identifier: {identifier}")));
        if parts.is_empty() { Ok(()) } else { write!(f, " ({})", parts.join("; ")) }
    }
}
