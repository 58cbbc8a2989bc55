//! The authorization endpoint: a person signs in with PKCE, and the client redeems the code.

use serde_json::{Value, json};

use crate::harness::{Answer, Issuer, NOW, issuer, part};

const REDIRECT: &str = "http://127.0.0.1:8000/callback";
/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// The parameters of a good authorization request, with changes: an empty value leaves one out.
fn request<'a>(changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut pairs = vec![
        ("response_type", "code"),
        ("client_id", "writer"),
        ("redirect_uri", REDIRECT),
        ("scope", "openid items items:write"),
        ("state", "a state & more"),
        ("nonce", "the-nonce"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in changes {
        pairs.retain(|(known, _)| known != name);
        pairs.push((name, value));
    }
    pairs
}

impl Issuer {
    async fn sign_in(&self, changes: &[(&str, &str)]) -> Answer {
        let mut pairs = request(&[("account", "reader"), ("secret", "reader-secret")]);
        for (name, value) in changes {
            pairs.retain(|(known, _)| known != name);
            pairs.push((name, value));
        }
        self.post(&format!("{}/authorize", self.running.url()), &pairs).await
    }

    async fn redeem(&self, code: &str, changes: &[(&str, &str)]) -> Answer {
        let mut pairs = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
            ("client_id", "writer"),
            ("client_secret", "writer secret&more"),
        ];
        for (name, value) in changes {
            pairs.retain(|(known, _)| known != name);
            pairs.push((name, value));
        }
        self.post(&self.running.token_url(), &pairs).await
    }
}

/// Returns a parameter of the URL to which the browser is sent.
fn returned(answer: &Answer, name: &str) -> Option<String> {
    let url = url::Url::parse(answer.header("location")).unwrap();
    assert!(url.as_str().starts_with(REDIRECT), "{url}");
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

#[tokio::test]
async fn a_person_signs_in_and_the_client_gets_a_token_for_the_scopes_that_the_account_has() {
    let issuer = issuer(json!({})).await;
    let answer = issuer.sign_in(&[]).await;
    assert_eq!(answer.status, 303);
    assert_eq!(returned(&answer, "state").as_deref(), Some("a state & more"));
    assert_eq!(returned(&answer, "iss").as_deref(), Some(issuer.running.issuer().as_str()));
    let code = returned(&answer, "code").unwrap();
    let granted = issuer.redeem(&code, &[]).await;
    assert_eq!(granted.body["scope"], "items", "reader lacks items:write");
    let claims = issuer.verified(granted.token()).await;
    assert_eq!((&claims["sub"], &claims["client_id"]), (&json!("reader"), &json!("writer")));
    let id_token = granted.body["id_token"].as_str().unwrap();
    let claims = part(id_token, 1);
    let expected = json!({
        "iss": issuer.running.issuer(), "sub": "reader", "aud": "writer", "nonce": "the-nonce", "auth_time": NOW,
        "iat": NOW, "exp": NOW + 300,
    });
    assert_eq!(claims, expected);
    let again = issuer.redeem(&code, &[]).await;
    assert_eq!(again.error(), (400, "invalid_grant"), "a code is good once");
}

#[tokio::test]
async fn a_code_is_for_its_client_redirect_uri_verifier_and_minute_only() {
    let issuer = issuer(json!({})).await;
    for changes in [
        &[("client_id", "reader"), ("client_secret", "reader-secret")][..],
        &[("redirect_uri", "http://127.0.0.1:8000/other")],
        &[("code_verifier", "another-verifier-that-is-as-long-as-the-first-one")],
        &[("code", "another")],
    ] {
        let code = returned(&issuer.sign_in(&[]).await, "code").unwrap();
        assert_eq!(issuer.redeem(&code, changes).await.error(), (400, "invalid_grant"), "{changes:?}");
    }
    let code = returned(&issuer.sign_in(&[]).await, "code").unwrap();
    issuer.clock.advance(60);
    assert_eq!(issuer.redeem(&code, &[]).await.error(), (400, "invalid_grant"));
}

#[tokio::test]
async fn errors_of_the_client_return_to_it() {
    let issuer = issuer(json!({})).await;
    for (changes, error) in [
        (("response_type", "token"), "unsupported_response_type"),
        (("code_challenge", ""), "invalid_request"),
        (("code_challenge_method", "plain"), "invalid_request"),
        (("prompt", "none"), "login_required"),
        (("scope", "openid items:write"), "access_denied"),
        (("scope", "unknown"), "invalid_scope"),
    ] {
        let answer = issuer.sign_in(&[changes]).await;
        assert_eq!(returned(&answer, "error").as_deref(), Some(error), "{changes:?}");
        assert_eq!(returned(&answer, "state").as_deref(), Some("a state & more"));
    }
}

#[tokio::test]
async fn a_wrong_secret_shows_the_page_again_and_nothing_is_sent_to_other_machines() {
    let issuer = issuer(json!({})).await;
    let wrong = issuer.sign_in(&[("secret", "wrong")]).await;
    let Value::String(page) = &wrong.body else { panic!("{wrong:?}") };
    assert!(wrong.status == 200 && page.contains("client authentication failed"), "{page}");
    assert!(
        page.contains("name=\"state\" value=\"a state &amp; more\"") && !page.contains("value=\"wrong\"")
    );
    let policy = wrong.header("content-security-policy");
    assert!(
        policy.contains("default-src 'none'") && policy.ends_with("'self' http://127.0.0.1:8000"),
        "{policy}"
    );
    for changes in [("redirect_uri", "https://evil.example/"), ("redirect_uri", ""), ("client_id", "nobody")]
    {
        let answer = issuer.sign_in(&[changes]).await;
        assert_eq!((answer.status, answer.headers.get("location")), (400, None), "{changes:?}");
    }
}

#[tokio::test]
async fn every_emulation_has_the_page_where_its_metadata_say() {
    for emulate in [None, Some("auth0"), Some("okta"), Some("entra"), Some("keycloak"), Some("cognito")] {
        let issuer = issuer(json!({ "emulate": emulate })).await;
        let metadata = issuer.get(&issuer.running.discovery_url()).await.body;
        let endpoint = metadata["authorization_endpoint"].as_str().unwrap();
        let query: String =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(request(&[])).finish();
        let page = issuer.get(&format!("{endpoint}?{query}")).await;
        assert_eq!(page.status, 200, "{emulate:?}");
        assert!(page.body.as_str().is_some_and(|page| page.contains("<h1>Sign in</h1>")), "{emulate:?}");
    }
}
