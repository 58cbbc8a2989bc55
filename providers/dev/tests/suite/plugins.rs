//! The kinds `auth0` and `okta` before the emulations: settings as for the real ones, but for the address.

use std::sync::Arc;

use scopegate_auth0::Auth0;
use scopegate_oidc::Http;
use scopegate_okta::Okta;
use scopegate_provider::{
    AuthnError, BearerToken, ClientCredentials, ClientId, Context, Credentials, Freshness, Inline, Provider,
    ProviderName, Rejection, ScopeSet, Secret, Settings, TokenRequest,
};
use serde_json::{Value, json};

use crate::harness::{Issuer, issuer};

const API: &str = "https://api.acme.example";

async fn connect<S: Settings>(issuer: &Issuer, settings: Value) -> Arc<dyn Provider> {
    let settings: S = serde_json::from_value(settings).unwrap();
    let name = ProviderName::parse(S::KIND).unwrap();
    let context = Context::new(name, issuer.clock.clone(), Arc::new(Http::default()), Arc::new(Inline));
    let provider = settings.connect(context).await.unwrap();
    provider.health().unwrap().ready().await;
    provider
}

async fn auth0() -> (Issuer, Arc<dyn Provider>) {
    let issuer = issuer(json!({ "emulate": "auth0" })).await;
    let settings = json!({ "domain": issuer.running.issuer(), "audience": API });
    let provider = connect::<Auth0>(&issuer, settings).await;
    (issuer, provider)
}

async fn okta(more: Value) -> (Issuer, Arc<dyn Provider>) {
    let issuer = issuer(json!({ "emulate": "okta", "authorization_server": "aus1" })).await;
    let mut settings = json!({ "issuer": issuer.running.issuer(), "audience": API, "client_id": "reader",
                               "client_secret": "reader-secret" });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let provider = connect::<Okta>(&issuer, settings).await;
    (issuer, provider)
}

async fn token(provider: &dyn Provider) -> BearerToken {
    let (id, secret) = (ClientId::parse("writer").unwrap(), Secret::new("writer secret&more"));
    let client = Some(ClientCredentials { id, secret });
    let scopes = Some(ScopeSet::parse("items").unwrap());
    let asker = provider.request_token().unwrap();
    asker
        .request_token(TokenRequest { client, scopes, ..TokenRequest::default() })
        .await
        .unwrap()
        .access_token
}

async fn ask(provider: &dyn Provider, token: &BearerToken) -> Result<String, AuthnError> {
    let credentials = Credentials::bearer(token.clone());
    let principal = provider.authenticate(&credentials, Freshness::Cached).await?;
    Ok(format!("{} may {}", principal.client().unwrap(), principal.scopes()))
}

#[tokio::test]
async fn a_token_of_the_emulated_auth0_is_taken_by_the_kind_auth0() {
    let (_issuer, provider) = auth0().await;
    assert_eq!(ask(&*provider, &token(&*provider).await).await.unwrap(), "writer may items");
}

#[tokio::test]
async fn a_token_of_the_emulated_okta_is_taken_by_the_kind_okta() {
    let (_issuer, provider) = okta(json!({})).await;
    assert_eq!(ask(&*provider, &token(&*provider).await).await.unwrap(), "writer may items");
}

#[tokio::test]
async fn a_revoked_token_of_the_emulated_okta_is_refused_where_it_is_introspected() {
    let (issuer, provider) =
        okta(json!({ "validate": "introspect", "introspection": { "cache": "0s" } })).await;
    let token = token(&*provider).await;
    assert_eq!(ask(&*provider, &token).await.unwrap(), "writer may items");
    assert_eq!(issuer.revoke_as_writer(token.reveal()).await.status, 200);
    assert_eq!(ask(&*provider, &token).await.unwrap_err(), AuthnError::Rejected(Rejection::Inactive));
}

#[tokio::test]
async fn neither_takes_the_others_token() {
    let ((_a, auth0), (_o, okta)) = tokio::join!(auth0(), okta(json!({})));
    let (of_auth0, of_okta) = (token(&*auth0).await, token(&*okta).await);
    for (provider, token) in [(&auth0, &of_okta), (&okta, &of_auth0)] {
        let refused = ask(&**provider, token).await.unwrap_err();
        assert!(matches!(refused, AuthnError::Rejected(_)), "{refused:?}");
    }
}

#[tokio::test]
async fn tokens_of_the_org_server_are_introspected_by_the_kind_okta() {
    let issuer = issuer(json!({ "emulate": "okta", "authorization_server": "org" })).await;
    let url = issuer.running.issuer();
    let settings = json!({ "issuer": url, "audience": url, "validate": "introspect", "client_id": "reader",
                           "client_secret": "reader-secret" });
    let provider = connect::<Okta>(&issuer, settings).await;
    assert_eq!(ask(&*provider, &token(&*provider).await).await.unwrap(), "writer may items");
}
