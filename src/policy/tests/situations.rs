//! The situations of real users decide as their comments say.

use super::*;

fn situation(number: usize) -> (Policy, Vec<Warning>) {
    let yaml = include_str!("../../../tests/data/situations.yaml");
    let document = yaml.split("\n---\n").nth(number - 1).unwrap();
    let compiled = compile(document).unwrap();
    (compiled.policy, compiled.warnings)
}

#[test]
fn situation_1_one_tenant_behind_nginx() {
    let (policy, warnings) = situation(1);
    assert!(warnings.is_empty());
    let decide = |text, scopes| outcome(&policy, text, Some(&Caller::with(scopes)));
    assert_eq!(decide("GET /items/1", "items"), "permit");
    assert_eq!(decide("HEAD /items/1", "items"), "permit");
    assert_eq!(decide("DELETE /items/1", "items items:write staff"), "method_not_allowed");
    assert_eq!(outcome(&policy, "DELETE /items/1", None), "method_not_allowed");
    assert_eq!(decide("PUT /items/1", "items"), "insufficient_scope");
    assert_eq!(outcome(&policy, "GET /docs", None), "permit");
    assert_eq!(decide("GET /admin/users", "items"), "insufficient_scope");
    assert_eq!(decide("GET /admin", "staff"), "permit");
}

#[test]
fn situation_2_three_providers_behind_traefik() {
    let (policy, warnings) = situation(2);
    assert!(warnings.is_empty());
    for provider in ["okta", "entra", "keycloak"] {
        let caller = Caller::with("items").of(provider);
        assert_eq!(outcome(&policy, "GET api.acme.example/items/1", Some(&caller)), "permit");
    }
    let keycloak = Caller::with("items").of("keycloak");
    let refused = policy.decide(&target("GET /payroll/2026"), now(&keycloak.principal()));
    let Decision::Deny(refused) = refused else { panic!() };
    assert_eq!(
        (refused.denial.reason(), refused.denial.challenge_scopes()),
        (Reason::ProviderNotAllowed, None)
    );
    let anyone = Caller::with("");
    assert_eq!(outcome(&policy, "POST api.acme.example/items/1", Some(&anyone)), "method_not_allowed");
    assert_eq!(outcome(&policy, "POST other.example/items/1", Some(&anyone)), "permit");
}

#[test]
fn situation_3_scopes_that_list_their_routes() {
    let (policy, warnings) = situation(3);
    assert!(warnings.is_empty());
    assert_eq!(outcome(&policy, "GET /reports/2026", Some(&Caller::with("reports"))), "permit");
    assert_eq!(outcome(&policy, "GET /reports/2026", Some(&Caller::with(""))), "insufficient_scope");
    assert_eq!(outcome(&policy, "GET /reports", Some(&Caller::with("reports"))), "no_route");
}

#[test]
fn situation_4_a_route_for_one_audience() {
    let (policy, warnings) = situation(4);
    assert!(warnings.is_empty());
    let partner = Caller::with("orders").of("partner");
    let ours = partner.clone().audience(&["https://orders.acme.example"]);
    assert_eq!(outcome(&policy, "GET /orders/1", Some(&ours)), "permit");
    assert_eq!(outcome(&policy, "GET /orders/1", Some(&partner)), "audience_not_allowed");
}

#[test]
fn situation_5_an_encoded_slash_is_decided_under_both_readings() {
    let (policy, warnings) = situation(5);
    assert!(warnings.is_empty());
    let projects = Caller::with("projects");
    let path = "GET mcp.acme.example/api/projects/group%2Fname";
    assert_eq!(outcome(&policy, path, Some(&projects)), "permit");
    assert_eq!(target(path).path_as_sent(), "/api/projects/group%2Fname");
    assert_eq!(outcome(&policy, path, Some(&Caller::with("mcp:tools"))), "insufficient_scope");
    assert_eq!(outcome(&policy, "GET /api/projects/a%2Fb%2Fc", Some(&projects)), "no_route");
    assert_eq!(outcome(&policy, "GET /api/projects/a/b%2Fc", Some(&projects)), "irregular_path");
    assert_eq!(outcome(&policy, "POST mcp.acme.example/mcp", Some(&Caller::with("mcp:tools"))), "permit");
    assert_eq!(outcome(&policy, "POST other.example/mcp", Some(&Caller::with("mcp:tools"))), "no_route");
}
