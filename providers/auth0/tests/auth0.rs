//! Auth0's tokens and errors, as recorded, against the kind `auth0`.
#![expect(clippy::unwrap_used, reason = "a failed expectation fails the test")]

use std::sync::Arc;

use scopegate_auth0::Auth0;
use scopegate_oidc::Http;
use scopegate_provider::{
    Audience, AuthnError, ClientId, Freshness, HttpClient, Rejection, Role, Scope, Settings, TokenRequest,
    TokenRequestError,
};
use scopegate_testkit::{Bench, Emulation, conforms};
use serde_json::{Value, json};

macro_rules! recorded {
    ($name:literal) => {
        include_str!(concat!("../../oidc/tests/data/fixtures/auth0/", $name))
    };
}

const AUTH0_PROFILE: &str = recorded!("jose-header-auth0-profile.json");
const RFC9068_PROFILE: &str = recorded!("jose-header-rfc9068-profile.json");

fn emulation(header: &str, claims: &str) -> Emulation {
    Emulation::recorded(recorded!("discovery.json"), header, claims)
}

fn settings(issuer: &str) -> Value {
    json!({
        "domain": issuer, "audience": "https://api.acme.example",
        "client_id": "web", "client_secret": "s3cret",
    })
}

fn http() -> Arc<dyn HttpClient> {
    Arc::new(Http::default())
}

async fn bench(header: &str, claims: &str) -> Bench {
    Bench::new::<Auth0>(&emulation(header, claims), http(), settings).await
}

fn refused(settings: Value) -> String {
    serde_json::from_value::<Auth0>(settings).unwrap_err().to_string()
}

#[tokio::test]
async fn the_auth0_profile_conforms() {
    conforms::<Auth0>(&emulation(AUTH0_PROFILE, recorded!("access-token-claims.json")), &http(), settings)
        .await;
}

#[tokio::test]
async fn the_rfc_9068_profile_conforms() {
    let emulation = emulation(RFC9068_PROFILE, recorded!("access-token-claims-rfc9068.json"));
    conforms::<Auth0>(&emulation, &http(), settings).await;
}

#[tokio::test]
async fn a_machines_token_names_client_and_scopes() {
    let bench = bench(AUTH0_PROFILE, recorded!("access-token-claims.json")).await;
    let principal = bench.ask(&bench.token(), Freshness::Cached).await.unwrap();
    assert_eq!(principal.client(), Some(&ClientId::parse("XkJ18vPAwtPWi0zob9d0iZQ0Fou4co5V").unwrap()));
    assert_eq!(principal.scopes().to_string(), "orders:read orders:write");
}

#[tokio::test]
async fn a_token_without_scope_grants_none() {
    let bench = bench(AUTH0_PROFILE, recorded!("access-token-claims-no-scope.json")).await;
    assert!(bench.ask(&bench.token(), Freshness::Cached).await.unwrap().scopes().is_empty());
}

#[tokio::test]
async fn permissions_count_only_where_the_settings_list_them() {
    let emulation = emulation(AUTH0_PROFILE, recorded!("access-token-claims-rbac.json"));
    let plain = Bench::new::<Auth0>(&emulation, http(), settings).await;
    let principal = plain.ask(&plain.token(), Freshness::Cached).await.unwrap();
    assert!(
        !principal.scopes().contains(&Scope::parse("orders:delete").unwrap()) && principal.roles().is_empty()
    );
    let listed = Bench::new::<Auth0>(&emulation, http(), |issuer| {
        let mut settings = settings(issuer);
        settings["role_claims"] = json!(["permissions"]);
        settings
    });
    let listed = listed.await;
    let principal = listed.ask(&listed.token(), Freshness::Cached).await.unwrap();
    assert!(principal.roles().contains(&Role::parse("orders:delete").unwrap()));
}

#[tokio::test]
async fn an_opaque_token_says_that_the_client_did_not_ask_for_the_audience() {
    let bench = bench(AUTH0_PROFILE, recorded!("access-token-claims.json")).await;
    let header = scopegate_testkit::base64url(recorded!("opaque-access-token-header.json"));
    let answer = bench.ask(&format!("{header}..aaaa.bbbb.cccc"), Freshness::Cached).await;
    let Err(AuthnError::Rejected(rejection)) = answer else { panic!("{answer:?}") };
    assert_eq!(rejection, Rejection::Encrypted);
    assert!(rejection.to_string().contains("audience"), "{rejection}");
}

