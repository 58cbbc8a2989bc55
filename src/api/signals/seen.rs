//! The ids of signals that were handled.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::digest;
use scopegate_provider::{ProviderName, Signal, Timestamp};

use crate::store::{NewRevocation, RevocationKey};

/// The most signals that are remembered; the oldest are forgotten first.
const ROOM: usize = 50_000;

/// The time for which a signal without an expiry is remembered.
const MEMORY: Duration = Duration::from_hours(1);

/// Remembers which signals were handled on this node. Clones share their memory.
#[derive(Clone, Default)]
pub struct SeenSignals(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    until: HashMap<Id, Timestamp>,
    order: VecDeque<Id>,
    /// The last record of each key that an event has written.
    written: HashMap<(ProviderName, RevocationKey), NewRevocation>,
}

/// The most keys whose last record is remembered; all are forgotten at once, and the next event of each is written again.
const WRITTEN: usize = 10_000;

/// A digest, because an id may be long.
type Id = [u8; 32];

impl SeenSignals {
    /// Returns `true` if the signal was handled.
    pub(super) fn contains(&self, provider: &ProviderName, signal: &Signal, now: Timestamp) -> bool {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.until.get(&id(provider, signal)).is_some_and(|until| now < *until)
    }

    /// Returns `true` if the last record of the same key that an event has written covers this one.
    pub(super) fn has_written(&self, record: &NewRevocation) -> bool {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = seen.written.get(&(record.provider.clone(), record.key.clone()));
        known.is_some_and(|known| known.covers(record))
    }

    /// Remembers records that an event has written.
    pub(super) fn note_written(&self, records: impl IntoIterator<Item = NewRevocation>) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.written.len() >= WRITTEN {
            seen.written.clear();
        }
        for record in records {
            seen.written.insert((record.provider.clone(), record.key.clone()), record);
        }
    }

    /// Remembers a signal whose effect is durable.
    pub(super) fn insert(&self, provider: &ProviderName, signal: &Signal, now: Timestamp) {
        let id = id(provider, signal);
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.until.insert(id, signal.expires_at.unwrap_or(now + MEMORY)).is_none() {
            seen.order.push_back(id);
        }
        while seen.order.len() > ROOM {
            if let Some(oldest) = seen.order.pop_front() {
                seen.until.remove(&oldest);
            }
        }
    }
}

impl fmt::Debug for SeenSignals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeenSignals").finish_non_exhaustive()
    }
}

/// Identifies a signal by its provider, its kind and its `jti`.
fn id(provider: &ProviderName, signal: &Signal) -> Id {
    let kind = if signal.expires_at.is_some() { "logout" } else { "event" };
    let text = format!("{provider}\0{kind}\0{}", signal.id);
    let mut id = [0; 32];
    id.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    id
}

#[cfg(test)]
mod tests {
    use scopegate_provider::{NoEffect, SignalEffect};

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

    fn signal(id: usize) -> Signal {
        Signal {
            id: id.to_string().into(),
            issued_at: NOW,
            expires_at: None,
            event: "e".into(),
            effect: SignalEffect::Nothing(NoEffect::UnknownEvent),
            doubt: None,
        }
    }

    #[test]
    fn a_signal_is_known_for_its_provider_and_kind_until_it_expires() {
        let seen = SeenSignals::default();
        let name = |name| ProviderName::parse(name).unwrap();
        let logout = Signal { expires_at: Some(NOW + Duration::from_mins(1)), ..signal(1) };
        seen.insert(&name("a"), &logout, NOW);
        assert!(seen.contains(&name("a"), &logout, NOW));
        assert!(!seen.contains(&name("b"), &logout, NOW));
        assert!(!seen.contains(&name("a"), &signal(1), NOW));
        assert!(!seen.contains(&name("a"), &logout, NOW + Duration::from_mins(1)));
    }

    #[test]
    fn however_many_signals_come_memory_is_bounded() {
        let seen = SeenSignals::default();
        let name = ProviderName::parse("a").unwrap();
        for number in 0..2 * ROOM {
            seen.insert(&name, &signal(number), NOW);
        }
        let state = seen.0.lock().unwrap();
        assert_eq!((state.until.len(), state.order.len()), (ROOM, ROOM));
    }
}
