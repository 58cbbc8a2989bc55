//! The streams whose client scopegate is: polls (RFC 8936) and stream management (Shared Signals Framework 1.0, section 8).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use scopegate_testkit::{Reply, Request};
use serde_json::{Value, json};

use super::{CAEP, SSF, Site, Transmitter, config, site};
use crate::support::{Client, Server, eventually, now, run};

/// The events that wait at a transmitter, and what the receiver has said about others.
#[derive(Default)]
struct Outbox {
    waiting: BTreeMap<String, String>,
    acknowledged: Vec<String>,
    errors: BTreeMap<String, String>,
    polls: usize,
}

/// Serves polls at `/ssf/poll` as RFC 8936 asks for.
fn outbox(provider: &Transmitter) -> Arc<Mutex<Outbox>> {
    let outbox = Arc::<Mutex<Outbox>>::default();
    let shared = outbox.clone();
    provider.issuer.on("/ssf/poll", move |request| shared.lock().unwrap().answer(request));
    outbox
}

impl Outbox {
    fn answer(&mut self, request: &Request) -> Reply {
        if request.header("authorization") != Some("Bearer poll-token") {
            return Reply::json(401, &json!({ "error": "invalid_token" }));
        }
        self.polls += 1;
        let body: Value = serde_json::from_str(&request.body).unwrap();
        for id in body["ack"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            self.waiting.remove(id);
            self.acknowledged.push(id.to_owned());
        }
        for (id, error) in body["setErrs"].as_object().into_iter().flatten() {
            self.waiting.remove(id);
            self.errors.insert(id.clone(), error["err"].as_str().unwrap().to_owned());
        }
        // Two at a time, so that a receiver has to come again.
        let most = usize::try_from(body["maxEvents"].as_u64().unwrap()).unwrap().min(2);
        let sets: BTreeMap<_, _> = self.waiting.iter().take(most).collect();
        Reply::json(200, &json!({ "sets": sets, "moreAvailable": self.waiting.len() > most }))
    }
}

const POLLS: &str = "      poll: { url: ISSUER/ssf/poll, token: poll-token, every: 1s }";

async fn all_answered(outbox: &Mutex<Outbox>) {
    eventually(async || outbox.lock().unwrap().waiting.len(), |waiting| *waiting == 0).await;
}

/// Polled events have the effect of pushed ones, on every node; each is acknowledged or refused by its id.
#[tokio::test]
async fn polled_events_take_effect_and_are_answered_by_their_ids() {
    let site: Site = site(POLLS).await;
    let outbox = outbox(&site.provider);
    let revoked = format!("{CAEP}session-revoked");
    let issued_at = now() - 5;
    let ended = ["u1", "u2", "u3"].map(|user| site.provider.access(user, "s-1", issued_at));
    let kept = site.provider.access("other", "s-2", issued_at);
    let stranger = Transmitter::start().await;
    let mut waiting = BTreeMap::new();
    for user in ["u1", "u2", "u3"] {
        let event =
            site.provider.event(&format!("e-{user}"), &revoked, &site.provider.user(user), &json!({}));
        waiting.insert(format!("e-{user}"), event);
    }
    let foreign = stranger.event("e-4", &revoked, &stranger.user("other"), &json!({}));
    waiting.insert("e-4".to_owned(), foreign);
    let other_id = site.provider.event("e-x", &revoked, &site.provider.user("other"), &json!({}));
    waiting.insert("e-5".to_owned(), other_id);
    waiting.insert("e-6".to_owned(), "no token at all".to_owned());
    outbox.lock().unwrap().waiting = waiting;
    all_answered(&outbox).await;
    for token in &ended {
        eventually(async || site.one.get_with("/items", token).await.status, |status| *status == 401).await;
        eventually(async || site.other.get_with("/items", token).await.status, |status| *status == 401).await;
    }
    assert!(site.passes(&kept).await);
    let outbox = outbox.lock().unwrap();
    for user in ["u1", "u2", "u3"] {
        assert!(outbox.acknowledged.contains(&format!("e-{user}")), "{:?}", outbox.acknowledged);
    }
    let errors: Vec<_> = outbox.errors.iter().map(|(id, error)| (id.as_str(), error.as_str())).collect();
    let expected = [("e-4", "invalid_issuer"), ("e-5", "invalid_request"), ("e-6", "invalid_request")];
    assert_eq!(errors, expected);
}

