//! The kinds of emulated providers before the emulations: settings as for the real ones, but for the address.

use std::sync::Arc;

use scopegate_auth0::Auth0;
use scopegate_cognito::Cognito;
use scopegate_entra::Entra;
use scopegate_keycloak::Keycloak;
use scopegate_oidc::Http;
use scopegate_okta::Okta;
use scopegate_provider::{
    AuthnError, BearerToken, ClientCredentials, ClientId, Context, Credentials, Freshness, Inline, Provider,
    ProviderName, Rejection, Role, ScopeSet, Secret, Settings, TokenRequest,
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

/// Requests a token of the emulated provider for `scope`, and authenticates it by the kind.
async fn emulated<S: Settings>(emulate: &str, scope: &str, settings: impl FnOnce(&str) -> Value) -> String {
    let issuer = issuer(json!({ "emulate": emulate })).await;
    let provider = connect::<S>(&issuer, settings(issuer.running.issuer().as_str())).await;
    let id = ClientId::parse("writer").unwrap();
    let client = Some(ClientCredentials { id, secret: Secret::new("writer secret&more") });
    let scopes = Some(ScopeSet::parse(scope).unwrap());
    let request = TokenRequest { client, scopes, ..TokenRequest::default() };
    let token = provider.request_token().unwrap().request_token(request).await.unwrap().access_token;
    let credentials = Credentials::bearer(token);
    let principal = provider.authenticate(&credentials, Freshness::Cached).await.unwrap();
    let roles: Vec<&str> = principal.roles().iter().map(Role::as_str).collect();
    format!("{} may {} as {}", principal.client().unwrap(), principal.scopes(), roles.join(" "))
}

#[tokio::test]
async fn a_token_of_the_emulated_entra_is_taken_by_the_kind_entra() {
    let settings = |issuer: &str| json!({ "issuer": issuer, "audience": API });
    let scope = format!("{API}/.default");
    let found = emulated::<Entra>("entra", &scope, settings).await;
    assert!(found.starts_with("writer may  as ") && found.contains("items"), "{found}");
}

#[tokio::test]
async fn a_token_of_the_emulated_entra_is_taken_for_any_tenant() {
    let settings = |issuer: &str| {
        let authority: Vec<&str> = issuer.splitn(4, '/').take(3).collect();
        json!({ "authority": authority.join("/"), "tenants": "any", "audience": API })
    };
    assert!(emulated::<Entra>("entra", &format!("{API}/.default"), settings).await.contains("items"));
}

#[tokio::test]
async fn a_token_of_the_emulated_keycloak_is_taken_by_the_kind_keycloak() {
    let settings = |issuer: &str| json!({ "issuer": issuer, "audience": API });
    let found = emulated::<Keycloak>("keycloak", "items", settings).await;
    assert_eq!(found, "writer may items as default-roles-acme");
}

#[tokio::test]
async fn a_token_of_the_emulated_cognito_is_taken_by_the_kind_cognito() {
    let settings = |issuer: &str| json!({ "issuer": issuer, "app_clients": ["writer"] });
    assert_eq!(emulated::<Cognito>("cognito", "items", settings).await, "writer may items as ");
}
