//! What rules say to callers, and what would satisfy them.

use proptest::prelude::*;
use scopegate_provider::ScopeSet;

use super::*;

const SCOPES: &str = "scopes: { items: '', 'items:write': '', ledger: '', 'ledger:eu': '', 'ledger:us': '' }
providers: { okta: {}, keycloak: {} }
";

/// The denial of a route with this rule.
fn denial(require: &str, caller: Option<Caller>) -> Option<Denial> {
    let policy = policy(&format!("{SCOPES}routes: [{{ match: /x, {require} }}]"));
    let principal = caller.map(Caller::principal);
    match policy.decide(&target("GET /x"), now(principal.as_ref())) {
        Decision::Permit { .. } => None,
        Decision::Deny(refused) => Some(refused.denial),
    }
}

fn set(scopes: &str) -> ScopeSet {
    ScopeSet::parse(scopes).unwrap()
}

fn lacks(missing: &str, required: &str) -> Denial {
    Denial::InsufficientScope { missing: set(missing), required: set(required) }
}

#[test]
fn a_rule_without_scopes_looks_at_the_token_as_it_says() {
    let uses = |allow| {
        policy(&format!("routes: [{{ match: /, allow: {allow} }}]"))
            .resolve(&target("GET /"))
            .unwrap()
            .token_use()
    };
    assert_eq!(uses("anonymous"), TokenUse::Ignored);
    assert_eq!(uses("nobody"), TokenUse::Ignored);
    assert_eq!(uses("optional"), TokenUse::Optional);
    assert_eq!(uses("authenticated"), TokenUse::Required);
}

#[test]
fn allow_says_who_may_pass() {
    let caller = || Some(Caller::with(""));
    assert_eq!(denial("allow: anonymous", None), None);
    assert_eq!(denial("allow: optional", None), None);
    assert_eq!(denial("allow: optional", caller()), None);
    assert_eq!(denial("allow: authenticated", caller()), None);
    assert_eq!(denial("allow: authenticated", None), Some(Denial::NoToken { scopes: None }));
    assert_eq!(denial("allow: nobody", caller()), Some(Denial::Nobody));
    assert_eq!(denial("allow: nobody", None), Some(Denial::Nobody));
}

#[test]
fn without_a_token_the_smallest_set_of_scopes_is_named() {
    let named = |require| denial(require, None).unwrap().challenge_scopes().map(ToString::to_string);
    assert_eq!(named("require: items").as_deref(), Some("items"));
    assert_eq!(named("require: [items, ledger]").as_deref(), Some("items ledger"));
    assert_eq!(
        named("require: { all: [ledger], any: ['ledger:us', 'ledger:eu'] }").as_deref(),
        Some("ledger ledger:us")
    );
    assert_eq!(
        named("require: { any_of: [{ all: [items, ledger] }, { all: items }] }").as_deref(),
        Some("items")
    );
    assert_eq!(
        named("require: { any_of: [{ all: items, roles: a }, { all: [items, ledger] }] }").as_deref(),
        Some("items ledger")
    );
    assert_eq!(named("require: { roles: admin }"), None);
}

#[test]
fn all_scopes_of_a_list_are_required_and_the_whole_set_is_named() {
    let require = "require: [items, 'items:write']";
    assert_eq!(denial(require, Some(Caller::with("items items:write other"))), None);
    assert_eq!(denial(require, Some(Caller::with("items"))), Some(lacks("items:write", "items items:write")));
    assert_eq!(
        denial(require, Some(Caller::with(""))),
        Some(lacks("items items:write", "items items:write"))
    );
}

#[test]
fn of_any_the_scope_that_is_held_is_named_else_the_first() {
    let require = "require: { all: [ledger], any: ['ledger:us', 'ledger:eu'] }";
    assert_eq!(denial(require, Some(Caller::with("ledger ledger:eu"))), None);
    assert_eq!(denial(require, Some(Caller::with("ledger:eu"))), Some(lacks("ledger", "ledger ledger:eu")));
    assert_eq!(denial(require, Some(Caller::with("ledger"))), Some(lacks("ledger:us", "ledger ledger:us")));
}

#[test]
fn of_alternatives_the_one_that_lacks_the_fewest_scopes_is_named() {
    let require = "require: { any_of: [{ all: [items, 'items:write'] }, { all: [ledger, 'ledger:eu'] }] }";
    assert_eq!(denial(require, Some(Caller::with("ledger:eu"))), Some(lacks("ledger", "ledger ledger:eu")));
    assert_eq!(
        denial(require, Some(Caller::with(""))),
        Some(lacks("items items:write", "items items:write"))
    );
}

