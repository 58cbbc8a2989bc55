//! Policies, and the requests that they decide.

use std::{cell::LazyCell, collections::BTreeSet};

use http::Method;
use scopegate::{
    policy::{
        CallerAt, Decision, Definition, Found, Methods, Pattern, Policy, RawTarget, Route, Scheme, Target,
        settings::{RouteSettings, ScopeSettings},
    },
    testing,
};
use scopegate_provider::{Principal, Scope, Timestamp};
use serde_json::json;

/// More is only slower.
const MOST: usize = 12;

/// Held by nobody at first.
const FURTHER: &str = "one-more";

/// Bytes: lines. `pattern<TAB>rule` is a route of the file, with a `+` before it one that is stored; the rule is a word of
/// `allow`, or scopes with commas between them. `?METHOD host/path` is a request; more requests are made of the patterns.
pub fn policy(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let (mut written, mut targets) = (Vec::new(), Vec::new());
    for line in text.lines().take(2 * MOST) {
        if let Some(request) = line.strip_prefix('?') {
            targets.extend(target(request));
        } else if let Some((pattern, rule)) = line.split_once('\t') {
            reads_as_it_prints(pattern.strip_prefix('+').unwrap_or(pattern));
            written.push(Written::new(pattern, rule));
        }
    }
    written.truncate(MOST);
    let scopes: BTreeSet<&str> = written.iter().flat_map(|route| route.scopes.iter().copied()).collect();
    let callers = callers(&scopes);
    let (Some(policy), Some(callers)) = (compile(&written, &[], true), callers) else { return false };
    targets.extend(policy.routes().iter().flat_map(targets_of));
    check(&policy, &written, &callers, &targets);
    true
}

/// A route as the bytes describe it.
struct Written<'t> {
    stored: bool,
    pattern: &'t str,
    allow: Option<&'t str>,
    scopes: Vec<&'t str>,
}

impl<'t> Written<'t> {
    fn new(pattern: &'t str, rule: &'t str) -> Self {
        let allow = ["anonymous", "optional", "authenticated", "nobody"].contains(&rule).then_some(rule);
        let scopes = if allow.is_some() { Vec::new() } else { rule.split(',').collect() };
        Self {
            stored: pattern.starts_with('+'),
            pattern: pattern.strip_prefix('+').unwrap_or(pattern),
            allow,
            scopes,
        }
    }

    fn settings(&self, further: &[&str]) -> Option<RouteSettings> {
        let scopes: Vec<&str> = self.scopes.iter().chain(further).copied().collect();
        let settings = match self.allow {
            Some(allow) => json!({ "match": self.pattern, "allow": allow }),
            None => json!({ "match": self.pattern, "require": scopes }),
        };
        serde_json::from_value(settings).ok()
    }
}

