//! The effects of signals, written to the store.

use scopegate_provider::{Excerpt, NoEffect, Signal, SignalEffect, SignalTarget, Timestamp, Withdrawal};
use serde_json::json;

use super::SignalServices;
use crate::{
    api::withdraw,
    store::{Actor, Audit, NewRevocation, RevocationKey, Revocations, StoreError},
    telemetry::metrics::SignalKind,
};

impl SignalServices {
    /// Makes the effect of a signal durable, counts it and remembers the signal.
    pub(super) async fn apply(&self, kind: SignalKind, signal: &Signal) -> Result<(), StoreError> {
        let now = self.store.now();
        let provider = self.provider.as_str();
        let log = &self.metrics.signals;
        let outcome = match &signal.effect {
            SignalEffect::Withdraw(withdrawals) => {
                self.withdraw(kind, signal, withdrawals).await?;
                match signal.doubt {
                    Some(doubt) => {
                        self.record(kind, signal, doubt, now).await?;
                        doubt.as_str()
                    }
                    None => "withdrawn",
                }
            }
            SignalEffect::Verification { .. } => {
                log.verified(provider, now);
                "verification"
            }
            SignalEffect::StreamUpdated(status) => {
                if log.stream_updated(provider, *status) {
                    tracing::warn!(
                        provider,
                        status = status.as_str(),
                        "the stream of security events has changed"
                    );
                }
                "stream_updated"
            }
            SignalEffect::Nothing(reason) => {
                self.record(kind, signal, *reason, now).await?;
                reason.as_str()
            }
        };
        log.count(provider, kind, outcome);
        if kind == SignalKind::SharedSignals {
            log.heard(provider, now);
        }
        self.seen.insert(&self.provider, signal, now);
        Ok(())
    }

    /// Returns `true` if the store holds the effect of this very signal: another node has handled it, or this one before
    /// it was started again.
    pub(super) async fn is_stored(&self, kind: SignalKind, signal: &Signal) -> Result<bool, StoreError> {
        let SignalEffect::Withdraw(withdrawals) = &signal.effect else { return Ok(false) };
        // The reason of a record names the signal, unless its id is too long.
        if Excerpt::new(&signal.id).as_str() != &*signal.id {
            return Ok(false);
        }
        for record in self.revocations(kind, signal, withdrawals) {
            let known = self.store.revocations_of(&record.provider, &record.key).await?;
            let is_same = |known: &NewRevocation| {
                known.reason == record.reason && known.issued_before == record.issued_before
            };
            if known.iter().any(|known| is_same(&known.record)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Writes revocations, except those that earlier events have written already: a storm of equal events is written once.
    async fn withdraw(
        &self,
        kind: SignalKind,
        signal: &Signal,
        withdrawals: &[Withdrawal],
    ) -> Result<(), StoreError> {
        let mut records = self.revocations(kind, signal, withdrawals);
        if kind == SignalKind::SharedSignals {
            records.retain(|record| !self.is_written(record));
        }
        if records.is_empty() {
            return Ok(());
        }
        let made = self.store.revoke(&self.actor(), records).await?;
        if kind == SignalKind::SharedSignals {
            self.seen.note_written(made.into_iter().map(|made| made.record));
        }
        Ok(())
    }

    /// Returns `true` if an earlier event has withdrawn the same tokens in the same way, and that is in force. The record of
    /// an administrator, and a block in place of a revocation, do not count: they may be lifted while the tokens stay
    /// withdrawn by the provider.
    fn is_written(&self, record: &NewRevocation) -> bool {
        self.seen.has_written(record) && self.store.revocation_index().covers(record)
    }

    fn revocations(
        &self,
        kind: SignalKind,
        signal: &Signal,
        withdrawals: &[Withdrawal],
    ) -> Vec<NewRevocation> {
        let now = self.store.now();
        withdrawals.iter().filter_map(|withdrawal| self.revocation(kind, signal, withdrawal, now)).collect()
    }

    fn revocation(
        &self,
        kind: SignalKind,
        signal: &Signal,
        withdrawal: &Withdrawal,
        now: Timestamp,
    ) -> Option<NewRevocation> {
        let key = match &withdrawal.target {
            SignalTarget::TokenId(id) => RevocationKey::TokenId(id.clone()),
            SignalTarget::Session(session) => RevocationKey::Session(session.clone()),
            SignalTarget::Subject(subject) => RevocationKey::Subject(subject.clone()),
        };
        let state = self.gate.current();
        let connected = state.authenticator().provider(self.provider.as_str())?;
        let event = signal.event.rsplit('/').next().unwrap_or_default();
        let reason = Some(format!("{}: {event} {}", kind.as_str(), Excerpt::new(&signal.id)));
        let Some(issued_before) = withdrawal.issued_before else {
            return Some(NewRevocation::block(self.provider.clone(), key, reason));
        };
        let expires_at = withdraw::end(&**connected.provider(), issued_before, now);
        Some(NewRevocation { provider: self.provider.clone(), key, issued_before, expires_at, reason })
    }

    /// Records a signal without effect: equal ones once a minute, so that a storm does not fill the audit.
    async fn record(
        &self,
        kind: SignalKind,
        signal: &Signal,
        reason: NoEffect,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (event, _) = signal.event.split_at(signal.event.floor_char_boundary(200));
        tracing::info!(provider = %self.provider, event, reason = reason.as_str(), "a signal matches no token");
        if !self.metrics.signals.may_record(self.provider.as_str(), reason, event, now) {
            return Ok(());
        }
        let detail = json!({ "signal": kind.as_str(), "event": event, "matched_nothing": reason.as_str() });
        self.store.record_signal(&self.actor(), self.provider.as_str(), detail).await
    }

    fn actor(&self) -> Actor {
        Actor::Caller { provider: self.provider.clone(), subject: None, client: None }
    }
}
