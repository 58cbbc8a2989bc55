//! What scopegate is compared with, where it is a Rust program: the same body, behind nothing or behind a plain use of
//! jsonwebtoken.
//!
//! ```text
//! peer poem      PORT                   the ceiling: no authentication
//! peer poem-jwt  PORT ISSUER KEYS       poem with jsonwebtoken
//! peer axum-jwt  PORT ISSUER KEYS       axum with jsonwebtoken
//! ```
#![expect(clippy::unwrap_used, reason = "a failed expectation ends the comparison")]

use std::{env, fs, sync::Arc};

use axum::extract::State;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use poem::{
    Endpoint, EndpointExt, IntoResponse, Request, Response, Route, Server, get, handler,
    http::{HeaderMap, HeaderName, StatusCode, header},
    listener::TcpListener,
};
use serde_json::Value;

/// What every one of them answers.
const BODY: &str = r#"{"Hello":"World"}"#;
const JSON: &str = "application/json; charset=utf-8";

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

#[handler]
fn hello() -> Response {
    Response::builder().content_type(JSON).body(BODY)
}

async fn serve_poem<E>(port: u16, endpoint: E)
where
    E: Endpoint + 'static,
    E::Output: IntoResponse,
{
    Server::new(TcpListener::bind(("127.0.0.1", port))).run(endpoint).await.unwrap();
}

async fn poem_jwt(port: u16, verifier: Arc<Verifier>) {
    let guarded = Route::new().at("/", get(hello)).around(move |inner, request: Request| {
        let verifier = verifier.clone();
        async move {
            if verifier.permits(request.headers()) {
                inner.call(request).await.map(IntoResponse::into_response)
            } else {
                Ok(StatusCode::UNAUTHORIZED.into_response())
            }
        }
    });
    serve_poem(port, guarded).await;
}

async fn axum_hello(
    State(verifier): State<Arc<Verifier>>,
    headers: HeaderMap,
) -> Result<([(HeaderName, &'static str); 1], &'static str), StatusCode> {
    if verifier.permits(&headers) {
        Ok(([(header::CONTENT_TYPE, JSON)], BODY))
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
    let verifier = |issuer: &str, keys: &str| Arc::new(Verifier::new(issuer, keys));
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["poem", port] => serve_poem(port.parse().unwrap(), Route::new().at("/*any", get(hello))).await,
        ["poem-jwt", port, issuer, keys] => poem_jwt(port.parse().unwrap(), verifier(issuer, keys)).await,
        ["axum-jwt", port, issuer, keys] => axum_jwt(port.parse().unwrap(), verifier(issuer, keys)).await,
        _ => std::process::exit(2),
    }
}
