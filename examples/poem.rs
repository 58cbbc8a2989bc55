//! The gate as middleware of a poem program of one's own.
//!
//! ```sh
//! cargo run --example poem
//! curl -i http://127.0.0.1:3000/hello                                       # 200: anyone
//! curl -i http://127.0.0.1:3000/me                                          # 401: no token
//! TOKEN=$(curl -s http://127.0.0.1:9400/token -u demo:demo-secret -d grant_type=client_credentials \
//!   | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
//! curl http://127.0.0.1:3000/me -H "Authorization: Bearer $TOKEN"           # who calls
//! curl -i http://127.0.0.1:3000/orders -H "Authorization: Bearer $TOKEN"    # 403: the scope is missing
//! ```

use std::error::Error;

use poem::{Endpoint, EndpointExt, Response, Route, Server, get, handler, listener::TcpListener};
use scopegate::{Caller, Gate, Principal};

/// The content of a `scopegate.yaml`. The provider is the embedded issuer, which is for development only.
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
  - { match: GET /me, require: profile }
  - { match: GET /orders/**, require: orders }
";

/// Reached under `allow: optional` with a token and without.
#[handler]
fn hello(caller: Caller) -> String {
    match caller {
        Caller::Anonymous => "hello, stranger".to_owned(),
        Caller::Known(principal) => format!("hello, {}", client(&principal)),
    }
}

/// Reached only by callers that the policy let through.
#[handler]
fn me(principal: Principal) -> String {
    let principal = principal.into_inner();
    format!("{} may {}", client(&principal), principal.scopes())
}

#[handler]
fn orders() -> &'static str {
    "[]"
}

fn client(principal: &scopegate_provider::Principal) -> String {
    principal.client().map(ToString::to_string).unwrap_or_default()
}

/// The program's own routes, behind the gate.
pub(crate) fn program(gate: &Gate) -> impl Endpoint<Output = Response> + use<> {
    Route::new().at("/hello", get(hello)).at("/me", get(me)).at("/orders", get(orders)).with(gate)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let gate = Gate::builder().config_text(CONFIGURATION).build().await?;
    Server::new(TcpListener::bind("127.0.0.1:3000")).run(program(&gate)).await?;
    Ok(())
}