/// An event is acknowledged only when its effect is durable.
#[tokio::test]
async fn a_polled_event_whose_effect_cannot_be_stored_is_offered_again() {
    let provider = Transmitter::start().await;
    let outbox = outbox(&provider);
    let revoked = format!("{CAEP}session-revoked");
    let event = provider.event("e-1", &revoked, &provider.user("ada"), &json!({}));
    outbox.lock().unwrap().waiting.insert("e-1".to_owned(), event);
    let text = config(&provider, "memory:", POLLS).replace("store: { url: \"memory:\" }\n", "");
    let text = text
        .replace("admin: { require: { all: [items], providers: [idp] } }\n", "")
        .replace("sample_api: true\n", "");
    let _server = Server::start(&text);
    eventually(async || outbox.lock().unwrap().polls, |polls| *polls >= 3).await;
    let outbox = outbox.lock().unwrap();
    assert!(outbox.waiting.contains_key("e-1") && outbox.acknowledged.is_empty() && outbox.errors.is_empty());
}

/// T6.8: polls that fail are noticed, and it is noticed that they succeed again.
#[tokio::test]
async fn polls_that_fail_degrade_the_node_until_they_succeed() {
    let site = site(POLLS).await;
    let operations = Client::new(&site.servers[0].operations);
    let ready = async || operations.get("/readyz").await.text;
    eventually(ready, |text| text.contains("security events of `idp` cannot be polled")).await;
    assert!(site.metrics().await.contains("scopegate_shared_signals_degraded{provider=\"idp\"} 1"));
    let _outbox = outbox(&site.provider);
    eventually(ready, |text| !text.contains("cannot be polled")).await;
}

/// Serves the metadata and the management of a stream.
fn managed(provider: &Transmitter, stream: &Value) -> Arc<Mutex<Vec<Value>>> {
    let issuer = &provider.issuer;
    let metadata = json!({
        "issuer": issuer.url(), "jwks_uri": issuer.at(&issuer.paths().keys), "spec_version": "1_0",
        "configuration_endpoint": issuer.at("/ssf/stream"), "status_endpoint": issuer.at("/ssf/status"),
        "verification_endpoint": issuer.at("/ssf/verify"),
    });
    issuer.on("/.well-known/ssf-configuration", move |_| Reply::json(200, &metadata));
    let requests = Arc::<Mutex<Vec<Value>>>::default();
    let (created, verified) = (requests.clone(), requests.clone());
    let (stream, listed) = (stream.clone(), json!([stream]));
    issuer.on("/ssf/stream", move |request| {
        assert_eq!(request.header("authorization"), Some("Bearer manage-token"));
        if request.method == "GET" {
            return Reply::json(200, &listed);
        }
        let mut requests = created.lock().unwrap();
        let is_first = requests.is_empty();
        requests.push(serde_json::from_str(&request.body).unwrap());
        Reply::json(if is_first { 201 } else { 409 }, &stream)
    });
    issuer.on("/ssf/status?stream_id=f67e", |_| {
        Reply::json(200, &json!({ "stream_id": "f67e", "status": "enabled" }))
    });
    issuer.on("/ssf/verify", move |request| {
        verified.lock().unwrap().push(serde_json::from_str(&request.body).unwrap());
        Reply::json(204, &json!({}))
    });
    requests
}

const MANAGED: &str = "      stream: { token: manage-token }";

fn stream_of(provider: &Transmitter) -> Value {
    json!({
        "stream_id": "f67e", "iss": provider.issuer.url(), "aud": "https://api.example/ssf",
        "delivery": { "method": "urn:ietf:rfc:8935", "endpoint_url": "https://api.example/providers/idp/shared-signals" },
        "events_delivered": [format!("{CAEP}session-revoked")],
    })
}

