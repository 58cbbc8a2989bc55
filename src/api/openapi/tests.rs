use std::collections::BTreeMap;

use scopegate_provider::{Principal, Scope, ScopeSet, Timestamp, Verified};

use super::*;
use crate::{
    policy::{CallerAt, Decision, Definition, KnownProvider},
    testing,
};

const SCOPES: [&str; 4] = ["items", "items:write", "ledger:eu", "ledger:us"];

fn name(name: &str) -> ProviderName {
    ProviderName::parse(name).unwrap()
}

fn policy(routes: Value) -> Policy {
    let mut definition = Definition::default();
    for scope in SCOPES {
        let settings = serde_json::from_value(json!(format!("May {scope}"))).unwrap();
        definition.add_scope(Scope::parse(scope).unwrap(), settings);
    }
    for route in serde_json::from_value::<Vec<Value>>(routes).unwrap() {
        definition.add_route(serde_json::from_value(route).unwrap());
    }
    let known =
        |text| KnownProvider { name: name(text), audiences: Vec::new(), introspects: false, scopes: None };
    definition.providers = ["one", "two"].map(known).into();
    Policy::compile(&definition).unwrap().policy
}

/// The routes of the sample API, and one of each further kind.
fn everything() -> Policy {
    policy(json!([
        { "match": "/", "allow": "anonymous" },
        { "match": "/api/private", "allow": "authenticated" },
        { "match": "/welcome", "allow": "optional" },
        { "match": "/internal", "allow": "nobody" },
        { "match": "GET /items/**", "require": "items" },
        { "match": "POST|PUT|DELETE /items/**", "require": ["items", "items:write"] },
        { "match": "GET /items/special", "require": { "any": ["ledger:eu", "ledger:us"] } },
        { "match": "GET /ledger/{year}", "require": { "all": ["items"], "any": ["ledger:eu", "ledger:us"] } },
        { "match": "/one", "require": { "all": ["items"], "providers": ["one"] } },
        { "match": "/mixed", "require": { "any_of": [{ "all": ["items"] }, { "all": ["ledger:eu"], "providers": ["two"] }] } },
    ]))
}

fn document() -> Value {
    let operation = || json!({ "summary": "s", "responses": { "200": { "description": "well" } } });
    let mut paths = Map::new();
    let all = [
        "/",
        "/api/private",
        "/welcome",
        "/internal",
        "/items",
        "/items/{id}",
        "/items/special",
        "/ledger/{year}",
        "/one",
        "/mixed",
        "/nowhere",
    ];
    for path in all {
        let methods = ["get", "post", "put", "delete"];
        let operations: BTreeMap<&str, Value> = methods.into_iter().map(|name| (name, operation())).collect();
        paths.insert(path.to_owned(), json!(operations));
    }
    json!({ "openapi": "3.0.0", "info": { "title": "t", "version": "1" }, "paths": paths })
}

fn site() -> Site {
    Site::new(&"http://127.0.0.1:8080".parse().unwrap(), "")
}

fn providers() -> [DocumentedProvider; 2] {
    ["one", "two"].map(|text| DocumentedProvider { name: name(text), gives_tokens: true })
}

fn overlaid(policy: &Policy) -> Value {
    overlay(document(), Facts { policy, providers: &providers(), site: &site(), admin: None })
}

fn principal(provider: &str, scopes: &ScopeSet) -> Principal {
    Principal::assert_verified(Verified { scopes: scopes.clone(), ..testing::verified(provider).unwrap() })
}

/// Returns `true` if the document permits a caller with these scopes of this provider: one entry of `security` is enough.
fn says_yes(security: &Value, provider: &str, scopes: &ScopeSet) -> bool {
    let held = |scope: &Value| scopes.contains(&Scope::parse(scope.as_str().unwrap()).unwrap());
    let entries = security.as_array().unwrap();
    entries.is_empty()
        || entries.iter().any(|entry| {
            let entry = entry.as_object().unwrap();
            entry.is_empty()
                || entry.get(provider).is_some_and(|asked| asked.as_array().unwrap().iter().all(held))
        })
}

fn says_yes_to_nobody(security: &Value) -> bool {
    let entries = security.as_array().unwrap();
    entries.is_empty() || entries.contains(&json!({}))
}

fn decides_yes(policy: &Policy, method: &str, path: &str, principal: Option<&Principal>) -> bool {
    let method = super::method(method).unwrap();
    let path = path.replace("{id}", "7").replace("{year}", "2026");
    let target = Target::parse(RawTarget {
        method: &method,
        scheme: Scheme::Http,
        authority: None,
        hosts: ["127.0.0.1:8080"],
        path_and_query: path.as_bytes(),
    });
    matches!(
        policy.decide(
            &target.unwrap(),
            principal.map(|principal| CallerAt::new(principal, Timestamp::from_seconds(0)))
        ),
        Decision::Permit { .. }
    )
}

