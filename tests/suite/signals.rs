//! Withdrawal by the provider: a transmitter written from the specifications, and two nodes that share a store.

mod blocks;
mod lasting;
mod shapes;
mod storms;
mod streams;

use scopegate_testkit::{MintKey, TestIssuer};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Answer, Client, Server, eventually, now};

const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
const SSF: &str = "https://schemas.openid.net/secevent/ssf/event-type/";
const LOGOUT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// A provider that signs tokens, logout tokens and security events.
struct Transmitter {
    issuer: TestIssuer,
    key: MintKey,
}

/// Two nodes on one store, and the provider whose tokens both take.
struct Site {
    provider: Transmitter,
    one: Client,
    other: Client,
    operations: Client,
    servers: [Server; 2],
    _folder: TempDir,
}

impl Transmitter {
    async fn start() -> Self {
        let issuer = TestIssuer::start().await;
        let key = MintKey::es256("k1");
        issuer.publish(&[&key]);
        Self { issuer, key }
    }

    /// An access token of a user, in a session, issued at a moment.
    fn access(&self, user: &str, session: &str, issued_at: i64) -> String {
        self.key.token(&json!({
            "iss": self.issuer.url(), "aud": "api", "sub": user, "sid": session, "uid": format!("00u-{user}"),
            "jti": format!("{user}-{session}-{issued_at}"), "iat": issued_at, "exp": issued_at + 3600, "scope": "items",
            "email": format!("{user}@acme.example"), "email_verified": true,
        }))
    }

    fn signed(&self, typ: &str, claims: &Value) -> String {
        let mut header = self.key.header();
        header["typ"] = json!(typ);
        self.key.token_with(&header, claims)
    }

    fn logout(&self, id: &str, subject: &Value) -> String {
        let mut claims = json!({
            "iss": self.issuer.url(), "aud": "client-1", "jti": id, "iat": now(), "exp": now() + 120,
            "events": { LOGOUT: {} },
        });
        claims.as_object_mut().unwrap().extend(subject.as_object().unwrap().clone());
        self.signed("logout+jwt", &claims)
    }

    fn event(&self, id: &str, event: &str, subject: &Value, members: &Value) -> String {
        self.signed(
            "secevent+jwt",
            &json!({
                "iss": self.issuer.url(), "aud": "https://api.example/ssf", "jti": id, "iat": now(),
                "sub_id": subject, "events": { event: members },
            }),
        )
    }

    fn user(&self, name: &str) -> Value {
        json!({ "format": "iss_sub", "iss": self.issuer.url(), "sub": name })
    }
}

