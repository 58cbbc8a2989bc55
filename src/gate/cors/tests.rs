use http::{Method, StatusCode};
use poem::{
    Endpoint, EndpointExt, Request, Response,
    endpoint::make_sync,
    test::{TestClient, TestResponse},
};
use serde_json::json;

use super::*;
use crate::{
    gate::GateSettings,
    testing::{self, TestGate},
};

const APP: &str = "https://app.example";

fn policy() -> Policy {
    let own = json!({ "origins": ["https://own.example"], "headers": ["x-own"], "max_age": "10m" });
    testing::policy(&json!([
        { "match": "GET|PUT /items/**", "allow": "authenticated" },
        { "match": "GET /public", "allow": "anonymous" },
        { "match": "/inside", "allow": "nobody" },
        { "match": "GET /own", "allow": "anonymous", "cors": own },
        { "match": "GET /closed", "allow": "anonymous", "cors": {} },
        { "match": "GET /files/{name}", "allow": "anonymous", "accept": ["encoded_slash"] },
        { "match": "GET /files/{folder}/{name}", "allow": "anonymous", "cors": own },
        { "match": "OPTIONS /open", "allow": "anonymous" },
    ]))
}

fn gate(general: Option<&serde_json::Value>, known: bool) -> TestGate {
    let principal = known.then(|| testing::principal("items").unwrap());
    let general = general.map(|general| serde_json::from_value(general.clone()).unwrap());
    let cors = Cors::new(general, &HeaderName::from_static("x-request-id"));
    testing::gate_with(policy(), principal.as_ref(), GateSettings { cors, ..GateSettings::default() })
}

/// A service with a say of its own, behind a gate that lets `APP` in.
fn client(known: bool) -> TestClient<impl Endpoint> {
    behind(gate(Some(&json!({ "origins": [APP] })), known))
}

fn behind(gate: TestGate) -> TestClient<impl Endpoint> {
    let service = make_sync(|_: Request| {
        Response::builder()
            .header("access-control-allow-origin", "*")
            .header("access-control-allow-credentials", "true")
            .header("access-control-expose-headers", "x-total")
            .body("service")
    });
    TestClient::new(service.with(gate))
}

async fn get<E: Endpoint>(client: &TestClient<E>, path: &str, origin: &str) -> TestResponse {
    client.get(path).header("origin", origin).send().await
}

async fn preflight<E: Endpoint>(
    client: &TestClient<E>,
    path: &str,
    origin: &str,
    method: &str,
) -> TestResponse {
    let request = client.request(Method::OPTIONS, path).header("origin", origin);
    request.header("access-control-request-method", method).send().await
}

fn told<'a>(answer: &'a TestResponse, name: &str) -> Vec<&'a str> {
    answer.0.headers().get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}

fn allowed(answer: &TestResponse) -> Vec<&str> {
    told(answer, "access-control-allow-origin")
}

fn is_silent(answer: &TestResponse) -> bool {
    answer.0.headers().keys().all(|name| !name.as_str().starts_with("access-control-"))
}

#[tokio::test]
async fn a_preflight_is_decided_as_the_method_that_it_announces_without_a_token() {
    let answer = preflight(&client(false), "/items/1", APP, "PUT").await;
    answer.assert_status(StatusCode::NO_CONTENT);
    assert_eq!(allowed(&answer), [APP]);
    assert_eq!(told(&answer, "access-control-allow-methods"), ["PUT"]);
    assert_eq!(told(&answer, "access-control-allow-headers"), ["authorization, content-type"]);
    assert_eq!(told(&answer, "vary"), ["origin"]);
    answer.assert_header_is_not_exist("access-control-max-age");
    answer.assert_header_is_not_exist("access-control-allow-credentials");
}

