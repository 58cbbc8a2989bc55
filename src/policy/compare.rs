//! Decidable comparisons: whether a rule asks for as much as another, where patterns intersect, and which patterns decide
//! any target at all.

use scopegate_provider::{Scope, ScopeSet};
use serde_json::Value;

use super::{
    ActorTest, Alternative, ClaimTest, ClaimValue, HostPath, HostPattern, PathPattern, Pattern, Policy,
    Route, Rule, Segment,
    settings::{DetailSettings, ProofRequirement},
};

/// A text that is neither a segment nor a label of any pattern: it represents all those that no pattern names.
const OTHER: &str = "\0";

/// The numbers of segments that are stripped off the paths of two rules, so that segments of the same image compare.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stripped {
    pub(super) ours: usize,
    pub(super) theirs: usize,
}

impl Rule {
    /// Returns `true` if every caller that this rule permits is permitted by `other` too. `false` only means that it
    /// cannot be shown.
    pub fn asks_at_least(&self, other: &Self) -> bool {
        self.asks_at_least_stripped(other, Stripped::default())
    }

    pub(super) fn asks_at_least_stripped(&self, other: &Self, stripped: Stripped) -> bool {
        if let (Self::Require(ours), Self::Require(theirs)) = (self, other) {
            return ours.iter().all(|one| theirs.iter().any(|other| one.asks_at_least(other, stripped)));
        }
        self.strictness() >= other.strictness()
    }

    /// Of two different kinds of rule, the stricter permits no caller that the other denies.
    fn strictness(&self) -> u8 {
        match self {
            Self::Anonymous => 0,
            Self::Optional => 1,
            Self::Authenticated => 2,
            Self::Require(_) => 3,
            Self::Nobody => 4,
        }
    }
}

impl Alternative {
    /// Returns `true` if every caller that satisfies this satisfies `other` too. `false` only means that it cannot be
    /// shown.
    pub(super) fn asks_at_least(&self, other: &Self, stripped: Stripped) -> bool {
        other.all.iter().all(|scope| self.includes(other, scope))
            && (other.any.is_empty()
                || other.any.iter().any(|scope| self.includes(other, scope))
                || self.any_is_within(other))
            && is_narrower(&self.roles, &other.roles)
            && is_narrower(&self.clients, &other.clients)
            && is_narrower(&self.providers, &other.providers)
            && is_narrower(&self.audience, &other.audience)
            && is_narrower(&self.acr, &other.acr)
            && other.max_age.is_none_or(|theirs| self.max_age.is_some_and(|ours| ours <= theirs))
            && other.proof.is_none_or(|theirs| self.proof.is_some_and(|ours| ours.implies(theirs)))
            && other
                .actor
                .as_ref()
                .is_none_or(|theirs| self.actor.as_ref().is_some_and(|ours| ours.implies(theirs)))
            && other.claims.iter().all(|theirs| self.claims.iter().any(|ours| ours.implies(theirs, stripped)))
            && other.details.iter().all(|theirs| self.details.iter().any(|ours| ours.implies(theirs)))
    }

    /// Returns `true` if every caller that satisfies the scopes of this has `scope` in the eyes of `other`.
    fn includes(&self, other: &Self, scope: &Scope) -> bool {
        let only = [self.any.first().filter(|_| self.any.len() == 1).cloned()];
        let certain: ScopeSet = self.all.iter().cloned().chain(only.into_iter().flatten()).collect();
        other.granting(&certain, scope).is_some()
            || (!self.any.is_empty() && self.any.iter().all(|one| grants(other, one, scope)))
    }

    /// Returns `true` if each scope of which this asks for one satisfies `any` of `other`.
    fn any_is_within(&self, other: &Self) -> bool {
        !self.any.is_empty()
            && self.any.iter().all(|ours: &Scope| other.any.iter().any(|theirs| grants(other, ours, theirs)))
    }
}

fn grants(alternative: &Alternative, held: &Scope, wanted: &Scope) -> bool {
    held == wanted || alternative.hierarchy.implies(held, wanted)
}

/// Returns `true` if every caller that has one of `ours` has one of `theirs`; no names at all are any.
fn is_narrower<T: PartialEq>(ours: &[T], theirs: &[T]) -> bool {
    theirs.is_empty() || (!ours.is_empty() && ours.iter().all(|name| theirs.contains(name)))
}

impl ClaimTest {
    fn implies(&self, other: &Self, stripped: Stripped) -> bool {
        self.path == other.path
            && self
                .values
                .iter()
                .all(|ours: &ClaimValue| other.values.iter().any(|theirs| ours.implies(theirs, stripped)))
    }
}

impl ClaimValue {
    fn implies(&self, other: &Self, stripped: Stripped) -> bool {
        match (self, other) {
            (Self::Equals(Value::String(ours)), Self::Prefix(theirs)) => ours.starts_with(&**theirs),
            (Self::Prefix(ours), Self::Prefix(theirs)) => ours.starts_with(&**theirs),
            (Self::Segment { index: ours, .. }, Self::Segment { index: theirs, .. }) => {
                ours + stripped.theirs == theirs + stripped.ours
            }
            _ => self == other,
        }
    }
}

