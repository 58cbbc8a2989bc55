//! An issuer under test, and a client of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use scopegate_dev::{IssuerSettings, LoopbackAddress, Running};
use scopegate_provider::{Clock, Sleep, SystemClock, Timestamp};
use serde_json::{Map, Value, json};

pub(crate) const NOW: i64 = 1_790_000_000;

/// A time of day that a test sets; what waits, waits in real time.
#[derive(Debug)]
pub(crate) struct SetClock(AtomicI64, SystemClock);

impl SetClock {
    pub(crate) fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(self.0.load(Ordering::SeqCst))
    }

    fn uptime(&self) -> Duration {
        self.1.uptime()
    }

    fn sleep(&self, duration: Duration) -> Sleep<'_> {
        self.1.sleep(duration)
    }
}

pub(crate) struct Issuer {
    pub(crate) running: Running,
    pub(crate) clock: Arc<SetClock>,
    http: reqwest::Client,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub(crate) fn error(&self) -> (u16, &str) {
        (self.status, self.body["error"].as_str().unwrap())
    }

    pub(crate) fn token(&self) -> &str {
        self.body["access_token"].as_str().unwrap()
    }
}

/// The clients of every issuer here.
pub(crate) fn settings(more: &Value) -> IssuerSettings {
    let mut whole = json!({
        "audience": "https://api.acme.example",
        "clients": [
            { "id": "writer", "secret": "writer secret&more", "scopes": ["items:write", "items"] },
            { "id": "reader", "secret": "reader-secret", "scopes": ["items"], "lifetime": "5m",
              "claims": { "org_id": "acme", "roles": ["analyst"] } },
        ],
    });
    for (key, value) in more.as_object().unwrap() {
        whole[key] = value.clone();
    }
    let mut settings: IssuerSettings = serde_json::from_value(whole).unwrap();
    settings.listen = LoopbackAddress::ANY_PORT;
    settings
}

pub(crate) async fn issuer(more: Value) -> Issuer {
    let clock = Arc::new(SetClock(AtomicI64::new(NOW), SystemClock::new()));
    let running = settings(&more).start(clock.clone()).await.unwrap();
    Issuer {
        running,
        clock,
        http: reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap(),
    }
}

pub(crate) fn form(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

impl Issuer {
    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        Answer { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) }
    }

    pub(crate) async fn get(&self, url: &str) -> Answer {
        self.send(self.http.get(url)).await
    }

    pub(crate) async fn post(&self, url: &str, pairs: &[(&str, &str)]) -> Answer {
        self.send(self.post_request(url, &form(pairs))).await
    }

    pub(crate) fn post_request(&self, url: &str, body: &str) -> reqwest::RequestBuilder {
        self.http.post(url).header("content-type", "application/x-www-form-urlencoded").body(body.to_owned())
    }

    /// Asks for a token as the writer, in the form.
    pub(crate) async fn ask(&self, more: &[(&str, &str)]) -> Answer {
        let mut pairs = vec![
            ("grant_type", "client_credentials"),
            ("client_id", "writer"),
            ("client_secret", "writer secret&more"),
        ];
        pairs.extend_from_slice(more);
        self.post(&self.running.token_url(), &pairs).await
    }

    pub(crate) async fn introspect(&self, token: &str) -> Value {
        let pairs = [("token", token), ("client_id", "reader"), ("client_secret", "reader-secret")];
        let answer = self.post(&self.running.introspection_url().unwrap(), &pairs).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    pub(crate) async fn revoke_as_writer(&self, token: &str) -> Answer {
        let pairs = [("token", token), ("client_id", "writer"), ("client_secret", "writer secret&more")];
        self.post(&self.running.revocation_url(), &pairs).await
    }

    /// Key ids that are published now.
    pub(crate) async fn kids(&self) -> Vec<String> {
        let keys = self.get(&self.running.jwks_url()).await.body;
        keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }

    /// Verifies a token by the published key with jsonwebtoken's own reader.
    pub(crate) async fn verified(&self, token: &str) -> Map<String, Value> {
        use jsonwebtoken::{DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
        let keys = self.get(&self.running.jwks_url()).await.body;
        let keys: JwkSet = serde_json::from_value(keys).unwrap();
        let header = decode_header(token).unwrap();
        let mut validation = Validation::new(header.alg);
        validation.validate_exp = false;
        validation.validate_aud = false;
        let key = DecodingKey::from_jwk(keys.find(&header.kid.unwrap()).unwrap()).unwrap();
        decode(token, &key, &validation).unwrap().claims
    }
}

/// A part of a token, unverified.
pub(crate) fn part(token: &str, index: usize) -> Value {
    let text = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
}
