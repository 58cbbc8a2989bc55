//! The tutorials' path, in the development configuration: a token, a call, and what is refused.

use serde_json::json;

use crate::support::{Client, Server};

/// The development configuration on free ports.
pub(crate) const DEVELOPMENT: &str = "
server: { listen: 127.0.0.1:0 }
operations: { listen: 127.0.0.1:0 }
sample_api: true
docs: true
token_endpoint: true
store: { url: 'memory:' }
providers:
  local:
    kind: dev
    listen: 127.0.0.1:0
    audience: https://api.example
    clients:
      - { id: demo, secret: demo-secret, scopes: [items, 'items:write'] }
      - { id: reader, secret: reader-secret, scopes: [items] }
      - { id: nobody, secret: nobody-secret, scopes: [] }
scopes: { items: Read items, 'items:write': 'Create, change and delete items' }
routes:
  - { match: GET /, allow: anonymous }
  - { match: GET /api/public, allow: anonymous }
  - { match: GET /api/private, allow: authenticated }
  - { match: GET /items/**, require: items }
  - { match: POST|PUT|DELETE /items/**, require: 'items:write' }
";

#[tokio::test]
async fn a_token_of_the_embedded_issuer_opens_items() {
    let server = Server::start(DEVELOPMENT);
    let client = Client::new(&server.url);
    let token = client.token("", "demo", "demo-secret", "items").await;
    let answer = client.get_with("/items", &token).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let items =
        json!([{"id":1,"name":"red ball"},{"id":2,"name":"blue square"},{"id":3,"name":"purple ellipse"}]);
    assert_eq!(answer.json(), items);
}

#[tokio::test]
async fn without_a_token_items_are_401_with_the_challenge_that_would_do() {
    let server = Server::start(DEVELOPMENT);
    let answer = Client::new(&server.url).get("/items").await;
    assert_eq!(answer.status, 401, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let challenge = answer.header("www-authenticate");
    assert!(challenge.starts_with("Bearer ") && !challenge.contains("error="), "{challenge}");
    assert!(challenge.contains("scope=\"items\""), "{challenge}");
    assert_eq!(answer.json()["reason"], "no_token");
}

#[tokio::test]
async fn a_token_that_lacks_the_scope_is_403_naming_it() {
    let server = Server::start(DEVELOPMENT);
    let client = Client::new(&server.url);
    let token = client.token("", "nobody", "nobody-secret", "").await;
    let answer = client.get_with("/items", &token).await;
    assert_eq!(answer.status, 403, "{answer:?}");
    assert_eq!(answer.json()["error"], "insufficient_scope");
    assert_eq!(answer.json()["missing_scopes"], json!(["items"]));
    assert!(answer.header("www-authenticate").contains("scope=\"items\""));
}

#[tokio::test]
async fn a_tampered_token_is_401_invalid_token() {
    let server = Server::start(DEVELOPMENT);
    let client = Client::new(&server.url);
    let token = client.token("", "demo", "demo-secret", "items").await;
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { "B" } else { "A" };
    let answer = client.get_with("/items", &format!("{signed}.{other}{}", &signature[1..])).await;
    assert_eq!(answer.status, 401, "{answer:?}");
    assert_eq!(answer.json()["error"], "invalid_token");
    assert_eq!(answer.json()["reason"], "signature_invalid");
}

#[tokio::test]
async fn the_public_route_is_open_and_the_private_one_shows_the_claims() {
    let server = Server::start(DEVELOPMENT);
    let client = Client::new(&server.url);
    assert_eq!(client.get("/").await.json(), json!({"Hello": "World"}));
    assert_eq!(client.get("/api/public").await.json()["status"], "success");
    assert_eq!(client.get("/api/private").await.status, 401);
    let token = client.token("", "reader", "reader-secret", "items").await;
    assert_eq!(client.get_with("/api/private", &token).await.json()["aud"], "https://api.example");
}

#[tokio::test]
async fn a_bad_token_matters_not_on_a_public_route() {
    let server = Server::start(DEVELOPMENT);
    assert_eq!(Client::new(&server.url).get_with("/api/public", "a.b.c").await.status, 200);
}

#[tokio::test]
async fn a_path_that_no_route_names_is_404_without_a_challenge() {
    let server = Server::start(DEVELOPMENT);
    let answer = Client::new(&server.url).get("/elsewhere").await;
    assert_eq!((answer.status, answer.header("www-authenticate")), (404, ""), "{answer:?}");
    assert_eq!(answer.json()["reason"], "no_route");
}

#[tokio::test]
async fn a_method_that_no_route_names_is_405() {
    let server = Server::start(DEVELOPMENT);
    let answer = Client::new(&server.url).send("PATCH", "/items/1", &[], "").await;
    assert_eq!(answer.status, 405, "{answer:?}");
    assert_eq!(answer.json()["reason"], "method_not_allowed");
}

#[tokio::test]
async fn wrong_client_credentials_are_the_issuers_own_refusal() {
    let server = Server::start(DEVELOPMENT);
    let form = "grant_type=client_credentials&client_id=demo&client_secret=wrong";
    let answer = Client::new(&server.url).form("/token", form).await;
    assert_eq!(answer.status, 401, "{answer:?}");
    assert_eq!(answer.json()["error"], "invalid_client");
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn the_node_says_that_it_is_alive_and_ready_on_the_operations_listener_only() {
    let server = Server::start(DEVELOPMENT);
    let operations = Client::new(&server.operations);
    assert_eq!(operations.get("/healthz").await.status, 200);
    assert_eq!(operations.get("/readyz").await.json()["ready"], true);
    assert_eq!(Client::new(&server.url).get("/healthz").await.status, 404);
}
