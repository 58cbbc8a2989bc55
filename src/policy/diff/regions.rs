//! The regions in which two policies may differ.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use ahash::{AHashMap, AHashSet};
use http::{HeaderMap, Method};
use scopegate_provider::{ProviderName, Scope};
use serde_json::{Value, json};

use super::{
    Side,
    accepted::accepted_paths,
    caller::{Caller, separate},
    generic::Generic,
    report::{Change, Difference, Differences, ExampleRequest, Verdict},
};
use crate::policy::{
    Alternative, Denial, HostPath, Irregularity, McpSelector, Methods, PathPattern, Policy, RawTarget, Route,
    RouteOptions, Rule, Scheme, Target, hierarchy::Hierarchy, mcp::headers_for, methods::registered,
};

/// The most patterns that are listed as exceptions of an entry.
const MAX_EXCEPTIONS: usize = 3;

/// The comparison of two policies.
pub(super) struct Comparison<'p> {
    old: &'p Policy,
    new: &'p Policy,
    old_routes: AHashMap<&'p HostPath, Vec<&'p Route>>,
    new_routes: AHashMap<&'p HostPath, Vec<&'p Route>>,
    /// The patterns of the old and of the new policy that strip a prefix, with the prefix.
    stripping: Vec<(&'p HostPath, PathPattern)>,
    providers: Vec<ProviderName>,
    generic: Generic,
    depth: usize,
    seen: HashSet<Deciders>,
    found: Differences,
}

/// The identity of the routes by which both policies decide.
type Deciders = [(u8, Vec<*const Route>); 2];

/// A request, and the routes by which both policies decide it.
struct Example<'p> {
    target: Target,
    before: Side<'p>,
    after: Side<'p>,
}

/// Requests that the same pair of routes decides.
struct Group<'p> {
    deciders: Deciders,
    methods: Vec<Method>,
    mcp: Option<String>,
    example: Example<'p>,
}

/// A class of requests of the Model Context Protocol.
struct McpClass {
    headers: Option<HeaderMap>,
    label: Option<String>,
}

impl<'p> Comparison<'p> {
    pub(super) fn new(old: &'p Policy, new: &'p Policy, providers: &[ProviderName]) -> Self {
        let generic = Generic::for_policies([old, new]);
        let mut stripping: Vec<(&HostPath, PathPattern)> = Vec::new();
        for route in old.routes().iter().chain(new.routes()) {
            let host_path = &route.pattern().host_path;
            if let Some(prefix) = &route.options().strip_prefix
                && let Ok(prefix) = PathPattern::parse(prefix)
                && !stripping.iter().any(|(known, other)| *known == host_path && *other == prefix)
            {
                stripping.push((host_path, prefix));
            }
        }
        Self {
            old,
            new,
            old_routes: old.by_host_path().collect(),
            new_routes: new.by_host_path().collect(),
            stripping,
            providers: providers.to_vec(),
            generic,
            depth: old.depth().max(new.depth()),
            seen: HashSet::new(),
            found: Differences { exact: true, ..Differences::default() },
        }
    }

    pub(super) fn run(mut self) -> Differences {
        let none = Hierarchy::default();
        let changed_scopes =
            hierarchy(self.old).unwrap_or(&none).changed(hierarchy(self.new).unwrap_or(&none));
        let mut seeds: AHashSet<&'p HostPath> = AHashSet::new();
        for (host_path, routes) in &self.new_routes {
            let others = self.old_routes.get(host_path).map(Vec::as_slice).unwrap_or_default();
            let known =
                routes.iter().filter(|ours| others.iter().any(|one| is_same(ours, one, &changed_scopes)));
            let unchanged = known.count();
            self.found.unchanged_routes += unchanged;
            if unchanged != routes.len() || unchanged != others.len() {
                seeds.insert(host_path);
            }
        }
        seeds.extend(self.old_routes.keys().filter(|host_path| !self.new_routes.contains_key(**host_path)));
        let mut seeds: Vec<&HostPath> = seeds.into_iter().collect();
        seeds.sort_unstable();
        for seed in &seeds {
            let in_old = self.old_routes.contains_key(seed).then_some(*seed);
            let in_new = self.new_routes.contains_key(seed).then_some(*seed);
            let old = crossing(&self.old_routes, seed);
            let new = crossing(&self.new_routes, seed);
            if in_old.is_some() {
                self.pairs(seed, &[in_old], &new);
            }
            if in_new.is_some() {
                self.pairs(seed, &old, &[in_new]);
            }
        }
        for (host_path, prefix) in std::mem::take(&mut self.stripping) {
            for seed in &seeds {
                if let Some(region) = lifted(host_path, &prefix, seed) {
                    let old = crossing(&self.old_routes, &region);
                    let new = crossing(&self.new_routes, &region);
                    self.pairs(&region, &old, &new);
                }
            }
        }
        self.found
    }

