//! Keycloak's tokens and answers, as recorded, against the kind `keycloak`.
#![expect(clippy::unwrap_used, reason = "a failed expectation fails the test")]

use std::sync::Arc;

use scopegate_keycloak::Keycloak;
use scopegate_oidc::Http;
use scopegate_provider::{
    AuthnError, BearerToken, Context, Credentials, Freshness, HttpClient, Inline, Principal, Provider,
    ProviderName, Role, Settings,
};
use scopegate_testkit::{Bench, Emulation, MintKey, TestClock, TestIssuer, conforms};
use serde_json::{Value, json};

macro_rules! recorded {
    ($name:literal) => {
        include_str!(concat!("data/", $name))
    };
}

fn emulation(claims: &str) -> Emulation {
    Emulation::recorded(recorded!("discovery.json"), recorded!("jose-header.json"), claims)
}

fn settings(issuer: &str) -> Value {
    json!({ "issuer": issuer, "audience": "orders-api" })
}

fn http() -> Arc<dyn HttpClient> {
    Arc::new(Http::default())
}

async fn ask(claims: &str) -> Result<Principal, AuthnError> {
    let bench = Bench::new::<Keycloak>(&emulation(claims), http(), settings).await;
    bench.ask(&bench.token(), Freshness::Cached).await
}

fn refused(settings: Value) -> String {
    serde_json::from_value::<Keycloak>(settings).unwrap_err().to_string()
}

#[tokio::test]
async fn a_realm_conforms() {
    conforms::<Keycloak>(&emulation(recorded!("access-token-claims.json")), &http(), settings).await;
}

#[tokio::test]
async fn realm_and_client_roles_count_by_name_and_other_clients_roles_do_not() {
    let mut claims: Value = serde_json::from_str(recorded!("access-token-claims-user.json")).unwrap();
    claims["realm_access"] = json!({ "roles": ["staff"] });
    claims["resource_access"] =
        json!({ "orders-api": { "roles": ["orders-admin"] }, "account": { "roles": ["manage-account"] } });
    let principal = ask(&claims.to_string()).await.unwrap();
    let roles: Vec<&str> = principal.roles().iter().map(Role::as_str).collect();
    assert_eq!(roles, ["orders-admin", "staff"]);
    assert_eq!(principal.client().unwrap().as_str(), claims["azp"].as_str().unwrap());
    assert_eq!(principal.session().map(ToString::to_string).as_deref(), claims["sid"].as_str());
}

#[tokio::test]
async fn a_missing_audience_names_the_mapper() {
    for claims in
        [recorded!("access-token-claims-aud-account.json"), recorded!("access-token-claims-lightweight.json")]
    {
        let error = ask(claims).await.unwrap_err();
        assert!(error.to_string().contains("Add mapper > Audience"), "{error}");
    }
}

#[tokio::test]
async fn an_id_token_and_a_refresh_token_are_refused_by_their_typ() {
    let bench =
        Bench::new::<Keycloak>(&emulation(recorded!("access-token-claims.json")), http(), settings).await;
    for (typ, reason) in [("ID", "id_token"), ("Refresh", "type_not_allowed"), ("Logout", "type_not_allowed")]
    {
        let token = bench.token_with(|_, claims| claims["typ"] = json!(typ));
        assert_eq!(bench.ask(&token, Freshness::Cached).await.unwrap_err().reason(), reason);
    }
}

#[tokio::test]
async fn a_recorded_introspection_answer_passes_as_a_token_does() {
    let emulation = emulation(recorded!("access-token-claims.json"));
    let bench = Bench::new::<Keycloak>(&emulation, http(), |issuer| {
        let mut settings = settings(issuer);
        let more = json!({ "validate": "introspect", "client_id": "api", "client_secret": "s3cret" });
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        settings
    })
    .await;
    let mut answer: Value = serde_json::from_str(recorded!("introspection-active.json")).unwrap();
    answer["iss"] = json!(bench.issuer.url());
    bench.issuer.knows(&bench.token(), &answer);
    let principal = bench.ask(&bench.token(), Freshness::Cached).await.unwrap();
    assert!(principal.roles().iter().any(|role| role.as_str() == "orders-reader"));
}

/// Tokens name the public issuer, and scopegate reaches the server by another name.
#[tokio::test]
async fn keys_come_from_the_internal_url_for_tokens_of_the_public_issuer() {
    let server = TestIssuer::start().await;
    let key = MintKey::rs256("k1");
    let keys = scopegate_testkit::key_set(&[&key]);
    server.on("/realms/acme/protocol/openid-connect/certs", move |_| {
        scopegate_testkit::Reply::json(200, &keys)
    });
    let settings = json!({ "url": "https://sso.acme.example", "realm": "acme", "internal_url": server.at(""),
        "audience": "orders-api" });
    let settings: Keycloak = serde_json::from_value(settings).unwrap();
    let name = ProviderName::parse("keycloak").unwrap();
    let context = Context::new(name, Arc::new(TestClock::default()), http(), Arc::new(Inline));
    let provider: Arc<dyn Provider> = settings.connect(context).await.unwrap();
    let mut claims: Value = serde_json::from_str(recorded!("access-token-claims.json")).unwrap();
    claims["iss"] = json!("https://sso.acme.example/realms/acme");
    let credentials = Credentials::bearer(BearerToken::parse(&key.token(&claims)).unwrap());
    let principal = provider.authenticate(&credentials, Freshness::Cached).await.unwrap();
    assert_eq!(principal.issuer().as_str(), "https://sso.acme.example/realms/acme");
}

#[test]
fn the_issuer_follows_from_url_and_realm() {
    for (url, issuer) in [
        ("https://sso.acme.example", "https://sso.acme.example/realms/acme"),
        ("https://sso.acme.example/auth/", "https://sso.acme.example/auth/realms/acme"),
    ] {
        let settings: Keycloak =
            serde_json::from_value(json!({ "url": url, "realm": "acme", "audience": "a" })).unwrap();
        assert_eq!(settings.outline().issuers[0].as_str(), issuer);
    }
}

#[test]
fn settings_that_cannot_work_are_refused_by_key() {
    let url = "https://sso.acme.example";
    let cases = [
        (json!({ "url": url, "realm": "acme" }), "`audience`: expected the Client ID"),
        (json!({ "url": url, "audience": "a" }), "`realm`: expected"),
        (json!({ "realm": "acme", "audience": "a" }), "`url`: expected the public URL"),
        (
            json!({ "url": format!("{url}/realms/acme"), "realm": "acme", "audience": "a" }),
            "leave the realm off",
        ),
        (json!({ "issuer": format!("{url}/realms/acme/"), "audience": "a" }), "without a final slash"),
        (
            json!({ "url": url, "realm": "acme", "internal_url": "http://keycloak:8080", "audience": "a" }),
            "name `keycloak` in `http.insecure_hosts`",
        ),
    ];
    for (settings, expected) in cases {
        let error = refused(settings);
        assert!(error.contains(expected), "{error}");
    }
}
