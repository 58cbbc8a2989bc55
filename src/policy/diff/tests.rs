//! The difference agrees with brute force, and corners are found.

use std::collections::BTreeSet;

use scopegate_provider::Principal;
use serde_json::json;

use super::{caller::Caller, *};
use crate::policy::{
    Definition,
    tests::{compile, policy, target},
};

/// Compiles routes that may name these scopes and upstreams.
pub(super) fn policy_of(routes: &str) -> Policy {
    policy(&format!("scopes: {{ r: '', w: '', s: '' }}\nupstreams: {{ one: {{}}, two: {{}} }}\n{routes}"))
}

fn diff(old: &str, new: &str) -> Differences {
    let differences = compare(&policy_of(old), &policy_of(new), &[]);
    for one in &differences.gains {
        assert_eq!([one.before.outcome, one.after.outcome], ["denied", "permitted"], "{one:?}");
    }
    for one in &differences.losses {
        assert_eq!([one.before.outcome, one.after.outcome], ["permitted", "denied"], "{one:?}");
    }
    assert!(differences.exact);
    differences
}

/// Returns `METHOD path: scopes` of the gains and of the losses.
fn summary(differences: &Differences) -> [Vec<String>; 2] {
    [&differences.gains, &differences.losses].map(|list| {
        let lines = list.iter().map(|one| {
            let caller = match &one.caller {
                None => "anonymous".to_owned(),
                Some(caller) => json!(caller).to_string().replace('"', ""),
            };
            format!("{} {}: {caller}", one.request.method, one.request.path)
        });
        lines.collect()
    })
}

#[test]
fn a_loosened_rule_is_one_gain_with_the_smallest_caller() {
    let differences =
        diff("routes: [{ match: GET /a, require: [r, w] }]", "routes: [{ match: GET /a, require: r }]");
    assert_eq!(summary(&differences), [vec!["GET /a: {scopes:[r]}".to_owned()], vec![]]);
    assert_eq!(differences.gains[0].stands_for, "GET|HEAD /a");
    assert!(differences.loosens());
}

#[test]
fn a_new_route_inside_of_another_changes_only_its_own_requests() {
    let differences = diff(
        "routes: [{ match: /a/**, require: r }]",
        "routes: [{ match: /a/**, require: r }, { match: 'POST /a/{id}', require: w }]",
    );
    assert_eq!(
        summary(&differences),
        [
            vec!["POST /a/x2: {scopes:[w]}".to_owned()],
            vec!["GET /a/x2: {scopes:[r]}".to_owned(), "POST /a/x2: {scopes:[r]}".to_owned()]
        ],
        "the other methods of /a/{{id}} are no longer allowed"
    );
    assert_eq!(differences.losses[0].after.reason, Some("method_not_allowed"));
}

#[test]
fn reordering_and_renaming_of_parameters_are_no_difference() {
    let differences = diff(
        "routes: [{ match: 'GET /a/{id}', require: { any: [r, w], claims: { sub: { path: id } } } }, { match: /b, require: [r, w] }]",
        "routes: [{ match: /b, require: [w, r] }, { match: 'GET /a/{x}', require: { any: [w, r], claims: { sub: { path: x } } } }]",
    );
    assert!(differences.is_empty(), "{differences:?}");
}

#[test]
fn a_difference_of_head_alone_is_found() {
    let differences = diff(
        "routes: [{ match: GET /a, require: r }, { match: HEAD /a, require: w }]",
        "routes: [{ match: GET /a, require: r }]",
    );
    assert_eq!(
        summary(&differences),
        [vec!["HEAD /a: {scopes:[r]}".to_owned()], vec!["HEAD /a: {scopes:[w]}".to_owned()]]
    );
}

#[test]
fn a_difference_of_one_method_alone_is_found() {
    let differences = diff(
        "routes: [{ match: GET|POST|DELETE /a, require: r }]",
        "routes: [{ match: GET|POST /a, require: r }, { match: DELETE /a, require: w }]",
    );
    assert_eq!(
        summary(&differences),
        [vec!["DELETE /a: {scopes:[w]}".to_owned()], vec!["DELETE /a: {scopes:[r]}".to_owned()]]
    );
}

