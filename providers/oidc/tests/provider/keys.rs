//! Keys that come, go and cannot be had.

use std::{sync::Arc, time::Duration};

use scopegate_provider::{AuthnError, Freshness, Health, KeyControl, OutageCause, Provider, Rejection};
use scopegate_testkit::{Fault, MintKey, TestIssuer, base64url};
use serde_json::json;
use tokio::task::JoinSet;

use super::harness::{Harness, outage, rejection};

const MINUTE: Duration = Duration::from_mins(1);

/// A provider of an issuer that is broken from the start.
async fn broken(fault: Fault) -> Harness {
    let issuer = TestIssuer::start().await;
    let key = MintKey::es256("first");
    issuer.publish(&[&key]);
    issuer.fail("*", fault);
    Harness::with(issuer, key, &json!({}))
}

#[tokio::test]
async fn invariant_10_a_storm_of_unknown_key_ids_fetches_once_in_a_cool_down() {
    let harness = Arc::new(Harness::new(&json!({})).await);
    let before = harness.fetches();
    for round in 1..=2 {
        let mut storm = JoinSet::new();
        for number in 0..10_000 {
            let harness = harness.clone();
            let token =
                harness.key.called(Some(&format!("random-{round}-{number}"))).token(&harness.claims());
            storm.spawn(async move { rejection(harness.authenticate(&token).await) });
        }
        while let Some(found) = storm.join_next().await {
            assert_eq!(found.unwrap(), Rejection::UnknownKey);
        }
        assert_eq!(harness.fetches() - before, round);
        harness.advance(Duration::from_secs(31)).await;
    }
}

