use std::collections::BTreeMap;

use http::StatusCode;
use poem::{EndpointExt, IntoResponse, endpoint::make, test::TestClient};
use scopegate_provider::SystemClock;
use serde_json::{Value, json};

use super::*;
use crate::{
    gate::GateSettings,
    policy::{Definition, Policy},
    testing,
    upstream::tests::support::{at, nobody, serve},
};

struct Inner;

impl Endpoint for Inner {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        Ok(report(&request).into_response())
    }
}

/// What a service sees of a request: a JSON object of its path and headers.
fn report(request: &Request) -> String {
    let header = |name: &HeaderName| {
        let values = request.headers().get_all(name).iter();
        (name.to_string(), values.map(|value| value.to_str().unwrap()).collect::<Vec<_>>().join("|"))
    };
    let headers: BTreeMap<String, String> = request.headers().keys().map(header).collect();
    json!({ "path": request.uri().to_string(), "headers": headers }).to_string()
}

async fn client(routes: Value, identity: Value) -> TestClient<impl Endpoint> {
    TestClient::new(endpoint(routes, identity, json!([])).await)
}

async fn endpoint(routes: Value, identity: Value, trusted: Value) -> impl Endpoint<Output = Response> {
    let trusted_proxies: TrustedProxies = serde_json::from_value(trusted).unwrap();
    let upstream = serve(make(|request: Request| async move { report(&request) })).await;
    let upstreams = [("it".to_owned(), at(upstream)), ("dead".to_owned(), at(nobody()))];
    let mut definition = Definition::default();
    definition.upstreams = upstreams.iter().map(|(name, settings)| settings.known_as(name)).collect();
    for route in routes.as_array().unwrap() {
        definition.add_route(serde_json::from_value(route.clone()).unwrap());
    }
    let policy = Policy::compile(&definition).map_err(|errors| errors[0].to_string()).unwrap().policy;
    let principal = testing::principal("items items:write").unwrap();
    let gate = GateSettings { trusted_proxies: trusted_proxies.clone(), ..GateSettings::default() };
    let settings = ProxySettings {
        trusted_proxies,
        identities: Identities::of_policy(&serde_json::from_value(identity).unwrap(), &policy).unwrap(),
        grace: Duration::ZERO,
        request_id: HeaderName::from_static("x-request-id"),
    };
    let gate = testing::gate_with(policy, Some(&principal), gate);
    let (upstreams, clock) = (Upstreams::new(&upstreams).unwrap(), Arc::new(SystemClock::new()));
    let proxy = ProxyEndpoint::new(gate.gate(), upstreams, clock, settings, Inner);
    proxy.with(gate)
}

async fn seen(client: &TestClient<impl Endpoint>, path: &str, headers: &[(&str, &str)]) -> Value {
    let request =
        headers.iter().fold(client.get(path), |request, (name, value)| request.header(*name, *value));
    let answer = request.send().await;
    answer.assert_status_is_ok();
    serde_json::from_slice(&answer.0.into_body().into_vec().await.unwrap()).unwrap()
}

#[tokio::test]
async fn a_route_without_an_upstream_is_served_here() {
    let client = client(json!([{"match": "/here", "allow": "authenticated"}]), json!({})).await;
    assert_eq!(seen(&client, "/here", &[]).await["headers"].get("x-forwarded-proto"), None);
}

#[tokio::test]
async fn invariant_8_identity_goes_on_and_what_the_caller_says_does_not() {
    let routes = json!([{"match": "/**", "allow": "authenticated", "upstream": "it"}]);
    let identity =
        json!({"headers": {"X-Auth-Subject": "sub", "X-Auth-Scopes": "scope", "X-Auth-Org": "org"}});
    let client = client(routes, identity).await;
    let forged = [("x-auth-subject", "admin"), ("X_Auth_Subject", "admin"), ("x-auth-org", "acme")];
    let seen = seen(&client, "/", &forged).await;
    assert_eq!(seen["headers"]["x-auth-subject"], "tester");
    assert_eq!(seen["headers"]["x-auth-scopes"], "items items:write");
    assert_eq!(seen["headers"]["x-auth-org"], "");
    assert_eq!(seen["headers"].get("x_auth_subject"), None);
}

#[tokio::test]
async fn invariant_8_identity_headers_are_stripped_before_what_is_served_here_too() {
    let routes = json!([{"match": "/here", "allow": "authenticated"}]);
    let client = client(routes, json!({"headers": {"X-Auth-Subject": "sub"}})).await;
    let seen = seen(&client, "/here", &[("x_auth_subject", "admin")]).await;
    assert_eq!(seen["headers"].get("x_auth_subject"), None);
}

