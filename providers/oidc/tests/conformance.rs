//! The suite that every kind passes, for the kind `oidc` in the shape of several providers.
#![expect(clippy::unwrap_used, reason = "a failed expectation fails the test")]

use std::{path::PathBuf, sync::Arc};

use scopegate_oidc::{Http, Settings};
use scopegate_provider::HttpClient;
use scopegate_testkit::{Emulation, conforms};
use serde_json::{Value, json};

fn fixture(path: &str) -> Value {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/fixtures");
    serde_json::from_slice(&std::fs::read(root.join(path)).unwrap()).unwrap()
}

async fn conforms_like(discovery: &str, header: Value, claims: &str, more: Value) {
    let emulation = Emulation { discovery: fixture(discovery), header, claims: fixture(claims) };
    let http: Arc<dyn HttpClient> = Arc::new(Http::default());
    conforms::<Settings>(&emulation, &http, |issuer| {
        let mut settings = more.clone();
        settings.as_object_mut().unwrap().insert("issuer".to_owned(), json!(issuer));
        settings
    })
    .await;
}

#[tokio::test]
async fn a_plain_issuer_of_rfc_9068_tokens_conforms() {
    let (header, settings) = (json!({ "typ": "at+jwt" }), json!({ "audience": "https://api.acme.example" }));
    conforms_like("generic/discovery.json", header, "generic/access-token-claims.json", settings).await;
}

#[tokio::test]
async fn keycloak_conforms() {
    let (header, settings) = (json!({ "typ": "JWT" }), json!({ "audience": "orders-api" }));
    conforms_like("keycloak/discovery.json", header, "keycloak/access-token-claims.json", settings).await;
}

#[tokio::test]
async fn an_issuer_with_a_final_slash_and_a_path_conforms() {
    let (header, settings) = (json!({ "typ": "JWT" }), json!({ "audience": "ordersM2mClientIdExample" }));
    conforms_like("authentik/discovery.json", header, "authentik/access-token-claims.json", settings).await;
}

#[tokio::test]
async fn a_workload_issuer_without_token_endpoint_conforms() {
    let settings = json!({ "audience": "https://github.com/acme", "token_use": "id" });
    let claims = "github-actions/access-token-claims.json";
    conforms_like("github-actions/discovery.json", json!({ "typ": "JWT" }), claims, settings).await;
}