#[tokio::test]
async fn invariant_10_a_hundred_thousand_random_key_ids_fetch_once_in_a_cool_down() {
    let harness = Harness::new(&json!({})).await;
    let before = harness.fetches();
    let claims = base64url(harness.claims().to_string());
    for number in 0..100_000_u64 {
        // Nobody looks at the signature before there is a key.
        let kid = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let header = base64url(format!(r#"{{"alg":"ES256","typ":"JWT","kid":"{kid:x}"}}"#));
        let token = format!("{header}.{claims}.AAAA");
        assert_eq!(rejection(harness.authenticate(&token).await), Rejection::UnknownKey);
    }
    assert_eq!(harness.fetches() - before, 1);
}

#[tokio::test]
async fn a_key_set_of_ten_megabytes_is_an_outage_and_is_not_read_to_its_end() {
    let harness = broken(Fault::Large).await;
    assert_eq!(outage(harness.authenticate(&harness.token()).await), OutageCause::KeysUnavailable);
    harness.until(|harness| harness.provider.report().issuers[0].last_error.is_some()).await;
    let error = harness.provider.report().issuers[0].last_error.clone().unwrap();
    assert!(error.contains("longer than"), "{error}");
}

#[tokio::test]
async fn a_packed_answer_is_not_unpacked() {
    let harness = Harness::new(&json!({})).await;
    harness.issuer.fail(&harness.issuer.paths().keys.clone(), Fault::GzipBomb);
    assert_eq!(harness.provider.refresh().await.unwrap_err().cause, OutageCause::KeysUnavailable);
    let error = harness.provider.report().issuers[0].last_error.clone().unwrap();
    assert!(error.contains("not JSON"), "{error}");
    let asked = harness.issuer.last(&harness.issuer.paths().keys).unwrap();
    assert_eq!(asked.header("accept-encoding"), None);
    harness.authenticate(&harness.token()).await.unwrap();
}

#[tokio::test]
async fn a_redirect_loop_is_not_entered() {
    let harness = Harness::new(&json!({})).await;
    let (keys, before) = (harness.issuer.paths().keys.clone(), harness.fetches());
    harness.issuer.fail(&keys, Fault::Redirect(harness.issuer.at(&keys)));
    assert_eq!(harness.provider.refresh().await.unwrap_err().cause, OutageCause::KeysUnavailable);
    assert_eq!(harness.fetches() - before, 1);
    harness.authenticate(&harness.token()).await.unwrap();
}

#[tokio::test]
async fn invariant_10_a_known_key_does_not_wait_for_a_fetch() {
    let harness = Arc::new(Harness::new(&json!({})).await);
    harness.issuer.fail(&harness.issuer.paths().keys.clone(), Fault::Hang);
    let waiting = tokio::spawn({
        let harness = harness.clone();
        async move { harness.authenticate(&harness.key.called(Some("new")).token(&harness.claims())).await }
    });
    harness.until(|harness| harness.fetches() == 2).await;
    harness.authenticate(&harness.token()).await.unwrap();
    assert!(!waiting.is_finished());
    waiting.abort();
}

#[tokio::test]
async fn a_forged_signature_under_a_known_key_id_fetches_nothing() {
    let harness = Harness::new(&json!({})).await;
    let before = harness.fetches();
    for _ in 0..10 {
        let forged = MintKey::es256("first").token(&harness.claims());
        assert_eq!(rejection(harness.authenticate(&forged).await), Rejection::SignatureInvalid);
    }
    assert_eq!(harness.fetches(), before);
}

#[tokio::test]
async fn rotation_while_calls_run_fails_no_good_token() {
    let mut harness = Harness::new(&json!({})).await;
    let old = harness.key.clone();
    harness.key = MintKey::es256("second");
    harness.issuer.publish(&[&old, &harness.key]);
    let (harness, old) = (Arc::new(harness), Arc::new(old));
    let mut calls = JoinSet::new();
    for number in 0..500 {
        let (harness, old) = (harness.clone(), old.clone());
        calls.spawn(async move {
            let key = if number % 2 == 0 { &harness.key } else { &*old };
            harness.authenticate(&key.token(&harness.claims())).await.map(|_| ())
        });
    }
    while let Some(call) = calls.join_next().await {
        call.unwrap().unwrap();
    }
    assert_eq!(harness.fetches(), 2);
}

#[tokio::test]
async fn invariant_4_a_key_that_left_the_set_is_forgotten_and_the_epoch_moves_on() {
    let harness = Harness::new(&json!({})).await;
    let epoch = harness.provider.epoch();
    harness.issuer.publish(&[&MintKey::es256("second")]);
    harness.provider.refresh().await.unwrap();
    assert!(harness.provider.epoch() > epoch);
    assert_eq!(rejection(harness.authenticate(&harness.token()).await), Rejection::UnknownKey);
}

#[tokio::test]
async fn a_key_that_is_added_leaves_the_epoch() {
    let harness = Harness::new(&json!({})).await;
    let epoch = harness.provider.epoch();
    harness.issuer.publish(&[&harness.key, &MintKey::es256("second")]);
    harness.provider.refresh().await.unwrap();
    assert_eq!(harness.provider.epoch(), epoch);
}

#[tokio::test]
async fn an_issuer_that_withdraws_all_its_keys_is_taken_as_broken() {
    let harness = Harness::new(&json!({})).await;
    harness.issuer.publish(&[]);
    assert_eq!(harness.provider.refresh().await.unwrap_err().cause, OutageCause::KeysUnavailable);
    harness.authenticate(&harness.token()).await.unwrap();
}

#[tokio::test]
async fn invariant_10_known_keys_serve_through_an_outage_up_to_the_limit_and_recover() {
    let harness = Harness::new(&json!({ "jwks": { "refresh": "1h", "stale_if_error": "3h" } })).await;
    harness.issuer.fail("*", Fault::Close);
    for _ in 0..3 {
        harness.advance(MINUTE * 59).await;
        let mut claims = harness.claims();
        claims["exp"] = json!(1_790_000_000 + 86_400);
        harness.authenticate(&harness.key.token(&claims)).await.unwrap();
    }
    harness.advance(MINUTE * 10).await;
    assert_eq!(outage(harness.authenticate(&harness.token()).await), OutageCause::KeysStale);
    harness.issuer.mend();
    harness.advance(MINUTE * 10).await;
    harness.until(|harness| harness.provider.report().ready).await;
}

#[tokio::test]
async fn invariant_9_with_the_issuer_down_an_unknown_key_is_an_outage_and_no_rejection() {
    let harness = Harness::new(&json!({})).await;
    harness.issuer.fail("*", Fault::Close);
    let token = harness.key.called(Some("new")).token(&harness.claims());
    for _ in 0..2 {
        assert_eq!(outage(harness.authenticate(&token).await), OutageCause::KeysUnavailable);
    }
    assert_eq!(harness.issuer.count("/keys"), 2);
}

#[tokio::test]
async fn an_issuer_that_is_down_at_start_is_an_outage_and_recovers_by_itself() {
    let harness = broken(Fault::Close).await;
    assert_eq!(outage(harness.authenticate(&harness.token()).await), OutageCause::KeysUnavailable);
    assert!(!harness.provider.report().ready);
    harness.issuer.mend();
    harness.advance(MINUTE).await;
    harness.provider.ready().await;
    harness.authenticate(&harness.token()).await.unwrap();
}

#[tokio::test]
async fn invariant_9_no_fault_of_the_issuer_turns_into_a_rejection() {
    let faults = [
        Fault::Close,
        Fault::Status(500),
        Fault::Status(404),
        Fault::Throttle(7),
        Fault::Body(b"{".to_vec()),
        Fault::Body(b"{}".to_vec()),
        Fault::Html,
        Fault::Large,
        Fault::Redirect("http://127.0.0.1:1/elsewhere".to_owned()),
        Fault::GzipBomb,
    ];
    for fault in faults {
        let shown = format!("{fault:?}").chars().take(20).collect::<String>();
        let harness = broken(fault).await;
        let answer = harness.authenticate(&harness.token()).await;
        assert!(matches!(answer, Err(AuthnError::Unavailable(_))), "{shown}: {answer:?}");
        harness.until(|harness| harness.provider.report().issuers[0].last_error.is_some()).await;
    }
}

#[tokio::test]
async fn an_issuer_that_hangs_or_drips_is_given_up_after_the_timeout() {
    for fault in [Fault::Hang, Fault::Drip] {
        let issuer = TestIssuer::start().await;
        let key = MintKey::es256("first");
        issuer.fail("*", fault);
        let harness = Harness::with(issuer, key, &json!({ "http": { "timeout": "200ms" } }));
        harness.until(|harness| harness.provider.report().issuers[0].last_error.is_some()).await;
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = TestIssuer::start().await;
    let harness = broken(Fault::Redirect(elsewhere.at("/keys"))).await;
    outage(harness.authenticate(&harness.token()).await);
    assert_eq!(elsewhere.count("/keys"), 0);
}

/// V9: a provider that throttles cannot keep a node without keys for an hour.
#[tokio::test]
async fn retry_after_is_honoured_up_to_half_a_minute_while_there_are_no_keys() {
    let harness = broken(Fault::Throttle(3600)).await;
    outage(harness.authenticate(&harness.token()).await);
    let asked = harness.issuer.count(&harness.issuer.paths().discovery);
    harness.issuer.mend();
    harness.advance(Duration::from_secs(29)).await;
    assert_eq!(harness.issuer.count(&harness.issuer.paths().discovery), asked);
    harness.advance(Duration::from_secs(1)).await;
    harness.provider.ready().await;
}

#[tokio::test]
async fn a_distrusted_key_signs_nothing_any_more() {
    let harness = Harness::new(&json!({})).await;
    let epoch = harness.provider.epoch();
    harness.provider.distrust(&["first".to_owned()]);
    assert!(harness.provider.epoch() > epoch);
    assert_eq!(rejection(harness.authenticate(&harness.token()).await), Rejection::KeyDistrusted);
    assert_eq!(
        rejection(harness.authenticate(&harness.key.called(None).token(&harness.claims())).await),
        Rejection::KeyDistrusted
    );
    harness.provider.distrust(&[]);
    harness.ask(&harness.token(), Freshness::Cached).await.unwrap();
}

/// V8: a second rotation inside the cool-down is an outage, since the set may be outdated.
#[tokio::test]
async fn a_second_rotation_inside_the_cool_down_is_an_outage() {
    let harness = Harness::new(&json!({})).await;
    let [second, third] = [MintKey::es256("second"), MintKey::es256("third")];
    harness.issuer.publish(&[&harness.key, &second]);
    harness.authenticate(&second.token(&harness.claims())).await.unwrap();
    harness.issuer.publish(&[&second, &third]);
    harness.advance(Duration::from_secs(5)).await;
    let token = third.token(&harness.claims_with(&json!({ "iat": 1_790_000_005 })));
    assert_eq!(outage(harness.authenticate(&token).await), OutageCause::KeysUnavailable);
    harness.advance(Duration::from_secs(26)).await;
    harness.authenticate(&token).await.unwrap();
}

/// V8: a key that the set was just fetched for, or that is older than the set, does not exist.
#[tokio::test]
async fn an_unknown_key_is_rejected_if_the_set_was_fetched_for_it() {
    let harness = Harness::new(&json!({})).await;
    let unknown = harness.key.called(Some("unknown")).token(&harness.claims());
    assert_eq!(rejection(harness.authenticate(&unknown).await), Rejection::UnknownKey);
    harness.advance(Duration::from_secs(5)).await;
    assert_eq!(rejection(harness.authenticate(&unknown).await), Rejection::UnknownKey);
    let old = harness.claims_with(&json!({ "iat": 1_789_999_000 }));
    let old = harness.key.called(Some("withdrawn")).token(&old);
    assert_eq!(rejection(harness.authenticate(&old).await), Rejection::UnknownKey);
}

fn file(name: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("scopegate-{name}-{}", std::process::id()))
}

/// V2: keys come from a file, which is read again when it changes, or from the settings.
#[tokio::test]
async fn keys_come_from_a_file_or_from_the_settings() {
    let issuer = TestIssuer::start().await;
    issuer.fail("*", Fault::Close);
    let key = MintKey::es256("first");
    let path = file("keys.json");
    std::fs::write(&path, scopegate_testkit::key_set(&[&key]).to_string()).unwrap();
    let mut harness = Harness::with(issuer, key, &json!({ "jwks": { "file": path } }));
    harness.authenticate(&harness.token()).await.unwrap();
    let next = MintKey::es256("second");
    std::fs::write(&path, scopegate_testkit::key_set(&[&next]).to_string()).unwrap();
    harness.authenticate(&next.token(&harness.claims())).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    harness.key = next;
    harness.authenticate(&harness.token()).await.unwrap();
    let inline = json!({ "jwks": { "keys": [harness.key.jwk()] } });
    let inline = super::harness::connect(&harness.issuer, &harness.clock, &inline);
    let credentials = scopegate_provider::BearerToken::parse(&harness.token()).unwrap();
    let credentials = scopegate_provider::Credentials::bearer(credentials);
    inline.authenticate(&credentials, Freshness::Cached).await.unwrap();
}

/// V2: a bearer token for the key set is read anew for each request and goes to no host but those of the settings.
#[tokio::test]
async fn a_bearer_token_goes_to_the_hosts_of_the_settings_alone() {
    let path = file("bearer");
    std::fs::write(&path, "first-token\n").unwrap();
    let elsewhere = TestIssuer::start().await;
    let issuer = TestIssuer::start().await;
    let key = MintKey::es256("first");
    elsewhere.publish(&[&key]);
    let document = json!({ "issuer": issuer.url(), "jwks_uri": elsewhere.at("/keys") });
    issuer.on(&issuer.paths().discovery.clone(), move |_| scopegate_testkit::Reply::json(200, &document));
    let settings = json!({ "http": { "bearer_token": { "file": path } } });
    let harness = Harness::with(issuer, key, &settings);
    harness.authenticate(&harness.token()).await.unwrap();
    let sent = |issuer: &TestIssuer, path: &str| {
        issuer.last(path).unwrap().header("authorization").map(str::to_owned)
    };
    let discovery = harness.issuer.paths().discovery.clone();
    assert_eq!(sent(&harness.issuer, &discovery).as_deref(), Some("Bearer first-token"));
    assert_eq!(sent(&elsewhere, "/keys"), None);
    std::fs::write(&path, "second-token").unwrap();
    harness.provider.refresh().await.unwrap();
    std::fs::remove_file(&path).unwrap();
}

/// V1: an issuer whose name is never dialled may be plain http and needs no `insecure_hosts`.
#[tokio::test]
async fn a_name_that_is_never_dialled_may_be_plain_http() {
    let issuer = TestIssuer::start().await;
    let key = MintKey::es256("first");
    issuer.publish(&[&key]);
    let settings = json!({ "issuer": "http://fs.acme.example/adfs/services/trust", "audience": "items-api",
        "jwks_uri": issuer.at("/keys") });
    let parsed: scopegate_oidc::Settings = serde_json::from_value(settings.clone()).unwrap();
    assert_eq!(parsed.outline().warnings, Vec::<String>::new());
    let harness = Harness::with(issuer, key, &settings);
    let claims = harness.claims_with(&json!({ "iss": "http://fs.acme.example/adfs/services/trust" }));
    harness.authenticate(&harness.key.token(&claims)).await.unwrap();
}

#[tokio::test]
async fn a_disabled_provider_judges_nothing() {
    let harness = Harness::new(&json!({})).await;
    let epoch = harness.provider.epoch();
    harness.provider.set_disabled(true);
    assert!(harness.provider.epoch() > epoch && harness.provider.report().disabled);
    assert_eq!(outage(harness.authenticate(&harness.token()).await), OutageCause::Disabled);
}

#[tokio::test]
async fn the_tasks_of_a_provider_end_with_it() {
    let harness = Harness::new(&json!({})).await;
    harness.until(|harness| harness.clock.sleepers() == 1).await;
    let clock = harness.clock.clone();
    drop(harness);
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(clock.sleepers(), 0);
}
