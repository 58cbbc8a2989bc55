use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use poem::{Endpoint, EndpointExt, Request, Route, endpoint::make_sync, handler, test::TestClient};
use serde_json::{Value, json};

use crate::{
    Caller, Principal,
    authenticator::{Authenticator, NoRevocations, VerifiedTokens},
    gate::{Gate, GateSettings, State},
    policy::{Policy, RawTarget, Scheme, Target},
    testing::{self, TestGate},
};

/// What every kind of middleware is tested with: the decisions are to be the same.
pub(super) fn policy() -> Policy {
    testing::policy(&json!([
        { "match": "GET /me", "allow": "authenticated" },
        { "match": "GET /api/me", "allow": "authenticated" },
        { "match": "GET /api/items/{id}", "allow": "authenticated" },
        { "match": "GET /api/items/health", "allow": "anonymous" },
        { "match": "/welcome", "allow": "optional" },
        { "match": "/public/**", "allow": "anonymous" },
        { "match": "/inside", "allow": "nobody" },
        { "match": "GET /items/**", "allow": "authenticated" },
        { "match": "GET /elsewhere", "require": { "clients": ["another"] } },
        { "match": "GET /projects/{id}", "allow": "anonymous", "accept": ["encoded_slash"] },
    ]))
}

/// Everybody who comes is `tester`.
pub(super) fn gate() -> TestGate {
    testing::gate(policy(), testing::principal("items").unwrap())
}

/// Nobody who comes is known.
pub(super) fn anonymous() -> TestGate {
    testing::gate(policy(), None)
}

/// A gate of these routes behind the proxies at 10.42.0.0/16.
pub(super) fn behind_proxies(routes: &Value) -> TestGate {
    let trusted_proxies = serde_json::from_value(json!(["10.42.0.0/16"])).unwrap();
    let settings = GateSettings { trusted_proxies, ..GateSettings::default() };
    testing::gate_with(testing::policy(routes), None, settings)
}

#[handler]
#[expect(clippy::needless_pass_by_value, reason = "poem hands arguments over")]
fn me(principal: Principal) -> String {
    principal.subject().map(ToString::to_string).unwrap_or_default()
}

#[handler]
#[expect(clippy::needless_pass_by_value, reason = "poem hands arguments over")]
fn welcome(caller: Caller) -> &'static str {
    match caller {
        Caller::Anonymous => "stranger",
        Caller::Known(_) => "friend",
    }
}

fn app(gate: TestGate) -> TestClient<impl Endpoint> {
    let path = make_sync(|request: Request| request.uri().path().to_owned());
    let app = Route::new().at("/me", me).at("/welcome", welcome).nest("/api", Route::new().at("/me", me));
    TestClient::new(app.at("/*rest", path).with(gate))
}

#[tokio::test]
async fn a_handler_behind_the_gate_is_told_who_calls() {
    app(gate()).get("/me").send().await.assert_text("tester").await;
}

#[tokio::test]
async fn a_mounted_handler_is_decided_on_by_its_whole_path() {
    app(gate()).get("/api/me").send().await.assert_text("tester").await;
}

#[tokio::test]
async fn a_gate_inside_a_mounted_part_decides_on_the_whole_path() {
    let mounted = |prefix| Route::new().nest(prefix, Route::new().at("/me", me).with(gate()));
    assert_eq!(mounted("/api").get_response(ask("/api/me")).await.status(), StatusCode::OK);
    assert_eq!(mounted("/other").get_response(ask("/other/me")).await.status(), StatusCode::NOT_FOUND);
}

/// A request as a server makes it, with its original path.
fn ask(uri: &'static str) -> Request {
    let http = hyper::Request::builder().uri(uri).header("host", "a.example").body(()).unwrap();
    let (parts, ()) = http.into_parts();
    Request::from_parts((parts, local(), remote(), http::uri::Scheme::HTTP).into(), poem::Body::empty())
}

fn local() -> poem::web::LocalAddr {
    poem::web::LocalAddr::default()
}

fn remote() -> poem::web::RemoteAddr {
    poem::web::RemoteAddr::default()
}