#[test]
fn what_the_document_says_of_scopes_is_what_the_policy_decides() {
    let policy = everything();
    let overlaid = overlaid(&policy);
    let subsets = (0..1_usize << SCOPES.len()).map(|bits| {
        let chosen = SCOPES.iter().enumerate().filter(|(index, _)| bits >> index & 1 == 1);
        chosen.map(|(_, scope)| Scope::parse(scope).unwrap()).collect::<ScopeSet>()
    });
    let subsets: Vec<ScopeSet> = subsets.collect();
    for (path, operations) in document()["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let security =
                overlaid["paths"].get(path).and_then(|all| all.get(method)).map(|one| &one["security"]);
            let place = format!("{method} {path}");
            let nobody = decides_yes(&policy, method, path, None);
            assert_eq!(security.is_some_and(says_yes_to_nobody), nobody, "{place} without a token");
            for (provider, scopes) in
                ["one", "two"].into_iter().flat_map(|p| subsets.iter().map(move |s| (p, s)))
            {
                let decided = decides_yes(&policy, method, path, Some(&principal(provider, scopes)));
                let said = security.is_some_and(|security| says_yes(security, provider, scopes));
                assert_eq!(said, decided, "{place} with {scopes:?} of {provider}");
            }
        }
    }
}

#[test]
fn each_provider_is_a_scheme_with_its_own_token_url_and_every_scope() {
    let overlaid = overlaid(&everything());
    let flow = &overlaid["components"]["securitySchemes"]["two"]["flows"]["clientCredentials"];
    assert_eq!(flow["tokenUrl"], "http://127.0.0.1:8080/token?provider=two");
    let scopes: Map<String, Value> =
        SCOPES.iter().map(|scope| ((*scope).to_owned(), json!(format!("May {scope}")))).collect();
    assert_eq!(flow["scopes"], json!(scopes));
}

#[test]
fn the_base_path_is_in_every_address() {
    let policy = policy(json!([{ "match": "/.scopegate/items", "allow": "authenticated" }]));
    let site = Site::new(&"https://api.example/".parse().unwrap(), "/.scopegate");
    let overlaid =
        overlay(document(), Facts { policy: &policy, providers: &providers(), site: &site, admin: None });
    assert_eq!(overlaid["servers"], json!([{ "url": "https://api.example/.scopegate" }]));
    assert_eq!(overlaid["paths"].as_object().unwrap().keys().collect::<Vec<_>>(), ["/items"]);
}

#[test]
fn an_operation_that_nobody_may_call_is_left_out() {
    let overlaid = overlaid(&everything());
    assert!(overlaid["paths"].get("/internal").is_none());
    assert!(overlaid["paths"].get("/nowhere").is_none());
    assert!(overlaid["paths"]["/ledger/{year}"].get("post").is_none());
}

#[test]
fn refusals_are_documented_where_a_token_is_looked_at() {
    let overlaid = overlaid(&everything());
    let statuses = |path: &str| {
        let responses = overlaid["paths"][path]["get"]["responses"].as_object().unwrap();
        responses.keys().cloned().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(statuses("/"), "200");
    assert_eq!(statuses("/welcome"), "200 401 503");
    assert_eq!(statuses("/items"), "200 401 403 503");
    let reference = &overlaid["paths"]["/items"]["get"]["responses"]["403"]["$ref"];
    let pointer = reference.as_str().unwrap().trim_start_matches('#');
    let content = &overlaid.pointer(pointer).unwrap()["content"];
    assert!(content.get("application/problem+json").is_some());
}

#[test]
fn what_openapi_cannot_say_is_in_the_description() {
    let rule = json!({ "all": ["items"], "roles": ["analyst"] });
    let policy = policy(json!([{ "match": "/items", "require": rule }]));
    let overlaid = overlaid(&policy);
    assert_eq!(overlaid["paths"]["/items"]["get"]["description"], "Asks for: `items, role analyst`.");
}

#[test]
fn a_provider_that_gives_no_tokens_is_a_bearer_scheme() {
    let policy = policy(json!([{ "match": "/items", "require": "items" }]));
    let [one, two] = providers();
    let two = DocumentedProvider { gives_tokens: false, ..two };
    let overlaid =
        overlay(document(), Facts { policy: &policy, providers: &[one, two], site: &site(), admin: None });
    assert_eq!(overlaid["components"]["securitySchemes"]["two"]["scheme"], "bearer");
    assert_eq!(overlaid["paths"]["/items"]["get"]["security"], json!([{ "one": ["items"] }, { "two": [] }]));
}

#[test]
fn without_a_provider_no_operation_looks_open() {
    let policy = policy(json!([{ "match": "/items", "require": "items" }]));
    let overlaid = overlay(document(), Facts { policy: &policy, providers: &[], site: &site(), admin: None });
    assert_eq!(overlaid["paths"]["/items"]["get"]["security"], json!([{ "bearer": [] }]));
}

#[test]
fn providers_of_like_names_are_schemes_of_their_own() {
    let policy = policy(json!([{ "match": "/items", "require": "items" }]));
    let named = |text| DocumentedProvider { name: name(text), gives_tokens: true };
    let providers = [named("a b"), named("a/b")];
    let overlaid =
        overlay(document(), Facts { policy: &policy, providers: &providers, site: &site(), admin: None });
    let schemes = overlaid["components"]["securitySchemes"].as_object().unwrap();
    assert_eq!(schemes.keys().collect::<Vec<_>>(), ["a_b", "a_b_"]);
    let url = &schemes["a_b_"]["flows"]["clientCredentials"]["tokenUrl"];
    assert_eq!(url, "http://127.0.0.1:8080/token?provider=a%2Fb");
}
