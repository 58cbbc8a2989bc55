//! Okta's tokens, answers and errors, as recorded, against the kind `okta`.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed expectation fails the test")]

use std::sync::Arc;

use scopegate_oidc::Http;
use scopegate_okta::Okta;
use scopegate_provider::{
    AuthnError, ClientId, Freshness, HttpClient, OutageCause, Rejection, Settings, TokenRequest,
    TokenRequestError,
};
use scopegate_testkit::{Bench, Emulation, Fault, conforms};
use serde_json::{Value, json};

macro_rules! recorded {
    ($name:literal) => {
        include_str!(concat!("../../oidc/tests/data/fixtures/okta/", $name))
    };
}

fn emulation() -> Emulation {
    let (header, claims) = (recorded!("jose-header.json"), recorded!("access-token-claims.json"));
    Emulation::recorded(recorded!("discovery.json"), header, claims)
}

fn settings(issuer: &str) -> Value {
    json!({
        "issuer": issuer, "audience": "https://api.acme.example",
        "client_id": "0oa1", "client_secret": "s3cret",
    })
}

fn http() -> Arc<dyn HttpClient> {
    Arc::new(Http::default())
}

async fn introspecting(more: Value) -> Bench {
    Bench::new::<Okta>(&emulation(), http(), |issuer| {
        let mut settings = settings(issuer);
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        settings
    })
    .await
}

fn answer(bench: &Bench, recorded: &str) -> Value {
    let mut answer: Value = serde_json::from_str(recorded).unwrap();
    answer["iss"] = json!(bench.issuer.url());
    answer
}

fn refused(settings: Value) -> String {
    serde_json::from_value::<Okta>(settings).unwrap_err().to_string()
}

#[tokio::test]
async fn a_custom_authorization_server_conforms() {
    conforms::<Okta>(&emulation(), &http(), settings).await;
}

#[tokio::test]
async fn a_machines_token_names_client_and_scopes() {
    let bench = Bench::new::<Okta>(&emulation(), http(), settings).await;
    let principal = bench.ask(&bench.token(), Freshness::Cached).await.unwrap();
    assert_eq!(principal.client(), Some(&ClientId::parse("0oa1acmeM2Mclient5d7").unwrap()));
    assert_eq!(principal.scopes().to_string(), "orders.read");
}

#[tokio::test]
async fn an_introspected_token_names_the_same() {
    let bench = introspecting(json!({ "validate": "introspect" })).await;
    bench.issuer.knows(&bench.token(), &answer(&bench, recorded!("introspection-active-m2m.json")));
    let principal = bench.ask(&bench.token(), Freshness::Cached).await.unwrap();
    assert_eq!(principal.client(), Some(&ClientId::parse("0oa1acmeM2Mclient5d7").unwrap()));
    assert_eq!(principal.scopes().to_string(), "orders.read");
    let path = &bench.issuer.paths().introspection;
    assert!(path.ends_with("/v1/introspect"), "{path}");
    assert_eq!(bench.issuer.last(path).unwrap().client(), Some(("0oa1".to_owned(), "s3cret".to_owned())));
}

#[tokio::test]
async fn a_refresh_token_is_no_access_token_though_it_is_active() {
    let bench = introspecting(json!({ "validate": "introspect" })).await;
    let refresh: Value = serde_json::from_str(recorded!("introspection-active-refresh-token.json")).unwrap();
    bench.issuer.knows(&bench.token(), &refresh);
    let answer = bench.ask(&bench.token(), Freshness::Cached).await;
    assert!(matches!(answer, Err(AuthnError::Rejected(Rejection::MissingMember { .. }))), "{answer:?}");
}

#[tokio::test]
async fn the_organisations_own_tokens_are_introspected() {
    let emulation = Emulation::recorded(
        recorded!("discovery-org.json"),
        recorded!("jose-header-org-server.json"),
        recorded!("access-token-claims-org-server.json"),
    );
    let bench = Bench::new::<Okta>(&emulation, http(), |issuer| {
        json!({
            "issuer": issuer, "audience": "https://acme.okta.com", "validate": "introspect",
            "client_id": "0oa1", "client_secret": "s3cret",
        })
    });
    let bench = bench.await;
    bench.issuer.knows(&bench.token(), &answer(&bench, recorded!("introspection-active-org-server.json")));
    bench.ask(&bench.token(), Freshness::Cached).await.unwrap();
    assert_eq!(bench.issuer.count(&bench.issuer.paths().keys), 0);
}