#[tokio::test]
async fn a_mounted_path_that_is_not_the_end_of_the_one_asked_for_is_500() {
    let mounted = Route::new().nest("/api", Route::new().at("/me", me).with(gate()));
    // A request that poem's test client builds has no original path.
    TestClient::new(mounted).get("/api/me").send().await.assert_status(StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn invariant_5_what_a_router_before_the_gate_has_read_in_another_spelling_is_400() {
    let endpoint = Route::new().at("/items/:id", me.with(gate()));
    assert_eq!(endpoint.get_response(ask("/items/1")).await.status(), StatusCode::OK);
    assert_eq!(endpoint.get_response(ask("/items/%31")).await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_path_that_was_rewritten_before_the_gate_is_decided_on_as_the_handler_will_see_it() {
    let rewritten = me.with(anonymous()).before(|mut request: Request| async move {
        *request.uri_mut() = http::Uri::from_static("/me");
        Ok(request)
    });
    TestClient::new(rewritten).get("/public/x").send().await.assert_status(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_optional_route_knows_strangers_from_friends() {
    app(anonymous()).get("/welcome").send().await.assert_text("stranger").await;
    app(gate()).get("/welcome").send().await.assert_text("friend").await;
}

#[tokio::test]
async fn who_called_at_another_gate_does_not_count() {
    let friend = Caller::new(testing::principal("items").unwrap().into());
    let endpoint = welcome.with(anonymous()).data(friend);
    TestClient::new(endpoint).get("/welcome").send().await.assert_text("stranger").await;
}

#[tokio::test]
async fn a_bad_token_on_an_optional_route_is_401() {
    let answer = app(anonymous()).get("/welcome").header("authorization", "Bearer x").send().await;
    answer.assert_status(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn two_tokens_are_400_where_a_token_is_looked_at() {
    let client = app(gate());
    let two = |path| client.get(path).header("authorization", "Bearer a").header("authorization", "Bearer b");
    two("/me").send().await.assert_status(StatusCode::BAD_REQUEST);
    two("/public/x").send().await.assert_status(StatusCode::OK);
}

#[tokio::test]
async fn nobody_is_403_without_a_challenge() {
    let answer = app(gate()).get("/inside").send().await;
    answer.assert_status(StatusCode::FORBIDDEN);
    answer.assert_header_is_not_exist("www-authenticate");
}

#[tokio::test]
async fn a_client_that_the_rule_does_not_name_is_403_without_scope() {
    let answer = app(gate()).get("/elsewhere").send().await;
    answer.assert_status(StatusCode::FORBIDDEN);
    let challenge = answer.0.headers()["www-authenticate"].to_str().unwrap();
    assert!(challenge.contains("insufficient_scope") && !challenge.contains("scope=\""), "{challenge}");
}

#[tokio::test]
async fn invariant_5_the_handler_sees_the_normal_form_that_was_decided_on() {
    app(gate()).get("/public/%7Euser/%c3%a9").send().await.assert_text("/public/~user/%C3%A9").await;
}

#[tokio::test]
async fn invariant_5_an_accepted_irregular_path_that_is_open_under_one_reading_only_is_refused() {
    let answer = app(anonymous()).get("/projects/group%2Fname").send().await;
    answer.assert_status(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn invariant_5_dot_segments_are_400_before_any_rule() {
    for path in ["/public/../me", "/public/%2e%2e/me", "/public/..%2fme", "/public/..;x/me", "/public/%5cme"]
    {
        app(gate()).get(path).send().await.assert_status(StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn invariant_6_no_route_is_404_and_the_token_is_not_looked_at() {
    let client = app(gate());
    let answer =
        client.get("/nowhere").header("authorization", "Bearer a").header("authorization", "b").send().await;
    answer.assert_status(StatusCode::NOT_FOUND);
    answer.assert_header_is_not_exist("www-authenticate");
}

#[tokio::test]
async fn invariant_6_a_method_that_the_most_specific_pattern_does_not_name_is_405() {
    app(gate()).request(Method::PATCH, "/items/1").send().await.assert_status(StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_token_in_the_query_is_no_token() {
    app(anonymous()).get("/me?access_token=a").send().await.assert_status(StatusCode::UNAUTHORIZED);
}

/// A gate behind a proxy at 10.42.0.7, asked by `peer` with these headers.
async fn behind_a_proxy(peer: &str, headers: &[(&str, &str)]) -> StatusCode {
    let gate = behind_proxies(&json!([
        { "match": "api.example/**", "allow": "anonymous" },
        { "match": "inside.example/**", "allow": "nobody" },
    ]));
    let http = hyper::Request::builder().uri("/");
    let http = headers.iter().fold(http, |http, (name, value)| http.header(*name, *value));
    let (parts, ()) = http.body(()).unwrap().into_parts();
    let peer = poem::web::RemoteAddr(poem::Addr::SocketAddr(peer.parse().unwrap()));
    let request =
        Request::from_parts((parts, local(), peer, http::uri::Scheme::HTTP).into(), poem::Body::empty());
    welcome.data(Caller::Anonymous).with(gate).get_response(request).await.status()
}

#[tokio::test]
async fn invariant_7_the_host_that_a_trusted_proxy_tells_is_decided_on() {
    let (own, told) = (("host", "10.0.0.1:8080"), ("x-forwarded-host", "api.example"));
    assert_eq!(behind_a_proxy("10.42.0.7:1", &[own, told]).await, StatusCode::OK);
    assert_eq!(behind_a_proxy("10.42.0.7:1", &[own]).await, StatusCode::NOT_FOUND);
    let told = ("x-forwarded-host", "inside.example");
    assert_eq!(behind_a_proxy("10.42.0.7:1", &[("host", "api.example"), told]).await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn invariant_7_the_host_that_a_stranger_tells_is_not_decided_on() {
    let forged = [("host", "inside.example"), ("x-forwarded-host", "api.example")];
    assert_eq!(behind_a_proxy("192.0.2.1:1", &forged).await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn invariant_7_a_trusted_proxy_that_contradicts_itself_is_400() {
    let own = ("host", "api.example");
    for contradiction in [
        vec![own, ("x-forwarded-host", "api.example"), ("x-forwarded-host", "inside.example")],
        vec![own, ("x-forwarded-host", "api.example, inside.example")],
        vec![own, ("x-forwarded-host", "")],
        vec![own, ("x-forwarded-proto", "gopher")],
        vec![own, own, ("x-forwarded-host", "api.example")],
    ] {
        let status = behind_a_proxy("10.42.0.7:1", &contradiction).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{contradiction:?}");
    }
}

#[tokio::test]
async fn refuses_a_cached_token_that_is_longer_than_the_limit() {
    let tokens = VerifiedTokens::new(8);
    let clock = Arc::new(scopegate_provider::SystemClock::new());
    let connected = testing::everybody(testing::principal("items").unwrap());
    let gate = |token_limit| {
        let providers = vec![connected.clone()];
        let authenticator =
            Authenticator::new(providers, tokens.clone(), Arc::new(NoRevocations), clock.clone());
        let settings = GateSettings { token_limit, ..GateSettings::default() };
        Gate::new(State::new(Arc::new(policy()), authenticator.unwrap(), settings))
    };
    let raw = RawTarget {
        method: &Method::GET,
        scheme: Scheme::Http,
        authority: None,
        hosts: ["a.example"],
        path_and_query: b"/me",
    };
    let target = Target::parse(raw).unwrap();
    let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static("Bearer testing"))]);
    assert!(gate(7).authorize(&target, &headers).await.is_ok());
    assert_eq!((tokens.count(), tokens.hits(), tokens.misses()), (1, 0, 1));
    assert!(gate(7).authorize(&target, &headers).await.is_ok());
    assert_eq!(tokens.hits(), 1);
    let refused = gate(6).authorize(&target, &headers).await.unwrap_err();
    assert_eq!(refused.problem.reason().as_str(), "token_too_long");
}

/// Decides about a request with these header fields to a route that accepts a token from a header and from a cookie.
async fn decide_elsewhere(
    method: Method,
    fields: &[(&'static str, &'static str)],
) -> Result<(), &'static str> {
    let policy = testing::policy(&json!([{
        "match": "/orders", "allow": "authenticated",
        "accept_token": [{ "header": "X-Goog-Iap-Jwt-Assertion" }, { "cookie": "session" }],
    }]));
    let gate = testing::gate(policy, testing::principal("items").unwrap()).gate();
    let raw = RawTarget {
        method: &method,
        scheme: Scheme::Https,
        authority: None,
        hosts: ["a.example"],
        path_and_query: b"/orders?access_token=a",
    };
    let target = Target::parse(raw).unwrap();
    let mut headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("a.example"))]);
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_static(value));
    }
    let decided = gate.authorize(&target, &headers).await;
    decided.map(drop).map_err(|refusal| refusal.problem.reason().as_str())
}

/// CASES V4, issue 13.3: a token may come in a header or a cookie that the route names, with its scheme or without.
#[tokio::test]
async fn a_token_is_accepted_from_the_header_and_the_cookie_that_the_route_names() {
    for fields in [
        ("x-goog-iap-jwt-assertion", "a.b.c"),
        ("x-goog-iap-jwt-assertion", "Bearer a.b.c"),
        ("x-goog-iap-jwt-assertion", "bearer  a.b.c"),
        ("cookie", "session=a.b.c"),
        ("cookie", "theme=dark; session=a.b.c; x"),
        ("authorization", "Bearer a.b.c"),
    ] {
        assert_eq!(decide_elsewhere(Method::GET, &[fields]).await, Ok(()), "{fields:?}");
    }
}

/// CASES V4: neither another header, nor another cookie, nor the query holds a token.
#[tokio::test]
async fn a_token_elsewhere_is_no_token() {
    for fields in [
        &[][..],
        &[("x-other", "a.b.c")],
        &[("cookie", "sessions=a.b.c; Session=a.b.c")],
        &[("x-goog-iap-jwt-assertion", ""), ("cookie", "session=")],
    ] {
        assert_eq!(decide_elsewhere(Method::GET, fields).await, Err("no_token"), "{fields:?}");
    }
}

/// Exactly one place per request.
#[tokio::test]
async fn tokens_in_two_places_are_several_even_if_they_are_the_same() {
    for fields in [
        [("authorization", "Bearer a.b.c"), ("x-goog-iap-jwt-assertion", "a.b.c")],
        [("authorization", "Bearer a.b.c"), ("cookie", "session=a.b.c")],
        [("x-goog-iap-jwt-assertion", "a.b.c"), ("cookie", "session=a.b.c")],
        [("x-goog-iap-jwt-assertion", "a.b.c"), ("x-goog-iap-jwt-assertion", "a.b.c")],
        [("x-goog-iap-jwt-assertion", "a.b.c"), ("x_goog_iap_jwt_assertion", "a.b.c")],
        [("cookie", "session=a.b.c"), ("cookie", "session=a.b.c")],
    ] {
        assert_eq!(decide_elsewhere(Method::GET, &fields).await, Err("several_tokens"), "{fields:?}");
    }
}

#[tokio::test]
async fn a_header_or_cookie_that_holds_no_token_is_malformed() {
    for fields in [
        ("x-goog-iap-jwt-assertion", "Basic YTpi"),
        ("x-goog-iap-jwt-assertion", "a.b.c, d.e.f"),
        ("cookie", "session=\"a.b.c\""),
    ] {
        assert_eq!(decide_elsewhere(Method::GET, &[fields]).await, Err("malformed_credential"), "{fields:?}");
    }
}

/// Browsers send cookies with the requests of every page, so that only pages of the same origin may change
/// something or open a connection with one.
#[tokio::test]
async fn a_cookie_changes_nothing_for_the_page_of_another_site() {
    const COOKIE: (&str, &str) = ("cookie", "session=a.b.c");
    for page in [("sec-fetch-site", "same-origin"), ("origin", "https://a.example")] {
        assert_eq!(decide_elsewhere(Method::POST, &[COOKIE, page]).await, Ok(()), "{page:?}");
    }
    for page in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example"), ("accept", "*/*")] {
        assert_eq!(decide_elsewhere(Method::DELETE, &[COOKIE, page]).await, Err("cross_site"), "{page:?}");
        assert_eq!(decide_elsewhere(Method::GET, &[COOKIE, page]).await, Ok(()), "{page:?}");
        let upgrade = [COOKIE, page, ("connection", "upgrade"), ("upgrade", "websocket")];
        assert_eq!(decide_elsewhere(Method::GET, &upgrade).await, Err("cross_site"), "{page:?}");
        let header = [("x-goog-iap-jwt-assertion", "a.b.c"), page];
        assert_eq!(decide_elsewhere(Method::POST, &header).await, Ok(()), "{page:?}");
    }
}
