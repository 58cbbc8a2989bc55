//! Counts of signals that providers send, and the state of their streams.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use scopegate_provider::{NoEffect, StreamStatus, Timestamp};

use super::{Exposition, Kind};

/// The signals of providers. Signals are rare beside requests, so that a lock serves.
#[derive(Debug, Default)]
pub struct Signals(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    counts: BTreeMap<(Box<str>, SignalKind, &'static str), u64>,
    streams: BTreeMap<Box<str>, Stream>,
    recorded: BTreeMap<(Box<str>, NoEffect, Box<str>), Timestamp>,
}

/// The state of a provider's stream of security events, as this node has heard of it.
#[derive(Debug, Default, Clone)]
struct Stream {
    heard: Option<Timestamp>,
    verified: Option<Timestamp>,
    status: Option<StreamStatus>,
    /// The error of the last poll.
    poll_error: Option<Box<str>>,
    /// Set if the stream is disabled, silent or cannot be polled.
    degraded: bool,
}

/// The kind of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SignalKind {
    /// A logout token.
    BackchannelLogout,
    /// A security event.
    SharedSignals,
}

/// The time in which equal signals without effect are recorded once.
const RECORDED_ONCE_IN: Duration = Duration::from_mins(1);

/// The most kinds of signals without effect that are told apart within that time.
const RECORDED_APART: usize = 1000;

impl SignalKind {
    /// Returns the kind's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BackchannelLogout => "backchannel_logout",
            Self::SharedSignals => "shared_signals",
        }
    }
}

impl Signals {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a signal.
    pub fn count(&self, provider: &str, kind: SignalKind, outcome: &'static str) {
        *self.state().counts.entry((provider.into(), kind, outcome)).or_default() += 1;
    }

    /// Notes that an event has arrived.
    pub fn heard(&self, provider: &str, now: Timestamp) {
        self.state().streams.entry(provider.into()).or_default().heard = Some(now);
    }

    /// Notes that the transmitter has verified the stream.
    pub fn verified(&self, provider: &str, now: Timestamp) {
        self.state().streams.entry(provider.into()).or_default().verified = Some(now);
    }

    /// Notes the state of a stream. Returns `true` if it has changed.
    pub fn stream_updated(&self, provider: &str, status: StreamStatus) -> bool {
        self.state().streams.entry(provider.into()).or_default().status.replace(status) != Some(status)
    }

    /// Notes the error of a poll, or that it succeeded. Returns `true` if polls have begun to fail, or to succeed again.
    pub fn polled(&self, provider: &str, error: Option<String>) -> bool {
        let mut state = self.state();
        let stream = state.streams.entry(provider.into()).or_default();
        let before = std::mem::replace(&mut stream.poll_error, error.map(Into::into));
        before.is_some() != stream.poll_error.is_some()
    }

    /// Returns `true` if a signal without effect is to be recorded, because no equal one was within a minute.
    pub fn may_record(&self, provider: &str, reason: NoEffect, event: &str, now: Timestamp) -> bool {
        let recorded = &mut self.state().recorded;
        recorded.retain(|_, at| now.since(*at) < RECORDED_ONCE_IN);
        let key = (provider.into(), reason, event.into());
        if recorded.len() >= RECORDED_APART || recorded.contains_key(&key) {
            return false;
        }
        recorded.insert(key, now);
        true
    }

    /// Returns the reason why a stream is degraded, and notes it for the metrics: it is not enabled, cannot be polled, or is
    /// silent for longer than `silent_after`.
    pub fn degraded(
        &self,
        provider: &str,
        silent_after: Option<Duration>,
        since: Timestamp,
        now: Timestamp,
    ) -> Option<String> {
        let mut state = self.state();
        let stream = state.streams.entry(provider.into()).or_default();
        let reason = stream.degraded(provider, silent_after, since, now);
        stream.degraded = reason.is_some();
        reason
    }

