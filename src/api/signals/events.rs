//! The handling of a security event, whichever way it came.

use scopegate_provider::{BearerToken, Outage, RefusedEvent, SignalError, Signals};

use super::SignalServices;
use crate::{store::StoreError, telemetry::metrics::SignalKind};

/// The outcome of a security event.
pub(super) enum EventOutcome {
    /// Its effect is durable, or it needs none. The event is acknowledged.
    Handled,
    /// It does not hold.
    Refused(RefusedEvent),
    /// The keys that verify it cannot be had now. The transmitter may send it again.
    Unavailable(Outage),
    /// Its effect cannot be stored now. The transmitter may send it again.
    NotStored(StoreError),
}

impl SignalServices {
    /// Verifies an event and makes its effect durable. An event that was handled before is acknowledged again. `id` is the
    /// `jti` under which a poll has delivered it.
    pub(super) async fn take_event(
        &self,
        signals: &dyn Signals,
        token: &BearerToken,
        id: Option<&str>,
    ) -> EventOutcome {
        let provider = self.provider.as_str();
        let log = &self.metrics.signals;
        let signal = match signals.security_event(token).await {
            Ok(signal) => signal,
            Err(SignalError::Unavailable(outage)) => {
                log.count(provider, SignalKind::SharedSignals, "unavailable");
                return EventOutcome::Unavailable(outage);
            }
            Err(error) => {
                tracing::warn!(provider, %error, "refused a security event");
                return self.refuse_event(error.code().unwrap_or("invalid_request"), error.to_string());
            }
        };
        if id.is_some_and(|id| *id != *signal.id) {
            let problem = "the event has another `jti` than the poll has named";
            return self.refuse_event("invalid_request", problem.to_owned());
        }
        if self.seen.contains(&self.provider, &signal, self.store.now()) {
            log.count(provider, SignalKind::SharedSignals, "repeated");
            return EventOutcome::Handled;
        }
        match self.apply(SignalKind::SharedSignals, &signal).await {
            Ok(()) => EventOutcome::Handled,
            Err(error) => EventOutcome::NotStored(error),
        }
    }

    pub(super) fn refuse_event(&self, code: &'static str, description: String) -> EventOutcome {
        self.metrics.signals.count(self.provider.as_str(), SignalKind::SharedSignals, "refused");
        EventOutcome::Refused(RefusedEvent { code, description })
    }
}
