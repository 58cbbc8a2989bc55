//! Cognito's tokens, as documented, against the kind `cognito`.
#![expect(clippy::unwrap_used, reason = "a failed expectation fails the test")]

use std::sync::Arc;

use scopegate_cognito::Cognito;
use scopegate_oidc::Http;
use scopegate_provider::{Freshness, HttpClient, Principal, Settings};
use scopegate_testkit::{Bench, Emulation, conforms};
use serde_json::{Value, json};

macro_rules! recorded {
    ($name:literal) => {
        include_str!(concat!("data/", $name))
    };
}

const CLIENTS: [&str; 2] = ["7s4f0k2m1example9q8w7e6r5t", "1example23456789spaclient0"];

fn emulation(claims: &str) -> Emulation {
    Emulation::recorded(recorded!("discovery.json"), recorded!("jose-header.json"), claims)
}

fn settings(issuer: &str) -> Value {
    json!({ "issuer": issuer, "app_clients": CLIENTS, "resource_server": "orders-api" })
}

fn http() -> Arc<dyn HttpClient> {
    Arc::new(Http::default())
}

async fn ask(claims: &str, more: Value) -> Result<Principal, scopegate_provider::AuthnError> {
    let bench = Bench::new::<Cognito>(&emulation(claims), http(), |issuer| {
        let mut settings = settings(issuer);
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        settings
    })
    .await;
    bench.ask(&bench.token(), Freshness::Cached).await
}

fn refused(settings: Value) -> String {
    serde_json::from_value::<Cognito>(settings).unwrap_err().to_string()
}

#[tokio::test]
async fn a_user_pool_conforms() {
    conforms::<Cognito>(&emulation(recorded!("access-token-claims.json")), &http(), settings).await;
}

#[tokio::test]
async fn the_resource_servers_scopes_lose_their_prefix() {
    let principal = ask(recorded!("access-token-claims.json"), json!({})).await.unwrap();
    assert!(principal.scopes().iter().all(|scope| !scope.as_str().starts_with("orders-api/")));
    assert!(principal.scopes().iter().any(|scope| scope.as_str() == "read"), "{}", principal.scopes());
}

#[tokio::test]
async fn groups_are_roles() {
    let principal = ask(recorded!("access-token-claims-user.json"), json!({})).await.unwrap();
    assert!(!principal.roles().is_empty());
}

#[tokio::test]
async fn an_id_token_and_another_client_are_refused() {
    let error = ask(recorded!("id-token-claims.json"), json!({})).await.unwrap_err();
    assert_eq!(error.reason(), "id_token");
    let error = ask(recorded!("access-token-claims.json"), json!({ "app_clients": ["other"] })).await;
    assert_eq!(error.unwrap_err().reason(), "client_not_allowed");
}

#[tokio::test]
async fn a_resource_bound_token_passes_for_its_audience_alone() {
    let bound = recorded!("access-token-claims-resource-bound.json");
    let audience = json!({ "audience": "https://api.acme.example", "app_clients": [] });
    ask(bound, audience.clone()).await.unwrap();
    let error = ask(recorded!("access-token-claims.json"), audience).await.unwrap_err();
    assert!(error.to_string().contains("resource binding"), "{error}");
    assert_eq!(ask(bound, json!({})).await.unwrap_err().reason(), "audience_mismatch");
}

#[test]
fn the_issuer_follows_from_the_pool() {
    let cases = [
        ("eu-central-1_AcmePool1", "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AcmePool1"),
        ("cn-north-1_Pool", "https://cognito-idp.cn-north-1.amazonaws.com.cn/cn-north-1_Pool"),
    ];
    for (pool, issuer) in cases {
        let settings: Cognito =
            serde_json::from_value(json!({ "user_pool": pool, "app_clients": CLIENTS })).unwrap();
        assert_eq!(settings.outline().issuers[0].as_str(), issuer);
    }
}

#[test]
fn settings_that_cannot_work_are_refused_by_key() {
    let pool = "eu-central-1_AcmePool1";
    let cases = [
        (json!({ "app_clients": CLIENTS }), "`user_pool`: expected the User pool ID"),
        (json!({ "user_pool": pool }), "`app_clients`: expected the Client IDs"),
        (json!({ "user_pool": "AcmePool1", "app_clients": CLIENTS }), "found `AcmePool1`"),
        (
            json!({ "user_pool": pool, "app_clients": CLIENTS, "opaque_tokens": "introspect" }),
            "Cognito has no introspection",
        ),
    ];
    for (settings, expected) in cases {
        let error = refused(settings);
        assert!(error.contains(expected), "{error}");
    }
}
