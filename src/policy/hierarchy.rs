//! The hierarchy of scopes: a broader scope satisfies the narrower ones that it implies.

use std::collections::{BTreeMap, BTreeSet};

use scopegate_provider::Scope;

/// The scopes that each scope implies, directly or through others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Hierarchy(BTreeMap<Scope, BTreeSet<Scope>>);

/// Errors of `implies`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HierarchyError {
    /// A scope implies itself through others: the scopes in order, the first of them repeated at the end.
    Cycle(Vec<Scope>),
    /// More levels than [`Hierarchy::MAX_DEPTH`].
    TooDeep(Scope),
}

/// Implications that are known already: the scopes, and the number of levels below.
type Closed = BTreeMap<Scope, (usize, BTreeSet<Scope>)>;

impl Hierarchy {
    /// The most levels of a hierarchy.
    pub(super) const MAX_DEPTH: usize = 32;

    /// Closes direct implications over each other.
    ///
    /// # Errors
    /// [`HierarchyError`].
    pub(super) fn close(direct: &BTreeMap<Scope, Vec<Scope>>) -> Result<Self, HierarchyError> {
        let mut closed = Closed::new();
        for scope in direct.keys() {
            close_one(scope, direct, &mut Vec::new(), &mut closed)?;
        }
        let implied = closed.into_iter().map(|(scope, (_, implied))| (scope, implied));
        Ok(Self(implied.filter(|(_, implied)| !implied.is_empty()).collect()))
    }

    /// Returns `true` if `broader` implies `narrower`. No scope implies itself.
    pub(super) fn implies(&self, broader: &Scope, narrower: &Scope) -> bool {
        self.0.get(broader).is_some_and(|implied| implied.contains(narrower))
    }

    /// Returns the scopes that imply `narrower`.
    pub(super) fn broader(&self, narrower: &Scope) -> BTreeSet<&Scope> {
        let implying = self.0.iter().filter(|(_, implied)| implied.contains(narrower));
        implying.map(|(broader, _)| broader).collect()
    }

    /// Returns the scopes that other scopes satisfy in `other` than in this.
    pub(super) fn changed<'h>(&'h self, other: &'h Self) -> BTreeSet<&'h Scope> {
        if self == other {
            return BTreeSet::new();
        }
        let mut narrower: BTreeSet<&Scope> = self.0.values().chain(other.0.values()).flatten().collect();
        narrower.retain(|scope| self.broader(scope) != other.broader(scope));
        narrower
    }
}

/// Closes what `scope` implies, and returns the number of levels below it.
fn close_one(
    scope: &Scope,
    direct: &BTreeMap<Scope, Vec<Scope>>,
    path: &mut Vec<Scope>,
    closed: &mut Closed,
) -> Result<usize, HierarchyError> {
    if let Some((depth, _)) = closed.get(scope) {
        return Ok(*depth);
    }
    if let Some(start) = path.iter().position(|known| known == scope) {
        let mut cycle = path.split_off(start);
        cycle.push(scope.clone());
        return Err(HierarchyError::Cycle(cycle));
    }
    if path.len() > Hierarchy::MAX_DEPTH {
        return Err(HierarchyError::TooDeep(scope.clone()));
    }
    path.push(scope.clone());
    let mut depth = 0;
    let mut implied = BTreeSet::new();
    for narrower in direct.get(scope).into_iter().flatten() {
        depth = depth.max(1 + close_one(narrower, direct, path, closed)?);
        implied.insert(narrower.clone());
        implied.extend(closed.get(narrower).into_iter().flat_map(|(_, below)| below).cloned());
    }
    path.pop();
    if depth > Hierarchy::MAX_DEPTH {
        return Err(HierarchyError::TooDeep(scope.clone()));
    }
    closed.insert(scope.clone(), (depth, implied));
    Ok(depth)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(text: &str) -> Scope {
        Scope::parse(text).unwrap()
    }

    fn hierarchy(edges: &[(&str, &[&str])]) -> Result<Hierarchy, HierarchyError> {
        let direct = edges.iter().map(|(broader, narrower)| {
            (scope(broader), narrower.iter().map(|narrower| scope(narrower)).collect())
        });
        Hierarchy::close(&direct.collect())
    }

    #[test]
    fn implications_are_transitive() {
        let hierarchy = hierarchy(&[("admin", &["write"]), ("write", &["read"]), ("read", &[])]).unwrap();
        assert!(hierarchy.implies(&scope("admin"), &scope("read")));
        assert!(hierarchy.implies(&scope("admin"), &scope("write")));
        assert!(!hierarchy.implies(&scope("read"), &scope("write")));
        assert!(!hierarchy.implies(&scope("read"), &scope("read")));
    }

    #[test]
    fn a_cycle_is_named() {
        let cycle = hierarchy(&[("x", &["a"]), ("a", &["b"]), ("b", &["a"])]).unwrap_err();
        assert_eq!(cycle, HierarchyError::Cycle(["a", "b", "a"].map(scope).into()));
        let cycle = hierarchy(&[("a", &["a"])]).unwrap_err();
        assert_eq!(cycle, HierarchyError::Cycle(["a", "a"].map(scope).into()));
    }

    #[test]
    fn a_hierarchy_has_a_bounded_depth_in_whatever_order_it_is_written() {
        for padded in [|index: usize| format!("{index:05}"), |index: usize| format!("{:05}", 90_000 - index)]
        {
            let chain = |length: usize| {
                (0..length).map(|index| (scope(&padded(index)), vec![scope(&padded(index + 1))])).collect()
            };
            assert!(Hierarchy::close(&chain(Hierarchy::MAX_DEPTH)).is_ok());
            assert!(matches!(Hierarchy::close(&chain(20_000)), Err(HierarchyError::TooDeep(_))));
        }
    }
}
