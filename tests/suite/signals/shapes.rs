//! Logout tokens and events in the shapes of real providers.

use scopegate_testkit::{MintKey, TestIssuer};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{CAEP, LOGOUT, Site, Transmitter, config, site};
use crate::support::{Client, Server, now, run};

/// A recorded document of a provider.
fn recorded(path: &str) -> Value {
    let path = format!("{}/tests/data/signals/{path}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The token of a recorded header and recorded claims, moved to the test's issuer, client and time.
fn moved(site: &Site, shape: &str) -> String {
    let document = recorded(shape);
    let mut header = site.provider.key.header();
    match document["header"].get("typ") {
        Some(typ) => header["typ"] = typ.clone(),
        None => drop(header.as_object_mut().unwrap().remove("typ")),
    }
    let mut claims = document["claims"].clone();
    claims["iss"] = json!(site.provider.issuer.url());
    claims["iat"] = json!(now());
    if claims.get("exp").is_some() {
        claims["exp"] = json!(now() + 120);
        claims["aud"] = if claims["aud"].is_array() { json!(["client-1"]) } else { json!("client-1") };
    } else {
        claims["aud"] = json!("https://api.example/ssf");
        let issuer = site.provider.issuer.url();
        let text = claims
            .to_string()
            .replace("https://TRANSMITTER", issuer)
            .replace("\"NOW_MS\"", &format!("{}", now() * 1000));
        claims = serde_json::from_str(&text).unwrap();
    }
    site.provider.key.token_with(&header, &claims)
}

/// Logout tokens as Keycloak, Auth0, Hydra, Zitadel and Authentik write them.
#[tokio::test]
async fn logout_tokens_of_real_providers_end_their_session_or_subject() {
    let site = site("").await;
    for shape in ["keycloak-logout", "auth0-logout", "hydra-logout", "zitadel-logout", "authentik-logout"] {
        let claims = recorded(shape)["claims"].clone();
        let user = claims["sub"].as_str().unwrap_or("some-user");
        let session = claims["sid"].as_str().unwrap_or("some-session");
        let ended = site.provider.access(user, session, now() - 5);
        let kept = site.provider.access("another", "another-session", now() - 5);
        assert!(site.passes(&ended).await && site.passes(&kept).await, "{shape}");
        let answer = site.log_out(&moved(&site, shape)).await;
        assert_eq!(answer.status, 200, "{shape}: {answer:?}");
        site.refused(&ended).await;
        assert!(site.passes(&kept).await, "{shape}");
        assert!(claims["events"][LOGOUT].is_object(), "{shape}");
    }
}

/// T6.3: events as Okta and Google send them: the subject inside the event, milliseconds, `uid`, another final
/// slash.
#[tokio::test]
async fn events_of_okta_and_google_refuse_the_tokens_of_their_subject() {
    let site = site("      subject_claim: uid").await;
    for shape in
        ["okta-session-revoked", "okta-credential-change", "google-sessions-revoked", "google-tokens-revoked"]
    {
        let user = format!("user-of-{shape}");
        let ended = site.provider.access(&user, "s-1", now() - 5);
        assert!(site.passes(&ended).await, "{shape}");
        let answer = site.push(&moved(&site, shape)).await;
        assert_eq!((answer.status, answer.text.as_str()), (202, ""), "{shape}: {answer:?}");
        site.refused(&ended).await;
        let later = site.provider.access(&user, "s-2", now() + 2);
        assert!(site.passes(&later).await, "{shape}: a moment in milliseconds was read as seconds");
    }
}

/// A document that was recorded at a provider.
fn document(path: &str) -> Value {
    let path = format!("{}/providers/oidc/tests/data/fixtures/{path}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The logout token that was recorded at Auth0: `typ: JWT`, `trace_id`, two minutes of life.
#[tokio::test]
async fn the_logout_token_recorded_at_auth0_ends_its_session() {
    let site = site("").await;
    let mut claims = document("auth0/logout-token-claims");
    let lifetime = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    let ended =
        site.provider.access(claims["sub"].as_str().unwrap(), claims["sid"].as_str().unwrap(), now() - 5);
    let kept = site.provider.access(claims["sub"].as_str().unwrap(), "another-session", now() - 5);
    assert!(site.passes(&ended).await && site.passes(&kept).await);
    claims["iss"] = json!(site.provider.issuer.url());
    claims["aud"] = json!("client-1");
    claims["iat"] = json!(now());
    claims["exp"] = json!(now() + lifetime);
    let typ = document("auth0/logout-token-header")["typ"].as_str().unwrap().to_owned();
    assert_eq!(site.log_out(&site.provider.signed(&typ, &claims)).await.status, 200);
    site.refused(&ended).await;
    assert!(site.passes(&kept).await);
}

/// T6.3: the events that were recorded at Okta. The one about a credential that was created has no effect, which
/// is counted with its reason.
#[tokio::test]
async fn the_events_recorded_at_okta_are_taken() {
    let site = site("      subject_claim: uid").await;
    let typ = document("okta/set-header")["typ"].as_str().unwrap().to_owned();
    let token = |user: &str| {
        site.provider.key.token(&json!({
            "iss": site.provider.issuer.url(), "aud": "api", "sub": "alice@acme.example", "uid": user, "iat": now() - 5,
            "exp": now() + 3600, "scope": "items",
        }))
    };
    let [alice, bob] = ["00u1acmeAliceUser5d7", "00u1acmeBobUser5d7"].map(token);
    assert!(site.passes(&alice).await && site.passes(&bob).await);
    for (name, outcome) in [("set-credential-change", "harmless"), ("set-session-revoked", "withdrawn")] {
        assert!(site.passes(&alice).await, "{name}");
        let mut claims = document(&format!("okta/{name}"));
        claims["aud"] = json!("https://api.example/ssf");
        claims["iat"] = json!(now());
        let (_, event) = claims["events"].as_object_mut().unwrap().iter_mut().next().unwrap();
        event["event_timestamp"] = json!(now() * 1000);
        let text = claims.to_string().replace("https://acme.okta.com", site.provider.issuer.url());
        let event = site.provider.signed(&typ, &serde_json::from_str(&text).unwrap());
        let answer = site.push(&event).await;
        assert_eq!(answer.status, 202, "{name}: {answer:?}");
        let counted = format!("kind=\"shared_signals\",outcome=\"{outcome}\"}} 1");
        assert!(site.metrics().await.contains(&counted), "{name}");
    }
    site.refused(&alice).await;
    assert!(site.passes(&bob).await);
}

/// T5.5, T6.4: a logout or an address of one provider says nothing about the users of another, even of the same name.
#[tokio::test]
async fn a_signal_of_one_provider_leaves_the_users_of_another_alone() {
    let [one, other] = [Transmitter::start().await, Transmitter::start().await];
    let folder = TempDir::new().unwrap();
    let store = format!("sqlite://{}", folder.path().join("gate.db").display());
    let text = config(&one, &store, "      email: true");
    let second = format!(
        "  second:\n    kind: oidc\n    issuer: {issuer}\n    audience: api\n    client_id: client-1\n    backchannel_logout: true\n    shared_signals: {{ issuer: {issuer}, audience: \"https://api.example/ssf\", jwks_uri: {keys}, email: true }}\nscopes:",
        issuer = other.issuer.url(),
        keys = other.issuer.at(&other.issuer.paths().keys),
    );
    let server = Server::start(&text.replacen("scopes:", &second, 1));
    let client = Client::new(&server.url);
    let mine = one.access("ada", "s-1", now() - 5);
    let theirs = other.access("ada", "s-1", now() - 5);
    let passes = async |token: &str| client.get_with("/items", token).await.status == 200;
    assert!(passes(&mine).await && passes(&theirs).await);
    let logout = one.logout("j-1", &json!({ "sub": "ada" }));
    let form = format!("logout_token={logout}");
    assert_eq!(client.form("/providers/second/backchannel-logout", &form).await.status, 400);
    let address = json!({ "format": "email", "email": "ADA@acme.example" });
    let event = other.event("e-1", &format!("{CAEP}session-revoked"), &address, &json!({}));
    let headers = [("content-type", "application/secevent+jwt")];
    let pushed = client.send("POST", "/providers/second/shared-signals", &headers, &event).await;
    assert_eq!(pushed.status, 202, "{pushed:?}");
    assert!(passes(&mine).await && !passes(&theirs).await);
    assert_eq!(client.form("/providers/idp/backchannel-logout", &form).await.status, 200);
    assert!(!passes(&mine).await);
}

/// T6.4: an address has no effect where the settings do not take addresses, or where the token does not hold it as
/// verified; the event is acknowledged and audited.
#[tokio::test]
async fn an_address_that_is_not_verified_matches_no_token() {
    let event = |provider: &Transmitter| {
        let address = json!({ "format": "email", "email": "ada@acme.example" });
        provider.event("e-1", &format!("{CAEP}session-revoked"), &address, &json!({}))
    };
    let closed = site("").await;
    let token = closed.provider.access("ada", "s-1", now() - 5);
    assert_eq!(closed.push(&event(&closed.provider)).await.status, 202);
    assert!(closed.passes(&token).await);
    assert!(closed.metrics().await.contains("outcome=\"email_not_enabled\"} 1"));
    let open = site("      email: true").await;
    let unverified = open.provider.key.token(&json!({
        "iss": open.provider.issuer.url(), "aud": "api", "sub": "ada", "iat": now() - 5, "exp": now() + 3600,
        "scope": "items", "email": "ada@acme.example", "email_verified": false,
    }));
    assert_eq!(open.push(&event(&open.provider)).await.status, 202);
    assert!(open.passes(&unverified).await);
}

/// `check --online` says whether the provider announces back-channel logout, and by what a logout matches its
/// access tokens.
#[tokio::test(flavor = "multi_thread")]
async fn check_says_whether_a_logout_is_announced_and_what_it_matches() {
    for (announced, taken, expected) in [
        (
            json!({ "backchannel_logout_supported": true, "backchannel_logout_session_supported": true }),
            true,
            "it announces back-channel logout; a logout names the session: it matches access tokens that hold the session's id in `sid`",
        ),
        (
            json!({ "backchannel_logout_supported": true }),
            true,
            "a logout names the subject: it matches access tokens by `sub`",
        ),
        (json!({}), true, "it does not announce back-channel logout"),
        (json!({ "backchannel_logout_supported": true }), false, "`backchannel_logout: true` takes it"),
    ] {
        let mut discovery =
            json!({ "issuer": "https://idp.example", "jwks_uri": "https://idp.example/keys" });
        discovery.as_object_mut().unwrap().extend(announced.as_object().unwrap().clone());
        let issuer = TestIssuer::like(&discovery).await;
        issuer.publish(&[&MintKey::es256("k1")]);
        let text = format!(
            "providers: {{ idp: {{ kind: oidc, issuer: {}, audience: api, client_id: shop, backchannel_logout: {taken} }} }}\n\
             store: {{ url: \"memory:\" }}\nroutes: [ {{ match: /a, allow: authenticated }} ]\n",
            issuer.url()
        );
        let checked = run(&[("scopegate.yaml", &text)], &["check", "--online"]);
        assert!(checked.code == 0 && checked.stdout.contains(expected), "{expected}: {checked:?}");
    }
}
