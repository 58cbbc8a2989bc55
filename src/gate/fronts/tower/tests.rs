use axum::{
    Extension, Router,
    body::{Body, to_bytes},
    extract::{OriginalUri, Path},
    routing::{any, get},
};
use http::{StatusCode, header};
use serde_json::json;

use super::*;
use crate::{
    gate::{
        Cors, GateSettings,
        tests::{anonymous, behind_proxies, gate, policy},
    },
    testing,
};

async fn me(Extension(principal): Extension<Principal>) -> String {
    principal.subject().map(ToString::to_string).unwrap_or_default()
}

async fn welcome(Extension(caller): Extension<Caller>) -> &'static str {
    match caller {
        Caller::Anonymous => "stranger",
        Caller::Known(_) => "friend",
    }
}

async fn path(uri: Uri) -> String {
    uri.path().to_owned()
}

fn routes() -> Router {
    let api = Router::new().route("/me", get(me));
    Router::new().route("/me", get(me)).route("/welcome", get(welcome)).nest("/api", api).fallback(any(path))
}

fn app() -> GateService<Router> {
    GateLayer::outermost(gate().gate()).layer(routes())
}

/// The same part, gated behind the router that mounts it.
fn nested(prefix: &str) -> Router {
    let item = async |Path(id): Path<String>| id;
    let part = Router::new().route("/me", get(me)).route("/items/{id}", get(item));
    Router::new().nest(
        prefix,
        part.layer(GateLayer::nested(gate().gate(), |extensions| {
            extensions.get::<OriginalUri>().map(|uri| &uri.0)
        })),
    )
}

fn request(path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let request = Request::builder().uri(path).header(header::HOST, "a.example");
    headers
        .iter()
        .fold(request, |request, (name, value)| request.header(*name, *value))
        .body(Body::empty())
        .unwrap()
}

const TOKEN: [(&str, &str); 1] = [("authorization", "Bearer a")];

