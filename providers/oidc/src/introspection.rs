//! Asking the provider about a token (RFC 7662).

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
use http::{Response, StatusCode};
use scopegate_provider::{
    AuthnError, BearerToken, Clock, HttpClient, HttpError, IntrospectionHealth, Issuer, Outage, OutageCause,
    Rejection, Timestamp,
};
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use url::Url;

use crate::{
    client::{CannotSign, Client, Form, post},
    json::parse_object,
    retry::asked_wait,
    settings::IntrospectionSettings,
};

/// How many introspections one provider is asked for at a time. Okta takes 35 to 75 requests of a whole organisation.
const CONCURRENT: usize = 32;

/// When to try again, if the provider does not say.
const RETRY: Duration = Duration::from_secs(2);

/// The members of an answer with `active: true`.
pub(crate) type Answer = Arc<Map<String, Value>>;

type Flight = Shared<Pin<Box<dyn Future<Output = Result<Answer, AuthnError>> + Send>>>;

/// Asks the provider about tokens. Calls for the same token at the same time become one.
#[derive(Debug)]
pub(crate) struct Introspector {
    line: Arc<Line>,
    flights: Arc<Mutex<Flights>>,
}

/// What is being asked, by issuer and token. A flight that nobody waits for any more is gone.
#[derive(Default)]
struct Flights(HashMap<(Issuer, BearerToken), WeakFlight>);

type WeakFlight =
    futures_util::future::WeakShared<Pin<Box<dyn Future<Output = Result<Answer, AuthnError>> + Send>>>;

/// What one call needs.
#[derive(Debug)]
struct Line {
    client: Option<Client>,
    http: Arc<dyn HttpClient>,
    clock: Arc<dyn Clock>,
    timeout: Duration,
    permits: Semaphore,
    /// How long the last answer took, in milliseconds; `u64::MAX` before the first.
    latency: AtomicU64,
    answered: AtomicU64,
    answered_ms: AtomicU64,
    failed: AtomicU64,
    /// Whether the last call failed.
    failing: AtomicBool,
}

/// Why an answer says nothing about the token. For the log; what callers see is an outage.
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
    #[error("the endpoint answered {0}{hint}", hint = hint(*.0))]
    Status(StatusCode, Option<Duration>),
    #[error("the answer is not a JSON object with a boolean `active`")]
    Malformed,
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
            permits: Semaphore::new(CONCURRENT),
            latency: AtomicU64::new(u64::MAX),
            answered: AtomicU64::new(0),
            answered_ms: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            failing: AtomicBool::new(false),
        };
        Self { line: Arc::new(line), flights: Arc::default() }
    }

    /// Asks about a token; joins a call about the same token that is under way.
    ///
    /// # Errors
    /// [`Rejection::Inactive`] if the provider says so; an outage for whatever is no well-formed answer.
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

    /// How long the last answer took, in milliseconds.
    pub(crate) fn latency(&self) -> Option<u64> {
        Some(self.line.latency.load(Ordering::Relaxed)).filter(|millis| *millis != u64::MAX)
    }

    /// How the calls have gone.
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

/// Takes a flight off the list when it ends, however it ends.
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
        match answer {
            Ok(answer) if answer.get("active") == Some(&Value::Bool(true)) => Ok(Arc::new(answer)),
            Ok(_) => Err(Rejection::Inactive.into()),
            Err(problem) => Err(problem.outage().into()),
        }
    }

    /// Tells the log of the first failure and of the recovery; what fails in between only those who look closely.
    fn note(&self, endpoint: &Url, answer: &Result<Map<String, Value>, NoAnswer>) {
        let failing = self.failing.swap(answer.is_err(), Ordering::Relaxed);
        self.failed.fetch_add(u64::from(answer.is_err()), Ordering::Relaxed);
        match answer {
            Err(error) if failing => tracing::debug!(%endpoint, %error, "introspection failed again"),
            Err(error) => tracing::warn!(%endpoint, %error, "introspection failed"),
            Ok(_) if failing => tracing::info!(%endpoint, "introspection works again"),
            Ok(_) => {}
        }
    }

    async fn answer(&self, endpoint: &Url, token: &BearerToken) -> Result<Map<String, Value>, NoAnswer> {
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
        read(&answer, self.clock.now())
    }

    async fn exchange(&self, endpoint: &Url, token: &BearerToken) -> Result<Response<Bytes>, NoAnswer> {
        let _permit = self.permits.acquire().await.map_err(|_| NoAnswer::Busy)?;
        let form = Form::default().with("token", token.reveal()).with("token_type_hint", "access_token");
        let request = match &self.client {
            Some(client) => client.post(endpoint, form, &*self.clock)?,
            None => post(endpoint, form, None),
        };
        Ok(self.http.send(request).await?)
    }
}

/// RFC 7662, section 2.2: 200 and a JSON object in which `active` is a boolean.
fn read(answer: &Response<Bytes>, now: Timestamp) -> Result<Map<String, Value>, NoAnswer> {
    let status = answer.status();
    if status != StatusCode::OK {
        return Err(NoAnswer::Status(status, asked_wait(answer.headers(), now)));
    }
    let members = parse_object(answer.body(), "").map_err(|_| NoAnswer::Malformed)?;
    match members.get("active") {
        Some(Value::Bool(_)) => Ok(members),
        _ => Err(NoAnswer::Malformed),
    }
}

impl NoAnswer {
    fn outage(&self) -> Outage {
        let wait = match self {
            Self::Status(_, wait) => wait.unwrap_or(RETRY),
            Self::Http(_) | Self::CannotSign(_) | Self::Timeout(_) | Self::Busy | Self::Malformed => RETRY,
        };
        Outage::new(OutageCause::Introspection, wait)
    }
}
