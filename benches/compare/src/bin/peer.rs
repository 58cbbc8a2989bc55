//! The Rust programs that scopegate is compared with. They are built as scopegate is: the same profile, allocator and
//! runtime. Their answers have the size of scopegate's, with a constant in place of the request's id.
//!
//! ```text
//! peer hyper       PORT                answers everything, without poem
//! peer hyper-empty PORT                answers 200 without a body: a service for nginx that permits everything
//! peer hyper-401   PORT                answers 401 without a body: a service for nginx that denies everything
//! peer poem        PORT                answers everything
//! peer poem-401    PORT                answers 401 with problem details
//! peer poem-jwt    PORT ISSUER KEYS    poem with jsonwebtoken
//! peer poem-cache  PORT ISSUER KEYS    the same with a cache of verified tokens
//! peer axum-jwt    PORT ISSUER KEYS    axum with jsonwebtoken
//! ```
#![expect(clippy::unwrap_used, reason = "a failed expectation ends the comparison")]

use std::{
    collections::HashMap,
    convert::Infallible,
    env, fs,
    sync::{Arc, RwLock},
};

use axum::extract::State;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use poem::{
    Endpoint, EndpointExt, IntoResponse, Request, Response, Route, Server, get, handler,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    listener::TcpListener,
};
use serde_json::Value;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The body of every answer.
const BODY: &str = r#"{"Hello":"World"}"#;
const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Stands for the id of the request, which scopegate adds to its answers.
const ID: HeaderValue = HeaderValue::from_static("0123456789abcdef0123456789abcdef");
const PROBLEM: &str =
    r#"{"type":"about:blank","title":"Unauthorized","status":401,"detail":"expected a bearer token"}"#;

/// The plain use of jsonwebtoken: keys parsed once, issuer, audience and expiry checked, a scope looked for.
struct Verifier {
    keys: Vec<(Option<String>, DecodingKey, Validation)>,
}

impl Verifier {
    fn new(issuer: &str, keys: &str) -> Self {
        let set: JwkSet = serde_json::from_str(&fs::read_to_string(keys).unwrap()).unwrap();
        let keys = set.keys.iter().map(|jwk| {
            let algorithm = jwk.common.key_algorithm.unwrap().to_string().parse().unwrap();
            let mut validation = Validation::new(algorithm);
            validation.set_issuer(&[issuer]);
            validation.set_audience(&["bench"]);
            validation.set_required_spec_claims(&["exp", "iss", "aud"]);
            (jwk.common.key_id.clone(), DecodingKey::from_jwk(jwk).unwrap(), validation)
        });
        Self { keys: keys.collect() }
    }

    fn permits(&self, headers: &HeaderMap) -> bool {
        let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some(token) = value.and_then(|value| value.strip_prefix("Bearer ")) else { return false };
        let Ok(head) = decode_header(token) else { return false };
        let Some((_, key, validation)) = self.keys.iter().find(|(id, ..)| *id == head.kid) else {
            return false;
        };
        let Ok(data) = decode::<Value>(token, key, validation) else { return false };
        let scope = data.claims.get("scope").and_then(Value::as_str).unwrap_or_default();
        scope.split(' ').any(|scope| scope == "items")
    }
}

