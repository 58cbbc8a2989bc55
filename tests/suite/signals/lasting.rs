//! What a provider was told is done stays done: on PostgreSQL, through `kill -9`, and for streams that are open.

use std::time::{Duration, Instant};

use scopegate_testkit::Postgres;
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{CAEP, Site, Transmitter, config, site, site_on};
use crate::support::{Chance, Client, Server, eventually, now};

/// The time within which every node has to follow.
const SECOND: Duration = Duration::from_secs(1);

/// A margin for a machine that stands still for a moment because it runs other tests.
const BUSY: Duration = Duration::from_secs(4);

/// Pushes an event for each of many users and waits for the other node; returns the times that it took, shortest first.
async fn times(site: &Site) -> Vec<Duration> {
    let revoked = format!("{CAEP}session-revoked");
    let mut times = Vec::new();
    for number in 0..15 {
        let user = format!("u{number}");
        let token = site.provider.access(&user, "s-1", now() - 5);
        assert!(site.passes(&token).await);
        let event =
            site.provider.event(&format!("e-{number}"), &revoked, &site.provider.user(&user), &json!({}));
        assert_eq!(site.push(&event).await.status, 202);
        let begun = Instant::now();
        site.refused(&token).await;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    times
}

/// Exactly the right tokens are refused on two nodes within a second, on both databases. Most signals are measured
/// against the second itself, so that one moment in which the machine stands still does not decide.
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_holds_on_the_other_node_within_a_second() {
    let sqlite = site("").await;
    let url = tokio::task::spawn_blocking(|| Postgres::shared().database()).await.unwrap();
    let postgres = site_on(&url, "", Transmitter::start().await, TempDir::new().unwrap());
    for (name, site) in [("SQLite", &sqlite), ("PostgreSQL", &postgres)] {
        let times = times(site).await;
        println!("{name}: {times:?}");
        assert!(times[times.len() * 8 / 10] < SECOND, "{name}: {times:?}");
        assert!(times.iter().all(|took| *took < SECOND + BUSY), "{name}: {times:?}");
        let kept = site.provider.access("u-kept", "s-1", now() - 5);
        let later = site.provider.access("u1", "s-2", now() + 2);
        assert!(site.passes(&kept).await && site.passes(&later).await);
    }
}

/// A service whose answer never ends.
async fn endless() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n7\r\ndata: 1\r\n";
                let mut buffer = [0; 4096];
                let _ = stream.read(&mut buffer).await;
                let _ = stream.write_all(head).await;
                // Open until the gate closes it.
                while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
            });
        }
    });
    address
}

/// Opens a stream of server-sent events; returns the connection after the first event.
async fn opened(server: &Server, token: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).await.unwrap();
    let request = format!("GET /live HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    let mut buffer = [0; 1024];
    while !String::from_utf8_lossy(&seen).contains("data: 1") {
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&buffer[..read]);
    }
    stream
}

/// Waits until the connection ends.
async fn ended(stream: &mut TcpStream) {
    let mut buffer = [0; 1024];
    let ends = async { while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {} };
    tokio::time::timeout(Duration::from_secs(20), ends).await.expect("the stream was not cut");
}

/// Streams are cut by a signal, on every node, and those of others stay open. A block counts the requests that it
/// refuses and the streams that it cuts.
#[tokio::test]
async fn a_signal_cuts_the_streams_of_its_subject_and_no_others() {
    let provider = Transmitter::start().await;
    let folder = TempDir::new().unwrap();
    let store = format!("sqlite://{}", folder.path().join("gate.db").display());
    let text = config(&provider, &store, "      events: { session-revoked: block }")
        .replace("routes: [", &format!("upstreams: {{ live: {{ url: \"http://{}\" }} }}\nroutes: [ {{ match: GET /live, require: items, upstream: live }},", endless().await));
    let servers = [Server::start(&text), Server::start(&text)];
    let ada = provider.access("ada", "s-1", now() - 5);
    let bob = provider.access("bob", "s-2", now() - 5);
    let mut cut = [opened(&servers[0], &ada).await, opened(&servers[1], &ada).await];
    let mut kept = opened(&servers[0], &bob).await;
    let event = provider.event("e-1", &format!("{CAEP}session-revoked"), &provider.user("ada"), &json!({}));
    let headers = [("authorization", "Bearer s3cret"), ("content-type", "application/secevent+jwt")];
    let client = Client::new(&servers[0].url);
    assert_eq!(client.send("POST", "/providers/idp/shared-signals", &headers, &event).await.status, 202);
    for stream in &mut cut {
        ended(stream).await;
    }
    assert_eq!(client.get_with("/items", &ada).await.status, 401);
    let mut buffer = [0; 16];
    let still = tokio::time::timeout(Duration::from_millis(300), kept.read(&mut buffer)).await;
    assert!(still.is_err(), "the stream of another user has ended");
    let admin = provider.access("root", "s-3", now() - 5);
    let listed = async || client.get_with("/admin/revocations", &admin).await.json()["items"][0].clone();
    let counted = eventually(listed, |block| {
        block["streams_cut"].as_u64() >= Some(2) && block["refused"].as_u64() >= Some(1)
    });
    assert_eq!(counted.await["until_lifted"], true);
}

