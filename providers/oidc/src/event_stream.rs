//! The client of a transmitter of security events: stream management (Shared Signals Framework 1.0, section 8) and polls
//! (RFC 8936).

use std::{fmt, sync::Arc, time::Duration};

use aws_lc_rs::{constant_time, hmac};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use scopegate_provider::{
    BearerToken, Excerpt, HttpClient, Issuer, PollAnswer, PolledEvents, ProviderName, Secret, Span,
    StreamDelivery, StreamError, StreamReport, StreamStatus, Timestamp,
};
use serde_json::{Map, Value, json};
use url::Url;

use crate::{discovery::Discovery, metadata::Metadata, settings::SharedSignals};

/// The method of a stream whose events are pushed.
const PUSH: &str = "urn:ietf:rfc:8935";

/// The method of a stream whose events are polled.
const POLL: &str = "urn:ietf:rfc:8936";

/// The most events that one poll asks for.
const EVENTS_PER_POLL: usize = 100;

/// The longest time between the request of a verification and its event.
const VERIFIED_WITHIN: Duration = Duration::from_hours(1);

/// The prefix of the events that a stream is registered for.
const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";

/// As [`CAEP`].
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";

/// The events of CAEP that have an effect here.
const CAEP_EVENTS: [&str; 5] = [
    "session-revoked",
    "token-claims-change",
    "credential-change",
    "assurance-level-change",
    "device-compliance-change",
];

/// The events of RISC that have an effect here.
const RISC_EVENTS: [&str; 5] = [
    "account-disabled",
    "account-purged",
    "account-credential-change-required",
    "credential-compromise",
    "identifier-recycled",
];

/// A client of a transmitter.
#[derive(Debug)]
pub(crate) struct StreamClient {
    pub(crate) provider: ProviderName,
    pub(crate) issuer: Issuer,
    pub(crate) settings: SharedSignals,
    /// The place of the transmitter's metadata.
    pub(crate) discovery: Option<Discovery>,
    pub(crate) http: Arc<dyn HttpClient>,
    /// The key of the verifications' `state`; nothing if the settings hold no secret that it could be derived from.
    pub(crate) state_key: Option<StateKey>,
}

/// The key that makes the `state` of verifications. Nodes with the same settings recognize each other's.
pub(crate) struct StateKey(hmac::Key);

impl StateKey {
    /// Derives the key from a secret of the settings.
    pub(crate) fn derived(secret: &Secret) -> Self {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret.reveal().as_bytes());
        let derived = hmac::sign(&secret, b"scopegate stream verification 1");
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    fn sign(&self, text: &str) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, text.as_bytes()))
    }
}

impl fmt::Debug for StateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateKey").finish_non_exhaustive()
    }
}

impl StreamClient {
    /// Polls once: acknowledges the events that were handled and fetches those that wait (RFC 8936, section 2.2).
    pub(crate) async fn poll(&self, answer: &PollAnswer) -> Result<PolledEvents, StreamError> {
        let poll = self.settings.poll.as_ref().ok_or(StreamError::NotConfigured("shared_signals.poll"))?;
        let most = if answer.only_acknowledge { 0 } else { EVENTS_PER_POLL };
        let mut body = Map::new();
        body.insert("maxEvents".to_owned(), json!(most));
        body.insert("returnImmediately".to_owned(), json!(true));
        if !answer.handled.is_empty() {
            body.insert("ack".to_owned(), json!(answer.handled));
        }
        let errors = answer.refused.iter().map(|(id, refused)| {
            (id.to_string(), json!({ "err": refused.code, "description": refused.description }))
        });
        if !answer.refused.is_empty() {
            body.insert("setErrs".to_owned(), errors.collect());
        }
        let body = Value::Object(body);
        let response = self.send(Method::POST, &poll.url.0, Some(&body), poll.token.as_ref()).await?;
        let members = object(&response, &poll.url.0)?;
        let sets = members.get("sets").and_then(Value::as_object);
        let events = sets.into_iter().flatten().map(|(id, event)| {
            let event = event.as_str().and_then(|event| BearerToken::parse(event).ok());
            (id.as_str().into(), event)
        });
        Ok(PolledEvents {
            events: events.collect(),
            more: members.get("moreAvailable") == Some(&Value::Bool(true)),
        })
    }

