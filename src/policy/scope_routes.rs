//! The routes that scopes list: in each place and for each method, any of the scopes that list it.

use std::{collections::HashMap, sync::Arc};

use scopegate_provider::Scope;

use super::{Alternative, HostPath, Methods, Pattern, Route, Rule, Source};

/// A scope that opens a pattern.
#[derive(Clone)]
pub(super) struct ScopePattern<'d> {
    /// Where the scope was declared.
    pub(super) source: &'d Source,
    /// The scope.
    pub(super) scope: &'d Scope,
    /// The pattern.
    pub(super) pattern: Pattern,
}

/// The routes of what scopes open.
pub(super) fn scope_routes(opened: &[ScopePattern<'_>]) -> Vec<Route> {
    let mut host_paths: HashMap<&HostPath, Vec<&ScopePattern<'_>>> = HashMap::new();
    let mut order = Vec::new();
    for one in opened {
        let here = host_paths.entry(&one.pattern.host_path).or_default();
        if here.is_empty() {
            order.push(&one.pattern.host_path);
        }
        here.push(one);
    }
    order
        .iter()
        .filter_map(|host_path| host_paths.get(host_path))
        .flat_map(|here| split_by_method(here))
        .collect()
}

/// Routes of one place that divide the methods among them: each method is opened by any of the scopes that name it.
fn split_by_method(opened: &[&ScopePattern<'_>]) -> Vec<Route> {
    let named = opened.iter().flat_map(|one| one.pattern.methods.named()).cloned();
    let named = Methods::only(named);
    let mut groups: Vec<(Methods, Vec<&ScopePattern<'_>>)> = Vec::new();
    for method in named.named() {
        let openers: Vec<&ScopePattern<'_>> =
            opened.iter().copied().filter(|one| one.pattern.methods.contains(method)).collect();
        let same = |group: &&mut (Methods, Vec<&ScopePattern<'_>>)| {
            group.1.len() == openers.len() && group.1.iter().zip(&openers).all(|(a, b)| std::ptr::eq(*a, *b))
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.0 = group.0.with(method.clone()),
            None => groups.push((Methods::only([method.clone()]), openers)),
        }
    }
    let others = opened.iter().copied().filter(|one| matches!(one.pattern.methods, Methods::Except(_)));
    groups.push((Methods::all().without(named.named()), others.collect()));
    groups.into_iter().filter_map(|(methods, openers)| any_of(methods, &openers)).collect()
}

fn any_of(methods: Methods, openers: &[&ScopePattern<'_>]) -> Option<Route> {
    let first = openers.first()?;
    // What is stored adds to the file's scopes: the route is then a stored one, and judged as such.
    let source = openers.iter().find(|one| !one.source.is_file()).unwrap_or(first).source.clone();
    let mut scopes: Vec<Scope> = openers.iter().map(|one| one.scope.clone()).collect();
    scopes.sort_unstable();
    scopes.dedup();
    let alternative = match scopes.as_slice() {
        [_] => Alternative { all: scopes.into_iter().collect(), ..Alternative::default() },
        _ => Alternative { any: scopes.into(), ..Alternative::default() },
    };
    let pattern = Pattern { methods, host_path: first.pattern.host_path.clone() };
    Some(Route::new(source, pattern, Arc::new(Rule::Require([alternative].into())), Arc::default()))
}
