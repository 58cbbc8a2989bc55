//! Where metadata is found, and which are not taken.

use scopegate_oidc::{Discovery, DiscoveryError, Http};
use scopegate_testkit::{Fault, Reply, TestIssuer};
use serde_json::{Value, json};

async fn tenant() -> (TestIssuer, Discovery, Value) {
    let document =
        json!({ "issuer": "https://as.example/tenants/a", "jwks_uri": "https://as.example/tenants/a/jwks" });
    let issuer = TestIssuer::like(&document).await;
    let discovery = Discovery::new(issuer.issuer(), None).unwrap();
    let document = json!({ "issuer": issuer.url(), "jwks_uri": issuer.at("/tenants/a/jwks") });
    (issuer, discovery, document)
}

#[tokio::test]
async fn every_place_is_tried_and_the_one_that_worked_is_remembered() {
    let (issuer, discovery, document) = tenant().await;
    let first = issuer.paths().discovery.clone();
    issuer.fail(&first, Fault::Status(404));
    issuer.on("/.well-known/oauth-authorization-server/tenants/a", move |_| Reply::json(200, &document));
    discovery.fetch(&Http::default()).await.unwrap();
    discovery.fetch(&Http::default()).await.unwrap();
    assert_eq!(issuer.count(&first), 1);
    assert_eq!(issuer.count("/.well-known/oauth-authorization-server/tenants/a"), 2);
}

#[tokio::test]
async fn a_page_in_place_of_a_document_does_not_end_the_search() {
    let (issuer, discovery, document) = tenant().await;
    issuer.fail(&issuer.paths().discovery.clone(), Fault::Html);
    issuer.on("/tenants/a/.well-known/oauth-authorization-server", move |_| Reply::json(200, &document));
    discovery.fetch(&Http::default()).await.unwrap();
}

#[tokio::test]
async fn an_issuer_that_is_down_is_not_asked_at_every_place() {
    let (issuer, discovery, _) = tenant().await;
    issuer.fail("*", Fault::Status(503));
    let error = discovery.fetch(&Http::default()).await.unwrap_err();
    assert!(matches!(error, DiscoveryError::Status { .. }), "{error}");
    assert_eq!(issuer.count("/.well-known/oauth-authorization-server/tenants/a"), 0);
}

#[tokio::test]
async fn a_document_of_another_issuer_is_refused_byte_for_byte() {
    let (issuer, discovery, mut document) = tenant().await;
    document["issuer"] = json!(format!("{}/", issuer.url()));
    issuer.on(&issuer.paths().discovery.clone(), move |_| Reply::json(200, &document));
    let error = discovery.fetch(&Http::default()).await.unwrap_err();
    assert!(matches!(error, DiscoveryError::Issuer { .. }), "{error}");
    assert!(error.to_string().contains("final slash"), "{error}");
}

#[tokio::test]
async fn without_a_document_the_places_that_were_tried_are_named() {
    let (issuer, discovery, _) = tenant().await;
    issuer.fail("*", Fault::Status(404));
    let error = discovery.fetch(&Http::default()).await.unwrap_err().to_string();
    assert!(error.contains("/tenants/a/.well-known/openid-configuration"), "{error}");
}

#[tokio::test]
async fn a_redirect_is_reported_with_its_target() {
    let (issuer, discovery, _) = tenant().await;
    issuer.fail("*", Fault::Redirect("https://login.acme.example/".to_owned()));
    let error = discovery.fetch(&Http::default()).await.unwrap_err().to_string();
    assert!(error.contains("redirects to `https://login.acme.example/`"), "{error}");
}