    /// Creates a stream (section 8.1.1.1).
    pub(crate) async fn register(
        &self,
        endpoint: Option<&str>,
        token: Option<&Secret>,
    ) -> Result<StreamReport, StreamError> {
        let metadata = self.metadata().await?;
        let url = named(metadata.configuration_endpoint.as_ref(), "configuration_endpoint")?;
        let delivery = match (&self.settings.poll, endpoint) {
            (Some(_), _) => json!({ "method": POLL }),
            (None, Some(endpoint)) => {
                let secret = self.settings.authorization.as_ref().map(Secret::reveal);
                match secret {
                    Some(secret) => {
                        json!({ "method": PUSH, "endpoint_url": endpoint, "authorization_header": secret })
                    }
                    None => json!({ "method": PUSH, "endpoint_url": endpoint }),
                }
            }
            (None, None) => return Err(StreamError::NotConfigured("server.public_url")),
        };
        let caep = CAEP_EVENTS.iter().map(|event| format!("{CAEP}{event}"));
        let risc = RISC_EVENTS.iter().map(|event| format!("{RISC}{event}"));
        let events: Vec<String> = caep.chain(risc).collect();
        let body = json!({ "delivery": delivery, "events_requested": events, "description": "scopegate" });
        let response = match self.send(Method::POST, url, Some(&body), token).await {
            Err(StreamError::Status { status: 409, .. }) => return Err(StreamError::Exists),
            response => response?,
        };
        Ok(self.report(&object(&response, url)?))
    }

    /// Reads the stream and its status (sections 8.1.1.2 and 8.1.2.1).
    pub(crate) async fn status(
        &self,
        endpoint: Option<&str>,
        token: Option<&Secret>,
    ) -> Result<StreamReport, StreamError> {
        let metadata = self.metadata().await?;
        let url = named(metadata.configuration_endpoint.as_ref(), "configuration_endpoint")?;
        let mut report = self.report(&self.stream(url, endpoint, token).await?);
        if let Some(status_url) = &metadata.status_endpoint {
            let status_url = of_stream(status_url, &report.id);
            let response = self.send(Method::GET, &status_url, None, token).await?;
            let members = object(&response, &status_url)?;
            report.status = members.get("status").and_then(Value::as_str).and_then(StreamStatus::parse);
            report.reason = text(&members, "reason");
        }
        Ok(report)
    }

    /// Asks the transmitter for a verification event (section 8.1.4.2).
    pub(crate) async fn verify(
        &self,
        endpoint: Option<&str>,
        token: Option<&Secret>,
        now: Timestamp,
    ) -> Result<(), StreamError> {
        let state = self.state(now).ok_or(StreamError::NotConfigured("shared_signals.stream.token"))?;
        let metadata = self.metadata().await?;
        let url = named(metadata.verification_endpoint.as_ref(), "verification_endpoint")?;
        let configured = self.settings.stream.as_ref().and_then(|stream| stream.id.clone());
        let id = match (configured, &metadata.configuration_endpoint) {
            (Some(id), _) => id,
            (None, Some(url)) => self.report(&self.stream(url, endpoint, token).await?).id,
            (None, None) => return Err(StreamError::NotConfigured("shared_signals.stream.id")),
        };
        let body = json!({ "stream_id": id, "state": state });
        self.send(Method::POST, url, Some(&body), token).await.map(drop)
    }

    /// Returns `true` if a verification's `state` is one that a node with these settings has sent a short time ago.
    pub(crate) fn knows_state(&self, state: &str, now: Timestamp) -> bool {
        let Some(sent) = state.split('.').next().and_then(|seconds| seconds.parse().ok()) else {
            return false;
        };
        let sent = Timestamp::from_seconds(sent);
        let Some(expected) = self.state(sent) else { return false };
        let is_recent = now.since(sent) <= VERIFIED_WITHIN && sent.since(now) <= VERIFIED_WITHIN;
        is_recent && constant_time::verify_slices_are_equal(expected.as_bytes(), state.as_bytes()).is_ok()
    }