/// `scopegate provider signals NAME register|status|verify`.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_registered_read_and_verified_by_commands() {
    let provider = Transmitter::start().await;
    let requests = managed(&provider, &stream_of(&provider));
    let text = config(&provider, "memory:", MANAGED).replace(
        "server: { listen: 127.0.0.1:0 }",
        "server: { listen: 127.0.0.1:0, public_url: https://api.example }",
    );
    let call = |name: &str| run(&[("scopegate.yaml", &text)], &["provider", "signals", "idp", name]);
    let registered = call("register");
    assert_eq!(registered.code, 0, "{registered:?}");
    assert!(registered.stdout.contains("stream     f67e"), "{registered:?}");
    let request = requests.lock().unwrap()[0].clone();
    assert_eq!(request["delivery"]["method"], "urn:ietf:rfc:8935");
    assert_eq!(request["delivery"]["endpoint_url"], "https://api.example/providers/idp/shared-signals");
    assert_eq!(request["delivery"]["authorization_header"], "Bearer s3cret");
    assert!(
        request["events_requested"].as_array().unwrap().contains(&json!(format!("{CAEP}session-revoked")))
    );
    let again = call("register");
    assert!(again.code == 1 && again.stderr.contains("has a stream for this receiver already"), "{again:?}");
    let status = call("status");
    assert!(status.code == 0 && status.stdout.contains("status     enabled"), "{status:?}");
    let verified = call("verify");
    assert_eq!(verified.code, 0, "{verified:?}");
    let request = requests.lock().unwrap().last().unwrap().clone();
    assert_eq!(request["stream_id"], "f67e");
    assert!(request["state"].as_str().is_some_and(|state| !state.is_empty()), "{request}");
    for run in [&registered, &status, &verified] {
        assert!(!run.stdout.contains("s3cret") && !run.stdout.contains("manage-token"), "{run:?}");
    }
}

/// A transmitter that mixes up issuers or audiences is noticed when the stream is registered.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_another_issuer_or_audience_is_reported() {
    let provider = Transmitter::start().await;
    let mut stream = stream_of(&provider);
    stream["iss"] = json!("https://evil.example");
    stream["aud"] = json!(["https://other.example"]);
    managed(&provider, &stream);
    let text = config(&provider, "memory:", MANAGED);
    let status = run(&[("scopegate.yaml", &text)], &["provider", "signals", "idp", "status"]);
    assert_eq!(status.code, 1, "{status:?}");
    assert!(status.stdout.contains("the stream's `iss` is `https://evil.example`"), "{status:?}");
    assert!(status.stdout.contains("set `shared_signals.audience` to it"), "{status:?}");
}

/// T6.8: a node asks for verifications, takes the event that brings its state back, on whichever node it arrives, and no
/// other.
#[tokio::test]
async fn a_verification_must_bring_back_the_state_that_a_node_has_sent() {
    let site = site("      stream: { id: f67e, token: manage-token, verify_every: 1h }").await;
    let requests = managed(&site.provider, &stream_of(&site.provider));
    // The first request may have come before the transmitter was there.
    let text = config(&site.provider, "memory:", MANAGED);
    let sent = async || requests.lock().unwrap().last().map(|request| request["state"].clone());
    if sent().await.is_none() {
        let called = tokio::task::spawn_blocking(move || {
            run(&[("scopegate.yaml", &text)], &["provider", "signals", "idp", "verify"])
        });
        assert_eq!(called.await.unwrap().code, 0);
    }
    let state = eventually(sent, Option::is_some).await.unwrap();
    let stream = json!({ "format": "opaque", "id": "f67e" });
    let event = |id: &str, state: &Value| {
        let members = json!({ "state": state });
        site.provider.event(id, &format!("{SSF}verification"), &stream, &members)
    };
    let foreign = site.push(&event("v-1", &json!("1790000000.00"))).await;
    assert_eq!((foreign.status, foreign.json()["err"].as_str()), (400, Some("invalid_state")), "{foreign:?}");
    assert_eq!(site.push(&event("v-2", &state)).await.status, 202);
    assert!(
        site.metrics().await.contains("scopegate_shared_signals_last_verification_seconds{provider=\"idp\"}")
    );
}
