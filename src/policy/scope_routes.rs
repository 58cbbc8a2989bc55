//! The routes that scopes list: for each pattern and method, any of the scopes that list it.

use std::{collections::HashMap, sync::Arc};

use scopegate_provider::Scope;

use super::{Alternative, HostPath, Methods, Pattern, Route, Rule, Source, hierarchy::Hierarchy};

/// A scope that opens a pattern.
#[derive(Clone)]
pub(super) struct ScopePattern<'d> {
    /// The place of the scope's declaration.
    pub(super) source: &'d Source,
    /// The scope.
    pub(super) scope: &'d Scope,
    /// The pattern.
    pub(super) pattern: Pattern,
}

/// Returns the routes that scopes open.
pub(super) fn scope_routes(scope_patterns: &[ScopePattern<'_>], hierarchy: &Arc<Hierarchy>) -> Vec<Route> {
    let mut by_host_path: HashMap<&HostPath, Vec<&ScopePattern<'_>>> = HashMap::new();
    let mut order = Vec::new();
    for one in scope_patterns {
        let here = by_host_path.entry(&one.pattern.host_path).or_default();
        if here.is_empty() {
            order.push(&one.pattern.host_path);
        }
        here.push(one);
    }
    let groups = order.iter().filter_map(|host_path| by_host_path.get(host_path));
    groups.flat_map(|here| split_by_method(here, hierarchy)).collect()
}

/// Returns routes of one host and path that divide the methods among them: each method is opened by any of the scopes
/// that name it.
fn split_by_method(here: &[&ScopePattern<'_>], hierarchy: &Arc<Hierarchy>) -> Vec<Route> {
    let named = Methods::only(here.iter().flat_map(|one| one.pattern.methods.named()).cloned());
    let mut groups: Vec<(Methods, Vec<&ScopePattern<'_>>)> = Vec::new();
    for method in named.named() {
        let openers: Vec<&ScopePattern<'_>> =
            here.iter().copied().filter(|one| one.pattern.methods.contains(method)).collect();
        match groups.iter_mut().find(|(_, known)| are_same(known, &openers)) {
            Some((methods, _)) => *methods = methods.with(method.clone()),
            None => groups.push((Methods::only([method.clone()]), openers)),
        }
    }
    let others = here.iter().copied().filter(|one| matches!(one.pattern.methods, Methods::Except(_)));
    groups.push((Methods::all().without(named.named()), others.collect()));
    groups.into_iter().filter_map(|(methods, openers)| any_of(methods, &openers, hierarchy)).collect()
}

fn are_same(ours: &[&ScopePattern<'_>], theirs: &[&ScopePattern<'_>]) -> bool {
    ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| std::ptr::eq(*ours, *theirs))
}

fn any_of(methods: Methods, openers: &[&ScopePattern<'_>], hierarchy: &Arc<Hierarchy>) -> Option<Route> {
    let first = openers.first()?;
    // A stored scope adds to the file's scopes: the route is then a stored one, and checked as such.
    let source = openers.iter().find(|one| !one.source.is_file()).unwrap_or(first).source.clone();
    let mut scopes: Vec<Scope> = openers.iter().map(|one| one.scope.clone()).collect();
    scopes.sort_unstable();
    scopes.dedup();
    let mut alternative = Alternative { hierarchy: Arc::clone(hierarchy), ..Alternative::default() };
    match scopes.as_slice() {
        [_] => alternative.all = scopes.into_iter().collect(),
        _ => alternative.any = scopes.into(),
    }
    let pattern = Pattern { methods, ..first.pattern.clone() };
    Some(Route::new(source, pattern, Arc::new(Rule::Require([alternative].into())), Arc::default()))
}