    /// Returns the `state` of a verification. It vouches for itself, so that every node of a store recognizes it.
    fn state(&self, now: Timestamp) -> Option<String> {
        let text = format!("{}\0{}\0{}", self.provider, self.issuer, now.seconds());
        Some(format!("{}.{}", now.seconds(), self.state_key.as_ref()?.sign(&text)))
    }

    /// Reads the configuration of the stream: the one of the settings, the one that leads here, or the only one.
    async fn stream(
        &self,
        url: &Url,
        endpoint: Option<&str>,
        token: Option<&Secret>,
    ) -> Result<Map<String, Value>, StreamError> {
        let id = self.settings.stream.as_ref().and_then(|stream| stream.id.as_deref());
        let url = id.map_or_else(|| url.clone(), |id| of_stream(url, id));
        let response = self.send(Method::GET, &url, None, token).await?;
        let malformed = || StreamError::Malformed { url: url.to_string() };
        let streams = match serde_json::from_slice(response.body()) {
            Ok(Value::Object(stream)) => vec![stream],
            Ok(Value::Array(streams)) => {
                streams.into_iter().filter_map(|stream| stream.as_object().cloned()).collect()
            }
            _ => return Err(malformed()),
        };
        let leads_here = |stream: &&Map<String, Value>| {
            let delivery = stream.get("delivery").and_then(|delivery| delivery.get("endpoint_url"));
            delivery.and_then(Value::as_str) == endpoint && endpoint.is_some()
        };
        let only = if streams.len() == 1 { streams.first() } else { None };
        let found = streams.iter().find(leads_here).or(only).cloned();
        found.ok_or(StreamError::NoStream { count: streams.len() })
    }

    /// Reports a stream, and what in it would have events refused here: a transmitter may mix up issuers and audiences.
    fn report(&self, stream: &Map<String, Value>) -> StreamReport {
        let issuer = text(stream, "iss").unwrap_or_default();
        let audience = match stream.get("aud") {
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            Some(Value::String(one)) => vec![one.clone()],
            _ => Vec::new(),
        };
        let mut problems = Vec::new();
        if issuer != self.issuer.as_str() {
            problems.push(format!(
                "the stream's `iss` is `{issuer}`, and its events would be refused: expected `shared_signals.issuer`, \
                 which is `{}`",
                self.issuer
            ));
        }
        if !audience.iter().any(|name| self.settings.audience.0.iter().any(|own| own.as_str() == name)) {
            problems.push(format!(
                "the stream's `aud` is `{}`, and its events would be refused: set `shared_signals.audience` to it",
                audience.join(" ")
            ));
        }
        let delivery = stream.get("delivery");
        let method = delivery.and_then(|delivery| delivery.get("method")).and_then(Value::as_str);
        let place = delivery.and_then(|delivery| delivery.get("endpoint_url")).and_then(Value::as_str);
        let events = stream.get("events_delivered").and_then(Value::as_array);
        StreamReport {
            id: text(stream, "stream_id").unwrap_or_default(),
            issuer,
            audience,
            delivery: method.map(|method| match method {
                POLL => StreamDelivery::Poll,
                _ => StreamDelivery::Push,
            }),
            endpoint: place.map(str::to_owned),
            events: events.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect(),
            status: None,
            reason: None,
            problems,
        }
    }

    async fn metadata(&self) -> Result<Metadata, StreamError> {
        let discovery = self.discovery.as_ref().ok_or(StreamError::NotConfigured("shared_signals.issuer"))?;
        discovery.fetch(&*self.http).await.map_err(|error| StreamError::Metadata(error.to_string()))
    }

