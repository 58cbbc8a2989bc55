//! Token introspection at the provider (RFC 7662, RFC 9701).

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::{FutureExt, Shared};
use http::{HeaderValue, Response, StatusCode, header};
use scopegate_provider::{
    AuthnError, BearerToken, Clock, Excerpt, HttpClient, HttpError, IntrospectionHealth, Issuer, Outage,
    OutageCause,
};
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use url::Url;

use crate::{
    client::{CannotSign, Client, Form, post},
    discovery::redirect_target,
    json::parse_object,
    retry::asked_wait,
    settings::IntrospectionSettings,
    token_request::clean,
};

/// The number of introspections at one provider at a time. Okta takes 35 to 75 requests of a whole organisation.
const CONCURRENT: usize = 32;

/// The time until a new attempt, if the provider names none.
const RETRY: Duration = Duration::from_secs(2);

/// The media type of signed answers (RFC 9701, section 4).
const SIGNED_ANSWER: &str = "application/token-introspection+jwt";

/// A well-formed answer about a token.
#[derive(Debug)]
pub(crate) enum AnswerBody {
    /// An object with a boolean `active`.
    Plain(Map<String, Value>),
    /// A JWT that holds such an object, not verified yet (RFC 9701, section 5).
    Signed(BearerToken),
}

/// An answer, shared by all who asked at the same time.
pub(crate) type Answer = Arc<AnswerBody>;

type Flight = Shared<Pin<Box<dyn Future<Output = Result<Answer, AuthnError>> + Send>>>;

/// A client of the introspection endpoint. Concurrent calls for the same token become one.
#[derive(Debug)]
pub(crate) struct Introspector {
    line: Arc<Line>,
    flights: Arc<Mutex<Flights>>,
}

/// The calls under way, by issuer and token. A call without waiters is dropped.
#[derive(Default)]
struct Flights(HashMap<(Issuer, BearerToken), WeakFlight>);

type WeakFlight =
    futures_util::future::WeakShared<Pin<Box<dyn Future<Output = Result<Answer, AuthnError>> + Send>>>;

/// The parts that a call needs.
#[derive(Debug)]
struct Line {
    client: Option<Client>,
    http: Arc<dyn HttpClient>,
    clock: Arc<dyn Clock>,
    timeout: Duration,
    /// `true` if answers must be signed.
    signed: bool,
    permits: Semaphore,
    /// The duration of the last call in milliseconds; `u64::MAX` before the first.
    latency: AtomicU64,
    answered: AtomicU64,
    answered_ms: AtomicU64,
    failed: AtomicU64,
    /// `true` if the last call failed.
    failing: AtomicBool,
}

/// An error of a call, for the log. Callers see an outage.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error(transparent)]
    CannotSign(#[from] CannotSign),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("too many introspections are under way")]
    Busy,
    #[error("the endpoint answered {status}{}{}", said(error.as_ref()), hint(*status))]
    Status {
        status: StatusCode,
        /// `error` and `error_description` of the provider.
        error: Option<Excerpt>,
        retry_after: Option<Duration>,
    },
    #[error(
        "the endpoint redirects to {0}, which is not followed; set `introspection_endpoint` to the right place"
    )]
    Redirect(Excerpt),
    #[error("the answer is not a JSON object with a boolean `active`")]
    Malformed,
    #[error("the answer is not signed, and `introspection.signed` asks for a signed one (RFC 9701)")]
    Unsigned,
}

fn said(error: Option<&Excerpt>) -> String {
    error.map(|error| format!(": {error}")).unwrap_or_default()
}

fn hint(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            ": check `client_id`, `client_secret` and `client_authentication`"
        }
        _ => "",
    }
}