#[test]
fn a_difference_of_one_host_alone_is_found() {
    let differences = diff(
        "routes: [{ match: GET /a, require: r }]",
        "routes: [{ match: GET /a, require: r }, { match: GET one.test/a, allow: anonymous }]",
    );
    let hosts: Vec<&str> = differences.gains.iter().map(|one| one.request.host.as_str()).collect();
    assert!(!hosts.is_empty() && hosts.iter().all(|host| *host == "one.test"), "{hosts:?}");
    assert!(differences.losses.is_empty(), "{differences:?}");
}

/// A final slash is ignored for matching: it hides no difference, and makes none.
#[test]
fn a_difference_holds_with_a_final_slash_too() {
    let old = policy_of("routes: [{ match: GET /a/**, require: r }, { match: GET /a/b, require: [r, w] }]");
    let new = policy_of("routes: [{ match: GET /a/**, require: r }]");
    let differences = compare(&old, &new, &[]);
    assert_eq!(summary(&differences), [vec!["GET /a/b: {scopes:[r]}".to_owned()], vec![]]);
    let caller: Caller =
        Caller::Supposed(Box::new(serde_json::from_value(json!({ "scopes": ["r"] })).unwrap()));
    for path in ["GET x.test/a/b", "GET x.test/a/b/"] {
        let target = target(path);
        assert_eq!(
            [&old, &new].map(|policy| Side::of(policy, &target).permits(&caller)),
            [false, true],
            "{path}"
        );
    }
    let slash = diff("routes: [{ match: GET /a, require: r }]", "routes: [{ match: GET /a/, require: r }]");
    assert!(slash.is_empty(), "{slash:?}");
}

#[test]
fn a_difference_of_one_claim_value_is_found() {
    let differences = diff(
        "routes: [{ match: GET /a, require: { all: r, claims: { org: { prefix: acme } } } }]",
        "routes: [{ match: GET /a, require: { all: r, claims: { org: [{ prefix: acme/ }, { equals: acme }] } } }]",
    );
    assert_eq!(summary(&differences), [vec![], vec!["GET /a: {claims:{org:acmex},scopes:[r]}".to_owned()]]);
}

#[test]
fn a_caller_that_a_path_parameter_lets_in_is_found() {
    let differences = diff(
        "routes: [{ match: 'GET /a/{one}/{two}', require: { claims: { sub: { path: one } } } }]",
        "routes: [{ match: 'GET /a/{one}/{two}', require: { claims: { sub: { path: two } } } }]",
    );
    assert_eq!(
        summary(&differences),
        [
            vec!["GET /a/x2/x3: {claims:{sub:x3}}".to_owned()],
            vec!["GET /a/x2/x3: {claims:{sub:x2}}".to_owned()]
        ]
    );
}

#[test]
fn an_irregularity_that_is_accepted_is_found_where_its_interpretation_is_permitted() {
    let old =
        "routes: [{ match: 'GET /p/{id}', require: r }, { match: 'GET /p/{group}/public', require: r }]";
    let new = "routes: [{ match: 'GET /p/{id}', require: r, accept: [encoded_slash] }, { match: 'GET /p/{group}/public', require: r }]";
    assert_eq!(summary(&diff(old, new)), [vec!["GET /p/x2%2Fpublic: {scopes:[r]}".to_owned()], vec![]]);
    assert_eq!(summary(&diff(new, old)), [vec![], vec!["GET /p/x2%2Fpublic: {scopes:[r]}".to_owned()]]);
}

#[test]
fn a_route_for_the_rest_behind_a_stripped_prefix_takes_away_what_had_another_name() {
    let public = "{ match: GET /public/**, allow: anonymous, upstream: one, strip_prefix: /public }";
    let differences = diff(
        &format!("routes: [{public}]"),
        &format!("routes: [{public}, {{ match: GET /admin, require: w, upstream: one }}]"),
    );
    assert_eq!(
        summary(&differences),
        [vec!["GET /admin: {scopes:[w]}".to_owned()], vec!["GET /public/admin: anonymous".to_owned()]]
    );
}