fn config(provider: &Transmitter, store: &str, more: &str) -> String {
    let more = more.replace("ISSUER", provider.issuer.url());
    format!(
        r#"
server: {{ listen: 127.0.0.1:0 }}
operations: {{ listen: 127.0.0.1:0 }}
sample_api: true
store: {{ url: "{store}" }}
admin: {{ require: {{ all: [items], providers: [idp] }} }}
providers:
  idp:
    kind: oidc
    issuer: {issuer}
    audience: api
    client_id: client-1
    backchannel_logout: true
    shared_signals:
      issuer: {issuer}
      audience: https://api.example/ssf
      jwks_uri: {keys}
      authorization: Bearer s3cret
{more}
scopes: {{ items: Read items }}
routes: [ {{ match: GET /items/**, require: items }} ]
"#,
        issuer = provider.issuer.url(),
        keys = provider.issuer.at(&provider.issuer.paths().keys),
    )
}

async fn site(more: &str) -> Site {
    let folder = TempDir::new().unwrap();
    let store = format!("sqlite://{}", folder.path().join("gate.db").display());
    let site = site_on(&store, more, Transmitter::start().await, folder);
    // Both nodes have fetched the keys once they take a token of the provider.
    assert!(site.passes(&site.provider.access("first", "s-0", now() - 5)).await);
    site
}

/// Two nodes on this store.
fn site_on(store: &str, more: &str, provider: Transmitter, folder: TempDir) -> Site {
    let text = config(&provider, store, more);
    let servers = [Server::start(&text), Server::start(&text)];
    let [one, other] = [Client::new(&servers[0].url), Client::new(&servers[1].url)];
    let operations = Client::new(&servers[0].operations);
    Site { provider, one, other, operations, servers, _folder: folder }
}

impl Site {
    async fn log_out(&self, token: &str) -> Answer {
        self.one.form("/providers/idp/backchannel-logout", &format!("logout_token={token}")).await
    }

    /// Pushes an event as a transmitter does: it sends it again as long as the receiver has not fetched the keys.
    async fn push(&self, token: &str) -> Answer {
        let headers = [("authorization", "Bearer s3cret"), ("content-type", "application/secevent+jwt")];
        let push = async || self.one.send("POST", "/providers/idp/shared-signals", &headers, token).await;
        eventually(push, |answer| answer.status != 503).await
    }

    async fn passes(&self, token: &str) -> bool {
        let mut answers = Vec::new();
        for node in [&self.one, &self.other] {
            // 503 as long as the node has not fetched the keys.
            let status = async || node.get_with("/items", token).await.status;
            answers.push(eventually(status, |status| *status != 503).await);
        }
        assert_eq!(answers[0], answers[1]);
        answers[0] == 200
    }

    /// Waits until the other node refuses a token, which the first refuses at once.
    async fn refused(&self, token: &str) {
        let answer = self.one.get_with("/items", token).await;
        assert_eq!((answer.status, answer.json()["reason"].as_str()), (401, Some("revoked")), "{answer:?}");
        eventually(async || self.other.get_with("/items", token).await.status, |status| *status == 401).await;
    }

    async fn metrics(&self) -> String {
        self.operations.get("/metrics").await.text
    }
}

#[tokio::test]
async fn a_logout_of_a_session_refuses_its_tokens_on_every_node_and_no_others() {
    let site = site("").await;
    let issued_at = now() - 5;
    let ended = site.provider.access("ada", "s-1", issued_at);
    let kept = site.provider.access("ada", "s-2", issued_at);
    assert!(site.passes(&ended).await && site.passes(&kept).await);
    let answer = site.log_out(&site.provider.logout("j-1", &json!({ "sub": "ada", "sid": "s-1" }))).await;
    assert_eq!((answer.status, answer.text.as_str(), answer.header("cache-control")), (200, "", "no-store"));
    site.refused(&ended).await;
    assert!(site.passes(&kept).await);
}

/// T5.7: a login after the logout is not touched, and a token that was taken is not taken again.
#[tokio::test]
async fn a_logout_of_a_subject_spares_later_tokens_and_is_taken_once() {
    let site = site("").await;
    let ended = site.provider.access("ada", "s-1", now() - 5);
    let other_user = site.provider.access("bob", "s-1", now() - 5);
    let token = site.provider.logout("j-1", &json!({ "sub": "ada" }));
    assert_eq!(site.log_out(&token).await.status, 200);
    site.refused(&ended).await;
    let later = site.provider.access("ada", "s-2", now() + 2);
    assert!(site.passes(&later).await && site.passes(&other_user).await);
    let replayed = site.log_out(&token).await;
    assert_eq!((replayed.status, replayed.json()["error"].as_str()), (400, Some("invalid_request")));
}

/// T5.1, T5.4, T5.5, T6.2: an unsigned token, an access token, a security event and a token of another issuer are refused.
#[tokio::test]
async fn what_is_not_a_logout_token_of_this_provider_is_refused() {
    let site = site("").await;
    let stranger = Transmitter::start().await;
    let user = site.provider.access("ada", "s-1", now() - 5);
    let good = site.provider.logout("j-1", &json!({ "sub": "ada" }));
    let claims = good.split('.').nth(1).unwrap();
    let event =
        site.provider.event("e-1", &format!("{CAEP}session-revoked"), &site.provider.user("ada"), &json!({}));
    for bad in [
        format!("eyJhbGciOiJub25lIn0.{claims}."),
        user.clone(),
        event,
        stranger.logout("j-1", &json!({ "sub": "ada" })),
        "nonsense".to_owned(),
        String::new(),
    ] {
        let answer = site.log_out(&bad).await;
        assert_eq!((answer.status, answer.header("cache-control")), (400, "no-store"), "{bad}: {answer:?}");
        assert_eq!(answer.json()["error"], "invalid_request");
    }
    assert!(site.passes(&user).await);
    assert_eq!(site.one.get_with("/items", &good).await.status, 401);
    assert_eq!(site.one.get("/providers/idp/backchannel-logout").await.status, 405);
    assert_eq!(site.one.form("/providers/x/backchannel-logout", "").await.status, 404);
}

#[tokio::test]
async fn an_event_refuses_the_tokens_of_its_subject_on_every_node_and_no_others() {
    let site = site("").await;
    let issued_at = now() - 5;
    let revoked = format!("{CAEP}session-revoked");
    for (number, subject) in [
        site.provider.user("u0"),
        json!({ "format": "opaque", "id": "u1" }),
        json!({ "format": "jwt_id", "iss": site.provider.issuer.url(), "jti": format!("u2-s2-{issued_at}") }),
        json!({ "format": "complex", "session": { "format": "opaque", "id": "s3" } }),
        json!({ "user": site.provider.user("u4") }),
    ]
    .into_iter()
    .enumerate()
    {
        let ended = site.provider.access(&format!("u{number}"), &format!("s{number}"), issued_at);
        let kept = site.provider.access("other", "s-other", issued_at);
        assert!(site.passes(&ended).await && site.passes(&kept).await, "{subject}");
        let event = site.provider.event(&format!("e-{number}"), &revoked, &subject, &json!({}));
        let answer = site.push(&event).await;
        assert_eq!((answer.status, answer.text.as_str()), (202, ""), "{subject}: {answer:?}");
        site.refused(&ended).await;
        assert!(site.passes(&kept).await, "{subject}");
        assert_eq!(site.push(&event).await.status, 202);
    }
    let later = site.provider.access("u0", "s-9", now() + 2);
    assert!(site.passes(&later).await);
    let metrics = site.metrics().await;
    let counted = |outcome: &str, count: u32| {
        let labels = format!("{{provider=\"idp\",kind=\"shared_signals\",outcome=\"{outcome}\"}} {count}");
        assert!(metrics.contains(&labels), "{labels}: {metrics}");
    };
    counted("withdrawn", 5);
    counted("repeated", 5);
}

/// Okta: `sub` of events is the claim `uid` of tokens.
#[tokio::test]
async fn a_subject_may_be_known_by_another_claim_or_a_verified_address() {
    let site = site("      subject_claim: uid\n      email: true").await;
    let [ada, bob] = ["ada", "bob"].map(|name| site.provider.access(name, "s-1", now() - 5));
    assert!(site.passes(&ada).await && site.passes(&bob).await);
    let change = json!({ "credential_type": "ALL_FACTORS", "change_type": "revoke" });
    let event = format!("{CAEP}credential-change");
    let pushed = site.provider.event("e-1", &event, &site.provider.user("00u-ada"), &change);
    assert_eq!(site.push(&pushed).await.status, 202);
    site.refused(&ada).await;
    assert!(site.passes(&bob).await);
    let address = json!({ "format": "email", "email": "Bob@acme.example" });
    assert_eq!(site.push(&site.provider.event("e-2", &event, &address, &change)).await.status, 202);
    site.refused(&bob).await;
}

#[tokio::test]
async fn a_block_by_signal_holds_until_it_is_lifted() {
    let site = site("      events: { session-revoked: block }").await;
    let event = format!("{CAEP}session-revoked");
    let pushed = site.provider.event("e-1", &event, &site.provider.user("ada"), &json!({}));
    assert_eq!(site.push(&pushed).await.status, 202);
    let later = site.provider.access("ada", "s-1", now() + 2);
    site.refused(&later).await;
    let admin = site.provider.access("root", "s-2", now() - 5);
    let listed = site.one.get_with("/admin/revocations", &admin).await.json();
    assert_eq!(listed["items"][0]["until_lifted"], true, "{listed}");
    let path = format!("/admin/revocations/{}", listed["items"][0]["id"].as_str().unwrap());
    assert_eq!(site.one.json("DELETE", &path, &admin, &json!(null)).await.status, 204);
    assert_eq!(site.one.get_with("/items", &later).await.status, 200);
}

/// T6.1, T6.2, T6.7: what is not a security event of this stream is refused with the code of RFC 8935.
#[tokio::test]
async fn a_bad_event_is_refused_with_its_code() {
    let site = site("").await;
    let user = site.provider.user("ada");
    let revoked = format!("{CAEP}session-revoked");
    let good = site.provider.event("e-1", &revoked, &user, &json!({}));
    let with = |name: &str, value: Value| {
        let mut claims = json!({
            "iss": site.provider.issuer.url(), "aud": "https://api.example/ssf", "jti": "e-1", "iat": now(),
            "sub_id": user, "events": { &revoked: {} },
        });
        claims[name] = value;
        site.provider.signed("secevent+jwt", &claims)
    };
    let stranger = Transmitter::start().await;
    let forged = MintKey::es384("k1")
        .token_with(&json!({ "alg": "ES256", "kid": "k1", "typ": "secevent+jwt" }), &json!({}));
    for (bad, code) in [
        (with("iss", json!(stranger.issuer.url())), "invalid_issuer"),
        (with("aud", json!("https://other.example")), "invalid_audience"),
        (with("exp", json!(now() + 60)), "invalid_request"),
        (with("events", json!("{}")), "invalid_request"),
        (site.provider.logout("j-1", &json!({ "sub": "ada" })), "invalid_request"),
        (site.provider.access("ada", "s-1", now()), "invalid_request"),
        (forged, "invalid_request"),
        ("nonsense".to_owned(), "invalid_request"),
    ] {
        let answer = site.push(&bad).await;
        assert_eq!((answer.status, answer.json()["err"].as_str()), (400, Some(code)), "{bad}: {answer:?}");
        assert_eq!(answer.header("content-language"), "en");
    }
    let headers = [("authorization", "Bearer wrong"), ("content-type", "application/secevent+jwt")];
    let answer = site.one.send("POST", "/providers/idp/shared-signals", &headers, &good).await;
    assert_eq!((answer.status, answer.json()["err"].as_str()), (401, Some("authentication_failed")));
    assert_eq!(site.one.get_with("/items", &good).await.status, 401);
    let token = site.provider.access("ada", "s-1", now() - 5);
    assert!(site.passes(&token).await);
}

/// T6.8: a stream that its transmitter disables degrades the node. Unknown events are acknowledged and audited.
#[tokio::test]
async fn the_state_of_the_stream_and_unknown_events_are_noticed() {
    let site = site("").await;
    let stream = json!({ "format": "opaque", "id": "stream-1" });
    let unknown =
        site.provider.event("e-1", "https://other.example/event", &site.provider.user("ada"), &json!({}));
    assert_eq!(site.push(&unknown).await.status, 202);
    let verification = format!("{SSF}verification");
    let verified = site.provider.event("e-2", &verification, &stream, &json!({ "state": "x" }));
    assert_eq!(site.push(&verified).await.status, 202);
    let ready = site.operations.get("/readyz").await;
    assert!(!ready.text.contains("security events"), "{ready:?}");
    let updated = format!("{SSF}stream-updated");
    let disabled = site.provider.event("e-3", &updated, &stream, &json!({ "status": "disabled" }));
    assert_eq!(site.push(&disabled).await.status, 202);
    let ready = site.operations.get("/readyz").await;
    assert!(ready.text.contains("security events of `idp` are disabled"), "{ready:?}");
    let metrics = site.metrics().await;
    assert!(
        metrics.contains("scopegate_shared_signals_last_verification_seconds{provider=\"idp\"}"),
        "{metrics}"
    );
    assert!(metrics.contains("outcome=\"unknown_event\"} 1"), "{metrics}");
    let admin = site.provider.access("root", "s-2", now() - 5);
    let audit = site.one.get_with("/admin/audit", &admin).await;
    assert!(audit.text.contains("unknown_event"), "{audit:?}");
}

/// An effect that cannot be stored is not acknowledged.
#[tokio::test]
async fn without_a_store_the_provider_is_asked_to_send_the_signal_again() {
    let provider = Transmitter::start().await;
    let text = config(&provider, "memory:", "").replace("store: { url: \"memory:\" }\n", "");
    let text = text
        .replace("admin: { require: { all: [items], providers: [idp] } }\n", "")
        .replace("sample_api: true\n", "");
    let server = Server::start(&text);
    let client = Client::new(&server.url);
    let token = provider.logout("j-1", &json!({ "sub": "ada" }));
    let answer = client.form("/providers/idp/backchannel-logout", &format!("logout_token={token}")).await;
    assert_eq!((answer.status, answer.header("cache-control")), (503, "no-store"), "{answer:?}");
}
