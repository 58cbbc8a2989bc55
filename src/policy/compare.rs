//! What of two policies can be decided: whether a rule asks for as much as another, where patterns intersect, which
//! routes decide anything at all, and what would loosen what the file declares (invariant 15).

use super::{
    Alternative, ClaimTest, HostPath, HostPattern, PathPattern, Pattern, Policy, Route, Rule, Segment,
};

/// A text that is no segment and no label of any pattern: it stands for all those that no pattern names.
const OTHER: &str = "\0";

impl Rule {
    /// Whether everybody whom this rule permits is permitted by `other` too. No only means that it cannot be shown.
    pub fn asks_at_least(&self, other: &Self) -> bool {
        if let (Self::Require(ours), Self::Require(theirs)) = (self, other) {
            return ours.iter().all(|one| theirs.iter().any(|other| one.asks_at_least(other)));
        }
        self.strictness() >= other.strictness()
    }

    /// Of two different kinds of rule, the stricter permits nobody whom the other does not.
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
    /// Whether everybody who has all of this has all of `other` too. No only means that it cannot be shown.
    pub fn asks_at_least(&self, other: &Self) -> bool {
        let one_of_theirs = other.any.is_empty()
            || other.any.iter().any(|scope| self.all.contains(scope))
            || narrower(&self.any, &other.any);
        let only = match &*self.any {
            [only] => Some(only),
            _ => None,
        };
        other.all.iter().all(|scope| self.all.contains(scope) || only == Some(scope))
            && one_of_theirs
            && narrower(&self.roles, &other.roles)
            && narrower(&self.clients, &other.clients)
            && narrower(&self.providers, &other.providers)
            && narrower(&self.audience, &other.audience)
            && other.claims.iter().all(|theirs| self.claims.iter().any(|ours| ours.asks_at_least(theirs)))
    }
}

impl ClaimTest {
    fn asks_at_least(&self, other: &Self) -> bool {
        self.path == other.path && narrower(&self.values, &other.values)
    }
}

/// Whether having one of `ours` is having one of `theirs`, no names being any.
fn narrower<T: PartialEq>(ours: &[T], theirs: &[T]) -> bool {
    theirs.is_empty() || (!ours.is_empty() && ours.iter().all(|name| theirs.contains(name)))
}

impl HostPath {
    /// Whether some target matches both.
    pub fn intersects(&self, other: &Self) -> bool {
        self.intersection(other).is_some()
    }

    /// The targets that match both: two places have none in common, or those of one place.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        if !self.path.may_intersect(&other.path) {
            return None;
        }
        Some(Self { host: self.host.intersection(&other.host)?, path: self.path.intersection(&other.path)? })
    }
}

impl HostPattern {
    fn intersection(&self, other: &Self) -> Option<Self> {
        let (narrow, wide) = if self <= other { (self, other) } else { (other, self) };
        let inside = match narrow {
            Self::Exact(host) => wide.matches(host),
            Self::Wildcard(_) | Self::Any => narrow == wide || *wide == Self::Any,
        };
        inside.then(|| narrow.clone())
    }
}

impl PathPattern {
    /// A quick look at the first segments.
    fn may_intersect(&self, other: &Self) -> bool {
        match (self.segments().first(), other.segments().first()) {
            (Some(Segment::Literal(ours)), Some(Segment::Literal(theirs))) => ours == theirs,
            _ => true,
        }
    }

    pub(super) fn intersection(&self, other: &Self) -> Option<Self> {
        let (ours, theirs) = (self.segments(), other.segments());
        let longer = ours.len().max(theirs.len());
        if (ours.len() < longer && !self.takes_rest()) || (theirs.len() < longer && !other.takes_rest()) {
            return None;
        }
        let both = |index| match (ours.get(index), theirs.get(index)) {
            (Some(Segment::Literal(a)), Some(Segment::Literal(b))) => {
                (a == b).then(|| Segment::Literal(a.clone()))
            }
            (Some(literal @ Segment::Literal(_)), _) | (_, Some(literal @ Segment::Literal(_))) => {
                Some(literal.clone())
            }
            (Some(parameter), _) | (None, Some(parameter)) => Some(parameter.clone()),
            (None, None) => None,
        };
        let segments = (0..longer).map(both).collect::<Option<_>>()?;
        Some(Self::new(segments, self.takes_rest() && other.takes_rest()))
    }
}

impl Policy {
    /// The route that decides a target which stands for all of `pattern`: by its first method, and with a text that no
    /// pattern names wherever it names none itself.
    pub fn route_for(&self, pattern: &Pattern) -> Option<&Route> {
        let method = pattern.methods.named().first()?;
        let (host, path) = self.representatives(&pattern.host_path).next()?;
        self.route_at(&host, &path, method)
    }

    /// Whether `place` decides any target at all.
    pub(super) fn decides(&self, host_path: &HostPath) -> bool {
        !host_path.path.takes_rest() || self.decides_within(host_path, host_path)
    }

    /// Whether `place`, one of this policy, decides a target that matches `other`.
    fn decides_within(&self, host_path: &HostPath, other: &HostPath) -> bool {
        let Some(both) = host_path.intersection(other) else { return false };
        self.representatives(&both).any(|(host, path)| self.host_path(&host, &path) == Some(host_path))
    }

    /// Targets of a place that stand for all of it: where the place names no text, one that no pattern names; and
    /// every length that makes a difference. If a more specific place matches one of these, it matches every target
    /// of the same length, so a place decides one of these if it decides any.
    pub(super) fn representatives(&self, host_path: &HostPath) -> impl Iterator<Item = (String, String)> {
        let host = representative_host(&host_path.host);
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

/// Returns a host that stands for all of those that match.
pub(super) fn representative_host(host: &HostPattern) -> String {
    match host {
        HostPattern::Exact(host) => host.to_string(),
        HostPattern::Wildcard(suffix) => format!("{OTHER}.{suffix}"),
        HostPattern::Any => OTHER.to_owned(),
    }
}
