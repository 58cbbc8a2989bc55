//! What lasts, and what several nodes know of each other.

use std::time::{Duration, Instant};

use scopegate_testkit::Postgres;
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    admin::config,
    support::{Client, Server},
};

/// Two servers on one store, whose tokens both take: the second trusts the issuer of the first.
async fn two(store: &str) -> (Server, Client, Server, Client, String, String) {
    two_of(&config(store)).await
}

pub(crate) async fn two_of(written: &str) -> (Server, Client, Server, Client, String, String) {
    let first = Server::start(written);
    let client = Client::new(&first.url);
    let user = client.token("", "demo", "demo-secret", "items%20reports").await;
    let root = client.token("", "root", "root-secret", "scopegate:admin").await;
    let health = client.get_with("/admin/providers/local", &root).await.json();
    let issuer = health["issuers"][0].as_str().unwrap().to_owned();
    let (before, rest) = written.split_once("  local:\n").unwrap();
    let (_, after) = rest.split_once("\nscopes:").unwrap();
    let second = format!(
        "{before}  local: {{ kind: oidc, issuer: \"{issuer}\", audience: http://api.example }}\nscopes:{after}"
    );
    let second = Server::start(&second);
    let other = Client::new(&second.url);
    (first, client, second, other, user, root)
}

async fn until(status: u16, client: &Client, path: &str, token: &str) -> Duration {
    let start = Instant::now();
    while client.get_with(path, token).await.status != status {
        assert!(start.elapsed() < Duration::from_secs(10), "it never came to be so");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    start.elapsed()
}

async fn what_is_done_at_one_node_holds_at_the_other(store: &str) {
    let (_first, one, _second, other, user, root) = two(store).await;
    assert_eq!(other.get_with("/items", &user).await.status, 200);
    assert_eq!(other.get_with("/reports", &user).await.json()["reason"], "no_route");
    one.json("PUT", "/admin/scopes/reports", &root, &json!({ "routes": ["GET /reports"] })).await;
    let start = Instant::now();
    while other.get_with("/reports", &user).await.json()["reason"] == "no_route" {
        assert!(start.elapsed() < Duration::from_secs(1), "the scope has not arrived");
    }
    assert_eq!(one.form("/revoke", &format!("token={user}")).await.status, 200);
    assert_eq!(one.get_with("/items", &user).await.status, 401);
    let late = until(401, &other, "/items", &user).await;
    assert!(late < Duration::from_secs(1), "{late:?}");
}

#[tokio::test]
async fn invariant_14_two_servers_on_one_postgresql_hold_to_each_others_changes() {
    let url = tokio::task::spawn_blocking(|| Postgres::shared().database()).await.unwrap();
    what_is_done_at_one_node_holds_at_the_other(&url).await;
}

#[tokio::test]
async fn invariant_14_two_servers_on_one_sqlite_file_hold_to_each_others_changes() {
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite://{}", folder.path().join("gate.db").display());
    what_is_done_at_one_node_holds_at_the_other(&url).await;
}

/// Opens a `WebSocket` at a node.
async fn websocket(server: &Server, token: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).await.unwrap();
    let head = format!(
        "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
    stream
}

/// Checks that open streams of two nodes end once their provider is disabled or their key distrusted.
async fn streams_end_on_both_nodes(store: &str, disables: bool) {
    let (service, _heads) = crate::proxy::service().await;
    let chat = format!(
        "{}  - {{ match: GET /chat, allow: authenticated, upstream: chat }}\nupstreams: {{ chat: {{ url: \"http://{service}\" }} }}\n",
        config(store)
    );
    let (first, one, second, _other, user, root) = two_of(&chat).await;
    let listed = one.get_with("/admin/providers/local", &root).await.json();
    let kid = listed["health"]["issuers"][0]["keys"][0]["id"].as_str().unwrap();
    let path = if disables { "disable" } else { &format!("keys/{kid}/distrust") };
    let mut open = [websocket(&first, &user).await, websocket(&second, &user).await];
    let answer = one.json("POST", &format!("/admin/providers/local/{path}"), &root, &json!(null)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    for stream in &mut open {
        // A build without optimisation, among other tests, is not what is promised.
        let promised = Duration::from_secs(if cfg!(debug_assertions) { 5 } else { 1 });
        let ended = tokio::time::timeout(promised, stream.read_u8()).await;
        assert!(ended.expect("it was to be cut").is_err(), "{path}");
    }
}

/// A10: open streams end on every node within a second, once their provider is disabled or their key distrusted.
#[tokio::test(flavor = "multi_thread")]
async fn invariant_17_streams_end_on_every_node_when_their_provider_is_disabled_or_their_key_distrusted() {
    for disables in [true, false] {
        let folder = TempDir::new().unwrap();
        let url = format!("sqlite://{}", folder.path().join("gate.db").display());
        streams_end_on_both_nodes(&url, disables).await;
    }
}

/// A10: the same on PostgreSQL, where nodes hear of changes by notifications.
#[tokio::test(flavor = "multi_thread")]
async fn invariant_17_streams_end_on_every_node_of_a_postgresql_store() {
    for disables in [true, false] {
        let url = tokio::task::spawn_blocking(|| Postgres::shared().database()).await.unwrap();
        streams_end_on_both_nodes(&url, disables).await;
    }
}

#[tokio::test]
async fn while_the_store_is_away_known_tokens_pass_and_writes_are_refused() {
    let server = tokio::task::spawn_blocking(Postgres::start).await.unwrap();
    let server = std::sync::Arc::new(server);
    let site = crate::admin::site(&server.database()).await;
    let (client, root) = (&site.client, &site.root);
    assert_eq!(client.get_with("/api/private", &site.user).await.status, 200);
    let away = server.clone();
    tokio::task::spawn_blocking(move || away.stop()).await.unwrap();
    assert_eq!(client.get_with("/api/private", &site.user).await.status, 200);
    let refused = client.json("PUT", "/admin/scopes/x", root, &json!({ "routes": ["GET /x"] })).await;
    assert_eq!(
        (refused.status, refused.json()["reason"].as_str()),
        (503, Some("store_unavailable")),
        "{refused:?}"
    );
    let back = server.clone();
    tokio::task::spawn_blocking(move || back.restart()).await.unwrap();
    let made = client.json("PUT", "/admin/scopes/x", root, &json!({ "routes": ["GET /x"] })).await;
    assert_eq!(made.status, 201, "{made:?}");
}

#[tokio::test]
async fn what_is_done_by_command_holds_at_a_running_node() {
    let folder = tempfile::tempdir().unwrap();
    let site = crate::admin::site(&format!("sqlite://{}/s.db", folder.path().display())).await;
    let (server, client, user) = (&site.server, &site.client, &site.user);
    assert_eq!(server.command(&["scope", "put", "reports", "--route", "GET /reports"]), 0);
    let start = Instant::now();
    while client.get_with("/reports", user).await.json()["reason"] == "no_route" {
        assert!(start.elapsed() < Duration::from_secs(1), "the scope has not arrived");
    }
    assert_eq!(server.command(&["provider", "disable", "local"]), 0);
    until(503, client, "/items", user).await;
    assert_eq!(server.command(&["provider", "enable", "local"]), 0);
    until(200, client, "/items", user).await;
}
