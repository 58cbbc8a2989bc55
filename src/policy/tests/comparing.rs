//! What can be decided about rules, patterns and policies (invariant 15).

use proptest::prelude::*;

use super::{
    finding::{host_path, pattern, request},
    *,
};

const FILE: &str = "
scopes: { read: '', write: '', admin: '', list: { description: '', routes: [GET /listed/**] } }
providers: { okta: {}, keycloak: {} }
routes:
- { match: GET /items/**, require: read }
- { match: POST /items/**, require: write }
- { match: '/items/{id}/audit', require: { all: admin, providers: okta } }
- { match: /open/**, require: read, open_to_admin: true }
- { match: /fresh/**, require: read, fresh: true }
- { match: api.example.com/**, require: read }
- { match: /public/**, allow: anonymous }
- { match: /closed/**, allow: nobody }
- { match: '/closed/{x}', require: read, open_to_admin: true }
- { match: /pages/**, allow: anonymous, cors: { origins: ['https://a', 'https://b'], headers: [x-a] } }
";

/// Returns the pattern that the stored route would loosen.
fn loosens(route: &str) -> Option<String> {
    let mut definition = definition(FILE);
    definition.add_stored_route("1", serde_saphyr::from_str(route).unwrap());
    let errors = Policy::compile(&definition).err()?;
    let [PolicyError { problem: Problem::Loosens { pattern, .. }, .. }] = errors.as_slice() else {
        panic!("{errors:?}")
    };
    Some(pattern.clone())
}

#[test]
fn invariant_15_a_narrower_pattern_does_not_loosen_the_file() {
    for (route, loosened) in [
        ("{ match: GET /items/1, allow: authenticated }", "GET /items/**"),
        ("{ match: GET /items/1, require: list }", "GET /items/**"),
        ("{ match: HEAD /items/1, allow: anonymous }", "GET /items/**"),
        ("{ match: /items/1, require: [read] }", "POST /items/**"),
        ("{ match: 'GET api.example.com/items/**', allow: optional }", "api.example.com/**"),
        ("{ match: 'GET *.example.com/items/1', allow: optional }", "GET /items/**"),
        ("{ match: 'GET other.example/**', allow: anonymous }", "GET /items/**"),
        ("{ match: 'GET other.example/{a}/{b}', allow: anonymous }", "GET /items/**"),
        ("{ match: /items/1/audit, require: admin }", "/items/{id}/audit"),
        (
            "{ match: /items/1/audit, require: { all: admin, providers: [okta, keycloak] } }",
            "/items/{id}/audit",
        ),
        ("{ match: /fresh/1, require: read }", "/fresh/**"),
        ("{ match: 'GET /items/{x}', require: read, accept: [encoded_slash] }", "GET /items/**"),
        ("{ match: GET /items/1, require: read, accept_token: [websocket_protocol] }", "GET /items/**"),
        ("{ match: /closed/a/b, require: admin }", "/closed/**"),
        ("{ match: GET /items/1, require: read, cors: { origins: ['https://a'] } }", "GET /items/**"),
        ("{ match: /pages/1, allow: anonymous }", "/pages/**"),
        ("{ match: /pages/1, allow: anonymous, cors: { origins: ['*'], headers: [x-a] } }", "/pages/**"),
        ("{ match: /pages/1, allow: anonymous, cors: { origins: ['https://a'] } }", "/pages/**"),
        ("{ match: GET /listed/1, require: read }", "GET /listed/**"),
        (
            "{ match: GET /items/1, require: { any_of: [{ all: [read, write] }, { all: write }] } }",
            "GET /items/**",
        ),
    ] {
        assert_eq!(loosens(route).unwrap_or_default(), loosened, "{route}");
    }
}

#[test]
fn invariant_15_asking_for_more_elsewhere_or_where_the_file_opens_it_is_free() {
    for route in [
        "{ match: GET /items/1, require: [read, write] }",
        "{ match: GET /items/1, require: { all: read, providers: okta } }",
        "{ match: 'GET /items/{x}', allow: nobody, accept: [encoded_slash] }",
        "{ match: DELETE /items/**, require: read }",
        "{ match: /items/1/audit, require: { all: [admin, read, write], providers: okta } }",
        "{ match: /other/**, allow: anonymous }",
        "{ match: /**, allow: anonymous }",
        "{ match: /open/1, allow: anonymous }",
        "{ match: /fresh/1, require: read, fresh: true }",
        "{ match: /public/1, require: read }",
        "{ match: /closed/a, allow: anonymous }",
        "{ match: GET /items/1, require: read, cors: {} }",
        "{ match: /pages/1, allow: anonymous, cors: { origins: ['https://b'], headers: [x-a] } }",
    ] {
        assert_eq!(loosens(route), None, "{route}");
    }
}

#[test]
fn invariant_15_a_stored_scope_does_not_open_what_the_file_requires_another_for() {
    let stored = |routes: &[&str]| {
        let mut definition = definition(FILE);
        let name = Scope::parse("more").unwrap();
        let settings = serde_json::from_value(json!({ "description": "", "routes": routes })).unwrap();
        definition.add_stored_scope(name, settings);
        Policy::compile(&definition)
            .map(|compiled| compiled.policy)
            .map_err(|errors| errors[0].problem.clone())
    };
    let loosens = |routes| matches!(stored(routes), Err(Problem::Loosens { .. }));
    assert!(loosens(&["GET /items/1"]));
    assert!(loosens(&["GET /listed/**"]), "any of the scopes of one pattern opens it");
    assert!(loosens(&["/listed/**"]));
    assert!(loosens(&["HEAD /listed/**"]));
    let policy = stored(&["POST /listed/**", "GET /more"]).unwrap();
    assert_eq!(outcome(&policy, "GET /more", Some(&Caller::with("more"))), "permit");
    assert_eq!(outcome(&policy, "GET /listed/1", Some(&Caller::with("more"))), "insufficient_scope");
    assert_eq!(outcome(&policy, "GET /listed/1", Some(&Caller::with("list"))), "permit");
}

#[test]
fn what_is_stored_is_not_open_to_administrators_by_its_own_word() {
    let mut definition = definition("");
    let route = "{ match: /a, allow: anonymous, open_to_admin: true }";
    definition.add_stored_route("1", serde_saphyr::from_str(route).unwrap());
    assert_eq!(Policy::compile(&definition).unwrap_err()[0].problem, Problem::OpenStored);
}

#[test]
fn what_is_stored_and_covers_a_pattern_of_the_file_is_warned_of() {
    let mut definition =
        definition("scopes: { s: '' }\nroutes: [{ match: /a/**, require: s }, { match: /a, require: s }]");
    definition.add_stored_route("1", serde_saphyr::from_str("{ match: '/a/{x}/**', require: s }").unwrap());
    let compiled = Policy::compile(&definition).unwrap();
    let at = Source::Route { index: 0 };
    assert_eq!(compiled.warnings, [Warning::NeverDecides { at, pattern: "/a/**".into() }]);
}

fn names(names: &'static [&'static str]) -> impl Strategy<Value = Option<Vec<&'static str>>> {
    prop::option::weighted(0.4, prop::sample::subsequence(names.to_vec(), 1..=names.len()))
}

fn alternative() -> impl Strategy<Value = Value> {
    let scopes = || names(&["read", "write", "admin"]);
    (scopes(), scopes(), names(&["boss", "clerk"]), names(&["okta", "keycloak"]), names(&["acme", "bolt"]))
        .prop_map(|(all, any, roles, providers, org)| {
            let claims = org.map(|org| json!({ "org": org }));
            let parts = [
                ("all", json!(all)),
                ("any", json!(any)),
                ("roles", json!(roles)),
                ("providers", json!(providers)),
                ("claims", json!(claims)),
            ];
            let given: serde_json::Map<String, Value> = parts
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key.to_owned(), value))
                .collect();
            if given.is_empty() { json!({ "all": ["read"] }) } else { Value::Object(given) }
        })
}

/// `require` or `allow` of a route.
fn rule() -> impl Strategy<Value = Value> {
    let allow = prop::sample::select(vec!["anonymous", "optional", "authenticated", "nobody"]);
    prop_oneof![
        1 => allow.prop_map(|allow| json!({ "allow": allow })),
        3 => prop::collection::vec(alternative(), 1..3).prop_map(|any_of| json!({ "require": { "any_of": any_of } })),
    ]
}

fn caller() -> impl Strategy<Value = Option<Caller>> {
    let scopes = prop::sample::subsequence(vec!["read", "write", "admin"], 0..=3);
    let role = prop::option::of(prop::sample::select(vec!["boss", "clerk"]));
    let provider = prop::sample::select(vec!["okta", "keycloak"]);
    let org =
        prop::sample::select(vec![json!({}), json!({ "org": "acme" }), json!({ "org": ["bolt", "x"] })]);
    prop::option::weighted(
        0.9,
        (scopes, role, provider, org).prop_map(|(scopes, role, provider, org)| {
            let caller = Caller::with(&scopes.join(" ")).of(provider).claims(&org);
            role.iter().fold(caller, |caller, role| caller.role(role))
        }),
    )
}

fn parsed(rule: &Value) -> Rule {
    if let Some(allow) = rule.get("allow") {
        return Rule::from(serde_json::from_value::<crate::policy::settings::Allow>(allow.clone()).unwrap());
    }
    let definition = definition(FILE);
    let scopes = definition.scopes.iter().map(|(_, name, _)| name.clone());
    let require = serde_json::from_value(rule["require"].clone()).unwrap();
    Vocabulary::new(scopes, definition.providers.clone()).rule(&require).unwrap()
}

fn settings(pattern: &str, rule: &Value) -> RouteSettings {
    let mut settings = rule.clone();
    settings["match"] = json!(pattern);
    serde_json::from_value(settings).unwrap()
}

/// The largest part of a definition that compiles.
fn compiled(file: &[(String, Value)], stored: Option<&(String, Value)>) -> Result<Policy, Vec<PolicyError>> {
    let mut definition =
        definition("scopes: { read: '', write: '', admin: '' }\nproviders: { okta: {}, keycloak: {} }");
    for (pattern, rule) in file {
        definition.add_route(settings(pattern, rule));
    }
    if let Some((pattern, rule)) = stored {
        definition.add_stored_route("1", settings(pattern, rule));
    }
    Policy::compile(&definition).map(|compiled| compiled.policy)
}

fn consistent(mut file: Vec<(String, Value)>) -> (Vec<(String, Value)>, Policy) {
    loop {
        match compiled(&file, None) {
            Ok(policy) => return (file, policy),
            Err(errors) => {
                let Source::Route { index } = errors[0].at else { panic!("{errors:?}") };
                file.remove(index);
            }
        }
    }
}

proptest! {
    #[test]
    fn a_rule_that_asks_for_at_least_as_much_permits_nobody_else(ours in rule(), theirs in rule(), callers in prop::collection::vec(caller(), 20)) {
        let (ours, theirs) = (parsed(&ours), parsed(&theirs));
        prop_assert!(ours.asks_at_least(&ours));
        if ours.asks_at_least(&theirs) {
            for principal in callers.into_iter().map(|caller| caller.map(Caller::principal)) {
                prop_assert!(ours.decide(now(principal.as_ref())).is_err() || theirs.decide(now(principal.as_ref())).is_ok());
            }
            prop_assert!(ours == Rule::Nobody || theirs.token_use() <= ours.token_use());
        }
    }

    #[test]
    fn an_intersection_holds_exactly_what_both_match(ours in host_path(), theirs in host_path(), requests in prop::collection::vec(request(), 1..20)) {
        let host_path = |text: &str| Pattern::parse(text).unwrap().host_path;
        let (ours, theirs) = (host_path(&ours), host_path(&theirs));
        let both = ours.intersection(&theirs);
        prop_assert_eq!(&both, &theirs.intersection(&ours));
        for target in requests.iter().map(|request| target(request)) {
            let inside = both.as_ref().is_some_and(|both| both.matches(&target));
            prop_assert_eq!(inside, ours.matches(&target) && theirs.matches(&target));
        }
    }

    #[test]
    fn invariant_15_nothing_stored_permits_what_a_route_of_the_file_denies(
        file in prop::collection::vec((pattern(), rule()), 1..6),
        stored in (pattern(), rule()),
        requests in prop::collection::vec((request(), caller()), 1..30),
    ) {
        let (file, before) = consistent(file);
        let Ok(after) = compiled(&file, Some(&stored)) else { return Ok(()) };
        for (request, caller) in requests {
            if matches!(before.find(&target(&request)), Found::Route(_)) && outcome(&before, &request, caller.as_ref()) != "permit" {
                prop_assert_ne!(outcome(&after, &request, caller.as_ref()), "permit", "{} {:?}", request, stored);
            }
        }
    }

    #[test]
    fn invariant_15_what_is_refused_as_loosening_decides_where_the_file_did(file in prop::collection::vec((pattern(), rule()), 1..6), stored in (pattern(), rule())) {
        let (file, _) = consistent(file);
        let Err(errors) = compiled(&file, Some(&stored)) else { return Ok(()) };
        for error in errors {
            if let Problem::Loosens { file: Source::Route { index }, .. } = error.problem {
                let (ours, theirs) = (Pattern::parse(&stored.0).unwrap(), Pattern::parse(&file[index].0).unwrap());
                prop_assert!(ours.host_path.intersects(&theirs.host_path) && ours.host_path <= theirs.host_path);
                prop_assert!(!parsed(&stored.1).asks_at_least(&parsed(&file[index].1)));
            }
        }
    }

    #[test]
    fn a_place_that_decides_a_target_is_known_to_decide(patterns in prop::collection::vec(pattern(), 1..10), requests in prop::collection::vec(request(), 1..20)) {
        let mut definition = Definition::default();
        for (index, pattern) in patterns.iter().enumerate() {
            definition.add_stored_route(index.to_string(), settings(pattern, &json!({ "allow": "anonymous" })));
        }
        let Ok(compiled) = Policy::compile(&definition) else { return Ok(()) };
        for request in requests {
            if let Found::Route(route) = compiled.policy.find(&target(&request)) {
                prop_assert!(compiled.policy.decides(&route.pattern().host_path));
            }
        }
    }
}