/// Pushes an event and a logout token for each of many users, kills the node after a number of answers, starts it again, and
/// so on. Asserts that every effect that was acknowledged holds in the end.
async fn assert_acknowledged_effects_survive_kills(store: &str) {
    let mut chance = Chance::new(15);
    let provider = Transmitter::start().await;
    let text = config(&provider, store, "");
    let revoked = format!("{CAEP}session-revoked");
    let mut acknowledged = Vec::new();
    for round in 0..5 {
        let mut server = Server::start(&text);
        let deadly = chance.of(1..40);
        let signals = (0..50).map(|number| {
            let (provider, revoked, url) = (&provider, &revoked, server.url.clone());
            async move {
                let user = format!("u-{round}-{number}");
                let http = reqwest::Client::builder().no_proxy().build().unwrap();
                let signal = if number % 2 == 0 {
                    let event = provider.event(&user, revoked, &provider.user(&user), &json!({}));
                    let push = http.post(format!("{url}/providers/idp/shared-signals"));
                    push.header("authorization", "Bearer s3cret")
                        .header("content-type", "application/secevent+jwt")
                        .body(event)
                } else {
                    let token = provider.logout(&user, &json!({ "sub": user }));
                    let logout = http.post(format!("{url}/providers/idp/backchannel-logout"));
                    logout
                        .header("content-type", "application/x-www-form-urlencoded")
                        .body(format!("logout_token={token}"))
                };
                signal.send().await.ok()?.status().is_success().then_some(user)
            }
        });
        let mut signals: futures_util::stream::FuturesUnordered<_> = signals.collect();
        let mut count = 0;
        while let Some(done) = futures_util::StreamExt::next(&mut signals).await {
            acknowledged.extend(done);
            count += 1;
            if count == deadly {
                server.signal("KILL");
            }
        }
        server.wait().await;
    }
    assert!(acknowledged.len() >= 5, "{acknowledged:?}");
    let server = Server::start(&text);
    let client = Client::new(&server.url);
    for user in &acknowledged {
        let token = provider.access(user, "s-1", now() - 60);
        let answer = client.get_with("/items", &token).await;
        assert_eq!(answer.json()["reason"], "revoked", "{user}: {answer:?}");
    }
}

/// `kill -9` at any moment after an acknowledgement loses no effect.
#[tokio::test]
async fn kill_after_an_acknowledgement_loses_no_effect_on_sqlite() {
    let folder = TempDir::new().unwrap();
    let store = format!("sqlite://{}", folder.path().join("gate.db").display());
    assert_acknowledged_effects_survive_kills(&store).await;
}

/// As on SQLite.
#[tokio::test]
async fn kill_after_an_acknowledgement_loses_no_effect_on_postgresql() {
    let url = tokio::task::spawn_blocking(|| Postgres::shared().database()).await.unwrap();
    assert_acknowledged_effects_survive_kills(&url).await;
}

/// T5.7: a logout token that one node has taken is refused by the other, and after the node was started again.
#[tokio::test]
async fn a_logout_token_is_taken_once_by_all_nodes() {
    let site = site("").await;
    let token = site.provider.logout("j-1", &json!({ "sub": "ada" }));
    assert_eq!(site.log_out(&token).await.status, 200);
    let form = format!("logout_token={token}");
    let replayed = site.other.form("/providers/idp/backchannel-logout", &form).await;
    assert_eq!((replayed.status, replayed.json()["error"].as_str()), (400, Some("invalid_request")));
    let another = site.provider.logout("j-2", &json!({ "sub": "ada" }));
    let form = format!("logout_token={another}");
    assert_eq!(site.other.form("/providers/idp/backchannel-logout", &form).await.status, 200);
}

/// An effect that the provider was told of does not end with a block of an administrator that covered it.
#[tokio::test]
async fn lifting_a_block_leaves_what_the_provider_has_withdrawn_meanwhile() {
    let site = site("").await;
    let admin = site.provider.access("root", "s-9", now() - 5);
    let ended = site.provider.access("ada", "s-1", now() - 5);
    let block = json!({ "provider": "idp", "subject": "ada", "until_lifted": true });
    let made = site.one.json("POST", "/admin/revocations", &admin, &block).await.json();
    let event =
        site.provider.event("e-1", &format!("{CAEP}session-revoked"), &site.provider.user("ada"), &json!({}));
    assert_eq!(site.push(&event).await.status, 202);
    let path = format!("/admin/revocations/{}", made["id"].as_str().unwrap());
    assert_eq!(site.one.json("DELETE", &path, &admin, &json!(null)).await.status, 204);
    site.refused(&ended).await;
    let later = site.provider.access("ada", "s-2", now() + 2);
    assert_eq!(site.one.get_with("/items", &later).await.status, 200);
}