    /// Compares the requests of `region` that the given patterns decide, `None` for those that no pattern decides.
    fn pairs(&mut self, region: &HostPath, old: &[Option<&'p HostPath>], new: &[Option<&'p HostPath>]) {
        for ours in old {
            let Some(region) = ours.map_or(Some(region.clone()), |ours| region.intersection(ours)) else {
                continue;
            };
            for theirs in new {
                let region = theirs.map_or(Some(region.clone()), |theirs| region.intersection(theirs));
                if let Some(region) = region {
                    self.visit(&region, *ours, *theirs);
                }
            }
        }
    }

    fn visit(&mut self, region: &HostPath, old: Option<&'p HostPath>, new: Option<&'p HostPath>) {
        let rests = self.rests(region, old, new);
        for part in [region].into_iter().chain(&rests) {
            let host = self.generic.host(&part.host);
            for path in self.generic.paths(part, self.depth).collect::<Vec<_>>() {
                self.found.regions += 1;
                let matched = path.strip_suffix('/').unwrap_or(&path);
                if self.old.host_path(&host, matched) != old || self.new.host_path(&host, matched) != new {
                    continue;
                }
                self.at(part, &host, &path, old, new);
                if rests.is_empty() {
                    break;
                }
            }
        }
    }

    /// Returns the parts of a region whose rest behind a stripped prefix another pattern decides as well.
    fn rests(&self, region: &HostPath, old: Option<&HostPath>, new: Option<&HostPath>) -> Vec<HostPath> {
        let mut parts: Vec<HostPath> = Vec::new();
        for (routes, owner) in [(&self.old_routes, old), (&self.new_routes, new)] {
            let stripped = owner.and_then(|owner| routes.get(owner)).into_iter().flatten();
            let prefixes = stripped
                .filter_map(|route| PathPattern::parse(route.options().strip_prefix.as_deref()?).ok());
            let Some(prefix) = prefixes.into_iter().next() else { continue };
            let mut further = Vec::new();
            let mut others: Vec<&HostPath> = routes.keys().copied().collect();
            others.sort_unstable();
            for other in others {
                let whole = [region].into_iter().chain(&parts);
                further.extend(whole.filter_map(|part| lifted(part, &prefix, other)));
            }
            parts.extend(further);
        }
        parts
    }

    /// Compares the requests for one path: by every method and every kind of MCP request.
    fn at(
        &mut self,
        region: &HostPath,
        host: &str,
        path: &str,
        old: Option<&'p HostPath>,
        new: Option<&'p HostPath>,
    ) {
        let classes = self.mcp_classes(old, new);
        let mut groups: Vec<Group<'p>> = Vec::new();
        for method in registered().filter_map(|name| name.parse::<Method>().ok()) {
            let several = if method == Method::POST { classes.as_slice() } else { &[] };
            for class in several.iter().map(Some).chain(several.is_empty().then_some(None)) {
                let headers = class.and_then(|class| class.headers.as_ref());
                let Some(example) = self.example(&method, host, path, headers) else { continue };
                let deciders = [identity(&example.before), identity(&example.after)];
                if let Some(group) = groups.iter_mut().find(|group| group.deciders == deciders) {
                    group.methods.push(method.clone());
                } else if !self.seen.contains(&deciders) {
                    let mcp = class.and_then(|class| class.label.clone());
                    groups.push(Group { deciders, methods: vec![method.clone()], mcp, example });
                }
            }
        }
        let exceptions = self.exceptions(region, old, new);
        for group in groups {
            let mut stands_for = pattern_text(&group.methods, region);
            if let Some(mcp) = &group.mcp {
                stands_for = format!("{stands_for} [{mcp}]");
            }
            stands_for.push_str(&exceptions);
            self.compare(&group.example, &stands_for);
            self.compare_options(&group.example, region, &stands_for);
            self.seen.insert(group.deciders);
        }
    }

