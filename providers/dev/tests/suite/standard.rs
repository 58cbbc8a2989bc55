//! The issuer as itself.

use serde_json::json;

use crate::harness::{NOW, form, issuer, part};

#[tokio::test]
async fn a_client_gets_a_token_that_verifies_by_the_published_key() {
    let issuer = issuer(json!({})).await;
    let answer = issuer.ask(&[]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body["token_type"], "Bearer");
    assert_eq!(answer.body["expires_in"], 3600);
    assert_eq!(answer.body["scope"], "items items:write");
    let mut claims = issuer.verified(answer.token()).await;
    assert_eq!(claims.remove("jti").unwrap().as_str().unwrap().len(), 43);
    let expected = json!({
        "iss": issuer.running.issuer(), "sub": "writer", "client_id": "writer", "aud": "https://api.acme.example",
        "iat": NOW, "exp": NOW + 3600, "scope": "items items:write",
    });
    assert_eq!(json!(claims), expected);
}

#[tokio::test]
async fn every_algorithm_signs_tokens_of_type_at_jwt() {
    for algorithm in ["ES256", "RS256", "EdDSA"] {
        let issuer = issuer(json!({ "algorithm": algorithm })).await;
        let answer = issuer.ask(&[]).await;
        issuer.verified(answer.token()).await;
        let header = part(answer.token(), 0);
        assert_eq!((&header["alg"], &header["typ"]), (&json!(algorithm), &json!("at+jwt")));
    }
}

#[tokio::test]
async fn discovery_leads_to_everything_by_the_exact_issuer() {
    let issuer = issuer(json!({})).await;
    for path in ["openid-configuration", "oauth-authorization-server"] {
        let metadata = issuer.get(&format!("{}/.well-known/{path}", issuer.running.url())).await;
        assert_eq!(metadata.header("content-type"), "application/json");
        let metadata = metadata.body;
        assert_eq!(metadata["issuer"], issuer.running.url());
        assert_eq!(metadata["token_endpoint"], issuer.running.token_url());
        assert_eq!(metadata["jwks_uri"], issuer.running.jwks_url());
        assert_eq!(metadata["introspection_endpoint"], issuer.running.introspection_url().unwrap());
        assert_eq!(metadata["revocation_endpoint"], issuer.running.revocation_url());
        assert_eq!(metadata["scopes_supported"], json!(["items", "items:write"]));
    }
}

