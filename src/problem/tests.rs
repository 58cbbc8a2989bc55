use scopegate_provider::OutageCause;

use super::*;

fn scopes(text: &str) -> ScopeSet {
    ScopeSet::parse(text).unwrap()
}

fn challenge(problem: &Problem) -> String {
    problem.www_authenticate().unwrap().to_str().unwrap().to_owned()
}

fn body(problem: &Problem) -> serde_json::Value {
    serde_json::from_slice(&problem.body()).unwrap()
}

#[test]
fn no_token_is_401_without_a_code() {
    let problem = Problem::no_token(Some(scopes("items")));
    assert_eq!(problem.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(challenge(&problem), r#"Bearer realm="scopegate", scope="items""#);
    assert!(body(&problem).get("error").is_none());
}

#[test]
fn a_bad_token_is_401_invalid_token() {
    let problem = Problem::rejected(&Rejection::Revoked, None);
    assert_eq!(problem.status(), StatusCode::UNAUTHORIZED);
    assert!(challenge(&problem).contains(r#"error="invalid_token""#));
    assert_eq!(body(&problem)["reason"], "revoked");
}

#[test]
fn too_few_scopes_are_403_with_the_missing_and_the_whole_set() {
    let missing = vec![Scope::parse("items:write").unwrap()];
    let problem = Problem::forbidden("insufficient_scope", "…", missing, Some(scopes("items items:write")));
    assert_eq!(problem.status(), StatusCode::FORBIDDEN);
    assert!(challenge(&problem).contains(r#"error="insufficient_scope""#));
    assert!(challenge(&problem).ends_with(r#"scope="items items:write""#));
    assert_eq!(body(&problem)["missing_scopes"], serde_json::json!(["items:write"]));
}

#[test]
fn invariant_9_an_outage_is_503_with_retry_after_and_no_challenge() {
    let problem = Problem::unavailable(&Outage::new(OutageCause::Introspection, Duration::from_millis(1200)));
    let response = problem.response();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["retry-after"], "2");
    assert!(response.headers().get("www-authenticate").is_none());
}

#[test]
fn a_line_break_or_quote_of_a_stranger_does_not_reach_the_challenge() {
    let found = "a\"b\\c\r\nSet-Cookie: x".into();
    let problem = Problem::rejected(&Rejection::UnknownIssuer { found }, None);
    let challenge = challenge(&problem);
    assert!(challenge.contains("a'b/c??Set-Cookie: x"), "{challenge}");
}

#[test]
fn a_method_that_no_route_names_is_405_with_those_that_are_named() {
    let problem = Problem::method_not_allowed("method_not_allowed", "…", vec![Method::GET, Method::HEAD]);
    assert_eq!(problem.response().headers()["allow"], "GET, HEAD");
}

#[test]
fn a_challenge_points_to_the_metadata_of_the_resource() {
    let problem = Problem::no_token(None).with_resource_metadata("https://api.example/.well-known/x");
    assert!(challenge(&problem).ends_with(r#"resource_metadata="https://api.example/.well-known/x""#));
}