#[test]
fn what_no_scope_would_help_with_names_no_scope() {
    let caller = || Caller::with("items");
    for (part, right, wrong) in [
        ("roles: [analyst, admin]", caller().role("admin"), Denial::RoleMissing),
        ("clients: [c1, c2]", caller().client("c2"), Denial::ClientNotAllowed),
        ("providers: [keycloak]", caller().of("keycloak"), Denial::ProviderNotAllowed),
        (
            "audience: https://a.example",
            caller().audience(&["x", "https://a.example"]),
            Denial::AudienceNotAllowed,
        ),
        ("claims: { org: acme }", caller().claims(&json!({ "org": "acme" })), Denial::ClaimMismatch),
    ] {
        let require = format!("require: {{ all: items, {part} }}");
        assert_eq!(denial(&require, Some(right)), None, "{part}");
        for scopes in ["items", ""] {
            let denial = denial(&require, Some(Caller::with(scopes))).unwrap();
            assert_eq!(denial, wrong, "{part}");
            assert_eq!((denial.challenge_scopes(), denial.missing_scopes()), (None, None));
        }
    }
}

#[test]
fn an_alternative_that_scopes_would_satisfy_is_named_before_one_that_they_would_not() {
    let require = "require: { any_of: [{ roles: operator, providers: keycloak }, { all: items }] }";
    assert_eq!(denial(require, Some(Caller::with(""))), Some(lacks("items", "items")));
    assert_eq!(denial(require, Some(Caller::with("").role("operator").of("keycloak"))), None);
}

#[test]
fn a_claim_equals_or_its_array_holds_one_of_the_values() {
    let denied = |rule: &str, claims: Value| {
        denial(&format!("require: {{ claims: {{ {rule} }} }}"), Some(Caller::with("").claims(&claims)))
    };
    assert_eq!(denied("org: acme", json!({ "org": ["x", "acme"] })), None);
    assert_eq!(denied("org: [acme, bolt]", json!({ "org": "bolt" })), None);
    assert_eq!(denied("level: 3", json!({ "level": 3 })), None);
    assert_eq!(denied("staff: true", json!({ "staff": true })), None);
    assert_eq!(denied("/a/b: c", json!({ "a": { "b": "c" } })), None);
    let no = Some(Denial::ClaimMismatch);
    assert_eq!(denied("org: acme", json!({})), no);
    // oauth2-proxy CVE-2026-40574: part of a value was enough.
    assert_eq!(denied("org: acme", json!({ "org": "acme evil" })), no);
    assert_eq!(denied("org: acme", json!({ "org": { "acme": 1 } })), no);
    assert_eq!(denied("org: acme", json!({ "org": [["acme"]] })), no);
    assert_eq!(denied("level: 3", json!({ "level": "3" })), no);
    assert_eq!(denied("org: acme, team: red", json!({ "org": "acme" })), no);
}