#[tokio::test]
async fn a_token_request_carries_the_audience() {
    let bench = bench(AUTH0_PROFILE, recorded!("access-token-claims.json")).await;
    bench.issuer.grants("web", "s3cret", "a.b.c");
    let answer =
        bench.provider.request_token().unwrap().request_token(TokenRequest::default()).await.unwrap();
    assert_eq!(answer.access_token.reveal(), "a.b.c");
    let request = bench.issuer.last("/oauth/token").unwrap();
    assert_eq!(request.field("audience").as_deref(), Some("https://api.acme.example"));
    assert_eq!(request.field("grant_type").as_deref(), Some("client_credentials"));
    assert_eq!(request.header("authorization"), None);
}

#[tokio::test]
async fn auth0s_errors_are_relayed_with_their_status() {
    let bench = bench(AUTH0_PROFILE, recorded!("access-token-claims.json")).await;
    let cases = [
        (recorded!("error-401-invalid-client.json"), 401, "invalid_client", None),
        (recorded!("error-403-no-client-grant.json"), 403, "access_denied", None),
        (recorded!("error-429-m2m-quota.json"), 429, "too_many_requests", Some(600)),
    ];
    for (envelope, expected, code, wait) in cases {
        bench.issuer.replay("/oauth/token", &serde_json::from_str(envelope).unwrap());
        let answer = bench.provider.request_token().unwrap().request_token(TokenRequest::default()).await;
        let Err(TokenRequestError::Refused { status, error, retry_after, .. }) = answer else {
            panic!("{answer:?}")
        };
        let found = (status, error.as_str(), retry_after.map(|wait| wait.as_secs()));
        assert_eq!(found, (expected, code, wait));
    }
}

#[test]
fn the_issuer_follows_from_the_domain_with_its_final_slash() {
    let settings: Auth0 =
        serde_json::from_value(json!({ "domain": "acme.eu.auth0.com", "audience": "items" })).unwrap();
    let outline = settings.outline();
    assert_eq!(outline.issuers[0].as_str(), "https://acme.eu.auth0.com/");
    assert_eq!(outline.audiences, [Audience::parse("items").unwrap()]);
    assert!(!outline.introspects && !outline.opaque_tokens);
}

#[test]
fn introspection_is_an_error_that_says_that_auth0_has_none() {
    let cases = [
        ("validate", json!("introspect")),
        ("validate", json!("jwt_then_introspect")),
        ("opaque_tokens", json!("introspect")),
        ("introspection", json!({ "cache": "1s" })),
        ("introspection_endpoint", json!("https://acme.eu.auth0.com/introspect")),
    ];
    for (key, value) in cases {
        let mut settings = json!({ "domain": "acme.eu.auth0.com", "audience": "items" });
        settings[key] = value;
        let error = refused(settings);
        assert!(error.starts_with(&format!("`{key}`: Auth0 has no introspection")), "{error}");
    }
}

#[test]
fn settings_that_cannot_work_are_refused_by_key() {
    let cases = [
        (json!({ "audience": "items" }), "`domain`"),
        (json!({ "domain": "acme.eu.auth0.com" }), "`audience`"),
        (
            json!({ "domain": "acme.eu.auth0.com", "issuer": "https://acme.eu.auth0.com/", "audience": "i" }),
            "`issuer`",
        ),
        (
            json!({ "issuer": "https://acme.eu.auth0.com", "audience": "i" }),
            "`issuer`: Auth0's issuers end in a slash",
        ),
        (json!({ "domain": "acme.eu.auth0.com/api", "audience": "i" }), "expected a tenant's domain"),
        (json!({ "domain": "http://acme.eu.auth0.com", "audience": "i" }), "expected a tenant's domain"),
        (json!({ "domain": "acme.eu.auth0.com", "audiense": "i" }), "unknown field `audiense`"),
        (json!({ "domain": "acme.eu.auth0.com", "audience": "i", "algorithms": ["HS256"] }), "HMAC"),
    ];
    for (settings, expected) in cases {
        let error = refused(settings);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn the_schema_knows_own_and_common_keys() {
    let schema = Auth0::schema();
    let properties = schema["properties"].as_object().unwrap();
    assert!(properties.contains_key("domain") && properties.contains_key("audience"));
    assert_eq!(schema["additionalProperties"], json!(false));
}