#[test]
fn a_scope_that_implies_another_gains_its_requests() {
    let old = policy("scopes: { r: '', w: '' }\nroutes: [{ match: GET /a, require: r }]");
    let new = policy("scopes: { r: '', w: { implies: [r] } }\nroutes: [{ match: GET /a, require: r }]");
    assert_eq!(summary(&compare(&old, &new, &[])), [vec!["GET /a: {scopes:[w]}".to_owned()], vec![]]);
    assert_eq!(summary(&compare(&new, &old, &[])), [vec![], vec!["GET /a: {scopes:[w]}".to_owned()]]);
}

#[test]
fn tokens_that_are_not_accepted_tell_optional_from_anonymous() {
    let differences =
        diff("routes: [{ match: GET /a, allow: optional }]", "routes: [{ match: GET /a, allow: anonymous }]");
    assert_eq!(summary(&differences), [vec!["GET /a: {token:invalid}".to_owned()], vec![]]);
}

#[test]
fn the_requests_of_one_mcp_tool_are_found() {
    let all = "{ match: POST /mcp, require: r, mcp: { method: tools/call } }";
    let differences = diff(
        &format!("routes: [{all}]"),
        &format!(
            "routes: [{all}, {{ match: POST /mcp, require: w, mcp: {{ method: tools/call, name: delete }} }}]"
        ),
    );
    assert_eq!(
        summary(&differences),
        [vec!["POST /mcp: {scopes:[w]}".to_owned()], vec!["POST /mcp: {scopes:[r]}".to_owned()]]
    );
    assert_eq!(differences.losses[0].request.mcp.as_deref(), Some("tools/call delete"));
}

#[test]
fn another_upstream_is_a_change_and_no_gain() {
    let differences = diff(
        "routes: [{ match: GET /a, require: r, upstream: one }]",
        "routes: [{ match: GET /a, require: r, upstream: two }]",
    );
    assert!(differences.gains.is_empty() && differences.losses.is_empty() && !differences.loosens());
    let [change] = differences.changes.as_slice() else { panic!("{differences:?}") };
    assert_eq!((change.key, &change.new), ("upstream", &json!("two")));
}

/// A sequence of numbers that is the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }

    fn choose<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    /// Returns the routes of a small policy, each on a line.
    fn routes(&mut self) -> Vec<String> {
        let count = 1 + self.below(4);
        (0..count).map(|_| self.route()).collect()
    }

    fn route(&mut self) -> String {
        const RULES: [&str; 17] = [
            "allow: anonymous",
            "allow: optional",
            "allow: authenticated",
            "allow: nobody",
            "require: r",
            "require: w",
            "require: [r, w]",
            "require: { any: [r, w] }",
            "require: { roles: m }",
            "require: { roles: [m, n], all: r }",
            "require: { any_of: [{ all: r }, { roles: m }] }",
            "require: { claims: { org: a } }",
            "require: { claims: { org: { prefix: a } } }",
            "require: { clients: [c, d] }",
            "require: { actor: none }",
            "require: { actor: any, all: r }",
            "require: { any_of: [{ clients: c }, { all: w, actor: [bot] }] }",
        ];
        let method = self.choose(&["", "GET ", "POST ", "HEAD ", "GET|POST "]);
        let host = self.choose(&["", "", "a.test", "*.test"]);
        let path = self.choose(&["/", "/a", "/a/**", "/{p}", "/**", "/a/{p}", "/{p}/b", "/a/b"]);
        let own = "require: { claims: { org: { path: p } } }";
        let own = if path.contains('{') && self.below(4) == 0 { own } else { self.choose(&RULES) };
        format!("- {{ match: '{method}{host}{path}', {own} }}\n")
    }
}

fn small_policy(routes: &[String], implies: bool) -> Option<Policy> {
    let broader = if implies { "{ implies: [r] }" } else { "''" };
    let list = if routes.is_empty() { " []".to_owned() } else { format!("\n{}", routes.concat()) };
    let yaml = format!("scopes: {{ r: '', w: {broader} }}\nroutes:{list}");
    compile(&yaml).ok().map(|compiled| compiled.policy)
}