    /// Sends a request, and returns the response if it is a success.
    async fn send(
        &self,
        method: Method,
        url: &Url,
        body: Option<&Value>,
        token: Option<&Secret>,
    ) -> Result<Response<Bytes>, StreamError> {
        let mut request = Request::new(body.map(ToString::to_string).unwrap_or_default().into());
        *request.method_mut() = method;
        *request.uri_mut() =
            url.as_str().parse().map_err(|_| StreamError::Malformed { url: url.to_string() })?;
        let headers = request.headers_mut();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if body.is_some() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(token) = token {
            let bearer = HeaderValue::from_str(&format!("Bearer {}", token.reveal()));
            let mut bearer = bearer.map_err(|_| StreamError::NotConfigured("shared_signals.stream.token"))?;
            bearer.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, bearer);
        }
        let response = self.http.send(request).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let said = serde_json::from_slice::<Value>(response.body()).ok();
        let said = ["error_description", "description", "error", "err"]
            .iter()
            .find_map(|name| said.as_ref()?.get(name)?.as_str().map(Excerpt::new));
        let hint = match response.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                "; the token needs the scopes `ssf.read` and `ssf.manage`"
            }
            _ => "",
        };
        Err(StreamError::Status { url: url.to_string(), status: response.status().as_u16(), said, hint })
    }
}

/// Returns the default interval of polls.
pub(crate) fn poll_interval(settings: &SharedSignals) -> Option<Duration> {
    settings.poll.as_ref().map(|poll| poll.every.map_or(Duration::from_secs(30), Span::get))
}

/// Returns an endpoint with the stream's id in its query.
fn of_stream(url: &Url, id: &str) -> Url {
    let mut url = url.clone();
    url.query_pairs_mut().append_pair("stream_id", id);
    url
}

fn named<'a>(url: Option<&'a Url>, name: &'static str) -> Result<&'a Url, StreamError> {
    url.ok_or(StreamError::NoEndpoint(name))
}

fn text(members: &Map<String, Value>, name: &str) -> Option<String> {
    members.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn object(response: &Response<Bytes>, url: &Url) -> Result<Map<String, Value>, StreamError> {
    // An acknowledgement alone may be answered without a body.
    if response.body().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(response.body()) {
        Ok(Value::Object(members)) => Ok(members),
        _ => Err(StreamError::Malformed { url: url.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use scopegate_provider::HttpError;

    use super::*;

    /// Reaches nothing.
    #[derive(Debug)]
    struct NoNetwork;

    #[async_trait]
    impl HttpClient for NoNetwork {
        async fn send(&self, _: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
            Err(HttpError::Timeout { host: "acme.okta.com".to_owned() })
        }
    }

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

    fn client(secret: Option<&str>) -> StreamClient {
        StreamClient {
            provider: ProviderName::parse("okta").unwrap(),
            issuer: Issuer::parse("https://acme.okta.com").unwrap(),
            settings: SharedSignals::default(),
            discovery: None,
            http: Arc::new(NoNetwork),
            state_key: secret.map(|secret| StateKey::derived(&Secret::new(secret))),
        }
    }

    #[test]
    fn a_state_is_known_to_nodes_with_the_same_secret_for_an_hour() {
        let state = client(Some("a")).state(NOW).unwrap();
        assert!(client(Some("a")).knows_state(&state, NOW + VERIFIED_WITHIN));
        assert!(!client(Some("a")).knows_state(&state, NOW + VERIFIED_WITHIN + Duration::from_secs(1)));
        assert!(!client(Some("b")).knows_state(&state, NOW));
        assert!(!client(Some("a")).knows_state("1790000000.", NOW));
    }

    /// Without a secret anyone could make a state.
    #[tokio::test]
    async fn without_a_secret_no_verification_is_requested_and_no_state_is_known() {
        assert_eq!(client(None).state(NOW), None);
        assert!(!client(None).knows_state("1790000000.", NOW));
        let refused = client(None).verify(None, None, NOW).await;
        assert!(
            matches!(refused, Err(StreamError::NotConfigured("shared_signals.stream.token"))),
            "{refused:?}"
        );
    }
}