#[tokio::test]
async fn invariant_8_a_caller_cannot_have_identity_taken_off_as_a_header_of_its_connection() {
    let routes = json!([{"match": "/**", "allow": "authenticated", "upstream": "it"}]);
    let client = client(routes, json!({"headers": {"X-Auth-Subject": "sub"}})).await;
    let seen = seen(&client, "/", &[("connection", "x-auth-subject, close")]).await;
    assert_eq!(seen["headers"]["x-auth-subject"], "tester");
}

#[tokio::test]
async fn a_route_may_tell_something_else_about_the_caller() {
    let own = json!({"headers": {"X-User": "sub"}, "forward": "strip"});
    let routes = json!([
        {"match": "/own", "allow": "authenticated", "upstream": "it", "identity": own},
        {"match": "/general", "allow": "authenticated", "upstream": "it"},
    ]);
    let client = client(routes, json!({"headers": {"X-Auth-Subject": "sub"}})).await;
    let own = seen(&client, "/own", &[("x-auth-subject", "forged")]).await;
    assert_eq!(own["headers"]["x-user"], "tester");
    assert_eq!((own["headers"].get("x-auth-subject"), own["headers"].get("authorization")), (None, None));
    let general = seen(&client, "/general", &[("x-user", "forged")]).await;
    assert_eq!(general["headers"]["authorization"], "Bearer testing");
    assert_eq!(general["headers"].get("x-user"), None);
}

#[tokio::test]
async fn a_prefix_is_taken_off_after_the_decision() {
    let routes =
        json!([{"match": "/api/**", "allow": "authenticated", "upstream": "it", "strip_prefix": "/api"}]);
    let client = client(routes, json!({})).await;
    for (sent, expected) in [("/api/a?q=1", "/a?q=1"), ("/api", "/"), ("/api/", "/"), ("/%61pi/b", "/b")] {
        assert_eq!(seen(&client, sent, &[]).await["path"], expected, "{sent}");
    }
}

#[tokio::test]
async fn what_is_left_of_an_accepted_irregular_path_goes_on_as_it_was_sent() {
    let accept = json!(["encoded_slash", "parameters"]);
    let routes = json!([{"match": "/api/**", "allow": "authenticated", "upstream": "it", "strip_prefix": "/api", "accept": accept}]);
    let client = client(routes, json!({})).await;
    for (sent, expected) in [("/api/a%2fb", "/a%2fb"), ("/%61pi/%61;x=1?q", "/%61;x=1?q")] {
        assert_eq!(seen(&client, sent, &[]).await["path"], expected, "{sent}");
    }
}

#[tokio::test]
async fn what_is_left_of_a_path_is_as_guarded_as_if_it_had_been_asked_for() {
    let routes = json!([
        {"match": "/public/**", "allow": "anonymous", "upstream": "it", "strip_prefix": "/public"},
        {"match": "/admin/**", "allow": "nobody", "upstream": "it"},
    ]);
    let client = client(routes, json!({})).await;
    assert_eq!(seen(&client, "/public/x", &[]).await["path"], "/x");
    client.get("/public/admin/x").send().await.assert_status(StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_a_problem_that_tells_nothing_about_it() {
    let client = client(json!([{"match": "/**", "allow": "anonymous", "upstream": "dead"}]), json!({})).await;
    let answer = client.get("/").send().await;
    answer.assert_status(StatusCode::BAD_GATEWAY);
    answer.assert_content_type("application/problem+json");
    let body = answer.0.into_body().into_string().await.unwrap();
    assert!(body.contains("upstream_unreachable") && !body.contains("127.0.0.1"), "{body}");
}

#[tokio::test]
async fn invariant_7_the_upstream_gets_the_host_that_was_decided_on() {
    let routes = json!([{"match": "api.example/**", "allow": "anonymous", "upstream": "it"}]);
    let endpoint = endpoint(routes, json!({}), json!(["10.42.0.0/16"])).await;
    let http = hyper::Request::builder().uri("/a").header("host", "10.0.0.1:8080");
    let (parts, ()) = http.header("x-forwarded-host", "api.example").body(()).unwrap().into_parts();
    let proxy = poem::web::RemoteAddr(poem::Addr::SocketAddr("10.42.0.7:1".parse().unwrap()));
    let parts = (parts, poem::web::LocalAddr::default(), proxy, http::uri::Scheme::HTTP).into();
    let answer = endpoint.get_response(Request::from_parts(parts, poem::Body::empty())).await;
    let seen: Value = serde_json::from_slice(&answer.into_body().into_vec().await.unwrap()).unwrap();
    assert_eq!(seen["headers"]["host"], "api.example", "{seen}");
    assert_eq!(seen["headers"]["x-forwarded-host"], "api.example", "{seen}");
}