fn all_callers() -> Vec<(Caller, Option<Principal>)> {
    let mut callers = vec![Caller::Anonymous, Caller::Invalid];
    for scopes in [json!([]), json!(["r"]), json!(["w"]), json!(["r", "w"])] {
        for roles in [json!([]), json!(["m"])] {
            for claims in [json!({}), json!({ "org": "a" }), json!({ "org": "ab" }), json!({ "org": "v" })] {
                for client in [json!(null), json!("c")] {
                    for actor in [json!(null), json!("bot"), json!("man")] {
                        let caller = json!({
                            "scopes": scopes, "roles": roles, "claims": claims, "client": client, "actor": actor,
                        });
                        callers.push(Caller::Supposed(Box::new(serde_json::from_value(caller).unwrap())));
                    }
                }
            }
        }
    }
    callers
        .into_iter()
        .map(|caller| (principal(&caller), caller))
        .map(|(known, caller)| (caller, known))
        .collect()
}

fn all_targets() -> Vec<Target> {
    let mut targets = Vec::new();
    for host in ["a.test", "b.test", "c.example"] {
        for path in
            ["/", "/a", "/a/", "/a/b", "/a/v", "/v", "/v/b", "/b/b", "/v/u", "/a/b/v", "/v/b/v", "/a/v/u/t"]
        {
            for method in ["GET", "HEAD", "POST", "DELETE", "TRACE"] {
                targets.push(target(&format!("{method} {host}{path}")));
            }
        }
    }
    targets
}

type Pair = (bool, Option<String>, Option<String>);

/// Returns `true` if a side permits a caller whose principal is made already.
fn permits(side: &Side<'_>, (caller, principal): &(Caller, Option<Principal>)) -> bool {
    let Side::Decides(resolved) = side else { return false };
    let known = principal.as_ref().map(|principal| CallerAt::new(principal, NOW));
    (*caller != Caller::Invalid || resolved.token_use() == TokenUse::Ignored)
        && matches!(resolved.decide(known), Decision::Permit { .. })
}

/// Decides every request of every caller by both policies.
fn by_brute_force(
    old: &Policy,
    new: &Policy,
    targets: &[Target],
    callers: &[(Caller, Option<Principal>)],
) -> BTreeSet<Pair> {
    let mut differing = BTreeSet::new();
    let mut known = BTreeSet::new();
    for target in targets {
        let before = Side::of(old, target);
        let after = Side::of(new, target);
        let pair = [&before, &after].map(|side| match side {
            Side::Decides(resolved) => Some(resolved.route().to_string()),
            Side::Refuses(refused) => refused.route.map(|route| format!("405 {route}")),
        });
        // Rules that read the path may decide otherwise at another one.
        let reads_path = [&before, &after].iter().any(
            |side| matches!(side, Side::Decides(resolved) if resolved.rules().any(|(_, path)| !path.is_empty())),
        );
        if !known.insert(pair) && !reads_path {
            continue;
        }
        for caller in callers {
            let gains = permits(&after, caller);
            if gains != permits(&before, caller) {
                let [before, after] = [&before, &after].map(|side| Verdict::new(side, &caller.0).route);
                differing.insert((gains, before, after));
            }
        }
    }
    differing
}

