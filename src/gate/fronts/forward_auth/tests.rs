use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, Method, StatusCode};
use poem::{Addr, Body, Endpoint, Request, Response, web::RemoteAddr};
use serde_json::json;

use super::*;
use crate::{
    authenticator::{Authenticator, NoRevocations, VerifiedTokens},
    gate::{Cors, Gate, GateSettings, PublicOrigin, State, identities::Identities},
    policy::{Policy, settings::IdentitySettings},
    testing,
};

pub(super) const PROXY: &str = "10.42.0.7:4711";
pub(super) const APP: &str = "https://app.example";

fn gate() -> (Gate, Policy) {
    let policy = testing::policy(&json!([
        { "match": "GET api.example/public/**", "allow": "anonymous" },
        { "match": "GET api.example/items/**", "allow": "authenticated" },
        { "match": "OPTIONS api.example/open", "allow": "anonymous" },
    ]));
    let clock = std::sync::Arc::new(scopegate_provider::SystemClock::new());
    let tokens = VerifiedTokens::new(0);
    let authenticator =
        Authenticator::new(Vec::new(), tokens, std::sync::Arc::new(NoRevocations), clock).unwrap();
    let cors = serde_json::from_value(json!({ "origins": [APP] })).unwrap();
    let cors = Cors::new(Some(cors), &http::HeaderName::from_static("x-request-id"));
    let public_origin = PublicOrigin { url: None, at_callers_host: true };
    let settings = GateSettings { public_origin, cors, ..GateSettings::default() };
    let state = State::new(std::sync::Arc::new(policy.clone()), authenticator, settings);
    (Gate::new(state), policy)
}

pub(super) fn endpoint<D: Dialect>(dialect: D) -> ForwardAuth<D> {
    let (gate, policy) = gate();
    let settings =
        IdentitySettings { headers: [("X-User".to_owned(), "sub".to_owned())].into(), ..Default::default() };
    let identities = Identities::of_policy(&settings, &policy).unwrap();
    let trusted = serde_json::from_value(json!(["10.42.0.0/16"])).unwrap();
    ForwardAuth::new(CheckService::new(gate, identities), trusted, dialect)
}

pub(super) async fn ask<D: Dialect>(
    dialect: D,
    peer: &str,
    method: Method,
    uri: &str,
    headers: &[(&str, &str)],
) -> Response {
    let mut http = http::Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        http = http.header(*name, *value);
    }
    let (parts, ()) = http.body(()).unwrap().into_parts();
    let remote = RemoteAddr(Addr::SocketAddr(peer.parse().unwrap()));
    let parts = (parts, poem::web::LocalAddr::default(), remote, http::uri::Scheme::HTTP).into();
    endpoint(dialect).get_response(Request::from_parts(parts, Body::empty())).await
}

pub(super) async fn reason(response: Response) -> (StatusCode, String) {
    let status = response.status();
    let body: serde_json::Value = response.into_body().into_json().await.unwrap_or_default();
    (status, body["reason"].as_str().unwrap_or_default().to_owned())
}

fn forwarded(path: &str) -> Vec<(&'static str, &str)> {
    vec![
        ("x-forwarded-method", "GET"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "api.example"),
        ("x-forwarded-uri", path),
    ]
}

async fn traefik(path: &str) -> Response {
    ask(Traefik, PROXY, Method::GET, "/auth/traefik", &forwarded(path)).await
}

#[tokio::test]
async fn invariant_8_a_permitted_request_gets_every_identity_header_empty_where_there_is_nothing_to_tell() {
    let response = traefik("/public/x").await;
    assert_eq!((response.status(), response.headers()["x-user"].to_str().unwrap()), (StatusCode::OK, ""));
}

#[tokio::test]
async fn invariant_7_a_peer_that_is_not_trusted_is_denied_whatever_it_says() {
    let response = ask(Traefik, "127.0.0.1:1", Method::GET, "/auth/traefik", &forwarded("/public/x")).await;
    assert_eq!(reason(response).await, (StatusCode::FORBIDDEN, "untrusted_proxy".to_owned()));
}

