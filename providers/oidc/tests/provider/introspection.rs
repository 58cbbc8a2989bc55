//! Tokens about which the provider is asked.

use std::{sync::Arc, time::Duration};

use scopegate_provider::{Clock, Freshness, Health, OutageCause, Provider, Rejection};
use scopegate_testkit::{Fault, MintKey, Reply, TestIssuer};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::harness::{Harness, outage, rejection};

const OPAQUE: &str = "at_2YotnFZFEjr1zCsicMWpAA";

type Change = fn(&mut Value);

async fn asking(more: Value) -> Harness {
    let mut settings =
        json!({ "client_id": "api", "client_secret": "s3cret", "opaque_tokens": "introspect" });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Harness::new(&settings).await
}

fn active(harness: &Harness, change: impl FnOnce(&mut Value)) -> Value {
    let mut answer = harness.claims();
    answer["active"] = json!(true);
    change(&mut answer);
    answer
}

#[tokio::test]
async fn an_active_opaque_token_becomes_a_principal() {
    let harness = asking(json!({})).await;
    harness.issuer.knows(OPAQUE, &active(&harness, |_| {}));
    let principal = harness.authenticate(OPAQUE).await.unwrap();
    assert_eq!(principal.scopes().to_string(), "items");
    let request = harness.issuer.last("/introspect").unwrap();
    assert_eq!(request.client(), Some(("api".to_owned(), "s3cret".to_owned())));
    assert_eq!(request.field("token_type_hint").as_deref(), Some("access_token"));
    assert!(harness.provider.report().introspection_latency_ms.is_some());
}

#[tokio::test]
async fn an_inactive_token_is_rejected() {
    let harness = asking(json!({})).await;
    assert_eq!(rejection(harness.authenticate(OPAQUE).await), Rejection::Inactive);
}

#[tokio::test]
async fn an_answer_is_checked_like_a_token() {
    let harness = asking(json!({})).await;
    let cases: [(&str, Change); 9] = [
        ("issuer_mismatch", |answer| answer["iss"] = json!("https://evil.example")),
        ("missing_claim", |answer| drop(answer.as_object_mut().unwrap().remove("iss"))),
        ("audience_mismatch", |answer| answer["aud"] = json!("other-api")),
        ("missing_claim", |answer| drop(answer.as_object_mut().unwrap().remove("aud"))),
        ("expired", |answer| answer["exp"] = json!(1_789_000_000)),
        ("wrong_claim_type", |answer| answer["exp"] = json!("1790000600")),
        ("not_yet_valid", |answer| answer["nbf"] = json!(1_790_009_000)),
        ("sender_constrained", |answer| answer["cnf"] = json!({ "jkt": "x" })),
        ("type_not_allowed", |answer| answer["token_use"] = json!("refresh_token")),
    ];
    for (reason, change) in cases {
        harness.issuer.knows(OPAQUE, &active(&harness, change));
        assert_eq!(rejection(harness.authenticate(OPAQUE).await).reason(), reason);
    }
}

#[tokio::test]
async fn invariant_4_an_answer_is_kept_no_longer_than_configured() {
    for (cache, seconds) in [("0s", 0), ("45s", 45), ("2h", 630)] {
        let harness = asking(json!({ "introspection": { "cache": cache } })).await;
        harness.issuer.knows(OPAQUE, &active(&harness, |_| {}));
        let principal = harness.authenticate(OPAQUE).await.unwrap();
        assert_eq!(principal.cache_until(), harness.clock.now() + Duration::from_secs(seconds), "{cache}");
    }
}

#[tokio::test]
async fn calls_about_one_token_at_the_same_time_become_one() {
    let harness = Arc::new(asking(json!({})).await);
    harness.issuer.knows(OPAQUE, &active(&harness, |_| {}));
    harness.issuer.delay(Duration::from_millis(100));
    let mut calls = JoinSet::new();
    for _ in 0..100 {
        let harness = harness.clone();
        calls.spawn(async move { harness.authenticate(OPAQUE).await.map(|_| ()) });
    }
    while let Some(call) = calls.join_next().await {
        call.unwrap().unwrap();
    }
    assert_eq!(harness.issuer.count("/introspect"), 1);
    harness.authenticate(OPAQUE).await.unwrap();
    assert_eq!(harness.issuer.count("/introspect"), 2, "an answer is not kept here");
}

#[tokio::test]
async fn a_fresh_answer_is_not_one_that_was_asked_for_before() {
    let harness = Arc::new(asking(json!({})).await);
    harness.issuer.knows(OPAQUE, &active(&harness, |_| {}));
    harness.issuer.delay(Duration::from_millis(100));
    let earlier = tokio::spawn({
        let harness = harness.clone();
        async move { harness.authenticate(OPAQUE).await.map(|_| ()) }
    });
    harness.until(|harness| harness.issuer.count("/introspect") == 1).await;
    harness.ask(OPAQUE, Freshness::Fresh).await.unwrap();
    earlier.await.unwrap().unwrap();
    assert_eq!(harness.issuer.count("/introspect"), 2);
}

