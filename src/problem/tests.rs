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
    assert_eq!(challenge(&problem), r#"Bearer scope="items""#);
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
    let denial =
        Denial::InsufficientScope { missing: scopes("items:write"), required: scopes("items items:write") };
    let problem = Problem::from(&denial);
    assert_eq!(problem.status(), StatusCode::FORBIDDEN);
    assert!(
        challenge(&problem)
            .starts_with(r#"Bearer error="insufficient_scope", scope="items items:write", error_"#),
        "{}",
        challenge(&problem)
    );
    assert_eq!(body(&problem)["missing_scopes"], serde_json::json!(["items:write"]));
}

/// CASES I8: a token that is meant for another resource is bad for this one, not too weak.
#[test]
fn a_token_for_another_audience_than_the_routes_is_401_invalid_token() {
    let problem = Problem::from(&Denial::AudienceNotAllowed)
        .with_resource_metadata("https://api.example/.well-known/x");
    assert_eq!(problem.status(), StatusCode::UNAUTHORIZED);
    assert!(
        challenge(&problem).starts_with(
            r#"Bearer error="invalid_token", resource_metadata="https://api.example/.well-known/x", error_description="#
        ),
        "{}",
        challenge(&problem)
    );
}

/// T0.1: clients read the header up to the first blank, and give up unless that is `Bearer`.
#[test]
fn a_dpop_challenge_stands_behind_the_one_of_bearer_in_one_line() {
    let problem = Problem::no_token(Some(scopes("items"))).with_dpop("ES256 RS256", false);
    assert_eq!(challenge(&problem), r#"Bearer scope="items", DPoP algs="ES256 RS256""#);
}

/// T0.2: nginx before 1.23 relays one line of `WWW-Authenticate` only.
#[test]
fn all_challenges_are_one_line() {
    let response = Problem::rejected(&Rejection::Ended, None).with_dpop("ES256", false).response();
    assert_eq!(response.headers().get_all("www-authenticate").iter().count(), 1);
}

/// T0.3: clients search for parameters by their text, and take the first.
#[test]
fn the_parameters_have_one_order_with_the_description_last() {
    let denial = Denial::InsufficientScope { missing: scopes("b"), required: scopes("a b") };
    let problem = Problem::from(&denial).with_resource_metadata("https://api.example/.well-known/x");
    let problem = problem.with_step_up(&["urn:mfa".into(), "phr".into()], Some(Duration::from_mins(5)));
    assert_eq!(
        challenge(&problem),
        "Bearer error=\"insufficient_scope\", scope=\"a b\", acr_values=\"urn:mfa phr\", max_age=\"300\", \
         resource_metadata=\"https://api.example/.well-known/x\", error_description=\"the token lacks the scope `b`\""
    );
}

/// T0.3: nothing that a caller sends becomes a parameter.
#[test]
fn a_description_contains_nothing_that_looks_like_a_parameter() {
    let found = r#"a", scope="x", error=y, resource_metadata=https://evil.example\"#.into();
    let challenge = challenge(&Problem::rejected(&Rejection::UnknownIssuer { found }, Some(scopes("items"))));
    let (_, description) = challenge.split_once("error_description=\"").unwrap();
    let description = description.strip_suffix('"').unwrap();
    assert!(!description.contains(['=', '"', '\\']), "{challenge}");
    assert!(
        challenge.starts_with(r#"Bearer error="invalid_token", scope="items", error_description="#),
        "{challenge}"
    );
}

/// T0.4: no parameter occurs twice in a challenge.
#[test]
fn each_parameter_occurs_once_in_its_challenge() {
    let problem = Problem::rejected(&Rejection::Ended, Some(scopes("items"))).with_dpop("ES256", false);
    let challenge = challenge(&problem.with_resource_metadata("https://api.example/x"));
    let (bearer, dpop) = challenge.split_once(", DPoP ").unwrap();
    for name in ["error=", "scope=", "resource_metadata=", "error_description="] {
        assert_eq!(bearer.matches(name).count(), 1, "{name} in {bearer}");
    }
    assert_eq!(dpop, r#"algs="ES256""#);
}

/// T0.4: the error belongs to the scheme with which the token was sent, and to no other.
#[test]
fn the_error_of_a_dpop_token_stands_in_its_challenge() {
    let rejection = Rejection::NonceRequired { nonce: "abc".into() };
    let problem = Problem::rejected(&rejection, Some(scopes("items"))).with_dpop("ES256", true);
    let problem = problem.with_resource_metadata("https://api.example/x");
    assert_eq!(
        challenge(&problem),
        "Bearer resource_metadata=\"https://api.example/x\", DPoP error=\"use_dpop_nonce\", scope=\"items\", algs=\"ES256\", \
         error_description=\"the DPoP proof needs the nonce of this server that the header DPoP-Nonce holds\""
    );
    assert_eq!(problem.response().headers()["dpop-nonce"], "abc");
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
    let problem = Problem::from(&Denial::MethodNotAllowed { allowed: [Method::GET, Method::HEAD].into() });
    assert_eq!(problem.response().headers()["allow"], "GET, HEAD");
}

/// RFC 6750, section 3: a challenge has at least one parameter.
#[test]
fn a_challenge_without_other_parameters_names_the_realm() {
    assert_eq!(challenge(&Problem::no_token(None)), r#"Bearer realm="scopegate""#);
}