#[tokio::test]
async fn invariant_7_each_missing_or_repeated_header_is_a_denial() {
    let whole = forwarded("/public/x");
    for left_out in 0..whole.len() {
        let mut part = whole.clone();
        let header = part.remove(left_out);
        let response = ask(Traefik, PROXY, Method::GET, "/auth/traefik", &part).await;
        assert_eq!(reason(response).await, (StatusCode::FORBIDDEN, "incomplete_metadata".to_owned()));
        let twice = [whole.as_slice(), &[header]].concat();
        let response = ask(Caddy, PROXY, Method::GET, "/auth/caddy", &twice).await;
        assert_eq!(reason(response).await, (StatusCode::FORBIDDEN, "incomplete_metadata".to_owned()));
    }
}

#[tokio::test]
async fn a_refusal_is_relayed_with_its_challenge() {
    let response = traefik("/items/1").await;
    assert!(response.headers()["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
    assert_eq!(reason(response).await, (StatusCode::UNAUTHORIZED, "no_token".to_owned()));
}

#[tokio::test]
async fn no_route_is_403_where_another_serves() {
    assert_eq!(reason(traefik("/elsewhere").await).await, (StatusCode::FORBIDDEN, "no_route".to_owned()));
}

#[tokio::test]
async fn invariant_5_a_path_with_dot_segments_is_never_permitted() {
    for path in ["/public/../items/1", "/public/%2e%2e/items", "/public/..;/items", "public/x", "", "*"] {
        assert!(traefik(path).await.status().is_client_error(), "{path}");
    }
}

#[tokio::test]
async fn envoy_asks_with_the_request_itself_behind_a_prefix() {
    let headers = [("host", "api.example"), ("x-forwarded-proto", "https")];
    let ask = |method, uri| ask(Envoy::at("/auth/envoy"), PROXY, method, uri, &headers);
    assert_eq!(ask(Method::GET, "/auth/envoy/public/x?y").await.status(), StatusCode::OK);
    assert_eq!(ask(Method::POST, "/auth/envoy/public/x").await.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(ask(Method::GET, "/auth/envoy").await.status(), StatusCode::FORBIDDEN);
    assert_eq!(ask(Method::GET, "/auth/envoyx/public/x").await.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn invariant_7_haproxy_must_say_everything_once() {
    let whole = [
        ("x-scopegate-method", "GET"),
        ("x-scopegate-scheme", "https"),
        ("x-scopegate-host", "api.example"),
        ("x-scopegate-uri", "/public/x?y=1"),
    ];
    let ask =
        async |headers: &[(&str, &str)]| ask(Haproxy, PROXY, Method::GET, "/auth/haproxy", headers).await;
    assert_eq!(ask(&whole).await.status(), StatusCode::OK);
    for left_out in 0..whole.len() {
        let mut part = whole.to_vec();
        let header = part.remove(left_out);
        for wrong in [part, [whole.as_slice(), &[header]].concat()] {
            let refused = reason(ask(&wrong).await).await;
            assert_eq!(refused, (StatusCode::FORBIDDEN, "incomplete_metadata".to_owned()), "{wrong:?}");
        }
    }
}

async fn nginx(headers: &[(&str, &str)]) -> Response {
    ask(Nginx, PROXY, Method::GET, "/auth/nginx", headers).await
}

#[tokio::test]
async fn nginx_sends_a_whole_url_or_uri_and_host() {
    let url = ("x-original-url", "https://api.example/public/x?y=1");
    let (uri, host) = (("x-original-uri", "/public/x"), ("x-original-host", "api.example"));
    let method = ("x-original-method", "GET");
    assert_eq!(nginx(&[method, url]).await.status(), StatusCode::OK);
    assert_eq!(nginx(&[method, uri, host]).await.status(), StatusCode::OK);
    for bad in [vec![method, uri], vec![method, host], vec![url]] {
        let refused = nginx(&bad).await;
        let problem = refused.headers()["x-scopegate-problem"].to_str().unwrap().to_owned();
        let refused = reason(restore(PROXY, &problem).await).await;
        assert_eq!(refused, (StatusCode::FORBIDDEN, "incomplete_metadata".to_owned()), "{bad:?}");
    }
}

/// F3: ingress-nginx sends `X-Original-URL` and `X-Original-URI`.
#[tokio::test]
async fn nginx_may_say_the_same_twice_and_must_not_contradict_itself() {
    let url = ("x-original-url", "https://api.example/public/x?y=1");
    let method = ("x-original-method", "GET");
    let (uri, host) = (("x-original-uri", "/public/x?y=1"), ("x-original-host", "api.example"));
    for good in [vec![method, url, uri], vec![method, url, host], vec![method, url, uri, host]] {
        assert_eq!(nginx(&good).await.status(), StatusCode::OK, "{good:?}");
    }
    for (name, value) in [
        ("x-original-uri", "/public/x"),
        ("x-original-uri", "/items/1"),
        ("x-original-host", "other.example"),
        ("x-original-host", ""),
    ] {
        let response = nginx(&[method, url, (name, value)]).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{name}: {value}");
        let problem = response.headers()["x-scopegate-problem"].to_str().unwrap().to_owned();
        assert_eq!(reason(restore(PROXY, &problem).await).await.1, "incomplete_metadata");
    }
}

/// F1: what scopegate could not answer is 503, never 403.
#[tokio::test]
async fn a_request_about_which_nginx_got_no_answer_is_503() {
    let restored = restore(PROXY, "").await;
    assert_eq!(restored.headers()["retry-after"], "1");
    assert_eq!(reason(restored).await, (StatusCode::SERVICE_UNAVAILABLE, "no_answer".to_owned()));
}

/// F2: nginx has the challenge of a 401 already; that of a 403 comes with the problem.
#[tokio::test]
async fn the_challenge_of_a_refusal_comes_to_nginx_once() {
    let method = ("x-original-method", "GET");
    let refused = nginx(&[method, ("x-original-url", "https://api.example/items/1")]).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert!(refused.headers().contains_key("www-authenticate"));
    let problem = refused.headers()["x-scopegate-problem"].to_str().unwrap().to_owned();
    assert!(refused.into_body().into_vec().await.unwrap().is_empty(), "nginx would close the connection");
    let restored = restore(PROXY, &problem).await;
    assert_eq!(restored.status(), StatusCode::UNAUTHORIZED);
    assert!(!restored.headers().contains_key("www-authenticate"));
    assert_eq!(reason(restored).await.1, "no_token");
}

/// F4: the challenge names the host that the caller used.
#[tokio::test]
async fn the_challenge_names_the_metadata_at_the_host_that_the_caller_used() {
    let method = ("x-original-method", "GET");
    let refused = nginx(&[method, ("x-original-url", "https://api.example/items/1")]).await;
    let challenge = refused.headers()["www-authenticate"].to_str().unwrap();
    let url = "resource_metadata=\"https://api.example/.well-known/oauth-protected-resource/items/1\"";
    assert!(challenge.contains(url), "{challenge}");
}

#[tokio::test]
async fn nginx_gets_a_status_that_it_passes_on_and_the_true_one_beside_it() {
    let asked = [("x-original-method", "POST"), ("x-original-url", "https://api.example/public/x")];
    let response = nginx(&asked).await;
    assert_eq!(
        (response.status(), response.headers()["x-scopegate-status"].to_str().unwrap()),
        (StatusCode::FORBIDDEN, "405")
    );
    let problem = response.headers()["x-scopegate-problem"].to_str().unwrap().to_owned();
    let restored = restore(PROXY, &problem).await;
    assert_eq!(
        (restored.status(), restored.headers()["allow"].to_str().unwrap()),
        (StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD")
    );
    assert_eq!(reason(restored).await.1, "method_not_allowed");
}

#[tokio::test]
async fn a_refusal_that_a_stranger_made_up_is_not_restored() {
    let made_up = URL_SAFE_NO_PAD.encode(r#"{"status":200,"headers":[],"body":"welcome"}"#);
    assert_eq!(restore(PROXY, &made_up).await.status(), StatusCode::FORBIDDEN);
    let refusal = URL_SAFE_NO_PAD.encode(r#"{"status":401,"headers":[],"body":""}"#);
    assert_eq!(restore("192.0.2.1:1", &refusal).await.status(), StatusCode::FORBIDDEN);
}

async fn restore(peer: &str, problem: &str) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert("x-scopegate-problem", problem.parse().unwrap());
    let mut http = http::Request::builder().uri("/auth/nginx/problem").body(()).unwrap();
    *http.headers_mut() = headers;
    let (parts, ()) = http.into_parts();
    let remote = RemoteAddr(Addr::SocketAddr(peer.parse().unwrap()));
    let parts = (parts, poem::web::LocalAddr::default(), remote, http::uri::Scheme::HTTP).into();
    let trusted = serde_json::from_value(json!(["10.42.0.0/16"])).unwrap();
    NginxProblem::new(trusted).get_response(Request::from_parts(parts, Body::empty())).await
}

/// What Traefik is answered about a request of a page of `origin`.
async fn page(method: &str, path: &str, origin: &str, announced: Option<&str>) -> Response {
    let mut headers = forwarded(path);
    headers[0].1 = method;
    headers.push(("origin", origin));
    headers.extend(announced.map(|announced| ("access-control-request-method", announced)));
    ask(Traefik, PROXY, Method::GET, "/auth/traefik", &headers).await
}

fn allowed(response: &Response) -> Option<&str> {
    response.headers().get("access-control-allow-origin").map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_preflight_is_decided_as_the_method_that_it_announces_and_tells_nobody_s_identity() {
    let passed = page("OPTIONS", "/items/1", APP, Some("GET")).await;
    assert_eq!((passed.status(), allowed(&passed)), (StatusCode::OK, Some(APP)));
    assert_eq!(passed.headers()["x-user"], "");
    for (path, origin, announced, status, reason) in [
        ("/items/1", APP, Some("DELETE"), StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
        ("/items/1", "https://evil.example", Some("GET"), StatusCode::FORBIDDEN, "origin_not_allowed"),
        ("/elsewhere", APP, Some("GET"), StatusCode::FORBIDDEN, "no_route"),
        ("/items/1", APP, None, StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
    ] {
        let refused = self::reason(page("OPTIONS", path, origin, announced).await).await;
        assert_eq!(refused, (status, reason.to_owned()), "{path} {origin} {announced:?}");
    }
    assert_eq!(page("OPTIONS", "/open", "https://evil.example", None).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_refusal_may_be_read_by_pages_of_an_allowed_origin_only() {
    let refused = page("GET", "/items/1", APP, None).await;
    assert_eq!((refused.status(), allowed(&refused)), (StatusCode::UNAUTHORIZED, Some(APP)));
    let exposed = refused.headers()["access-control-expose-headers"].to_str().unwrap();
    assert!(exposed.contains("www-authenticate"), "{exposed}");
    assert_eq!(refused.headers()["vary"], "origin");
    assert_eq!(allowed(&page("GET", "/items/1", "https://evil.example", None).await), None);
}

#[tokio::test]
async fn what_nginx_restores_may_be_read_by_the_same_pages() {
    let (method, url) = (("x-original-method", "GET"), ("x-original-url", "https://api.example/items/1"));
    let refused = nginx(&[method, url, ("origin", APP)]).await;
    let problem = refused.headers()["x-scopegate-problem"].to_str().unwrap().to_owned();
    assert_eq!(allowed(&restore(PROXY, &problem).await), Some(APP));
}