async fn send<S, B>(mut service: S, request: Request<Body>) -> (StatusCode, http::HeaderMap, String)
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
    B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Send + 'static,
{
    std::future::poll_fn(|context| service.poll_ready(context)).await.unwrap();
    let (parts, body) = service.call(request).await.unwrap().into_parts();
    let body = to_bytes(Body::new(body), 1 << 16).await.unwrap();
    (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

async fn status(path: &str, headers: &[(&str, &str)]) -> u16 {
    send(app(), request(path, headers)).await.0.as_u16()
}

#[tokio::test]
async fn a_service_behind_the_layer_is_told_who_calls() {
    for path in ["/me", "/api/me"] {
        assert_eq!(send(app(), request(path, &TOKEN)).await.2, "tester");
    }
    assert_eq!(send(app(), request("/welcome", &[])).await.2, "stranger");
    assert_eq!(send(app(), request("/welcome", &TOKEN)).await.2, "friend");
}

#[tokio::test]
async fn a_refusal_is_the_middlewares() {
    let (status, headers, body) = send(app(), request("/me", &[])).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(headers[header::WWW_AUTHENTICATE], "Bearer realm=\"scopegate\"");
    assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json");
    assert!(body.contains("\"reason\":\"no_token\""), "{body}");
    assert_eq!(self::status("/inside", &TOKEN).await, 403);
    assert_eq!(self::status("/nowhere", &TOKEN).await, 404);
}

#[tokio::test]
async fn two_tokens_are_400_where_a_token_is_looked_at() {
    let two = [("authorization", "Bearer a"), ("authorization", "Bearer b")];
    assert_eq!([status("/me", &two).await, status("/public/x", &two).await], [400, 200]);
}

#[tokio::test]
async fn invariant_5_the_service_sees_the_normal_form_that_was_decided_on() {
    let (_, _, seen) = send(app(), request("/public/%7Euser/%c3%a9?a=%7E", &[])).await;
    assert_eq!(seen, "/public/~user/%C3%A9");
    assert_eq!(send(app(), request("/%61pi/%6de", &TOKEN)).await.2, "tester");
    assert_eq!(status("/%61pi/%6de", &[]).await, 401);
}

#[tokio::test]
async fn invariant_5_what_is_never_acceptable_is_400_before_any_rule() {
    for path in [
        "/public/../me",
        "/public/%2e%2e/me",
        "/public/..%2fme",
        "/public/%5cme",
        "/public//me",
        "/public/a;b/me",
    ] {
        assert_eq!(status(path, &[]).await, 400, "{path}");
    }
    assert_eq!(status("http://a.example/public/x", &[]).await, 400, "absolute form");
    assert_eq!(status("/projects/group%2Fname", &[]).await, 404, "open under one reading only");
}

#[tokio::test]
async fn invariant_5_a_request_of_http_2_names_its_host_by_authority() {
    let mut request = Request::builder().version(http::Version::HTTP_2).uri("https://a.example/me");
    request = request.header("authorization", "Bearer a");
    assert_eq!(send(app(), request.body(Body::empty()).unwrap()).await.0, StatusCode::OK);
    let two = Request::builder()
        .version(http::Version::HTTP_2)
        .uri("https://a.example/me")
        .header("host", "b.example");
    assert_eq!(send(app(), two.body(Body::empty()).unwrap()).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_layer_inside_a_mounted_part_decides_on_the_whole_path() {
    assert_eq!(send(nested("/api"), request("/api/me", &TOKEN)).await.2, "tester");
    assert_eq!(send(nested("/api"), request("/api/me", &[])).await.0, StatusCode::UNAUTHORIZED);
    // `/me` would be permitted, and is not what was asked for.
    assert_eq!(send(nested("/other"), request("/other/me", &TOKEN)).await.0, StatusCode::NOT_FOUND);
}

/// I5: without a word from the program, a layer inside of a nested router decides by the URI as it was sent.
#[tokio::test]
async fn an_outermost_layer_inside_a_nested_router_decides_by_the_original_uri() {
    let nested = |prefix: &str| {
        let part = Router::new().route("/me", get(me)).route("/welcome", get(welcome));
        Router::new().nest(prefix, part.layer(GateLayer::outermost(gate().gate())))
    };
    assert_eq!(send(nested("/api"), request("/api/me", &TOKEN)).await.2, "tester");
    assert_eq!(send(nested("/api"), request("/api/me", &[])).await.0, StatusCode::UNAUTHORIZED);
    // `/welcome` is open to all, and is not what was requested.
    assert_eq!(send(nested("/mis"), request("/mis/welcome", &TOKEN)).await.0, StatusCode::NOT_FOUND);
}

/// O14: the line of README and DESIGN compiles as written, and protects the routes.
#[tokio::test]
async fn a_router_is_protected_in_one_line() {
    let app = protect(gate().gate(), routes());
    assert_eq!(send(app.clone(), request("/me", &TOKEN)).await.2, "tester");
    assert_eq!(send(app.clone(), request("/me", &[])).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(send(app.clone(), request("/%61pi/%6de", &TOKEN)).await.2, "tester");
    assert_eq!(send(app, request("/nowhere", &TOKEN)).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_layer_that_does_not_find_the_uri_as_it_was_sent_is_500() {
    let part = Router::new().route("/me", get(me)).layer(GateLayer::nested(gate().gate(), |_| None));
    let answer = send(Router::new().nest("/api", part), request("/api/me", &TOKEN)).await;
    assert_eq!(answer.0, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn invariant_5_what_a_router_has_read_in_another_spelling_is_400() {
    assert_eq!(send(nested("/api"), request("/api/items/1", &TOKEN)).await.2, "1");
    // Decided as `/api/items/health`, which is open, and routed as an item.
    assert_eq!(send(nested("/api"), request("/api/items/%68ealth", &[])).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_handler_that_is_reached_without_a_layer_is_500() {
    assert_eq!(send(routes(), request("/me", &TOKEN)).await.0, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(send(routes(), request("/welcome", &[])).await.0, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn what_an_outer_gate_said_of_the_caller_does_not_count() {
    let inner = anonymous().gate();
    let both = GateLayer::outermost(gate().gate()).layer(GateLayer::outermost(inner).layer(routes()));
    let known = |answer: (StatusCode, http::HeaderMap, String)| answer.2;
    assert_eq!(known(send(both, request("/welcome", &[])).await), "stranger");
}

#[tokio::test]
async fn pages_of_other_origins_are_told_what_the_middleware_tells_them() {
    let cors = serde_json::from_value(json!({ "origins": ["https://app.example"] })).unwrap();
    let cors = Cors::new(Some(cors), &http::HeaderName::from_static("x-request-id"));
    let settings = GateSettings { cors, ..GateSettings::default() };
    let gate = testing::gate_with(policy(), None, settings).gate();
    let app = GateLayer::outermost(gate).layer(routes());
    let page = [("origin", "https://app.example"), ("access-control-request-method", "GET")];
    let mut preflight = request("/me", &page);
    *preflight.method_mut() = http::Method::OPTIONS;
    let (status, headers, _) = send(app.clone(), preflight).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(headers["access-control-allow-origin"], "https://app.example");
    let (status, headers, _) = send(app, request("/me", &page)).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(headers["access-control-allow-origin"], "https://app.example");
}

#[tokio::test]
async fn invariant_7_only_a_trusted_peer_is_believed_about_the_host() {
    let gate = behind_proxies(&json!([{ "match": "GET api.example/public", "allow": "anonymous" }])).gate();
    let layer = GateLayer::outermost(gate).peer(|extensions| extensions.get::<SocketAddr>().copied());
    let ask = async |peer: Option<&str>| {
        let mut request = request("/public", &[("x-forwarded-host", "api.example")]);
        if let Some(peer) = peer {
            request.extensions_mut().insert::<SocketAddr>(peer.parse().unwrap());
        }
        send(layer.layer(Router::new().fallback(any(path))), request).await.0.as_u16()
    };
    assert_eq!(
        [ask(Some("10.42.0.7:1")).await, ask(Some("192.0.2.1:1")).await, ask(None).await],
        [200, 404, 404]
    );
}
