//! The streams of security events whose client this node is: polls (RFC 8936), and the verifications that show that a stream
//! works (Shared Signals Framework 1.0, section 8.1.4).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use scopegate_provider::{EventStream, PollAnswer, ProviderName, Signals};

use super::{SignalServices, events::EventOutcome};
use crate::telemetry::metrics::SignalKind;

/// The most polls of one stream that follow each other without a pause, so that a transmitter that never runs dry does not
/// keep the others waiting.
const POLLS_IN_A_ROW: usize = 50;

/// The streams of a node: when each is due, and the answers that its transmitter has not got yet.
#[derive(Debug, Default)]
pub struct EventStreams(Mutex<HashMap<ProviderName, Arc<StreamState>>>);

#[derive(Debug, Default)]
struct StreamState {
    due: Mutex<Due>,
    /// The answer for the next poll. Held while one is under way.
    answer: tokio::sync::Mutex<PollAnswer>,
}

/// The uptimes at which a stream is polled and verified next.
#[derive(Debug, Default, Clone, Copy)]
struct Due {
    poll: Duration,
    verify: Duration,
    status: Duration,
}

/// The calls that are due.
struct Calls {
    polls: bool,
    verifies: bool,
    reads_status: bool,
}

/// The interval at which the state of a stream is read at its transmitter: a stream that was disabled says nothing any more,
/// and one that its receiver never asks about may be ended for inactivity (section 8.1.1).
const STATUS_EVERY: Duration = Duration::from_hours(1);

impl EventStreams {
    /// Starts the polls and verifications that are due. `endpoint` is the URL to which the provider's events are pushed.
    pub fn tick(&self, services: &SignalServices, endpoint: Option<&str>, uptime: Duration) {
        let state = services.gate.current();
        let connected = state.authenticator().provider(services.provider.as_str());
        let signals = connected.and_then(|connected| connected.provider().signals());
        let Some(stream) = signals.and_then(Signals::stream) else { return };
        let known = self.state(&services.provider);
        let Calls { polls, verifies, reads_status } = known.take_due(stream, uptime);
        if polls {
            let services = services.clone();
            let known = known.clone();
            tokio::spawn(async move { services.poll(&known).await });
        }
        if reads_status {
            let services = services.clone();
            let endpoint = endpoint.map(str::to_owned);
            tokio::spawn(async move { services.read_status(endpoint.as_deref()).await });
        }
        if verifies {
            let services = services.clone();
            let endpoint = endpoint.map(str::to_owned);
            tokio::spawn(async move { services.request_verification(endpoint.as_deref()).await });
        }
    }

    fn state(&self, provider: &ProviderName) -> Arc<StreamState> {
        let mut streams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        streams.entry(provider.clone()).or_default().clone()
    }
}

impl StreamState {
    /// Returns the calls that are due now, and notes when they are again.
    fn take_due(&self, stream: &dyn EventStream, uptime: Duration) -> Calls {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let status_every = stream.is_managed().then_some(STATUS_EVERY);
        Calls {
            polls: take(&mut due.poll, stream.poll_every(), uptime),
            verifies: take(&mut due.verify, stream.verify_every(), uptime),
            reads_status: take(&mut due.status, status_every, uptime),
        }
    }
}

/// Returns `true` if a call of this interval is due, and notes when it is again.
fn take(due: &mut Duration, every: Option<Duration>, uptime: Duration) -> bool {
    let Some(every) = every.filter(|_| uptime >= *due) else { return false };
    *due = uptime + every;
    true
}

impl SignalServices {
    /// Polls a stream until nothing waits. An event is acknowledged once its effect is durable; one that cannot be stored or
    /// verified now is neither acknowledged nor refused, so that the transmitter offers it again.
    async fn poll(&self, state: &StreamState) {
        // A poll that takes longer than the interval is not joined by a second one.
        let Ok(mut answer) = state.answer.try_lock() else { return };
        let provider = self.provider.as_str();
        let gate = self.gate.current();
        let connected = gate.authenticator().provider(provider);
        let Some(signals) = connected.and_then(|connected| connected.provider().signals()) else { return };
        let Some(stream) = signals.stream() else { return };
        for _ in 0..POLLS_IN_A_ROW {
            let polled = match stream.poll(&answer).await {
                Ok(polled) => polled,
                Err(error) => {
                    self.metrics.signals.count(provider, SignalKind::SharedSignals, "poll_failed");
                    if self.metrics.signals.polled(provider, Some(error.to_string())) {
                        tracing::warn!(provider, %error, "cannot poll the security events");
                    }
                    return;
                }
            };
            if self.metrics.signals.polled(provider, None) {
                tracing::info!(provider, "the security events are polled again");
            }
            *answer = PollAnswer::default();
            let mut is_held_up = false;
            for (id, token) in polled.events {
                let outcome = match &token {
                    Some(token) => self.take_event(signals, token, Some(&id)).await,
                    None => self.refuse_event("invalid_request", "expected a JWT".to_owned()),
                };
                match outcome {
                    EventOutcome::Handled => answer.handled.push(id),
                    EventOutcome::Refused(refused) => answer.refused.push((id, refused)),
                    EventOutcome::Unavailable(_) => is_held_up = true,
                    EventOutcome::NotStored(error) => {
                        tracing::error!(
                            provider,
                            cause = error.cause(),
                            "cannot store the effect of an event"
                        );
                        is_held_up = true;
                    }
                }
            }
            let has_answer = !answer.handled.is_empty() || !answer.refused.is_empty();
            // What is held up would be offered again at once.
            answer.only_acknowledge = is_held_up || !polled.more;
            if !has_answer && answer.only_acknowledge {
                return;
            }
        }
    }

    async fn request_verification(&self, endpoint: Option<&str>) {
        let gate = self.gate.current();
        let connected = gate.authenticator().provider(self.provider.as_str());
        let signals = connected.and_then(|connected| connected.provider().signals());
        let Some(stream) = signals.and_then(Signals::stream) else { return };
        if let Err(error) = stream.verify(endpoint).await {
            tracing::warn!(provider = %self.provider, %error, "cannot request a verification of the security events");
        }
    }

    /// Reads the state of a stream at its transmitter, and notes a stream that is paused or disabled.
    async fn read_status(&self, endpoint: Option<&str>) {
        let provider = self.provider.as_str();
        let gate = self.gate.current();
        let connected = gate.authenticator().provider(provider);
        let signals = connected.and_then(|connected| connected.provider().signals());
        let Some(stream) = signals.and_then(Signals::stream) else { return };
        let report = match stream.status(endpoint).await {
            Ok(report) => report,
            Err(error) => {
                tracing::warn!(provider, %error, "cannot read the state of the stream of security events");
                return;
            }
        };
        for problem in &report.problems {
            tracing::warn!(provider, problem, "the stream of security events does not fit the settings");
        }
        if let Some(status) = report.status
            && self.metrics.signals.stream_updated(provider, status)
        {
            let reason = report.reason.as_deref();
            let status = status.as_str();
            tracing::info!(provider, status, reason, "the stream of security events has this state");
        }
    }
}