/// Answers everything with one answer, without poem.
async fn serve_hyper(port: u16, status: StatusCode, body: &'static str) {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let http = Arc::new(auto::Builder::new(TokioExecutor::new()));
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let http = Arc::clone(&http);
        let service = service_fn(move |_: hyper::Request<Incoming>| async move {
            let mut response = hyper::Response::new(Full::new(Bytes::from_static(body.as_bytes())));
            *response.status_mut() = status;
            let headers = response.headers_mut();
            if !body.is_empty() {
                headers.insert(header::CONTENT_TYPE, JSON);
            }
            headers.insert(REQUEST_ID, ID);
            Ok::<_, Infallible>(response)
        });
        tokio::spawn(async move {
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

#[handler]
fn hello() -> Response {
    Response::builder().header(header::CONTENT_TYPE, JSON).header(REQUEST_ID, ID).body(BODY)
}

#[handler]
fn unauthorized() -> Response {
    Response::builder()
        .status(StatusCode::UNAUTHORIZED)
        .header(header::CONTENT_TYPE, "application/problem+json")
        .header(header::WWW_AUTHENTICATE, "Bearer")
        .header(REQUEST_ID, ID)
        .body(PROBLEM)
}

async fn serve_poem<E>(port: u16, endpoint: E)
where
    E: Endpoint + 'static,
    E::Output: IntoResponse,
{
    Server::new(TcpListener::bind(("127.0.0.1", port))).run(endpoint).await.unwrap();
}

async fn poem_jwt(port: u16, permits: impl Fn(&HeaderMap) -> bool + Clone + Send + Sync + 'static) {
    let guarded = Route::new().at("/", get(hello)).around(move |inner, request: Request| {
        let permits = permits.clone();
        async move {
            if permits(request.headers()) {
                inner.call(request).await.map(IntoResponse::into_response)
            } else {
                Ok(StatusCode::UNAUTHORIZED.into_response())
            }
        }
    });
    serve_poem(port, guarded).await;
}

/// A cache as services write it: a map behind a lock, without revocations or a bound.
#[derive(Default)]
struct Cache(RwLock<HashMap<Box<[u8]>, bool>>);

impl Cache {
    fn permits(&self, verifier: &Verifier, headers: &HeaderMap) -> bool {
        let Some(value) = headers.get(header::AUTHORIZATION) else { return false };
        if let Some(known) = self.0.read().unwrap().get(value.as_bytes()) {
            return *known;
        }
        let permits = verifier.permits(headers);
        self.0.write().unwrap().insert(value.as_bytes().into(), permits);
        permits
    }
}

async fn axum_hello(
    State(verifier): State<Arc<Verifier>>,
    headers: HeaderMap,
) -> Result<([(HeaderName, HeaderValue); 2], &'static str), StatusCode> {
    if verifier.permits(&headers) {
        Ok(([(header::CONTENT_TYPE, JSON), (REQUEST_ID, ID)], BODY))
    } else {
        Err(StatusCode::UNAUTHORIZED)
    }
}

async fn axum_jwt(port: u16, verifier: Arc<Verifier>) {
    let app = axum::Router::new().route("/", axum::routing::get(axum_hello)).with_state(verifier);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    axum::serve(listener, app).await.unwrap();
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["hyper", port] => serve_hyper(port.parse().unwrap(), StatusCode::OK, BODY).await,
        ["hyper-empty", port] => serve_hyper(port.parse().unwrap(), StatusCode::OK, "").await,
        ["hyper-401", port] => serve_hyper(port.parse().unwrap(), StatusCode::UNAUTHORIZED, "").await,
        ["poem", port] => serve_poem(port.parse().unwrap(), Route::new().at("/*any", get(hello))).await,
        ["poem-401", port] => {
            serve_poem(port.parse().unwrap(), Route::new().at("/*any", get(unauthorized))).await;
        }
        ["poem-jwt", port, issuer, keys] => {
            let verifier = Arc::new(Verifier::new(issuer, keys));
            poem_jwt(port.parse().unwrap(), move |headers| verifier.permits(headers)).await;
        }
        ["poem-cache", port, issuer, keys] => {
            let verifier = Arc::new(Verifier::new(issuer, keys));
            let cache = Arc::<Cache>::default();
            poem_jwt(port.parse().unwrap(), move |headers| cache.permits(&verifier, headers)).await;
        }
        ["axum-jwt", port, issuer, keys] => {
            axum_jwt(port.parse().unwrap(), Arc::new(Verifier::new(issuer, keys))).await;
        }
        _ => std::process::exit(2),
    }
}