impl ProofRequirement {
    fn implies(self, other: Self) -> bool {
        self == other || other == Self::Required
    }
}

impl ActorTest {
    fn implies(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::OneOf(ours), Self::OneOf(theirs)) => is_narrower(ours, theirs),
            (Self::OneOf(_), Self::Present) => true,
            _ => self == other,
        }
    }
}

impl DetailSettings {
    fn implies(&self, other: &Self) -> bool {
        fn includes(ours: &[String], theirs: &[String]) -> bool {
            theirs.iter().all(|one| ours.contains(one))
        }
        self.kind == other.kind
            && includes(&self.actions, &other.actions)
            && includes(&self.datatypes, &other.datatypes)
            && includes(&self.privileges, &other.privileges)
            && (other.identifier.is_none() || self.identifier == other.identifier)
    }
}

impl HostPath {
    /// Returns `true` if some target matches both.
    pub fn intersects(&self, other: &Self) -> bool {
        self.intersection(other).is_some()
    }

    /// Returns the targets that match both, which are those of one pattern, or `None`.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        if !self.path.may_intersect(&other.path) {
            return None;
        }
        Some(Self { host: self.host.intersection(&other.host)?, path: self.path.intersection(&other.path)? })
    }
}

impl HostPattern {
    pub(super) fn intersection(&self, other: &Self) -> Option<Self> {
        let (narrow, wide) = if self <= other { (self, other) } else { (other, self) };
        let inside = match narrow {
            Self::Exact(host) => wide.matches(host),
            Self::Wildcard(_) | Self::Any => narrow == wide || *wide == Self::Any,
        };
        inside.then(|| narrow.clone())
    }

    /// Returns a host that represents all of those that match.
    pub(super) fn representative(&self) -> String {
        match self {
            Self::Exact(host) => host.to_string(),
            Self::Wildcard(suffix) => format!("{OTHER}.{suffix}"),
            Self::Any => OTHER.to_owned(),
        }
    }
}

impl PathPattern {
    /// Compares the first segments, which is quick.
    fn may_intersect(&self, other: &Self) -> bool {
        match (self.segments().first(), other.segments().first()) {
            (Some(Segment::Literal(ours)), Some(Segment::Literal(theirs))) => ours == theirs,
            _ => true,
        }
    }

    /// Returns the paths that match both, which are those of one pattern, or `None`.
    pub(super) fn intersection(&self, other: &Self) -> Option<Self> {
        let longer = self.segments().len().max(other.segments().len());
        if [self, other].iter().any(|path| path.segments().len() != longer && !path.takes_rest()) {
            return None;
        }
        let mut segments = Vec::with_capacity(longer);
        for index in 0..longer {
            segments.push(match (self.segments().get(index), other.segments().get(index)) {
                (Some(Segment::Literal(ours)), Some(Segment::Literal(theirs))) if ours != theirs => {
                    return None;
                }
                (Some(literal @ Segment::Literal(_)), _) | (_, Some(literal @ Segment::Literal(_))) => {
                    literal.clone()
                }
                (Some(parameter), _) | (None, Some(parameter)) => parameter.clone(),
                (None, None) => return None,
            });
        }
        Some(Self::new(segments.into(), self.takes_rest() && other.takes_rest()))
    }
}

impl Policy {
    /// Returns the route that decides a target which represents all of `pattern`: by its first method, and with a text
    /// that no pattern names wherever it names none itself.
    pub fn route_for(&self, pattern: &Pattern) -> Option<&Route> {
        let method = pattern.methods.named().first()?;
        let (host, path) = self.representatives(&pattern.host_path).next()?;
        self.route_at(&host, &path, method)
    }

    /// Returns `true` if `host_path`, one of this policy, decides any target at all.
    pub(super) fn decides(&self, host_path: &HostPath) -> bool {
        !host_path.path.takes_rest()
            || self
                .representatives(host_path)
                .any(|(host, path)| self.host_path(&host, &path) == Some(host_path))
    }

    /// Returns targets of a pattern that represent all of it: where the pattern names no text, one that no pattern names;
    /// and every length that makes a difference. If a more specific pattern matches one of these, it matches every target
    /// of the same length, so a pattern decides one of these if it decides any.
    pub(super) fn representatives(&self, host_path: &HostPath) -> impl Iterator<Item = (String, String)> {
        let host = host_path.host.representative();
        let mut path = String::new();
        for segment in host_path.path.segments() {
            path.push('/');
            path.push_str(match segment {
                Segment::Literal(text) => text,
                Segment::Parameter(_) => OTHER,
            });
        }
        let given = host_path.path.segments().len();
        let more = if host_path.path.takes_rest() { (self.depth() + 1).saturating_sub(given) } else { 0 };
        (0..=more).map(move |more| (host.clone(), path.clone() + &format!("/{OTHER}").repeat(more)))
    }
}