#[test]
fn an_irregular_path_asks_for_a_token_if_one_of_its_readings_does() {
    let policy = policy(
        "scopes: { s: '' }
routes: [{ match: /**, allow: anonymous, accept: [encoded_slash] }, { match: /private/**, require: s }]",
    );
    let resolve = |path| policy.resolve(&target(path)).unwrap();
    assert_eq!(resolve("GET /public%2Fx").token_use(), TokenUse::Ignored);
    assert_eq!(resolve("GET /private%2Fx").token_use(), TokenUse::Required);
    assert_eq!(outcome(&policy, "GET /private%2Fx", None), "no_token");
    assert_eq!(outcome(&policy, "GET /private%2Fx", Some(&Caller::with("s"))), "permit");
    assert_eq!(outcome(&policy, "GET /private%2Fx", Some(&Caller::with("t"))), "insufficient_scope");
}

#[test]
fn a_reading_that_nobody_may_ask_for_is_denied_without_a_look_at_the_token() {
    let policy = policy(
        "routes: [{ match: /**, allow: authenticated, accept: [encoded_slash] }, { match: /closed/x, allow: nobody }]",
    );
    assert_eq!(policy.resolve(&target("GET /closed%2Fx")).unwrap().token_use(), TokenUse::Ignored);
    assert_eq!(outcome(&policy, "GET /closed%2Fx", None), "nobody");
}

#[test]
fn invariant_16_a_rule_for_administrators_names_its_providers_where_there_are_several() {
    let provider = |name: &str| KnownProvider {
        name: ProviderName::parse(name).unwrap(),
        audiences: Vec::new(),
        introspects: false,
        scopes: None,
    };
    let scope = Scope::parse("admin").unwrap();
    let require = |yaml: &str| serde_saphyr::from_str(yaml).unwrap();
    let one = Vocabulary::new([scope.clone()], vec![provider("okta")]);
    let two = Vocabulary::new([scope], vec![provider("okta"), provider("partner")]);
    assert!(one.admin_rule(&require("admin")).is_ok());
    for open in [
        "admin",
        "[admin]",
        "{ all: admin }",
        "{ any_of: [{ all: admin, providers: okta }, { all: admin }] }",
    ] {
        let errors = two.admin_rule(&require(open)).unwrap_err();
        assert!(
            matches!(errors.as_slice(), [RuleError { problem: Problem::ProvidersNotNamed { .. }, .. }]),
            "{open}"
        );
    }
    let rule = two.admin_rule(&require("{ all: admin, providers: okta }")).unwrap();
    let admin = Caller::with("admin");
    assert_eq!(rule.decide(now(&admin.clone().principal())), Ok(()));
    assert_eq!(rule.decide(now(&admin.of("partner").principal())), Err(Denial::ProviderNotAllowed));
}

#[test]
fn a_reason_has_one_name() {
    let names: std::collections::BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(names.len(), Reason::ALL.len());
    assert_eq!(serde_json::to_value(Reason::NoRoute).unwrap(), json!("no_route"));
}

fn scopes() -> impl Strategy<Value = Vec<&'static str>> {
    prop::sample::subsequence(vec!["items", "items:write", "ledger", "ledger:eu", "ledger:us"], 0..=5)
}

fn alternative() -> impl Strategy<Value = Value> {
    let all = scopes().prop_filter("some", |scopes| !scopes.is_empty());
    let any = prop::option::of(scopes().prop_filter("some", |scopes| !scopes.is_empty()));
    let providers = prop::option::of(prop::sample::select(vec!["okta", "keycloak"]));
    (all, any, providers).prop_map(|(all, any, providers)| {
        let mut long = json!({ "all": all });
        if let Some(any) = any {
            long["any"] = json!(any);
        }
        if let Some(provider) = providers {
            long["providers"] = json!([provider]);
        }
        long
    })
}

fn rule(alternatives: &[Value]) -> Rule {
    let definition = definition(SCOPES);
    let scopes = definition.scopes.into_iter().map(|(_, name, _)| name);
    let require = serde_json::from_value(json!({ "any_of": alternatives })).unwrap();
    Vocabulary::new(scopes, definition.providers).rule(&require).unwrap()
}

proptest! {
    #[test]
    fn requiring_another_scope_never_permits_more(alternatives in prop::collection::vec(alternative(), 1..4), more in scopes(), held in scopes()) {
        // mcp-proxy #176: a scope that was not mapped opened everything.
        let stricter: Vec<Value> = alternatives.iter().map(|one| {
            let mut one = one.clone();
            one["all"].as_array_mut().unwrap().extend(more.iter().map(|scope| json!(scope)));
            one
        }).collect();
        let principal = Caller::with(&held.join(" ")).principal();
        let permits = |alternatives: &[Value]| rule(alternatives).decide(now(&principal)).is_ok();
        prop_assert!(!permits(&stricter) || permits(&alternatives));
    }

    #[test]
    fn holding_another_scope_never_permits_less(alternatives in prop::collection::vec(alternative(), 1..4), held in scopes(), more in scopes()) {
        let rule = rule(&alternatives);
        let permits = |scopes: &[&str]| rule.decide(now(&Caller::with(&scopes.join(" ")).principal())).is_ok();
        prop_assert!(!permits(&held) || permits(&[held.clone(), more].concat()));
    }

    #[test]
    fn what_a_challenge_names_satisfies_the_rule_and_nothing_less_of_it_does(alternatives in prop::collection::vec(alternative(), 1..4), held in scopes()) {
        let rule = rule(&alternatives);
        let permits = |scopes: &ScopeSet| rule.decide(now(&Caller::with(&scopes.to_string()).principal())).is_ok();
        if let Err(Denial::InsufficientScope { missing, required }) = rule.decide(now(&Caller::with(&held.join(" ")).principal())) {
            prop_assert!(permits(&required));
            prop_assert!(required.is_superset(&missing) && !missing.is_empty());
            prop_assert!(missing.iter().all(|scope| !held.contains(&scope.as_str())));
            for left_out in &required {
                let less: ScopeSet = required.iter().filter(|scope| *scope != left_out).cloned().collect();
                let other = alternatives.len() > 1 || alternatives[0]["any"].is_array();
                prop_assert!(!permits(&less) || other);
            }
        }
    }
}