    fn example(
        &self,
        method: &Method,
        host: &str,
        path: &str,
        mcp: Option<&HeaderMap>,
    ) -> Option<Example<'p>> {
        let raw = RawTarget {
            method,
            scheme: Scheme::Https,
            authority: None,
            hosts: [host],
            path_and_query: path.as_bytes(),
        };
        let target = Target::parse(raw).ok()?;
        let target = match mcp {
            Some(headers) => target.with_mcp(headers),
            None => target,
        };
        let before = Side::of(self.old, &target);
        let after = Side::of(self.new, &target);
        Some(Example { target, before, after })
    }

    /// Finds the callers for whom the decisions about an example differ.
    fn compare(&mut self, example: &Example<'p>, stands_for: &str) {
        for gains in [true, false] {
            let (permitting, denying) =
                if gains { (&example.after, &example.before) } else { (&example.before, &example.after) };
            let separating = separate(permitting, denying, &self.providers, &self.generic);
            self.found.exact &= separating.is_complete;
            for caller in separating.callers {
                let difference = Difference {
                    request: ExampleRequest::new(&example.target),
                    before: Verdict::new(&example.before, &caller),
                    after: Verdict::new(&example.after, &caller),
                    caller: caller.into(),
                    stands_for: stands_for.to_owned(),
                };
                let list = if gains { &mut self.found.gains } else { &mut self.found.losses };
                list.push(difference);
            }
        }
    }

    /// Compares how the two deciding routes treat a request beside their rules.
    fn compare_options(&mut self, example: &Example<'p>, region: &HostPath, stands_for: &str) {
        let (Side::Decides(before), Side::Decides(after)) = (&example.before, &example.after) else { return };
        let (old, new) = (before.route(), after.route());
        if old.options() == new.options() || *old.rule() == Rule::Nobody && *new.rule() == Rule::Nobody {
            return;
        }
        for (key, old_value, new_value, loosens) in changed_options(old.options(), new.options()) {
            let change = Change {
                key,
                old: old_value,
                new: new_value,
                loosens,
                request: ExampleRequest::new(&example.target),
                before: Verdict::new(&example.before, &Caller::Anonymous),
                after: Verdict::new(&example.after, &Caller::Anonymous),
                stands_for: stands_for.to_owned(),
            };
            self.found.changes.push(change);
        }
        for irregularity in Irregularity::ALL {
            if old.options().accept.contains(irregularity) != new.options().accept.contains(irregularity) {
                self.compare_accepted(example, region, irregularity, stands_for);
            }
        }
    }

    /// Finds a path with an irregularity that only one of the two routes accepts, and compares the decisions about it.
    fn compare_accepted(
        &mut self,
        example: &Example<'p>,
        region: &HostPath,
        irregularity: Irregularity,
        stands_for: &str,
    ) {
        let mut known: Vec<&HostPath> =
            self.old_routes.keys().chain(self.new_routes.keys()).copied().collect();
        known.sort_unstable();
        known.dedup();
        let paths = accepted_paths(region, irregularity, &known, &self.generic, self.depth);
        let count = [self.found.gains.len(), self.found.losses.len()];
        for path in paths {
            let method = example.target.method();
            let Some(irregular) = self.example(method, example.target.host(), &path, None) else { continue };
            self.compare(&irregular, &format!("{stands_for}, with {}", irregularity.as_str()));
            if count != [self.found.gains.len(), self.found.losses.len()] {
                return;
            }
        }
    }

    /// Returns one request for each kind that selectors of the patterns tell apart.
    fn mcp_classes(&self, old: Option<&HostPath>, new: Option<&HostPath>) -> Vec<McpClass> {
        let ours = old.and_then(|old| self.old_routes.get(old)).into_iter().flatten();
        let theirs = new.and_then(|new| self.new_routes.get(new)).into_iter().flatten();
        let mut selectors: Vec<&McpSelector> =
            ours.chain(theirs).filter_map(|route| route.pattern().mcp.as_ref()).collect();
        selectors.sort_unstable();
        selectors.dedup();
        if selectors.is_empty() {
            return Vec::new();
        }
        let other = self.generic.text();
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        for selector in selectors {
            pairs.extend(selector.name.as_deref().map(|name| (&*selector.method, name)));
            pairs.push((&selector.method, other));
        }
        pairs.push((other, other));
        pairs.dedup();
        let named = pairs.into_iter().map(|(method, name)| McpClass {
            headers: Some(headers_for(method, name)),
            label: Some(if name == other { method.to_owned() } else { format!("{method} {name}") }),
        });
        // Requests without these headers are refused where selectors decide.
        let unnamed = McpClass { headers: Some(HeaderMap::new()), label: Some("no MCP headers".to_owned()) };
        named.chain([unnamed]).collect()
    }

    /// Names the more specific patterns inside of a region, which other entries are about.
    fn exceptions(&self, region: &HostPath, old: Option<&HostPath>, new: Option<&HostPath>) -> String {
        let mut inner: Vec<&HostPath> = Vec::new();
        for (routes, owner) in [(&self.old_routes, old), (&self.new_routes, new)] {
            let narrower = routes.keys().filter(|other| {
                Some(**other) != old
                    && Some(**other) != new
                    && owner.is_none_or(|owner| ***other < *owner)
                    && other.intersects(region)
            });
            inner.extend(narrower);
        }
        inner.sort_unstable();
        inner.dedup();
        if inner.is_empty() {
            return String::new();
        }
        let mut listed: Vec<String> = inner.iter().take(MAX_EXCEPTIONS).map(ToString::to_string).collect();
        if inner.len() > MAX_EXCEPTIONS {
            listed.push(format!("{} more", inner.len() - MAX_EXCEPTIONS));
        }
        format!(" except {}", listed.join(", "))
    }
}