#[tokio::test]
async fn basic_authentication_is_form_decoded() {
    let issuer = issuer(json!({})).await;
    let request = issuer.post_request(&issuer.running.token_url(), "grant_type=client_credentials");
    let answer = issuer.send(request.basic_auth("writer", Some("writer+secret%26more"))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn wrong_credentials_are_invalid_client_with_a_challenge() {
    let issuer = issuer(json!({})).await;
    for (id, secret) in [("writer", "wrong"), ("nobody", "writer secret&more"), ("nobody", "")] {
        let request = issuer.post_request(&issuer.running.token_url(), "grant_type=client_credentials");
        let answer = issuer.send(request.basic_auth(id, Some(secret))).await;
        assert_eq!(answer.error(), (401, "invalid_client"));
        assert_eq!(answer.header("www-authenticate"), "Basic realm=\"clients\"");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
}

#[tokio::test]
async fn a_client_that_authenticates_twice_is_refused() {
    let issuer = issuer(json!({})).await;
    let body = form(&[("grant_type", "client_credentials"), ("client_id", "writer"), ("client_secret", "x")]);
    let request = issuer.post_request(&issuer.running.token_url(), &body);
    let answer = issuer.send(request.basic_auth("writer", Some("writer secret&more"))).await;
    assert_eq!(answer.error(), (400, "invalid_request"));
}

#[tokio::test]
async fn what_is_no_request_for_a_token_is_refused_by_its_own_code() {
    let issuer = issuer(json!({})).await;
    let url = issuer.running.token_url();
    let writer = [("client_id", "writer"), ("client_secret", "writer secret&more")];
    let with = |pair| [writer[0], writer[1], pair];
    assert_eq!(issuer.post(&url, &writer).await.error(), (400, "invalid_request"));
    let other = issuer.post(&url, &with(("grant_type", "password"))).await;
    assert_eq!(other.error(), (400, "unsupported_grant_type"));
    assert_eq!(issuer.ask(&[("scope", "items admin")]).await.error(), (400, "invalid_scope"));
    assert_eq!(issuer.ask(&[("scope", "\"")]).await.error(), (400, "invalid_scope"));
    assert_eq!(issuer.ask(&[("audience", "https://other")]).await.error(), (400, "invalid_target"));
    assert_eq!(issuer.ask(&[("client_id", "reader")]).await.error(), (400, "invalid_request"));
}

#[tokio::test]
async fn json_is_not_a_form() {
    let issuer = issuer(json!({})).await;
    let request = issuer.post_request(&issuer.running.token_url(), "{}");
    let answer = issuer.send(request.header("content-type", "application/json")).await;
    assert_eq!(answer.error(), (400, "invalid_request"));
}

#[tokio::test]
async fn a_body_without_end_is_cut_off() {
    let issuer = issuer(json!({})).await;
    let body = format!("grant_type={}", "x".repeat(70_000));
    let answer = issuer.send(issuer.post_request(&issuer.running.token_url(), &body)).await;
    assert_eq!(answer.error(), (413, "invalid_request"));
}

#[tokio::test]
async fn what_is_asked_for_is_what_is_granted() {
    let issuer = issuer(json!({})).await;
    let answer = issuer.ask(&[("scope", "items")]).await;
    assert_eq!(part(answer.token(), 1)["scope"], "items");
    assert_eq!(answer.body["scope"], "items");
}

#[tokio::test]
async fn a_clients_own_claims_and_lifetime_are_in_its_tokens() {
    let issuer = issuer(json!({})).await;
    let pairs =
        [("grant_type", "client_credentials"), ("client_id", "reader"), ("client_secret", "reader-secret")];
    let answer = issuer.post(&issuer.running.token_url(), &pairs).await;
    let claims = issuer.verified(answer.token()).await;
    assert_eq!((&claims["org_id"], &claims["roles"]), (&json!("acme"), &json!(["analyst"])));
    assert_eq!((answer.body["expires_in"].as_i64(), claims["exp"].as_i64()), (Some(300), Some(NOW + 300)));
}

#[tokio::test]
async fn a_null_among_a_clients_claims_leaves_the_claim_out() {
    let clients = json!([{ "id": "writer", "secret": "writer secret&more", "claims": { "sub": null } }]);
    let issuer = issuer(json!({ "clients": clients })).await;
    let answer = issuer.ask(&[]).await;
    assert!(!issuer.verified(answer.token()).await.contains_key("sub"));
}

#[tokio::test]
async fn several_audiences_make_an_array_unless_one_is_asked_for() {
    let issuer = issuer(json!({ "audience": ["https://a", "https://b"] })).await;
    assert_eq!(part(issuer.ask(&[]).await.token(), 1)["aud"], json!(["https://a", "https://b"]));
    let one = issuer.ask(&[("resource", "https://b")]).await;
    assert_eq!(part(one.token(), 1)["aud"], "https://b");
}

#[tokio::test]
async fn introspection_tells_a_live_tokens_claims() {
    let issuer = issuer(json!({})).await;
    let answer = issuer.ask(&[]).await;
    let told = issuer.introspect(answer.token()).await;
    assert_eq!((&told["active"], &told["client_id"]), (&json!(true), &json!("writer")));
    assert_eq!((&told["scope"], &told["token_type"]), (&json!("items items:write"), &json!("Bearer")));
    assert_eq!(told["iss"], issuer.running.url());
}

#[tokio::test]
async fn an_expired_token_is_inactive() {
    let issuer = issuer(json!({})).await;
    let answer = issuer.ask(&[]).await;
    issuer.clock.advance(3600);
    assert_eq!(issuer.introspect(answer.token()).await, json!({ "active": false }));
}

#[tokio::test]
async fn anothers_token_is_inactive() {
    let (ours, other) = tokio::join!(issuer(json!({})), issuer(json!({})));
    let answer = other.ask(&[]).await;
    assert_eq!(ours.introspect(answer.token()).await, json!({ "active": false }));
    assert_eq!(ours.introspect("opaque").await, json!({ "active": false }));
}

#[tokio::test]
async fn introspection_asks_who_the_client_is() {
    let issuer = issuer(json!({})).await;
    let answer = issuer.post(&issuer.running.introspection_url().unwrap(), &[("token", "x")]).await;
    assert_eq!(answer.error(), (401, "invalid_client"));
}

#[tokio::test]
async fn a_revoked_token_is_inactive_and_others_are_not() {
    let issuer = issuer(json!({})).await;
    let (revoked, other) = (issuer.ask(&[]).await, issuer.ask(&[]).await);
    assert_eq!(issuer.revoke_as_writer(revoked.token()).await.status, 200);
    assert_eq!(issuer.introspect(revoked.token()).await["active"], false);
    assert_eq!(issuer.introspect(other.token()).await["active"], true);
}

#[tokio::test]
async fn only_its_own_client_revokes_a_token() {
    let issuer = issuer(json!({})).await;
    let answer = issuer.ask(&[]).await;
    let pairs = [("token", answer.token()), ("client_id", "reader"), ("client_secret", "reader-secret")];
    let refused = issuer.post(&issuer.running.revocation_url(), &pairs).await;
    assert_eq!(refused.error(), (400, "unauthorized_client"));
    assert_eq!(issuer.introspect(answer.token()).await["active"], true);
}

#[tokio::test]
async fn revoking_what_is_no_token_is_well() {
    let issuer = issuer(json!({})).await;
    assert_eq!(issuer.revoke_as_writer("garbage").await.status, 200);
}
