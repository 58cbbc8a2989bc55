//! Tokens of scopegate's own for services behind: what a service gets, and that others trust it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::support::{Answer, Client, Server, Upstream};

/// A server that mints tokens for a service at `upstream`.
fn minting(upstream: &Upstream, more: &str) -> String {
    format!(
        r#"
server: {{ listen: 127.0.0.1:0, trusted_proxies: [127.0.0.1/32] }}
operations: {{ listen: 127.0.0.1:0 }}
token_endpoint: true
providers:
  local:
    kind: dev
    listen: 127.0.0.1:0
    audience: https://api.example
    clients: [ {{ id: demo, secret: demo-secret, scopes: [items] }} ]
scopes: {{ items: Read items }}
upstreams: {{ orders: {{ url: "http://{}" }} }}
forward_auth: {{ dialects: [traefik] }}
routes:
  - {{ match: /orders/**, require: items, upstream: orders, identity: {{ forward: mint }} }}
  - {{ match: /open, allow: anonymous, upstream: orders, identity: {{ forward: mint }} }}
  - {{ match: asked.example/**, require: items, identity: {{ forward: mint }} }}
  - {{ match: kept.example/**, require: items }}
{more}"#,
        upstream.address
    )
}

const MEMORY: &str = "store: { url: 'memory:' }";

/// The token in the head of a request that a service answered with.
fn token_of(answer: &Answer) -> Option<String> {
    let line = answer.text.lines().find(|line| line.to_ascii_lowercase().starts_with("authorization:"))?;
    Some(line.split_once("Bearer ")?.1.to_owned())
}

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

async fn demo(server: &Server) -> String {
    Client::new(&server.url).token("", "demo", "demo-secret", "items").await
}

#[tokio::test]
async fn a_service_behind_gets_a_token_of_ours_and_never_the_callers() {
    let upstream = Upstream::start();
    let server = Server::start(&minting(&upstream, MEMORY));
    let (client, own) = (Client::new(&server.url), demo(&server).await);
    let answer = client.get_with("/orders/1", &own).await;
    let minted = token_of(&answer).unwrap();
    assert!(answer.status == 200 && !answer.text.contains(&own), "{answer:?}");
    let claims = claims(&minted);
    assert_eq!(claims["iss"], server.url);
    assert_eq!(claims["aud"], format!("http://{}", upstream.address));
    assert_eq!((&claims["client_id"], &claims["scope"]), (&json!("demo"), &json!("items")));
    assert_eq!(claims["provider"], "local");
    assert_eq!(token_of(&client.get_with("/orders/2", &own).await), Some(minted), "used again");
    let anonymous = client.get_with("/open", &own).await;
    assert_eq!((anonymous.status, token_of(&anonymous)), (200, None), "{anonymous:?}");
}

#[tokio::test]
async fn another_scopegate_trusts_what_was_minted_as_it_does_any_issuer() {
    let upstream = Upstream::start();
    let server = Server::start(&minting(&upstream, MEMORY));
    let own = demo(&server).await;
    let minted = token_of(&Client::new(&server.url).get_with("/orders/1", &own).await).unwrap();
    let jwks_uri = format!("jwks_uri: '{}/.well-known/jwks.json'", server.url);
    let inner = |audience: &str, by: &str| {
        Server::start(&format!(
            r#"
server: {{ listen: 127.0.0.1:0 }}
operations: {{ listen: 127.0.0.1:0 }}
sample_api: true
providers:
  gate:
    kind: oidc
    issuer: "{0}"
    {by}
    audience: "{audience}"
    token_types: [at+jwt]
    algorithms: [ES256]
scopes: {{ items: Read items }}
routes: [ {{ match: GET /api/private, require: {{ all: [items], clients: [demo] }} }} ]
"#,
            server.url
        ))
    };
    let service = inner(&format!("http://{}", upstream.address), &jwks_uri);
    let answer = Client::new(&service.url).get_with("/api/private", &minted).await;
    assert_eq!((answer.status, answer.json()["provider"].clone()), (200, json!("local")), "{answer:?}");
    assert_eq!(Client::new(&service.url).get_with("/api/private", &own).await.status, 401);
    let elsewhere =
        Client::new(&inner("https://another.example", "").url).get_with("/api/private", &minted).await;
    assert_eq!(elsewhere.json()["reason"], "audience_mismatch", "{elsewhere:?}");
}

#[tokio::test]
async fn a_proxy_that_asks_gets_what_is_to_go_on_in_the_answer() {
    let server = Server::start(&minting(&Upstream::start(), MEMORY));
    let own = demo(&server).await;
    let ask = async |host: &str| {
        let bearer = format!("Bearer {own}");
        let headers = [
            ("x-forwarded-method", "GET"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", host),
            ("x-forwarded-uri", "/a"),
            ("authorization", bearer.as_str()),
        ];
        let answer = Client::new(&server.url).send("GET", "/auth/traefik", &headers, "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.header("authorization").strip_prefix("Bearer ").unwrap().to_owned()
    };
    assert_eq!(claims(&ask("asked.example").await)["aud"], server.url);
    assert_eq!(ask("kept.example").await, own);
}

#[tokio::test]
async fn the_keys_are_public_and_last_in_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("gate.db");
    let store = format!("store: {{ url: 'sqlite://{}' }}", database.display());
    let keys = async |more: &str| {
        let server = Server::start(&minting(&Upstream::start(), more));
        let answer = Client::new(&server.url).get("/.well-known/jwks.json").await;
        assert_eq!(answer.header("cache-control"), "public, max-age=300", "{answer:?}");
        assert!(answer.json()["keys"][0].get("d").is_none(), "a private part is published");
        answer.json()
    };
    let first = keys(&store).await;
    assert_eq!(first["keys"].as_array().unwrap().len(), 1);
    assert_eq!(keys(&store).await, first);
    assert_ne!(keys("").await, first, "without a store a process has a key of its own");
}