#[tokio::test]
async fn a_preflight_ignores_a_bad_token() {
    let client = client(false);
    let request = client.request(Method::OPTIONS, "/items/1").header("origin", APP);
    let request = request.header("access-control-request-method", "GET").header("authorization", "Bearer x");
    request.send().await.assert_status(StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_preflight_of_what_is_not_permitted_to_anybody_is_denied_without_a_word_to_the_page() {
    let client = client(true);
    for (path, method, status) in [
        ("/items/1", "DELETE", StatusCode::METHOD_NOT_ALLOWED),
        ("/nowhere", "GET", StatusCode::NOT_FOUND),
        ("/inside", "GET", StatusCode::FORBIDDEN),
        ("/items/1;x=y", "GET", StatusCode::BAD_REQUEST),
    ] {
        let answer = preflight(&client, path, APP, method).await;
        answer.assert_status(status);
        assert!(is_silent(&answer), "{method} {path}: {:?}", answer.0.headers());
    }
}

#[tokio::test]
async fn a_preflight_from_another_origin_is_denied() {
    let client = client(true);
    for origin in ["https://app.example.evil", "https://app.example:444", "http://app.example", "null", ""] {
        let answer = preflight(&client, "/items/1", origin, "GET").await;
        answer.assert_status(StatusCode::FORBIDDEN);
        assert!(is_silent(&answer), "{origin}");
        let body: serde_json::Value = answer.json().await.value().deserialize();
        assert_eq!(body["reason"], "origin_not_allowed");
    }
}

#[tokio::test]
async fn invariant_6_options_that_is_no_preflight_needs_a_rule() {
    let client = client(true);
    let options = |path| client.request(Method::OPTIONS, path).header("origin", APP);
    let method = "access-control-request-method";
    options("/items/1").send().await.assert_status(StatusCode::METHOD_NOT_ALLOWED);
    let twice = options("/items/1").header(method, "GET").header(method, "PUT");
    twice.send().await.assert_status(StatusCode::METHOD_NOT_ALLOWED);
    let two_origins = options("/items/1").header("origin", APP).header(method, "GET");
    let answer = two_origins.send().await;
    answer.assert_status(StatusCode::METHOD_NOT_ALLOWED);
    assert!(is_silent(&answer));
    options("/open").send().await.assert_text("service").await;
}

#[tokio::test]
async fn invariant_6_where_nothing_is_configured_a_preflight_needs_a_rule() {
    let client = behind(gate(None, true));
    preflight(&client, "/items/1", APP, "GET").await.assert_status(StatusCode::METHOD_NOT_ALLOWED);
    preflight(&client, "/open", APP, "OPTIONS").await.assert_text("service").await;
}

#[tokio::test]
async fn where_nothing_is_configured_the_service_has_its_own_say() {
    let answer = get(&behind(gate(None, true)), "/public", APP).await;
    assert_eq!(allowed(&answer), ["*"]);
}

#[tokio::test]
async fn an_answer_says_whose_pages_may_read_it_instead_of_what_the_service_says() {
    let answer = get(&client(true), "/items/1", APP).await;
    assert_eq!(allowed(&answer), [APP]);
    assert_eq!(told(&answer, "vary"), ["origin"]);
    let exposed = told(&answer, "access-control-expose-headers");
    assert_eq!(
        exposed,
        ["www-authenticate, dpop-nonce, retry-after, link, location, x-request-id", "x-total"]
    );
    answer.assert_header_is_not_exist("access-control-allow-credentials");
}

#[tokio::test]
async fn a_page_of_another_origin_is_answered_and_may_not_read_it() {
    let client = client(true);
    for origin in ["https://evil.example", "null"] {
        let answer = get(&client, "/public", origin).await;
        assert!(is_silent(&answer), "{origin}: {:?}", answer.0.headers());
        assert_eq!(told(&answer, "vary"), ["origin"]);
        answer.assert_text("service").await;
    }
}

#[tokio::test]
async fn caches_are_told_that_answers_differ_even_where_no_origin_came() {
    let answer = client(true).get("/public").send().await;
    assert_eq!((told(&answer, "vary"), is_silent(&answer)), (vec!["origin"], true));
}

#[tokio::test]
async fn refusals_may_be_read_with_their_challenge() {
    let client = client(false);
    for (method, path, status) in [
        (Method::GET, "/items/1", StatusCode::UNAUTHORIZED),
        (Method::PATCH, "/items/1", StatusCode::METHOD_NOT_ALLOWED),
        (Method::GET, "/inside", StatusCode::FORBIDDEN),
        (Method::GET, "/nowhere", StatusCode::NOT_FOUND),
        (Method::GET, "/items/%2e%2e", StatusCode::BAD_REQUEST),
    ] {
        let answer = client.request(method, path).header("origin", APP).send().await;
        answer.assert_status(status);
        assert_eq!(allowed(&answer), [APP], "{path}");
        assert!(told(&answer, "access-control-expose-headers")[0].contains("www-authenticate"));
    }
}

#[tokio::test]
async fn a_route_says_something_else_instead() {
    let client = client(true);
    let answer = preflight(&client, "/own", "https://own.example", "GET").await;
    answer.assert_status(StatusCode::NO_CONTENT);
    assert_eq!(told(&answer, "access-control-allow-headers"), ["x-own"]);
    assert_eq!(told(&answer, "access-control-max-age"), ["600"]);
    preflight(&client, "/own", APP, "GET").await.assert_status(StatusCode::FORBIDDEN);
    assert!(is_silent(&get(&client, "/own", APP).await));
    assert!(is_silent(&get(&client, "/closed", APP).await));
}

#[tokio::test]
async fn a_route_alone_opens_nothing_else() {
    let client = behind(gate(None, true));
    let own = "https://own.example";
    assert_eq!(allowed(&get(&client, "/own", own).await), [own]);
    assert_eq!(preflight(&client, "/own", own, "GET").await.0.status(), StatusCode::NO_CONTENT);
    preflight(&client, "/items/1", own, "GET").await.assert_status(StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn invariant_5_an_irregular_path_is_open_to_an_origin_only_under_every_reading() {
    let client = client(true);
    assert_eq!(allowed(&get(&client, "/files/a", APP).await), [APP]);
    assert_eq!(allowed(&get(&client, "/files/a%2Fb", APP).await), [""; 0]);
}

#[test]
fn an_origin_in_vary_is_not_added_again() {
    for vary in ["accept, Origin", "*"] {
        let mut headers = HeaderMap::new();
        headers.insert(header::VARY, HeaderValue::from_static(vary));
        CorsDecision::Closed.apply(&mut headers);
        assert_eq!(headers.get_all(header::VARY).iter().collect::<Vec<_>>(), [vary]);
    }
}
