//! Tokens of a healthy issuer.

use scopegate_oidc::Workers;
use scopegate_provider::{Freshness, Provider, Rejection, Scope};
use scopegate_testkit::{MintKey, TestIssuer};
use serde_json::json;

use super::harness::{Harness, rejection};

#[tokio::test]
async fn a_good_token_becomes_a_principal() {
    let harness = Harness::new(&json!({})).await;
    let principal = harness.authenticate(&harness.token()).await.unwrap();
    assert_eq!(principal.issuer().as_str(), harness.issuer.url());
    assert!(principal.scopes().contains(&Scope::parse("items").unwrap()));
    assert!(principal.cache_until() <= principal.expires_at() + std::time::Duration::from_secs(30));
}

#[tokio::test]
async fn invariant_1_a_token_of_another_key_under_the_same_id_is_refused() {
    let harness = Harness::new(&json!({})).await;
    let forged = MintKey::es256("first").token(&harness.claims());
    assert_eq!(rejection(harness.authenticate(&forged).await), Rejection::SignatureInvalid);
}

#[tokio::test]
async fn invariant_2_keys_belong_to_their_issuer() {
    let first = Harness::new(&json!({})).await;
    let further = TestIssuer::start().await;
    let key = MintKey::es256("second");
    further.publish(&[&key]);
    let both = Harness::with(first.issuer, first.key, &json!({ "issuers": [further.url()] }));
    let mut claims = both.claims();
    assert_eq!(rejection(both.authenticate(&key.token(&claims)).await), Rejection::UnknownKey);
    claims["iss"] = json!(further.url());
    assert_eq!(both.authenticate(&key.token(&claims)).await.unwrap().issuer(), &further.issuer());
}

#[tokio::test]
async fn the_client_of_a_refused_token_is_told_if_its_issuer_signed_it_and_only_then() {
    let harness = Harness::new(&json!({ "allowed_clients": ["batch"] })).await;
    let expired = harness.claims_with(&json!({ "exp": 1_789_000_000 }));
    let elsewhere = harness.claims_with(&json!({ "aud": "elsewhere" }));
    for claims in [harness.claims(), expired, elsewhere] {
        let refused = harness.failure(&harness.key.token(&claims)).await;
        assert_eq!(refused.client.unwrap().as_str(), "web", "{:?}", refused.error);
    }
    let forged = MintKey::es256("first").token(&harness.claims());
    let stranger = MintKey::es256("stranger").token(&harness.claims());
    for token in [forged, stranger, "opaque".to_owned()] {
        let refused = harness.failure(&token).await;
        assert_eq!(refused.client, None, "{:?}", refused.error);
    }
}

#[tokio::test]
async fn a_route_that_wants_a_fresh_answer_is_told_that_there_is_none() {
    let harness = Harness::new(&json!({})).await;
    let answer = harness.ask(&harness.token(), Freshness::Fresh).await;
    assert_eq!(rejection(answer), Rejection::FreshnessUnavailable);
}

#[tokio::test]
async fn invariant_12_an_opaque_token_goes_nowhere_unless_the_settings_say_so() {
    let harness = Harness::new(&json!({})).await;
    assert!(!harness.provider.takes_opaque_tokens());
    assert_eq!(rejection(harness.authenticate("ory_at_opaque").await), Rejection::Opaque);
    assert_eq!(harness.issuer.count("/introspect"), 0);
}

#[tokio::test]
async fn signatures_are_checked_on_worker_threads_too() {
    let harness = Harness::new(&json!({})).await;
    let workers = std::sync::Arc::new(Workers::start().unwrap());
    let context = scopegate_provider::Context::new(
        scopegate_provider::ProviderName::parse("test").unwrap(),
        harness.clock.clone(),
        std::sync::Arc::new(scopegate_oidc::Http::default()),
        workers,
    );
    let settings = json!({ "issuer": harness.issuer.url(), "audience": "items-api" });
    let settings = serde_json::from_value(settings).unwrap();
    let provider = scopegate_oidc::OidcProvider::connect(settings, context).unwrap();
    let credentials = scopegate_provider::Credentials::bearer(
        scopegate_provider::BearerToken::parse(&harness.token()).unwrap(),
    );
    provider.authenticate(&credentials, Freshness::Cached).await.unwrap();
}

#[tokio::test]
async fn invariant_3_keys_that_a_token_brings_along_are_never_followed() {
    let harness = Harness::new(&json!({})).await;
    let evil = MintKey::es256("evil");
    let jku = harness.issuer.at("/evil");
    let mut header = evil.called(Some("first")).header();
    header["jwk"] = evil.jwk();
    header["jku"] = json!(jku);
    header["x5u"] = json!(jku);
    let token = evil.token_with(&header, &harness.claims());
    assert_eq!(rejection(harness.authenticate(&token).await), Rejection::SignatureInvalid);
    assert_eq!(harness.issuer.count("/evil"), 0);
}