impl Introspector {
    /// Asks as `client`.
    pub(crate) fn new(
        client: Option<Client>,
        settings: &IntrospectionSettings,
        http: Arc<dyn HttpClient>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let line = Line {
            client,
            http,
            clock,
            timeout: settings.timeout.get(),
            signed: settings.signed,
            permits: Semaphore::new(CONCURRENT),
            latency: AtomicU64::new(u64::MAX),
            answered: AtomicU64::new(0),
            answered_ms: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            failing: AtomicBool::new(false),
        };
        Self { line: Arc::new(line), flights: Arc::default() }
    }

    /// Asks about a token, or joins a call about the same token that is under way.
    ///
    /// # Errors
    /// An outage for anything but a well-formed answer.
    pub(crate) async fn ask(
        &self,
        issuer: &Issuer,
        endpoint: &Url,
        token: &BearerToken,
    ) -> Result<Answer, AuthnError> {
        let flight = self.join(issuer, endpoint, token);
        flight.await
    }

    /// Asks about a token with a call of its own, so that the answer is not older than the question.
    ///
    /// # Errors
    /// As [`Introspector::ask`].
    pub(crate) async fn ask_anew(&self, endpoint: &Url, token: &BearerToken) -> Result<Answer, AuthnError> {
        self.line.ask(endpoint, token).await
    }

    /// Asks about a token, for a check of the settings.
    ///
    /// # Errors
    /// The problem, with the provider's own error.
    pub(crate) async fn probe(&self, endpoint: &Url, token: &BearerToken) -> Result<AnswerBody, String> {
        self.line.answer(endpoint, token).await.map_err(|problem| problem.to_string())
    }

    /// The duration of the last call in milliseconds.
    pub(crate) fn latency(&self) -> Option<u64> {
        Some(self.line.latency.load(Ordering::Relaxed)).filter(|millis| *millis != u64::MAX)
    }

    /// The counts of the calls.
    pub(crate) fn health(&self) -> IntrospectionHealth {
        IntrospectionHealth {
            answered: self.line.answered.load(Ordering::Relaxed),
            answered_ms: self.line.answered_ms.load(Ordering::Relaxed),
            failed: self.line.failed.load(Ordering::Relaxed),
        }
    }

    fn join(&self, issuer: &Issuer, endpoint: &Url, token: &BearerToken) -> Flight {
        let key = (issuer.clone(), token.clone());
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.0.get(&key).and_then(WeakFlight::upgrade) {
            return flight;
        }
        let landing = Landing { flights: Arc::downgrade(&self.flights), key: key.clone() };
        let (line, endpoint, token) = (self.line.clone(), endpoint.clone(), token.clone());
        let flight = async move {
            let _landing = landing;
            line.ask(&endpoint, &token).await
        };
        let flight = flight.boxed().shared();
        if let Some(flight) = flight.downgrade() {
            flights.0.insert(key, flight);
        }
        flight
    }
}

/// Removes a call from the list when it ends, however it ends.
struct Landing {
    flights: Weak<Mutex<Flights>>,
    key: (Issuer, BearerToken),
}

impl Drop for Landing {
    fn drop(&mut self) {
        if let Some(flights) = self.flights.upgrade() {
            flights.lock().unwrap_or_else(PoisonError::into_inner).0.remove(&self.key);
        }
    }
}

impl std::fmt::Debug for Flights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Flights({})", self.0.len())
    }
}

impl Line {
    async fn ask(&self, endpoint: &Url, token: &BearerToken) -> Result<Answer, AuthnError> {
        let answer = self.answer(endpoint, token).await;
        self.note(endpoint, &answer);
        answer.map(Arc::new).map_err(|problem| problem.outage().into())
    }

    /// Logs the first failure and the recovery; failures in between at the level of debugging.
    fn note(&self, endpoint: &Url, answer: &Result<AnswerBody, NoAnswer>) {
        let failing = self.failing.swap(answer.is_err(), Ordering::Relaxed);
        self.failed.fetch_add(u64::from(answer.is_err()), Ordering::Relaxed);
        match answer {
            Err(error) if failing => tracing::debug!(%endpoint, %error, "introspection failed again"),
            Err(error) => tracing::warn!(%endpoint, %error, "introspection failed"),
            Ok(_) if failing => tracing::info!(%endpoint, "introspection works again"),
            Ok(_) => {}
        }
    }