/// The policy whose rules require these further scopes too, with what is stored or without.
fn compile(written: &[Written<'_>], further: &[&str], with_stored: bool) -> Option<Policy> {
    let mut definition = Definition::default();
    let named = written.iter().flat_map(|route| &route.scopes).chain(&[FURTHER]).collect::<BTreeSet<_>>();
    for name in named {
        definition.add_scope(Scope::parse(name).ok()?, ScopeSettings::Description(String::new()));
    }
    for (index, route) in written.iter().enumerate() {
        match (route.stored, with_stored) {
            (false, _) => definition.add_route(route.settings(further)?),
            (true, true) => definition.add_stored_route(index.to_string(), route.settings(further)?),
            (true, false) => {}
        }
    }
    Policy::compile(&definition).ok().map(|compiled| compiled.policy)
}

fn check(policy: &Policy, written: &[Written<'_>], callers: &[Option<Principal>], targets: &[Target]) {
    let stricter = compile(written, &[FURTHER], true);
    // Leaving out what is stored may leave a route of the file that can never match, or no route at all.
    let file = LazyCell::new(|| compile(written, &[], false));
    let stored = written.iter().any(|route| route.stored);
    for target in targets {
        found_by_search(policy, target);
        let [.., all] = callers else { return };
        for caller in callers {
            let permitted = permits(policy, target, caller.as_ref());
            assert!(
                !permitted || caller.is_none() || permits(policy, target, all.as_ref()),
                "more scopes, less: {target}"
            );
            if let Some(stricter) = &stricter {
                assert!(
                    permitted || !permits(stricter, target, caller.as_ref()),
                    "one scope more opens {target}"
                );
            }
            if let Some(file) = file.as_ref().filter(|_| stored && permitted) {
                let decided = matches!(file.find(target), Found::Route(_));
                assert!(!decided || permits(file, target, caller.as_ref()), "what is stored opens {target}");
            }
        }
    }
    asks_at_least_means_it(policy, callers);
}

fn permits(policy: &Policy, target: &Target, caller: Option<&Principal>) -> bool {
    let caller = caller.map(|caller| CallerAt::new(caller, Timestamp::from_seconds(0)));
    matches!(policy.decide(target, caller), Decision::Permit { .. })
}

/// Every route is looked at, and the most specific place decides.
fn found_by_search(policy: &Policy, target: &Target) {
    let place = |route: &&Route| route.pattern().host_path.matches(target);
    let smallest = policy.routes().iter().filter(place).map(|route| &route.pattern().host_path).min();
    let here = || policy.routes().iter().filter(|route| Some(&route.pattern().host_path) == smallest);
    let of = |method: &Method| here().find(|route| is_named(route, method));
    let otherwise = || {
        here().find(|route| {
            matches!(route.pattern().methods, Methods::Except(_)) && Methods::all().contains(target.method())
        })
    };
    let head = || (target.method() == Method::HEAD).then(|| of(&Method::GET)).flatten();
    let expected = of(target.method()).or_else(head).or_else(otherwise);
    match (policy.find(target), expected) {
        (Found::Route(found), Some(expected)) => {
            assert!(std::ptr::eq(found, expected), "{target}: {found:?}");
        }
        (Found::MethodNotAllowed { .. }, None) => assert!(smallest.is_some(), "{target}"),
        (Found::NoRoute, None) => assert!(smallest.is_none(), "{target}"),
        (found, expected) => panic!("{target}: {found:?}, expected {expected:?}"),
    }
}

fn is_named(route: &Route, method: &Method) -> bool {
    matches!(&route.pattern().methods, Methods::Only(these) if these.iter().any(|one| one == method))
}

fn asks_at_least_means_it(policy: &Policy, callers: &[Option<Principal>]) {
    for strict in policy.routes() {
        for lax in policy.routes().iter().filter(|lax| strict.rule().asks_at_least(lax.rule())) {
            for caller in callers.iter().map(Option::as_ref) {
                let caller = caller.map(|caller| CallerAt::new(caller, Timestamp::from_seconds(0)));
                let (strict, lax) = (strict.rule(), lax.rule());
                assert!(
                    strict.decide(caller).is_err() || lax.decide(caller).is_ok(),
                    "{strict} asks less than {lax}"
                );
            }
        }
    }
}

fn reads_as_it_prints(text: &str) {
    let Ok(pattern) = Pattern::parse(text) else { return };
    let printed = pattern.to_string();
    let again =
        Pattern::parse(&printed).unwrap_or_else(|error| panic!("{text:?} prints as {printed:?}: {error}"));
    assert_eq!(again, pattern, "{text:?} prints as {printed:?}");
    assert_eq!(again.to_string(), printed);
}

/// Nobody, and callers with every set of some of the scopes; the last has all.
fn callers(scopes: &BTreeSet<&str>) -> Option<Vec<Option<Principal>>> {
    let mut callers = vec![None];
    let some: Vec<&str> = scopes.iter().take(3).copied().collect();
    for set in 0..1 << some.len() {
        let held =
            some.iter().enumerate().filter(|(index, _)| set & (1 << index) != 0).map(|(_, scope)| *scope);
        callers.push(Some(testing::principal(&held.collect::<Vec<_>>().join(" ")).ok()?));
    }
    let all: Vec<&str> = scopes.iter().copied().collect();
    callers.push(Some(testing::principal(&all.join(" ")).ok()?));
    Some(callers)
}

/// `METHOD host/path`.
fn target(request: &str) -> Option<Target> {
    let (method, place) = request.split_once(' ')?;
    let (host, path) = place.split_at(place.find('/')?);
    Target::parse(RawTarget {
        method: &method.parse().ok()?,
        scheme: Scheme::Https,
        authority: None,
        hosts: [if host.is_empty() { "any.example" } else { host }],
        path_and_query: path.as_bytes(),
    })
    .ok()
}

/// Requests at the edges of a pattern.
fn targets_of(route: &Route) -> Vec<Target> {
    let place = route.pattern().host_path.to_string();
    let (host, path) = place.split_at(place.find('/').unwrap_or(0));
    let host = host.replace('*', "one");
    let filled: String = path.split('/').skip(1).map(fill).collect();
    let paths = [
        filled.replace("/**", ""),
        filled.replace("**", "x"),
        filled.replace("**", "x/y"),
        format!("{filled}/z"),
    ];
    let methods = ["GET", "HEAD", "POST"];
    paths
        .iter()
        .flat_map(|path| methods.map(|method| target(&format!("{method} {host}{path}/"))))
        .flatten()
        .collect()
}

fn fill(segment: &str) -> String {
    if segment.starts_with('{') { "/x".to_owned() } else { format!("/{segment}") }
}