/// Returns the patterns that have a request in common with `region`, and `None` for requests that none decides.
fn crossing<'p>(
    routes: &AHashMap<&'p HostPath, Vec<&'p Route>>,
    region: &HostPath,
) -> Vec<Option<&'p HostPath>> {
    let mut crossing: Vec<&HostPath> =
        routes.keys().copied().filter(|other| other.intersects(region)).collect();
    crossing.sort_unstable();
    [None].into_iter().chain(crossing.into_iter().map(Some)).collect()
}

/// Returns the requests of `region` that are left to `rest` when `prefix` is taken off their path.
fn lifted(region: &HostPath, prefix: &PathPattern, rest: &HostPath) -> Option<HostPath> {
    let segments = prefix.segments().iter().chain(rest.path.segments()).cloned().collect();
    let path = PathPattern::new(segments, rest.path.takes_rest());
    region.intersection(&HostPath { host: rest.host.clone(), path })
}

fn hierarchy(policy: &Policy) -> Option<&Hierarchy> {
    policy.routes().iter().find_map(|route| Some(&*route.rule().alternatives().first()?.hierarchy))
}

/// Returns `true` if two routes of the same host and path are alike.
fn is_same(ours: &Route, theirs: &Route, changed_scopes: &BTreeSet<&Scope>) -> bool {
    ours.methods() == theirs.methods()
        && ours.pattern().mcp == theirs.pattern().mcp
        && ours.options() == theirs.options()
        && has_same_terms(ours.rule(), theirs.rule())
        && ours.rule().scopes().all(|scope| !changed_scopes.contains(scope))
}

/// Returns `true` if two rules are written alike, whatever the scopes imply.
fn has_same_terms(ours: &Rule, theirs: &Rule) -> bool {
    match (ours, theirs) {
        (Rule::Require(ours), Rule::Require(theirs)) => {
            ours.len() == theirs.len()
                && ours.iter().zip(theirs).all(|(ours, theirs)| {
                    ours == theirs
                        || Alternative { hierarchy: Arc::clone(&theirs.hierarchy), ..ours.clone() } == *theirs
                })
        }
        _ => ours == theirs,
    }
}

fn identity(side: &Side<'_>) -> (u8, Vec<*const Route>) {
    match side {
        Side::Decides(resolved) => (0, resolved.routes().map(std::ptr::from_ref).collect()),
        Side::Refuses(refused) => {
            let kind = match refused.denial {
                Denial::NoRoute => 1,
                Denial::MethodNotAllowed { .. } => 2,
                Denial::Mcp(_) => 3,
                _ => 4,
            };
            (kind, refused.route.into_iter().map(std::ptr::from_ref).collect())
        }
    }
}

/// Returns the options that differ, each with both values and whether the new one lets more pass.
fn changed_options(old: &RouteOptions, new: &RouteOptions) -> Vec<(&'static str, Value, Value, bool)> {
    let wider_cors = match (&old.cors, &new.cors) {
        (Some(old), Some(new)) => !new.allows_at_most(old),
        (_, Some(new)) => !new.origins.is_empty(),
        (Some(_), None) => true,
        (None, None) => false,
    };
    let more_sources = new.accept_token.iter().any(|source| !old.accept_token.contains(source));
    let options = [
        ("fresh", json!(old.fresh), json!(new.fresh), old.fresh && !new.fresh),
        ("accept_token", json!(old.accept_token), json!(new.accept_token), more_sources),
        ("upstream", json!(old.upstream), json!(new.upstream), false),
        ("strip_prefix", json!(old.strip_prefix), json!(new.strip_prefix), false),
        ("identity", json!(old.identity), json!(new.identity), false),
        ("cors", json!(old.cors), json!(new.cors), wider_cors),
        ("open_to_admin", json!(old.open_to_admin), json!(new.open_to_admin), !old.open_to_admin),
    ];
    options.into_iter().filter(|(_, old, new, _)| old != new).collect()
}

fn pattern_text(methods: &[Method], region: &HostPath) -> String {
    let named = Methods::only(methods.iter().cloned());
    let others = Methods::all().minus(&named);
    let open =
        registered().filter_map(|name| name.parse().ok()).filter(|method| Methods::all().contains(method));
    let missing: Vec<Method> = open.filter(|method| others.contains(method)).collect();
    let set = if missing.len() < methods.len() { Methods::all().without(&missing) } else { named };
    if set == Methods::all() { region.to_string() } else { format!("{set} {region}") }
}
