//! Floods of signals: memory stays bounded, and known callers notice nothing.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use serde_json::json;

use super::{CAEP, Site, Transmitter, site};
use crate::support::{Client, Server, now};

/// The number of events. `SCOPEGATE_STORM=100000` sends as many as are promised; every run takes fewer.
fn events() -> usize {
    std::env::var("SCOPEGATE_STORM").map_or(5_000, |value| value.parse().unwrap())
}

/// The memory that a storm may take, in bytes, whatever its length.
const BOUND: u64 = 96 << 20;

async fn storm(site: &Site, pushed: impl Iterator<Item = String>) {
    stream::iter(pushed)
        .for_each_concurrent(32, async |event| {
            let answer = site.push(&event).await;
            assert!(matches!(answer.status, 202 | 400 | 503 | 429), "{answer:?}");
        })
        .await;
}

/// The longest time that a known caller may wait during a storm, nine times in ten. Both nodes, the transmitter and the test
/// share the machine.
const UNDISTURBED: Duration = Duration::from_millis(500);

/// Returns the event of this number: the same withdrawal again and again, an unknown type, another user each time, or a
/// repeated token.
fn event(site: &Site, number: usize) -> String {
    let revoked = format!("{CAEP}session-revoked");
    let gone = site.provider.user("gone");
    match number % 4 {
        0 => site.provider.event(&format!("s-{number}"), &revoked, &gone, &json!({})),
        1 => site.provider.event(&format!("u-{number}"), "https://other.example/event", &gone, &json!({})),
        2 => {
            let user = site.provider.user(&format!("u{number}"));
            site.provider.event(&format!("d-{number}"), &revoked, &user, &json!({}))
        }
        _ => site.provider.event("same", &revoked, &gone, &json!({})),
    }
}

/// Calls as a known caller until the storm is over; returns the time that nine of ten calls needed at most.
async fn call_until(site: &Site, known: &str, over: &AtomicBool) -> Duration {
    let mut times = Vec::new();
    while !over.load(Ordering::Relaxed) || times.len() < 20 {
        let begun = Instant::now();
        assert_eq!(site.one.get_with("/items", known).await.status, 200);
        times.push(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    times.sort_unstable();
    times[times.len() * 9 / 10]
}

/// A storm of events leaves memory bounded and known callers undisturbed. A quarter of the events withdraw the
/// tokens of a user of their own.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_events_leaves_memory_bounded_and_known_callers_undisturbed() {
    let site = site("").await;
    let known = site.provider.access("known", "s-1", now() - 5);
    assert!(site.passes(&known).await);
    let ended = ["gone".to_owned(), "u2".to_owned(), format!("u{}", events() - 2)];
    let ended = ended.map(|user| site.provider.access(&user, "s-1", now() - 5));
    let before = site.servers.each_ref().map(Server::memory);
    let over = AtomicBool::new(false);
    let pushes = async {
        storm(&site, (0..events()).map(|number| event(&site, number))).await;
        over.store(true, Ordering::Relaxed);
    };
    let ((), waited) = tokio::join!(pushes, call_until(&site, &known, &over));
    for (server, before) in site.servers.iter().zip(before) {
        let grown = server.peak_memory().saturating_sub(before);
        println!("{} events: {} KiB more at most, known callers waited {waited:?}", events(), grown / 1024);
        assert!(grown < BOUND, "{grown} bytes for {} events", events());
    }
    assert!(waited < UNDISTURBED, "{waited:?}");
    for token in &ended {
        site.refused(token).await;
    }
    assert!(site.passes(&known).await);
    // What the other node did not see it hears of; an equal event is written once.
    let admin = site.provider.access("root", "s-2", now() - 5);
    let listed = site.one.get_with("/admin/revocations?limit=1000", &admin).await.json();
    let of_gone = listed["items"].as_array().unwrap().iter().filter(|item| item["value"] == "gone").count();
    assert!((1..=events() / 20).contains(&of_gone), "{of_gone} records for one user");
}

/// T5.6: logout tokens with unknown keys keep to the cool-down of the key set, and long bodies are refused unread.
#[tokio::test]
async fn a_flood_of_logout_tokens_asks_the_provider_no_more_than_a_cool_down_allows() {
    let site = site("").await;
    let known = site.provider.access("known", "s-1", now() - 5);
    assert!(site.passes(&known).await);
    let keys = site.provider.issuer.paths().keys.clone();
    let before = site.provider.issuer.count(&keys);
    let stranger = Transmitter {
        issuer: scopegate_testkit::TestIssuer::start().await,
        key: scopegate_testkit::MintKey::es256("k9"),
    };
    for number in 0..50 {
        let mut header = stranger.key.header();
        header["typ"] = json!("logout+jwt");
        header["kid"] = json!(format!("unknown-{number}"));
        let claims =
            json!({ "iss": site.provider.issuer.url(), "aud": "client-1", "iat": now(), "exp": now() + 120 });
        let answer = site.log_out(&stranger.key.token_with(&header, &claims)).await;
        assert!(matches!(answer.status, 400 | 503), "{answer:?}");
    }
    let asked = site.provider.issuer.count(&keys) - before;
    assert!(asked <= 2, "{asked} fetches");
    let long = site.log_out(&"a".repeat(2 << 20)).await;
    assert!(matches!(long.status, 400 | 413), "{long:?}");
    // The server closes the connection whose body it has not read: a new client takes another.
    assert_eq!(Client::new(&site.servers[0].url).get_with("/items", &known).await.status, 200);
}
