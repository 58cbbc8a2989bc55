//! The emulation of Auth0, held against what was recorded of it.

use serde_json::{Value, json};

use crate::harness::{Issuer, NOW, issuer, part};

const API: (&str, &str) = ("audience", "https://api.acme.example");

fn recorded(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

async fn auth0() -> Issuer {
    issuer(json!({ "emulate": "auth0" })).await
}

#[tokio::test]
async fn the_issuer_ends_in_a_slash_wherever_it_stands() {
    let issuer = auth0().await;
    let expected = format!("{}/", issuer.running.url());
    assert_eq!(issuer.running.issuer().as_str(), expected);
    let metadata = issuer.get(&issuer.running.discovery_url()).await.body;
    assert_eq!(metadata["issuer"], expected);
    assert_eq!(part(issuer.ask(&[API]).await.token(), 1)["iss"], expected);
}

#[tokio::test]
async fn metadata_are_the_recorded_ones_at_both_well_known_paths() {
    let issuer = auth0().await;
    let members = recorded(include_str!("../../data/auth0-discovery.json"));
    for name in ["openid-configuration", "oauth-authorization-server"] {
        let metadata = issuer.get(&format!("{}/.well-known/{name}", issuer.running.url())).await.body;
        let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&metadata), names(&members));
        assert!(!metadata.to_string().contains("acme.us.auth0.com"));
        assert_eq!(metadata["token_endpoint"], issuer.running.token_url());
        assert_eq!(metadata["jwks_uri"], issuer.running.jwks_url());
        assert_eq!(metadata["revocation_endpoint"], issuer.running.revocation_url());
    }
}

#[tokio::test]
async fn a_token_has_the_members_of_a_recorded_one() {
    let issuer = auth0().await;
    let answer = issuer.ask(&[API]).await;
    let claims = issuer.verified(answer.token()).await;
    let expected = json!({
        "iss": issuer.running.issuer(), "sub": "writer@clients", "aud": "https://api.acme.example",
        "iat": NOW, "exp": NOW + 86400, "scope": "items items:write", "gty": "client-credentials", "azp": "writer",
    });
    assert_eq!(json!(claims), expected);
    assert_eq!(part(answer.token(), 0)["typ"], "JWT");
    assert_eq!(part(answer.token(), 0)["alg"], "RS256");
    let mut response = answer.body;
    response["access_token"] = json!("<jwt>");
    assert_eq!(response, json!({ "access_token": "<jwt>", "expires_in": 86400, "token_type": "Bearer" }));
}

#[tokio::test]
async fn the_other_profile_is_that_of_rfc_9068() {
    let issuer = issuer(json!({ "emulate": "auth0", "token_dialect": "rfc9068_profile" })).await;
    let answer = issuer.ask(&[API]).await;
    let claims = issuer.verified(answer.token()).await;
    assert_eq!(part(answer.token(), 0)["typ"], "at+jwt");
    assert_eq!(claims["client_id"], "writer");
    assert!(claims.contains_key("jti") && !claims.contains_key("azp") && !claims.contains_key("gty"));
}

#[tokio::test]
async fn without_an_audience_the_token_is_opaque() {
    let issuer = auth0().await;
    let answer = issuer.ask(&[]).await;
    let parts: Vec<&str> = answer.token().split('.').collect();
    assert_eq!((parts.len(), parts[1]), (5, ""));
    let header = json!({ "alg": "dir", "enc": "A256GCM", "iss": issuer.running.issuer() });
    assert_eq!(part(answer.token(), 0), header);
}

#[tokio::test]
async fn nothing_granted_is_no_scope_member() {
    let clients = json!([{ "id": "writer", "secret": "writer secret&more" }]);
    let issuer = issuer(json!({ "emulate": "auth0", "clients": clients })).await;
    let answer = issuer.ask(&[API]).await;
    assert!(part(answer.token(), 1).get("scope").is_none());
}

#[tokio::test]
async fn errors_are_the_recorded_ones() {
    let issuer = auth0().await;
    let wrong = issuer.ask(&[API, ("client_assertion", "x")]).await;
    assert_eq!(wrong.status, 200);
    let pairs =
        [("grant_type", "client_credentials"), ("client_id", "writer"), ("client_secret", "wrong"), API];
    let wrong = issuer.post(&issuer.running.token_url(), &pairs).await;
    let body = json!({ "error": "invalid_client", "error_description": "Client authentication failed" });
    assert_eq!((wrong.status, wrong.body), (401, body));
    let other = issuer.ask(&[("audience", "https://other.example")]).await;
    assert_eq!(other.error(), (403, "access_denied"));
    let told = other.body["error_description"].as_str().unwrap();
    let recorded = "Client is not authorized to access \"https://other.example\". You need to create a \
                    \"client-grant\" associated to this API. See: \
                    https://auth0.com/docs/api/v2#!/Client_Grants/post_client_grants";
    assert_eq!(told, recorded);
}

#[tokio::test]
async fn a_request_may_be_json() {
    let issuer = auth0().await;
    let body = json!({ "grant_type": "client_credentials", "client_id": "reader", "client_secret": "reader-secret",
                       "audience": "https://api.acme.example" });
    let request = issuer.post_request(&issuer.running.token_url(), "").body(body.to_string());
    let request = request.header("content-type", "application/json");
    assert_eq!(issuer.send(request).await.status, 400, "two content types");
    let request = reqwest::Client::new().post(issuer.running.token_url()).body(body.to_string());
    let answer = issuer.send(request.header("content-type", "application/json")).await;
    assert_eq!(part(answer.token(), 1)["azp"], "reader");
}

#[tokio::test]
async fn there_is_no_introspection() {
    let issuer = auth0().await;
    assert!(issuer.running.introspection_url().is_none());
    for path in ["/introspect", "/oauth/introspect"] {
        let answer = issuer.post(&format!("{}{path}", issuer.running.url()), &[("token", "x")]).await;
        assert_eq!(answer.status, 404);
    }
}

#[tokio::test]
async fn revocation_leaves_access_tokens_alone_and_says_200() {
    let issuer = auth0().await;
    let answer = issuer.ask(&[API]).await;
    assert_eq!(issuer.revoke_as_writer(answer.token()).await.status, 200);
}

#[tokio::test]
async fn the_key_set_holds_two_keys_for_rs256() {
    let issuer = auth0().await;
    let answer = issuer.get(&issuer.running.jwks_url()).await;
    assert_eq!(
        answer.header("cache-control"),
        "public, max-age=15, stale-while-revalidate=15, stale-if-error=86400"
    );
    let keys = answer.body["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 2);
    assert!(keys.iter().all(|key| key["alg"] == "RS256" && key["kty"] == "RSA" && key["use"] == "sig"));
}