/// For generated pairs of policies, every pair of routes that decides some request of some caller differently is in the
/// report, and every entry of the report proves itself.
#[test]
fn the_difference_agrees_with_brute_force_in_both_directions() {
    let targets = all_targets();
    let callers = all_callers();
    let mut numbers = Numbers(0x5c09_e6a7_e001);
    let mut compared = 0;
    while compared < 500 {
        let old_routes = numbers.routes();
        let mut new_routes = old_routes.clone();
        match numbers.below(4) {
            0 => new_routes = numbers.routes(),
            1 => new_routes.push(numbers.route()),
            2 => {
                new_routes.pop();
            }
            _ => {
                let at = numbers.below(new_routes.len());
                new_routes[at] = numbers.route();
            }
        }
        let implied = [numbers.below(4) == 0, numbers.below(4) == 0];
        let Some(old) = small_policy(&old_routes, implied[0]) else { continue };
        let Some(new) = small_policy(&new_routes, implied[1]) else { continue };
        compared += 1;
        for (old, new) in [(&old, &new), (&new, &old)] {
            let found = compare(old, new, &[]);
            assert!(found.exact);
            let mut pairs = BTreeSet::new();
            for (gains, list) in [(true, &found.gains), (false, &found.losses)] {
                for one in list {
                    let expected = if gains { ["denied", "permitted"] } else { ["permitted", "denied"] };
                    assert_eq!([one.before.outcome, one.after.outcome], expected, "{one:?}");
                    pairs.insert((gains, one.before.route.clone(), one.after.route.clone()));
                }
            }
            let wanted = by_brute_force(old, new, &targets, &callers);
            let missing: Vec<&Pair> = wanted.difference(&pairs).collect();
            assert!(
                missing.is_empty(),
                "{old_routes:?} {new_routes:?} {implied:?}: {missing:?}, found {pairs:?}"
            );
        }
    }
}

/// For generated pairs of policies whose routes accept encoded slashes, a gain or loss that only such a path has is found.
#[test]
fn the_difference_agrees_with_brute_force_under_accepted_irregularities() {
    let mut targets = all_targets();
    for path in ["/a%2Fb", "/v%2Fb", "/v%2Fu", "/a%2Fv", "/a/v%2Fu", "/a/b%2Fv", "/a%2Fb/v"] {
        targets.extend(["a.test", "c.example"].map(|host| target(&format!("GET {host}{path}"))));
    }
    let callers = all_callers();
    let mut numbers = Numbers(0x1e55_0a5b_77c3);
    let mut compared = 0;
    while compared < 60 {
        let routes = |numbers: &mut Numbers| -> Vec<String> {
            let routes = numbers.routes().into_iter();
            let accepting = |route: String| match numbers.below(2) {
                0 => route.replace(" }\n", ", accept: [encoded_slash] }\n"),
                _ => route,
            };
            routes.map(accepting).collect()
        };
        let old_routes = routes(&mut numbers);
        let mut new_routes = old_routes.clone();
        let at = numbers.below(new_routes.len());
        let is_accepting = new_routes[at].contains("accept");
        new_routes[at] = if is_accepting {
            new_routes[at].replace(", accept: [encoded_slash]", "")
        } else {
            new_routes[at].replace(" }\n", ", accept: [encoded_slash] }\n")
        };
        let Some(old) = small_policy(&old_routes, false) else { continue };
        let Some(new) = small_policy(&new_routes, false) else { continue };
        compared += 1;
        let found = compare(&old, &new, &[]);
        assert!(found.exact);
        let mut directions = [false, false];
        for target in &targets {
            let [before, after] = [&old, &new].map(|policy| Side::of(policy, target));
            for caller in &callers {
                match (permits(&before, caller), permits(&after, caller)) {
                    (false, true) => directions[0] = true,
                    (true, false) => directions[1] = true,
                    _ => {}
                }
            }
        }
        let reported = [!found.gains.is_empty(), !found.losses.is_empty()];
        assert!(
            directions.iter().zip(reported).all(|(is_there, is_reported)| !is_there || is_reported),
            "{old_routes:?} {new_routes:?}: {directions:?}, found {found:?}"
        );
    }
}

/// 10,000 routes with 50 changes are compared in few regions.
#[test]
fn unchanged_routes_are_not_compared() {
    let routes = |changed: &str| {
        let mut definition = Definition::default();
        for index in 0..10_000 {
            let allow = if index % 200 == 0 { changed } else { "authenticated" };
            let pattern = format!("GET /service-{}/kind-{}/{{id}}/**", index / 100, index % 100);
            definition
                .add_route(serde_json::from_value(json!({ "match": pattern, "allow": allow })).unwrap());
        }
        Policy::compile(&definition).unwrap().policy
    };
    let found = compare(&routes("authenticated"), &routes("anonymous"), &[]);
    assert_eq!((found.gains.len(), found.losses.len()), (50, 0));
    assert!(found.regions <= 1_000, "{}", found.regions);
    assert_eq!(found.unchanged_routes, 9_950);
}
