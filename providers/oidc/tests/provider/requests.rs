//! Tokens that are asked for, and revoked.

use scopegate_provider::{
    BearerToken, ClientCredentials, ClientId, OutageCause, RequestToken, RevokeToken, ScopeSet, Secret,
    TokenRequest, TokenRequestError,
};
use scopegate_testkit::{Fault, MintKey, Reply, TestIssuer};
use serde_json::json;

use super::harness::Harness;

async fn with_client(method: &str) -> Harness {
    let settings = json!({ "client_id": "api", "client_secret": "s3cret", "client_authentication": method,
        "token_request_scope": "items" });
    let harness = Harness::new(&settings).await;
    harness.issuer.grants("api", "s3cret", "a.b.c");
    harness
}

fn refused(
    answer: Result<scopegate_provider::TokenResponse, TokenRequestError>,
) -> (u16, String, Option<String>) {
    match answer {
        Err(TokenRequestError::Refused { status, error, description, .. }) => (status, error, description),
        other => unreachable!("{other:?}"),
    }
}

#[tokio::test]
async fn a_token_is_asked_for_with_either_form_of_client_authentication() {
    for method in ["client_secret_basic", "client_secret_post"] {
        let harness = with_client(method).await;
        let answer = harness.provider.request_token(TokenRequest::default()).await.unwrap();
        assert_eq!((answer.access_token.reveal(), answer.token_type.as_str()), ("a.b.c", "Bearer"));
        let request = harness.issuer.last("/token").unwrap();
        assert_eq!(request.field("scope").as_deref(), Some("items"));
        assert_eq!(request.header("authorization").is_some(), method == "client_secret_basic");
    }
}

#[tokio::test]
async fn a_caller_asks_as_itself_and_for_its_own_scopes() {
    let harness = Harness::new(&json!({})).await;
    harness.issuer.grants("mine", "my secret", "a.b.c");
    let client = ClientCredentials { id: ClientId::parse("mine").unwrap(), secret: Secret::new("my secret") };
    let request = TokenRequest {
        client: Some(client),
        scopes: Some(ScopeSet::parse("items:write items").unwrap()),
        ..TokenRequest::default()
    };
    harness.provider.request_token(request).await.unwrap();
    assert_eq!(harness.issuer.last("/token").unwrap().field("scope").as_deref(), Some("items items:write"));
    let without = harness.provider.request_token(TokenRequest::default()).await;
    assert_eq!(without.unwrap_err(), TokenRequestError::NoClient);
}

#[tokio::test]
async fn a_client_with_a_key_signs_an_assertion_for_the_endpoint() {
    let key = include_str!("../../../testkit/data/rsa-2048-a.test-key.pem");
    let settings = json!({ "client_id": "api", "private_key": key, "private_key_id": "mine" });
    let harness = Harness::new(&settings).await;
    harness
        .issuer
        .on("/token", |_| Reply::json(200, &json!({ "access_token": "a.b.c", "token_type": "bearer" })));
    harness.provider.request_token(TokenRequest::default()).await.unwrap();
    let request = harness.issuer.last("/token").unwrap();
    assert_eq!(
        request.field("client_assertion_type").as_deref(),
        Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
    );
    assert_eq!(request.field("client_assertion").unwrap().split('.').count(), 3);
    assert_eq!(request.field("client_secret"), None);
}

#[tokio::test]
async fn errors_are_relayed_with_their_status_whichever_it_is() {
    let harness = with_client("client_secret_basic").await;
    let path = harness.issuer.paths().token.clone();
    harness.issuer.on(&path, |_| {
        Reply::json(403, &json!({ "error": "access_denied", "error_description": "no\r\nway" }))
    });
    let answer = harness.provider.request_token(TokenRequest::default()).await;
    assert_eq!(refused(answer), (403, "access_denied".to_owned(), Some("no way".to_owned())));
}

#[tokio::test]
async fn invariant_9_what_is_no_answer_is_an_outage() {
    let harness = with_client("client_secret_basic").await;
    for fault in [Fault::Close, Fault::Status(500), Fault::Html, Fault::Body(b"{}".to_vec()), Fault::Large] {
        harness.issuer.fail("/token", fault);
        let answer = harness.provider.request_token(TokenRequest::default()).await;
        let Err(TokenRequestError::Unavailable(outage)) = answer else { unreachable!("{answer:?}") };
        assert_eq!(outage.cause, OutageCause::Provider);
    }
}

#[tokio::test]
async fn a_revocation_is_passed_on_where_the_provider_takes_it() {
    let harness = with_client("client_secret_basic").await;
    let token = BearerToken::parse(&harness.token()).unwrap();
    harness.provider.revoke_token(&token).await.unwrap();
    let request = harness.issuer.last("/revoke").unwrap();
    assert_eq!(request.field("token").as_deref(), Some(token.reveal()));
    harness.issuer.on("/revoke", |_| Reply::json(400, &json!({ "error": "unsupported_token_type" })));
    harness.provider.revoke_token(&token).await.unwrap();
    harness.issuer.fail("/revoke", Fault::Status(500));
    assert_eq!(harness.provider.revoke_token(&token).await.unwrap_err().cause, OutageCause::Provider);
}

#[tokio::test]
async fn without_a_client_of_its_own_nothing_is_revoked_at_the_provider() {
    let harness = Harness::new(&json!({})).await;
    let provider: &dyn scopegate_provider::Provider = &*harness.provider;
    assert!(provider.revoke_token().is_none());
}

#[tokio::test]
async fn given_keys_are_used_where_there_is_no_discovery_document() {
    let issuer = TestIssuer::start().await;
    let key = MintKey::es256("first");
    issuer.publish(&[&key]);
    let (discovery, keys) = (issuer.paths().discovery.clone(), issuer.at("/keys"));
    issuer.fail(&discovery, Fault::Status(404));
    let harness = Harness::with(issuer, key, &json!({ "jwks_uri": keys }));
    harness.authenticate(&harness.token()).await.unwrap();
}

/// I6: the caller's `resource` is passed on, and a setting names what the provider needs otherwise.
#[tokio::test]
async fn a_resource_is_passed_on_or_taken_from_the_settings() {
    let settings = json!({ "client_id": "api", "client_secret": "s3cret",
        "token_request_resource": "https://api.acme.example", "token_request_parameters": { "tenant": "blue" } });
    let harness = Harness::new(&settings).await;
    harness.issuer.grants("api", "s3cret", "a.b.c");
    let resource = "https://other.acme.example";
    for (resources, expected) in [(vec![], "https://api.acme.example"), (vec![resource.to_owned()], resource)]
    {
        let request = TokenRequest { resources, ..TokenRequest::default() };
        harness.provider.request_token(request).await.unwrap();
        let request = harness.issuer.last("/token").unwrap();
        assert_eq!(request.field("resource").as_deref(), Some(expected));
        assert_eq!(request.field("tenant").as_deref(), Some("blue"));
    }
}
