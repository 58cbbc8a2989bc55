//! A poem-openapi service behind the gate: the scopes that its operations declare are enforced, and stand nowhere else.
//!
//! ```sh
//! cargo run --example openapi
//! curl -i http://127.0.0.1:3000/api/health                                  # 200: declared public
//! curl -i http://127.0.0.1:3000/api/orders                                  # 401: no token
//! TOKEN=$(curl -s http://127.0.0.1:9400/token -u demo:demo-secret -d grant_type=client_credentials \
//!   | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
//! curl http://127.0.0.1:3000/api/orders -H "Authorization: Bearer $TOKEN"   # 200: the token has the scope `orders`
//! curl -i -X DELETE http://127.0.0.1:3000/api/orders/1 -H "Authorization: Bearer $TOKEN"   # 403: `orders:write` is missing
//! ```

use std::error::Error;

use poem::{Endpoint, EndpointExt, Response, Route, Server, listener::TcpListener};
use poem_openapi::{
    OAuthScopes, OpenApi, OpenApiService, SecurityScheme,
    auth::Bearer,
    param::Path,
    payload::{Json, PlainText},
};
use scopegate::{Gate, Operations, Principal};

/// The content of a `scopegate.yaml`: providers, and no route. The provider is the embedded issuer, which is for
/// development only.
pub(crate) const CONFIGURATION: &str = r"
providers:
  local:
    kind: dev
    listen: 127.0.0.1:9400
    audience: http://127.0.0.1:3000
    clients: [ { id: demo, secret: demo-secret, scopes: [orders] } ]
";

#[derive(OAuthScopes)]
enum Scopes {
    /// Read orders
    #[oai(rename = "orders")]
    Orders,
    /// Create, change and delete orders
    #[oai(rename = "orders:write")]
    OrdersWrite,
}

/// The security scheme of the document. The gate verifies the token.
#[derive(SecurityScheme)]
#[oai(ty = "oauth2", flows(client_credentials(token_url = "http://127.0.0.1:9400/token", scopes = "Scopes")))]
struct Token(#[expect(dead_code, reason = "the gate has looked at it")] Bearer);

struct Shop;

#[OpenApi]
#[expect(clippy::unused_async, reason = "poem-openapi's handlers are asynchronous")]
impl Shop {
    /// The opening state of the shop.
    #[oai(path = "/health", method = "get")]
    async fn health(&self) -> PlainText<&'static str> {
        PlainText("open")
    }

    /// The orders of the caller.
    #[oai(path = "/orders", method = "get")]
    async fn orders(
        &self,
        #[oai(scope = "Scopes::Orders")] _token: Token,
        principal: Principal,
    ) -> Json<Vec<String>> {
        let client = principal.client().map(ToString::to_string);
        Json(vec![format!("an order of {}", client.unwrap_or_default())])
    }

    /// Withdraws an order.
    #[oai(path = "/orders/:id", method = "delete")]
    async fn withdraw(
        &self,
        #[oai(scope = "Scopes::OrdersWrite")] _token: Token,
        id: Path<u64>,
    ) -> PlainText<String> {
        PlainText(format!("order {} is withdrawn", id.0))
    }
}

fn service() -> OpenApiService<Shop, ()> {
    OpenApiService::new(Shop, "shop", "1.0")
}

/// A gate that asks what the service's operations declare.
pub(crate) async fn gate(configuration: &str) -> Result<Gate, scopegate::GateBuildError> {
    let operations = Operations::of(&service()).nested_at("/api").public("GET /health");
    Gate::builder().config_text(configuration).openapi(operations).build().await
}

/// The service below `/api`, behind the gate.
pub(crate) fn program(gate: &Gate) -> impl Endpoint<Output = Response> + use<> {
    Route::new().nest("/api", service()).with(gate)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let gate = gate(CONFIGURATION).await?;
    Server::new(TcpListener::bind("127.0.0.1:3000")).run(program(&gate)).await?;
    Ok(())
}
