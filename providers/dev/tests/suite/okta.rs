//! The emulation of Okta, held against what was recorded of it.

use serde_json::{Value, json};

use crate::harness::{Issuer, NOW, issuer, part};

const ITEMS: (&str, &str) = ("scope", "items");

async fn okta() -> Issuer {
    issuer(json!({ "emulate": "okta", "authorization_server": "aus1acme" })).await
}

#[tokio::test]
async fn the_issuer_has_the_servers_id_and_no_final_slash() {
    let issuer = okta().await;
    let expected = format!("{}/oauth2/aus1acme", issuer.running.url());
    assert_eq!(issuer.running.issuer().as_str(), expected);
    assert_eq!(issuer.running.token_url(), format!("{expected}/v1/token"));
    assert_eq!(issuer.running.jwks_url(), format!("{expected}/v1/keys"));
}

#[tokio::test]
async fn metadata_are_found_below_the_issuer_and_by_the_inserted_path() {
    let issuer = okta().await;
    let (base, path) = (issuer.running.url(), "/oauth2/aus1acme");
    let urls = [
        format!("{base}{path}/.well-known/openid-configuration"),
        format!("{base}{path}/.well-known/oauth-authorization-server"),
        format!("{base}/.well-known/oauth-authorization-server{path}"),
    ];
    for url in urls {
        let metadata = issuer.get(&url).await.body;
        assert_eq!(metadata["issuer"], issuer.running.issuer().as_str(), "{url}");
        assert_eq!(metadata["jwks_uri"], issuer.running.jwks_url());
        assert_eq!(metadata["introspection_endpoint"], issuer.running.introspection_url().unwrap());
        assert!(!metadata.to_string().contains("acme.okta.com"));
    }
}

#[tokio::test]
async fn only_the_rfc_8414_document_lists_client_credentials() {
    let issuer = okta().await;
    let lists = |body: &Value| {
        body["grant_types_supported"].as_array().unwrap().contains(&json!("client_credentials"))
    };
    let root = issuer.running.issuer().as_str();
    assert!(!lists(&issuer.get(&format!("{root}/.well-known/openid-configuration")).await.body));
    assert!(lists(&issuer.get(&format!("{root}/.well-known/oauth-authorization-server")).await.body));
}

#[tokio::test]
async fn a_token_has_the_members_of_a_recorded_one() {
    let issuer = okta().await;
    let answer = issuer.ask(&[("scope", "items:write items")]).await;
    let mut claims = issuer.verified(answer.token()).await;
    assert!(claims.remove("jti").unwrap().as_str().unwrap().starts_with("AT."));
    let expected = json!({
        "ver": 1, "iss": issuer.running.issuer(), "aud": "https://api.acme.example", "iat": NOW, "exp": NOW + 3600,
        "cid": "writer", "scp": ["items", "items:write"], "sub": "writer",
    });
    assert_eq!(json!(claims), expected);
    let header = part(answer.token(), 0);
    assert_eq!((header.get("typ"), &header["alg"]), (None, &json!("RS256")));
    assert_eq!(
        (&answer.body["scope"], &answer.body["expires_in"]),
        (&json!("items items:write"), &json!(3600))
    );
}

#[tokio::test]
async fn introspection_speaks_of_scope_and_client_id() {
    let issuer = okta().await;
    let answer = issuer.ask(&[ITEMS]).await;
    let told = issuer.introspect(answer.token()).await;
    let members: Vec<&String> = told.as_object().unwrap().keys().collect();
    let recorded = ["active", "aud", "client_id", "exp", "iat", "iss", "jti", "scope", "sub", "token_type"];
    let mut members: Vec<&str> = members.into_iter().map(String::as_str).collect();
    members.sort_unstable();
    assert_eq!(members, recorded);
    assert_eq!((&told["scope"], &told["client_id"]), (&json!("items"), &json!("writer")));
}

#[tokio::test]
async fn a_revoked_token_is_inactive() {
    let issuer = okta().await;
    let answer = issuer.ask(&[ITEMS]).await;
    assert_eq!(issuer.revoke_as_writer(answer.token()).await.status, 200);
    assert_eq!(issuer.introspect(answer.token()).await, json!({ "active": false }));
}

#[tokio::test]
async fn anothers_token_is_left_alone_and_nobody_is_told() {
    let issuer = okta().await;
    let answer = issuer.ask(&[ITEMS]).await;
    let pairs = [("token", answer.token()), ("client_id", "reader"), ("client_secret", "reader-secret")];
    assert_eq!(issuer.post(&issuer.running.revocation_url(), &pairs).await.status, 200);
    assert_eq!(issuer.introspect(answer.token()).await["active"], true);
}

#[tokio::test]
async fn errors_are_the_recorded_ones() {
    let issuer = okta().await;
    let none = issuer.post(&issuer.running.token_url(), &[("grant_type", "client_credentials"), ITEMS]).await;
    let body = json!({ "error": "invalid_client", "error_description": "No client credentials found." });
    assert_eq!((none.status, none.body), (401, body));
    let unknown = issuer.ask(&[("scope", "admin")]).await;
    let description = "One or more scopes are not configured for the authorization server resource.";
    let body = json!({ "error": "invalid_scope", "error_description": description });
    assert_eq!((unknown.status, unknown.body), (400, body));
    assert_eq!(issuer.ask(&[]).await.error(), (400, "invalid_scope"));
    let reader = [
        ("grant_type", "client_credentials"),
        ("client_id", "reader"),
        ("client_secret", "reader-secret"),
        ("scope", "items:write"),
    ];
    assert_eq!(issuer.post(&issuer.running.token_url(), &reader).await.error(), (400, "access_denied"));
}

#[tokio::test]
async fn an_unknown_authorization_server_is_e0000007() {
    let issuer = okta().await;
    let url = format!("{}/oauth2/ausDoesNotExist0000/.well-known/openid-configuration", issuer.running.url());
    let answer = issuer.get(&url).await;
    assert_eq!((answer.status, &answer.body["errorCode"]), (404, &json!("E0000007")));
    let summary = "Not found: Resource not found: ausDoesNotExist0000 (AuthorizationServer)";
    assert_eq!(answer.body["errorSummary"], summary);
    assert_eq!(answer.body["errorCauses"], json!([]));
}

#[tokio::test]
async fn the_org_servers_tokens_are_for_okta_alone() {
    let issuer = issuer(json!({ "emulate": "okta", "authorization_server": "org" })).await;
    assert_eq!(issuer.running.issuer().as_str(), issuer.running.url());
    assert_eq!(issuer.running.token_url(), format!("{}/oauth2/v1/token", issuer.running.url()));
    let metadata = issuer.get(&issuer.running.discovery_url()).await.body;
    assert_eq!(metadata["issuer"], issuer.running.url());
    assert_eq!(metadata["introspection_endpoint"], issuer.running.introspection_url().unwrap());
    let answer = issuer.ask(&[ITEMS]).await;
    let header = part(answer.token(), 0);
    assert_eq!(header["typ"], "application/okta-internal-at+jwt");
    assert!(!issuer.kids().await.contains(&header["kid"].as_str().unwrap().to_owned()));
    let told = issuer.introspect(answer.token()).await;
    assert_eq!((&told["active"], &told["aud"]), (&json!(true), &json!(issuer.running.url())));
}