#[tokio::test]
async fn a_token_of_the_organisations_own_server_is_refused_by_its_type() {
    let bench = Bench::new::<Okta>(&emulation(), http(), settings).await;
    let token = bench.token_with(|header, _| header["typ"] = json!("application/okta-internal-at+jwt"));
    let answer = bench.ask(&token, Freshness::Cached).await;
    let Err(AuthnError::Rejected(rejection @ Rejection::TypeNotAllowed { .. })) = answer else {
        panic!("{answer:?}")
    };
    assert!(rejection.to_string().contains("okta-internal-at+jwt"), "{rejection}");
}

#[tokio::test]
async fn throttled_introspection_is_an_outage_and_no_rejection() {
    let bench = introspecting(json!({ "validate": "introspect" })).await;
    bench.issuer.replay(
        &bench.issuer.paths().introspection,
        &serde_json::from_str(recorded!("error-429.json")).unwrap(),
    );
    let answer = bench.ask(&bench.token(), Freshness::Cached).await;
    let Err(AuthnError::Unavailable(outage)) = answer else { panic!("{answer:?}") };
    assert_eq!(outage.cause, OutageCause::Introspection);
}

#[tokio::test]
async fn a_fresh_answer_is_asked_for_where_introspection_is_set_up() {
    let bench = introspecting(json!({ "validate": "jwt_then_introspect" })).await;
    bench.issuer.knows(&bench.token(), &answer(&bench, recorded!("introspection-active-m2m.json")));
    bench.ask(&bench.token(), Freshness::Fresh).await.unwrap();
    bench.issuer.fail(&bench.issuer.paths().introspection.clone(), Fault::Close);
    let answer = bench.ask(&bench.token(), Freshness::Fresh).await;
    assert!(matches!(answer, Err(AuthnError::Unavailable(_))), "{answer:?}");
}

#[tokio::test]
async fn oktas_own_error_objects_are_relayed() {
    let bench = Bench::new::<Okta>(&emulation(), http(), settings).await;
    let path = bench.issuer.paths().token.clone();
    let cases = [
        (recorded!("error-400-invalid-scope.json"), 400, "invalid_scope"),
        (recorded!("error-400-access-denied-policy.json"), 400, "access_denied"),
        (recorded!("error-401-invalid-client.json"), 401, "invalid_client"),
        (recorded!("error-429.json"), 429, "too_many_requests"),
        (recorded!("error-404-unknown-authorization-server.json"), 404, "invalid_request"),
    ];
    for (envelope, expected, code) in cases {
        bench.issuer.replay(&path, &serde_json::from_str(envelope).unwrap());
        let answer = bench.provider.request_token().unwrap().request_token(TokenRequest::default()).await;
        let Err(TokenRequestError::Refused { status, error, .. }) = answer else { panic!("{answer:?}") };
        assert_eq!((status, error.as_str()), (expected, code));
    }
}

#[test]
fn the_issuer_follows_from_domain_and_authorization_server() {
    let settings =
        json!({ "domain": "acme.okta.com", "authorization_server": "default", "audience": "api://default" });
    let settings: Okta = serde_json::from_value(settings).unwrap();
    assert_eq!(settings.outline().issuers[0].as_str(), "https://acme.okta.com/oauth2/default");
}

#[test]
fn settings_that_cannot_work_are_refused_by_key() {
    let cases = [
        (json!({ "audience": "i" }), "`issuer`: expected the authorization server's issuer"),
        (json!({ "domain": "acme.okta.com", "audience": "i" }), "`authorization_server`"),
        (
            json!({ "domain": "acme.okta.com", "authorization_server": "../x", "audience": "i" }),
            "`authorization_server`",
        ),
        (
            json!({ "issuer": "https://acme.okta.com/oauth2/default/", "audience": "i" }),
            "do not end in a slash",
        ),
        (
            json!({ "issuer": "https://acme-admin.okta.com/oauth2/default", "audience": "i" }),
            "`acme.okta.com`",
        ),
        (json!({ "issuer": "https://acme.okta.com", "audience": "i" }), "`validate`: the organisation's own"),
        (
            json!({ "issuer": "https://acme.okta.com", "audience": "i", "validate": "jwt_then_introspect" }),
            "`validate`",
        ),
        (
            json!({ "issuer": "https://acme.okta.com", "audience": "i", "validate": "introspect" }),
            "`client_id`",
        ),
        (json!({ "issuer": "https://acme.okta.com/oauth2/default" }), "`audience`"),
        (
            json!({ "issuer": "https://acme.okta.com/oauth2/default", "audience": "i", "autorization_server": "x" }),
            "unknown field",
        ),
    ];
    for (settings, expected) in cases {
        let error = refused(settings);
        assert!(error.contains(expected), "{error}");
    }
}