#[tokio::test]
async fn a_caller_who_goes_away_does_not_take_the_others_along() {
    let harness = Arc::new(asking(json!({})).await);
    harness.issuer.knows(OPAQUE, &active(&harness, |_| {}));
    harness.issuer.delay(Duration::from_millis(100));
    let call = |harness: Arc<Harness>| async move { harness.authenticate(OPAQUE).await.map(|_| ()) };
    let first = tokio::spawn(call(harness.clone()));
    harness.until(|harness| harness.issuer.count("/introspect") == 1).await;
    let second = tokio::spawn(call(harness.clone()));
    tokio::task::yield_now().await;
    first.abort();
    second.await.unwrap().unwrap();
}

#[tokio::test]
async fn invariant_9_whatever_is_no_answer_is_an_outage() {
    let harness = asking(json!({})).await;
    let faults = [
        Fault::Close,
        Fault::Status(500),
        Fault::Status(401),
        Fault::Status(204),
        Fault::Throttle(3),
        Fault::Html,
        Fault::Body(Vec::new()),
        Fault::Body(b"{}".to_vec()),
        Fault::Body(br#"{"active":"true"}"#.to_vec()),
        Fault::Body(br#"{"active":false,"active":true}"#.to_vec()),
        Fault::Body(b"[true]".to_vec()),
        Fault::Large,
        Fault::GzipBomb,
        Fault::Redirect("http://127.0.0.1:1/".to_owned()),
    ];
    for fault in faults {
        harness.issuer.fail("/introspect", fault);
        assert_eq!(outage(harness.authenticate(OPAQUE).await), OutageCause::Introspection);
    }
}

#[tokio::test]
async fn an_endpoint_that_hangs_is_given_up_after_the_timeout() {
    let harness = Arc::new(asking(json!({ "introspection": { "timeout": "3s" } })).await);
    harness.issuer.fail("/introspect", Fault::Hang);
    let call = tokio::spawn({
        let harness = harness.clone();
        async move { harness.authenticate(OPAQUE).await }
    });
    harness.until(|harness| harness.issuer.count("/introspect") == 1).await;
    harness.advance(Duration::from_secs(3)).await;
    assert_eq!(outage(call.await.unwrap()), OutageCause::Introspection);
}

#[tokio::test]
async fn a_forged_token_is_not_even_asked_about() {
    let harness = asking(json!({ "validate": "jwt_then_introspect" })).await;
    let forged = MintKey::es256("first").token(&harness.claims());
    assert_eq!(rejection(harness.authenticate(&forged).await), Rejection::SignatureInvalid);
    assert_eq!(harness.issuer.count("/introspect"), 0);
}

#[tokio::test]
async fn where_both_must_pass_a_revoked_token_does_not() {
    let harness = asking(json!({ "validate": "jwt_then_introspect" })).await;
    let token = harness.token();
    harness.issuer.knows(&token, &active(&harness, |_| {}));
    let principal = harness.authenticate(&token).await.unwrap();
    assert_eq!(principal.cache_until(), harness.clock.now() + Duration::from_secs(10));
    harness.issuer.knows("another", &json!({}));
    assert_eq!(rejection(harness.authenticate(&token).await), Rejection::Inactive);
}

#[tokio::test]
async fn invariant_12_a_token_is_sent_to_its_own_issuer_alone() {
    let further = TestIssuer::start().await;
    let harness = asking(json!({ "validate": "introspect", "issuers": [further.url()] })).await;
    let mut claims = harness.claims();
    claims["iss"] = json!("https://stranger.example");
    let stranger = harness.key.token(&claims);
    assert_eq!(rejection(harness.authenticate(&stranger).await).reason(), "issuer_mismatch");
    claims["iss"] = json!(further.url());
    assert_eq!(rejection(harness.authenticate(&harness.key.token(&claims)).await), Rejection::Inactive);
    assert_eq!((harness.issuer.count("/introspect"), further.count("/introspect")), (0, 1));
}

#[tokio::test]
async fn a_provider_that_only_introspects_fetches_no_keys() {
    let harness = asking(json!({ "validate": "introspect" })).await;
    let token = harness.token();
    harness.issuer.knows(&token, &active(&harness, |_| {}));
    harness.authenticate(&token).await.unwrap();
    assert_eq!(harness.fetches(), 0);
}

#[tokio::test]
async fn an_endpoint_that_wants_no_client_is_sent_none() {
    let issuer = TestIssuer::start().await;
    let endpoint = issuer.at("/admin/oauth2/introspect");
    let settings = json!({
        "validate": "introspect", "client_authentication": "none", "introspection_endpoint": endpoint,
    });
    let harness = Harness::with(issuer, MintKey::es256("first"), &settings);
    let answer = active(&harness, |_| {});
    harness.issuer.on("/admin/oauth2/introspect", move |_| Reply::json(200, &answer));
    harness.authenticate(&harness.token()).await.unwrap();
    let request = harness.issuer.last("/admin/oauth2/introspect").unwrap();
    assert_eq!((request.header("authorization"), request.client()), (None, None));
}

#[tokio::test]
async fn an_encrypted_token_is_for_its_issuer_to_read() {
    let harness = asking(json!({})).await;
    let token = format!("{}..a.b.c", scopegate_testkit::base64url(r#"{"alg":"dir","enc":"A256GCM"}"#));
    harness.issuer.knows(&token, &active(&harness, |_| {}));
    harness.authenticate(&token).await.unwrap();
    assert!(harness.provider.takes_opaque_tokens());
}

/// V5: a provider whose answers lack optional members is usable where the settings say so.
#[tokio::test]
async fn an_answer_without_issuer_and_expiry_is_accepted_where_the_settings_do_not_require_them() {
    let harness = asking(json!({ "introspection": { "required_members": ["aud"] } })).await;
    let answer = active(&harness, |answer| {
        answer.as_object_mut().unwrap().retain(|name, _| name != "iss" && name != "exp");
    });
    harness.issuer.knows(OPAQUE, &answer);
    let principal = harness.authenticate(OPAQUE).await.unwrap();
    assert_eq!(principal.expires_at(), harness.clock.now() + Duration::from_secs(10));
    let strict = asking(json!({})).await;
    strict.issuer.knows(OPAQUE, &answer);
    let refused = rejection(strict.authenticate(OPAQUE).await);
    assert!(refused.to_string().contains("introspection answer lacks the member `iss`"), "{refused}");
}

/// A signed answer (RFC 9701) about [`OPAQUE`].
fn signed(harness: &Harness, change: impl FnOnce(&mut Value, &mut Value)) -> String {
    let mut header = harness.key.header();
    header["typ"] = json!("token-introspection+jwt");
    let mut claims = json!({ "iss": harness.issuer.url(), "aud": "api", "iat": 1_790_000_000,
        "token_introspection": active(harness, |_| {}) });
    change(&mut header, &mut claims);
    harness.key.token_with(&header, &claims)
}

fn answers_signed(harness: &Harness, answer: String) {
    harness.issuer.on("/introspect", move |_| Reply {
        status: 200,
        headers: vec![("content-type".to_owned(), "application/token-introspection+jwt".to_owned())],
        body: answer.clone().into_bytes(),
    });
}

#[tokio::test]
async fn a_signed_answer_is_verified() {
    let harness = asking(json!({ "introspection": { "signed": true } })).await;
    answers_signed(&harness, signed(&harness, |_, _| {}));
    assert_eq!(harness.authenticate(OPAQUE).await.unwrap().scopes().to_string(), "items");
    let request = harness.issuer.last("/introspect").unwrap();
    assert_eq!(request.header("accept"), Some("application/token-introspection+jwt"));
}

/// T9.6: an answer for another resource server, of another type or unsigned is no answer.
#[tokio::test]
async fn a_signed_answer_that_does_not_hold_is_an_outage() {
    let harness = asking(json!({ "introspection": { "signed": true } })).await;
    let bad = [
        signed(&harness, |_, claims| claims["aud"] = json!("other")),
        signed(&harness, |header, _| header["typ"] = json!("JWT")),
        signed(&harness, |_, claims| claims["iss"] = json!("https://evil.example")),
        signed(&harness, |_, claims| claims["token_introspection"] = json!("active")),
        format!("{}A", signed(&harness, |_, _| {})),
    ];
    for answer in bad {
        answers_signed(&harness, answer);
        assert_eq!(outage(harness.authenticate(OPAQUE).await), OutageCause::Introspection);
    }
    harness.issuer.knows(OPAQUE, &active(&harness, |_| {}));
    assert_eq!(outage(harness.authenticate(OPAQUE).await), OutageCause::Introspection);
}

/// I9: a trial says why introspection fails, in the provider's own words.
#[tokio::test]
async fn a_probe_names_the_providers_own_error() {
    let harness = asking(json!({})).await;
    harness.issuer.on("/introspect", |_| {
        Reply::json(
            400,
            &json!({ "error": "unsupported_token_type", "error_description": "JWTs are not introspected" }),
        )
    });
    let problem = harness.provider.probe().await.unwrap().unwrap_err();
    assert!(problem.contains("JWTs are not introspected"), "{problem}");
}

/// I9: a provider that calls its own new token inactive cannot be asked about its tokens.
#[tokio::test]
async fn a_probe_introspects_a_new_token_of_the_provider() {
    let harness = asking(json!({})).await;
    assert_eq!(harness.provider.probe().await, Some(Ok(())), "a made-up token is inactive");
    harness.issuer.grants("api", "s3cret", "at_new");
    let problem = harness.provider.probe().await.unwrap().unwrap_err();
    assert!(problem.contains("its own new token inactive"), "{problem}");
    harness.issuer.knows("at_new", &active(&harness, |_| {}));
    assert_eq!(harness.provider.probe().await, Some(Ok(())));
    let plain = Harness::new(&json!({})).await;
    assert_eq!(plain.provider.probe().await, None);
}