    async fn answer(&self, endpoint: &Url, token: &BearerToken) -> Result<AnswerBody, NoAnswer> {
        let start = self.clock.uptime();
        let answer = tokio::select! {
            answer = self.exchange(endpoint, token) => answer?,
            () = self.clock.sleep(self.timeout) => return Err(NoAnswer::Timeout(self.timeout)),
        };
        let took = self.clock.uptime().saturating_sub(start).as_millis();
        let took = u64::try_from(took).unwrap_or(u64::MAX);
        self.latency.store(took, Ordering::Relaxed);
        self.answered.fetch_add(1, Ordering::Relaxed);
        self.answered_ms.fetch_add(took, Ordering::Relaxed);
        self.read(&answer)
    }

    async fn exchange(&self, endpoint: &Url, token: &BearerToken) -> Result<Response<Bytes>, NoAnswer> {
        let _permit = self.permits.acquire().await.map_err(|_| NoAnswer::Busy)?;
        let form = Form::default().with("token", token.reveal()).with("token_type_hint", "access_token");
        let mut request = match &self.client {
            Some(client) => client.post(endpoint, form, &*self.clock)?,
            None => post(endpoint, form, None),
        };
        if self.signed {
            request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static(SIGNED_ANSWER));
        }
        Ok(self.http.send(request).await?)
    }

    /// Reads an answer: 200 and a JSON object in which `active` is a boolean (RFC 7662, section 2.2), or a JWT.
    fn read(&self, answer: &Response<Bytes>) -> Result<AnswerBody, NoAnswer> {
        if let Some(to) = redirect_target(answer) {
            return Err(NoAnswer::Redirect(to));
        }
        let status = answer.status();
        if status != StatusCode::OK {
            let retry_after = asked_wait(answer.headers(), self.clock.now());
            return Err(NoAnswer::Status { status, error: provider_error(answer.body()), retry_after });
        }
        let media_type = answer.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_jwt = media_type.is_some_and(|text| {
            text.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(SIGNED_ANSWER)
        });
        match (self.signed, is_jwt) {
            (true, true) => BearerToken::from_bytes(answer.body().trim_ascii())
                .map(AnswerBody::Signed)
                .map_err(|_| NoAnswer::Malformed),
            (true, false) => Err(NoAnswer::Unsigned),
            (false, _) => {
                let members = parse_object(answer.body(), "").map_err(|_| NoAnswer::Malformed)?;
                let is_answer = members.get("active").is_some_and(Value::is_boolean);
                if is_answer { Ok(AnswerBody::Plain(members)) } else { Err(NoAnswer::Malformed) }
            }
        }
    }
}

/// Returns the error in the provider's words (RFC 6749, section 5.2), without line breaks.
fn provider_error(body: &[u8]) -> Option<Excerpt> {
    let members = parse_object(body, "").ok()?;
    // Okta writes `errorCode` and `errorSummary`.
    let names = ["error", "errorCode", "error_description", "errorSummary"];
    let said: Vec<&str> = names.iter().filter_map(|name| members.get(*name)?.as_str()).collect();
    if said.is_empty() { None } else { Some(Excerpt::new(&clean(&said.join(": ")))) }
}

impl NoAnswer {
    fn outage(&self) -> Outage {
        let wait = match self {
            Self::Status { retry_after, .. } => retry_after.unwrap_or(RETRY),
            Self::Http(_)
            | Self::CannotSign(_)
            | Self::Timeout(_)
            | Self::Busy
            | Self::Redirect(_)
            | Self::Malformed
            | Self::Unsigned => RETRY,
        };
        Outage::new(OutageCause::Introspection, wait)
    }
}
