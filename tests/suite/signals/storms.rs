//! Floods of signals: memory stays bounded, and known callers notice nothing.

use futures_util::{StreamExt, stream};
use serde_json::json;

use super::{CAEP, Site, Transmitter, site};
use crate::support::now;

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

/// Issue 15: a storm of events leaves memory bounded and known callers undisturbed.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_events_leaves_memory_bounded_and_known_callers_undisturbed() {
    let site = site("").await;
    let known = site.provider.access("known", "s-1", now() - 5);
    assert!(site.passes(&known).await);
    let before = site.servers[0].memory();
    let unknown = "https://other.example/event";
    let revoked = format!("{CAEP}session-revoked");
    let pushed = (0..events()).map(|number| match number % 4 {
        // The same withdrawal again and again, other types, other users, and the same token.
        0 => site.provider.event(&format!("s-{number}"), &revoked, &site.provider.user("gone"), &json!({})),
        1 => site.provider.event(&format!("u-{number}"), unknown, &site.provider.user("gone"), &json!({})),
        2 => site.provider.event(
            &format!("d-{number}"),
            &revoked,
            &site.provider.user(&format!("u{}", number % 500)),
            &json!({}),
        ),
        _ => site.provider.event("same", &revoked, &site.provider.user("gone"), &json!({})),
    });
    let calls = async {
        for _ in 0..200 {
            assert_eq!(site.one.get_with("/items", &known).await.status, 200);
        }
    };
    tokio::join!(storm(&site, pushed), calls);
    let grown = site.servers[0].memory().saturating_sub(before);
    assert!(grown < BOUND, "{grown} bytes for {} events", events());
    let gone = site.provider.access("gone", "s-1", now() - 5);
    site.refused(&gone).await;
    assert!(site.passes(&known).await);
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
    assert!(site.passes(&known).await);
}
