//! The gate in front of an axum program.
//!
//! ```sh
//! cargo run --example axum
//! curl -i http://127.0.0.1:3000/hello                                       # 200: anyone
//! curl -i http://127.0.0.1:3000/api/me                                      # 401: no token
//! TOKEN=$(curl -s http://127.0.0.1:9400/token -u demo:demo-secret -d grant_type=client_credentials \
//!   | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
//! curl http://127.0.0.1:3000/api/me -H "Authorization: Bearer $TOKEN"       # who calls
//! curl -i http://127.0.0.1:3000/api/orders -H "Authorization: Bearer $TOKEN"    # 403: the scope is missing
//! ```

use std::error::Error;

use axum::{Extension, Router, routing::get};
use scopegate::{Caller, Gate, Principal};
use tokio::net::TcpListener;

/// The configuration, as in a `scopegate.yaml`. The provider is the embedded issuer, which is for development only.
pub(crate) const CONFIGURATION: &str = r"
providers:
  local:
    kind: dev
    listen: 127.0.0.1:9400
    audience: http://127.0.0.1:3000
    clients: [ { id: demo, secret: demo-secret, scopes: [profile] } ]
scopes: { profile: Read who one is, orders: Read orders }
routes:
  - { match: GET /hello, allow: optional }
  - { match: GET /api/me, require: profile }
  - { match: GET /api/orders/**, require: orders }
";

/// Reached under `allow: optional` with a token and without.
async fn hello(Extension(caller): Extension<Caller>) -> String {
    match caller {
        Caller::Anonymous => "hello, stranger".to_owned(),
        Caller::Known(principal) => format!("hello, {}", client(&principal)),
    }
}

/// Reached only by callers that the policy let through; without a gate, axum answers 500.
async fn me(Extension(principal): Extension<Principal>) -> String {
    format!("{} may {}", client(&principal), principal.scopes())
}

fn client(principal: &Principal) -> String {
    principal.client().map(ToString::to_string).unwrap_or_default()
}

/// The program, with the gate around all of it: before axum's own routers, so that what they read is what was decided on.
pub(crate) fn program(gate: Gate) -> Router {
    let api = Router::new().route("/me", get(me)).route("/orders", get(async || "[]"));
    let routes = Router::new().route("/hello", get(hello)).nest("/api", api);
    scopegate::tower::protect(gate, routes)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let gate = Gate::builder().config_text(CONFIGURATION).build().await?;
    axum::serve(TcpListener::bind("127.0.0.1:3000").await?, program(gate)).await?;
    Ok(())
}