    pub(super) fn write(&self, page: &mut Exposition) {
        let state = self.state();
        let help = "Signals of providers; the outcome is the effect, or the reason why there is none.";
        let mut family = page.family("scopegate_signals_total", Kind::Counter, help);
        for ((provider, kind, outcome), count) in &state.counts {
            let labels = [("provider", &**provider), ("kind", kind.as_str()), ("outcome", *outcome)];
            family.sample(&labels, count);
        }
        let help = "The moment of the last security event, in seconds since 1970.";
        let mut family = page.family("scopegate_shared_signals_last_event_seconds", Kind::Gauge, help);
        for (provider, stream) in &state.streams {
            if let Some(at) = stream.heard {
                family.sample(&[("provider", provider)], at.seconds());
            }
        }
        let help = "The moment of the last verification of a stream, in seconds since 1970.";
        let mut family = page.family("scopegate_shared_signals_last_verification_seconds", Kind::Gauge, help);
        for (provider, stream) in &state.streams {
            if let Some(at) = stream.verified {
                family.sample(&[("provider", provider)], at.seconds());
            }
        }
        let help = "1 if the stream of security events is disabled, silent for longer than `silent_after`, or cannot be polled.";
        let mut family = page.family("scopegate_shared_signals_degraded", Kind::Gauge, help);
        for (provider, stream) in &state.streams {
            family.sample(&[("provider", provider)], u8::from(stream.degraded));
        }
        let help = "1 if the stream of security events is enabled, as far as its transmitter has said.";
        let mut family = page.family("scopegate_shared_signals_enabled", Kind::Gauge, help);
        for (provider, stream) in &state.streams {
            let is_enabled = stream.status.is_none_or(|status| status == StreamStatus::Enabled);
            family.sample(&[("provider", provider)], u8::from(is_enabled));
        }
    }
}

impl Stream {
    fn degraded(
        &self,
        provider: &str,
        silent_after: Option<Duration>,
        since: Timestamp,
        now: Timestamp,
    ) -> Option<String> {
        if let Some(status) = self.status.filter(|status| *status != StreamStatus::Enabled) {
            return Some(format!("the security events of `{provider}` are {}", status.as_str()));
        }
        if let Some(error) = &self.poll_error {
            return Some(format!("the security events of `{provider}` cannot be polled: {error}"));
        }
        let silent_after = silent_after?;
        let silence = now.since(self.heard.unwrap_or(since));
        (silence > silent_after).then(|| {
            format!("no security event of `{provider}` has arrived for {} seconds", silence.as_secs())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

    /// T6.8: a stream that is disabled or silent is degraded.
    #[test]
    fn a_disabled_or_silent_stream_is_degraded() {
        let signals = Signals::default();
        let hour = Duration::from_hours(1);
        let degraded = |signals: &Signals, now| signals.degraded("okta", Some(hour), NOW, now);
        assert_eq!(degraded(&signals, NOW), None);
        assert!(degraded(&signals, NOW + hour + hour).is_some_and(|reason| reason.contains("7200")));
        signals.heard("okta", NOW + hour);
        assert_eq!(degraded(&signals, NOW + hour + hour), None);
        assert!(signals.stream_updated("okta", StreamStatus::Disabled));
        assert!(degraded(&signals, NOW + hour).is_some_and(|reason| reason.contains("disabled")));
        signals.stream_updated("okta", StreamStatus::Enabled);
        assert_eq!(degraded(&signals, NOW + hour), None);
        assert!(signals.polled("okta", Some("no answer".to_owned())));
        assert!(!signals.polled("okta", Some("no answer".to_owned())));
        assert!(degraded(&signals, NOW + hour).is_some_and(|reason| reason.contains("no answer")));
        assert!(signals.polled("okta", None));
        assert_eq!(degraded(&signals, NOW + hour), None);
    }

    #[test]
    fn equal_signals_without_effect_are_recorded_once_a_minute() {
        let signals = Signals::default();
        let record = |event, now| signals.may_record("okta", NoEffect::UnknownEvent, event, now);
        assert!(record("a", NOW) && record("b", NOW));
        assert!(!record("a", NOW + Duration::from_secs(59)));
        assert!(record("a", NOW + Duration::from_mins(1)));
    }
}
