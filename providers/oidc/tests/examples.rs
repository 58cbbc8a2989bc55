//! The examples of the kind `oidc` in `config/providers`: each provider's recorded tokens, signed anew, pass under the settings shown.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation fails the test"
)]

use std::{path::PathBuf, sync::Arc};

use scopegate_oidc::{Http, Settings};
use scopegate_provider::{AuthnError, Freshness, Principal};
use scopegate_testkit::{Bench, Emulation};
use serde_json::{Value, json};

fn read(path: &str) -> String {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn fixture(provider: &str, name: &str) -> Value {
    serde_json::from_str(&read(&format!("tests/data/fixtures/{provider}/{name}.json"))).unwrap()
}

/// The provider's settings in an example, as the kind gets them.
fn settings(example: &str) -> Value {
    let config: Value =
        serde_saphyr::from_str(&read(&format!("../../config/providers/{example}.yaml"))).unwrap();
    let mut settings = config["providers"][example].clone();
    assert_eq!(settings.as_object_mut().unwrap().remove("kind"), Some(json!("oidc")));
    settings
}

/// The example's provider before an issuer with the provider's own discovery document, and a token like `claims`.
async fn bench(example: &str, provider: &str, header: &Value, claims: &str) -> Bench {
    let emulation = Emulation {
        discovery: fixture(provider, "discovery"),
        header: header.clone(),
        claims: fixture(provider, claims),
    };
    Bench::new::<Settings>(&emulation, Arc::new(Http::default()), |issuer| {
        let mut settings = settings(example);
        assert_eq!(settings["issuer"], emulation.discovery["issuer"], "{example} names the recorded issuer");
        settings["issuer"] = json!(issuer);
        settings
    })
    .await
}

async fn pass(example: &str, provider: &str, header: &Value, claims: &str) -> Principal {
    let bench = bench(example, provider, header, claims).await;
    bench
        .ask(&bench.token(), Freshness::Cached)
        .await
        .unwrap_or_else(|error| panic!("{example} {claims}: {error}"))
}

async fn refusal(example: &str, provider: &str, header: &Value, claims: &str) -> &'static str {
    let bench = bench(example, provider, header, claims).await;
    match bench.ask(&bench.token(), Freshness::Cached).await {
        Err(AuthnError::Rejected(rejection)) => rejection.reason(),
        other => panic!("{example} {claims}: {other:?}"),
    }
}

fn roles(principal: &Principal) -> Vec<&str> {
    principal.roles().iter().map(scopegate_provider::Role::as_str).collect()
}

fn client(principal: &Principal) -> &str {
    principal.client().unwrap().as_str()
}

#[tokio::test]
async fn google() {
    let header = json!({ "typ": "JWT" });
    let machine = pass("google", "google", &header, "id-token-claims-service-account").await;
    assert_eq!(client(&machine), "112233445566778899001");
    assert_eq!(refusal("google", "google", &header, "id-token-claims-user").await, "audience_mismatch");
}

#[tokio::test]
async fn zitadel() {
    let header = json!({ "typ": "JWT" });
    let machine = pass("zitadel", "zitadel", &header, "access-token-claims").await;
    assert_eq!((roles(&machine), client(&machine)), (vec!["orders-reader"], "orders-service"));
    pass("zitadel", "zitadel", &header, "access-token-claims-user").await;
}

#[tokio::test]
async fn authentik() {
    let header = json!({ "typ": "JWT" });
    let machine = pass("authentik", "authentik", &header, "access-token-claims").await;
    assert_eq!(client(&machine), "ordersM2mClientIdExample");
    let user = pass("authentik", "authentik", &header, "access-token-claims-user").await;
    assert_eq!(roles(&user), ["orders-admins"]);
}

#[tokio::test]
async fn hydra() {
    let header = json!({ "typ": "JWT" });
    let machine = pass("hydra", "ory-hydra", &header, "access-token-claims").await;
    assert_eq!(machine.scopes().to_string(), "orders.read");
    let user = pass("hydra", "ory-hydra", &header, "access-token-claims-user").await;
    assert_eq!(user.subject().unwrap().as_str(), "alice");
}

#[tokio::test]
async fn ping() {
    for header in [json!({}), json!({ "typ": "at+jwt" })] {
        let machine = pass("ping", "pingone", &header, "access-token-claims").await;
        assert_eq!((machine.subject(), machine.scopes().to_string().as_str()), (None, "orders.read"));
        pass("ping", "pingone", &header, "access-token-claims-user").await;
    }
}

/// An answer of the provider's introspection endpoint, as it was recorded, under the example's settings and `more`.
async fn introspected(example: &str, provider: &str, more: Value) -> Principal {
    let emulation = Emulation {
        discovery: fixture(provider, "discovery"),
        header: json!({}),
        claims: fixture(provider, "introspection-active"),
    };
    let bench = Bench::new::<Settings>(&emulation, Arc::new(Http::default()), |issuer| {
        let mut settings = settings(example);
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        settings["opaque_tokens"] = json!("introspect");
        settings["issuer"] = json!(issuer);
        if settings.as_object_mut().unwrap().remove("introspection_endpoint").is_some() {
            let host: Vec<&str> = issuer.splitn(4, '/').take(3).collect();
            settings["introspection_endpoint"] = json!(format!("{}/admin/oauth2/introspect", host.join("/")));
        }
        settings
    })
    .await;
    let mut answer = emulation.claims.clone();
    answer["iss"] = json!(bench.issuer.url());
    bench.issuer.on("/admin/oauth2/introspect", {
        let answer = answer.clone();
        move |_| scopegate_testkit::Reply::json(200, &answer)
    });
    bench.issuer.knows("at_2YotnFZFEjr1zCsicMWpAA", &answer);
    let answer = bench.ask("at_2YotnFZFEjr1zCsicMWpAA", Freshness::Cached).await;
    answer.unwrap_or_else(|error| panic!("{example}: {error}"))
}

#[tokio::test]
async fn recorded_introspection_answers_pass_as_the_tokens_do() {
    let client_of = json!({ "client_id": "api", "client_secret": "s3cret" });
    let hydra = introspected("hydra", "ory-hydra", json!({})).await;
    assert_eq!(hydra.scopes().to_string(), "orders.read");
    let zitadel = introspected("zitadel", "zitadel", client_of.clone()).await;
    assert_eq!(roles(&zitadel), ["orders-admin"]);
    let ping = introspected("ping", "pingone", client_of.clone()).await;
    assert_eq!(ping.subject(), None);
    let authentik = introspected("authentik", "authentik", client_of).await;
    assert_eq!(client(&authentik), "ordersM2mClientIdExample");
}
