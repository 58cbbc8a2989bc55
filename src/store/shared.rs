//! The store as a node uses it: an implementation, and in memory what every request needs.

mod traits;

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use futures_util::future::select;
use scopegate_provider::{Clock, Timestamp};
use tokio::sync::watch;

use super::{
    Backend, ChangeNumber, EntryKind, Heads, MaxStaleness, MemoryStore, NewRevocation, OpenError,
    ProviderState, RevocationIndex, StoreError, StoreSettings, StoreUrl, StoredPolicy, Tolerance,
    UnreadableEntry, durable, revocation_index::Replacement,
};

/// The store of a node. Clones are the same store.
///
/// It implements the traits of the store: what is written is in this node's memory, too, before the write is answered.
/// Changes of other nodes arrive within a second.
#[derive(Debug, Clone)]
pub struct Store(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    backend: Arc<dyn Backend>,
    clock: Arc<dyn Clock>,
    max_staleness: MaxStaleness,
    index: RevocationIndex,
    policy: ArcSwap<StoredPolicy>,
    providers: ArcSwap<Vec<ProviderState>>,
    /// The changes that were read. Locked while reading on, so that two readers don't do the same.
    seen: tokio::sync::Mutex<Heads>,
    /// The uptime, in milliseconds, at which the last answered question was asked.
    heard: AtomicU64,
    /// The time that the last answered question took, in microseconds.
    latency: AtomicU64,
    /// Held while the remaining records of a key are read: what is recorded meanwhile must not be overwritten.
    reconciling: tokio::sync::Mutex<()>,
    changed: watch::Sender<Heads>,
    /// The retention of the audit, in milliseconds.
    retention: AtomicU64,
    /// The cause for which the last write failed; none after one that succeeded.
    write_failure: Mutex<Option<String>>,
}

/// The pause between two polls for changes.
const POLL: Duration = Duration::from_millis(250);

/// The number of polls after which expired entries are removed.
const SWEEP_EVERY: u64 = 240;

/// The number of polls after which a write that changes nothing is tried.
const PROBE_EVERY: u64 = 40;

/// The same while writes fail.
const PROBE_FAILING_EVERY: u64 = 4;

/// The number of revocations that are read at once.
const BATCH: usize = 20_000;

/// The time for which a server waits for a database that is not there yet: it may be starting, too.
const PATIENCE: Duration = Duration::from_secs(20);

impl Store {
    /// Opens the store that the settings name; without settings one in memory that refuses every write (invariant 14).
    /// Waits for a database that is not there yet. Follows changes until the last clone is dropped.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(settings: Option<&StoreSettings>, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        Self::open_within(settings, clock, PATIENCE).await
    }

    /// As [`Store::open`], but does not wait for a database that is not there: for commands.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open_now(settings: &StoreSettings, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        Self::open_within(Some(settings), clock, Duration::ZERO).await
    }

    async fn open_within(
        settings: Option<&StoreSettings>,
        clock: Arc<dyn Clock>,
        patience: Duration,
    ) -> Result<Self, OpenError> {
        let Some(settings) = settings else {
            let nothing = Arc::new(MemoryStore::read_only(clock.clone()));
            // What never changes is never stale.
            let never = MaxStaleness { policy: Tolerance::Unlimited, revocations: Tolerance::Unlimited };
            return Self::over(nothing, &StoreUrl::Memory, never, clock).await;
        };
        let backend = durable::open(settings, clock.clone(), patience).await?;
        Self::over(backend, &settings.url, settings.max_staleness, clock).await
    }

    async fn over(
        backend: Arc<dyn Backend>,
        url: &StoreUrl,
        max_staleness: MaxStaleness,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let store = Self(Arc::new(Shared {
            heard: AtomicU64::new(millis(clock.uptime())),
            latency: AtomicU64::new(0),
            backend,
            clock,
            max_staleness,
            index: RevocationIndex::new(),
            policy: ArcSwap::default(),
            providers: ArcSwap::default(),
            seen: tokio::sync::Mutex::default(),
            reconciling: tokio::sync::Mutex::default(),
            changed: watch::Sender::default(),
            retention: AtomicU64::new(u64::MAX),
            write_failure: Mutex::default(),
        }));
        store.0.start().await.map_err(|source| OpenError::Read { url: url.to_string(), source })?;
        tokio::spawn(follow(Arc::downgrade(&store.0)));
        Ok(store)
    }

    /// Returns the revocations in force.
    pub fn revocation_index(&self) -> &RevocationIndex {
        &self.0.index
    }

    /// Returns the scopes and routes of the store, from memory; among them, with reasons, those that cannot be read.
    pub fn policy(&self) -> Arc<StoredPolicy> {
        self.0.policy.load_full()
    }

    /// Returns the states of providers, from memory.
    pub fn providers(&self) -> Arc<Vec<ProviderState>> {
        self.0.providers.load_full()
    }

    /// Returns the entries of every kind that cannot be read and are ignored.
    pub fn unreadable(&self) -> Vec<UnreadableEntry> {
        let policy = self.0.policy.load();
        let entries = policy.unreadable.values().map(|entry| UnreadableEntry::clone(entry));
        entries.chain(self.0.backend.unreadable()).collect()
    }

    /// Returns the cause for which the last write failed, while the store takes no writes.
    pub fn write_failure(&self) -> Option<String> {
        self.0.write_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Subscribes to changes. They are sent once they are in this node's memory, wherever they were made.
    pub fn subscribe(&self) -> watch::Receiver<Heads> {
        self.0.changed.subscribe()
    }

    /// Sets the retention of the audit (`telemetry.audit.retention`); without it nothing is removed.
    pub fn keep_audit(&self, retention: Duration) {
        self.0.retention.store(millis(retention), Ordering::Relaxed);
    }

    /// Returns the time by the clock of the store.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// Returns the moment before which tokens are revoked if all that exist now are meant: the later of this node's and
    /// the store's time, and `leeway` later, because the issuer's clock may be ahead by that.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn revocation_moment(&self, leeway: Duration) -> Result<Timestamp, StoreError> {
        Ok(self.0.backend.latest_time().await? + leeway)
    }

    /// Returns the time since the store has answered last.
    pub fn silence(&self) -> Duration {
        let heard = Duration::from_millis(self.0.heard.load(Ordering::Relaxed));
        self.0.clock.uptime().saturating_sub(heard)
    }

    /// Returns the time that the last answered question took.
    pub fn latency(&self) -> Duration {
        Duration::from_micros(self.0.latency.load(Ordering::Relaxed))
    }

    /// Returns the time that is left until this node may no longer decide without an answer of the store; `None` if that
    /// is unlimited.
    pub fn holds_for(&self) -> Option<Duration> {
        let MaxStaleness { policy, revocations } = self.0.max_staleness;
        let limits = [policy, revocations].into_iter().filter_map(|tolerance| match tolerance {
            Tolerance::Limited(limit) => Some(limit.get()),
            Tolerance::Unlimited => None,
        });
        limits.min().map(|limit| limit.saturating_sub(self.silence()))
    }

    /// Returns the last changes that this node has in memory.
    pub fn known_heads(&self) -> Heads {
        *self.0.changed.borrow()
    }

    /// Returns `true` if this node may no longer let tokens pass, as it may not know of revocations
    /// (`store.max_staleness.revocations`).
    pub fn revocations_are_stale(&self) -> bool {
        self.is_silent_beyond(self.0.max_staleness.revocations)
    }

    /// Returns `true` if this node may no longer decide, as its policy may be old (`store.max_staleness.policy`).
    pub fn policy_is_stale(&self) -> bool {
        self.is_silent_beyond(self.0.max_staleness.policy)
    }

    /// Called on every request: the clock is read only if the answer depends on it.
    fn is_silent_beyond(&self, tolerance: Tolerance) -> bool {
        tolerance != Tolerance::Unlimited && tolerance.is_exceeded_by(self.silence())
    }

    /// Reads the changes since the last time. Done all the time in the background.
    ///
    /// # Errors
    /// The store cannot be read; the memory stays as it was.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        self.0.refresh().await
    }

    /// Notes the outcome of a write, for [`Store::write_failure`].
    pub(super) fn noted<T>(&self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        self.0.note_write(&outcome);
        outcome
    }

    /// Reads back a change of this node's own. It is stored already: a failure is retried in the background.
    async fn catch_up(&self) {
        if let Err(error) = self.refresh().await {
            tracing::warn!(%error, cause = error.cause(), "cannot read a change back from the store");
        }
    }
}

impl Shared {
    /// Reads everything for the first time.
    async fn start(&self) -> Result<(), StoreError> {
        let mut seen = self.seen.lock().await;
        let heads = self.backend.heads().await?;
        self.read_everything().await?;
        *seen = heads;
        self.changed.send_replace(heads);
        Ok(())
    }

    async fn refresh(&self) -> Result<(), StoreError> {
        let mut seen = self.seen.lock().await;
        let asked = millis(self.clock.uptime());
        let start = Instant::now();
        let mut heads = Heads { rereads: seen.rereads, ..self.backend.heads().await? };
        self.latency.store(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        if heads != *seen {
            match self.break_in_history(&seen, &heads).await? {
                None => self.read_news(&seen, &heads).await?,
                Some(sign) => {
                    tracing::warn!(
                        seen = %seen.last, found = %heads.last,
                        "the store went back in time ({sign}), as after a restore from a backup; reading everything \
                         again"
                    );
                    self.read_everything().await?;
                    heads.rereads += 1;
                }
            }
        }
        self.heard.store(asked, Ordering::Relaxed);
        if heads != *seen {
            *seen = heads;
            self.changed.send_replace(heads);
        }
        Ok(())
    }

    /// Returns the sign by which the store's history does not continue the one that this node has seen.
    async fn break_in_history(
        &self,
        seen: &Heads,
        heads: &Heads,
    ) -> Result<Option<&'static str>, StoreError> {
        if heads.last < seen.last {
            return Ok(Some("its change number is lower"));
        }
        if heads.last == seen.last {
            return Ok((heads.stamp != seen.stamp).then_some("the same change number has another stamp"));
        }
        Ok(match self.backend.stamp_of(seen.last).await? {
            Some(stamp) if stamp == seen.stamp => None,
            Some(_) => Some("an earlier change has another stamp"),
            None => Some("an earlier change is missing"),
        })
    }

    async fn read_news(&self, seen: &Heads, heads: &Heads) -> Result<(), StoreError> {
        if heads.revocations > seen.revocations {
            self.read_revocations(seen.revocations).await?;
        }
        let known = self.policy.load_full();
        if heads.policy > known.change {
            let policy = self.backend.stored_policy_after(&known).await?;
            self.take_policy(&policy);
        }
        if heads.providers > seen.providers {
            self.providers.store(Arc::new(self.backend.provider_states().await?));
        }
        Ok(())
    }

    /// Replaces everything in memory.
    async fn read_everything(&self) -> Result<(), StoreError> {
        let policy = self.backend.stored_policy().await?;
        let providers = self.backend.provider_states().await?;
        // A revocation that is made meanwhile waits until the index is complete.
        let _reconciling = self.reconciling.lock().await;
        self.backend.forget_unreadable(EntryKind::Revocation);
        let mut replacement = Replacement::new();
        let mut after = None;
        loop {
            let page = self.backend.revocations_since(ChangeNumber(0), after, BATCH).await?;
            after = page.items.last().map(|last| (last.change, last.id.clone()));
            for found in page.items.iter().filter(|found| !found.deleted) {
                replacement.add(&self.index, &found.record);
            }
            if !page.more || after.is_none() {
                break;
            }
        }
        self.index.replace_all(replacement);
        log_unreadable(&self.policy.load(), &policy);
        self.policy.store(policy);
        self.providers.store(Arc::new(providers));
        Ok(())
    }

    async fn read_revocations(&self, seen: ChangeNumber) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let page = self.backend.revocations_since(seen, after, BATCH).await?;
            self.index.extend(page.items.iter().filter(|found| !found.deleted).map(|found| &found.record));
            for deleted in page.items.iter().filter(|found| found.deleted) {
                // The remaining records of the key are read after one of them was deleted.
                let NewRevocation { provider, key, .. } = &deleted.record;
                let _reconciling = self.reconciling.lock().await;
                let remaining = self.backend.revocations_of(provider, key).await?;
                self.index.replace(provider, key, remaining.iter().map(|found| &found.record));
            }
            match page.items.last() {
                Some(last) if page.more => after = Some((last.change, last.id.clone())),
                Some(_) | None => return Ok(()),
            }
        }
    }

    async fn sweep(&self) {
        if let Err(error) = self.try_sweep().await {
            tracing::warn!(%error, cause = error.cause(), "cannot remove expired entries from the store");
        }
    }

    async fn try_sweep(&self) -> Result<(), StoreError> {
        let now = self.backend.time().await?;
        self.index.sweep(now);
        let retention = Duration::from_millis(self.retention.load(Ordering::Relaxed));
        let purged = self.backend.purge_revocations().await.map(drop);
        match purged.and(self.backend.forget_audit(now - retention).await) {
            Err(StoreError::NoStore) => Ok(()),
            outcome => outcome,
        }
    }

    /// Tries a write that changes nothing, and stores the counts of blocks.
    async fn probe(&self) {
        let outcome = self.backend.probe().await;
        self.note_write(&outcome);
        let counts = self.index.take_block_counts();
        if !counts.is_empty() && self.backend.count_blocked(counts.clone()).await.is_err() {
            self.index.put_block_counts(&counts);
        }
    }

    /// Notes whether the store takes writes, and logs when that changes.
    fn note_write<T>(&self, outcome: &Result<T, StoreError>) {
        let cause = match outcome {
            Err(error @ StoreError::Unavailable(_)) => Some(error.cause()),
            Ok(_) | Err(_) => None,
        };
        let mut failure = self.write_failure.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*failure, &cause) {
            (None, Some(cause)) => {
                tracing::error!(cause, "the store takes no writes; will log when it recovers");
            }
            (Some(_), None) => tracing::info!("the store takes writes again"),
            (None, None) | (Some(_), Some(_)) => {}
        }
        *failure = cause;
    }

    /// Takes over a policy unless a later one is known.
    fn take_policy(&self, policy: &Arc<StoredPolicy>) {
        log_unreadable(&self.policy.load(), policy);
        self.policy.rcu(|known| if known.change > policy.change { known.clone() } else { policy.clone() });
    }
}

/// Logs the entries that cannot be read and were not there before.
fn log_unreadable(before: &StoredPolicy, after: &StoredPolicy) {
    for (key, entry) in &after.unreadable {
        if before.unreadable.get(key) != Some(entry) {
            tracing::warn!("ignoring an entry that cannot be read: {entry}");
        }
    }
}

async fn follow(store: Weak<Shared>) {
    let mut away = false;
    // Beside reading: a write may wait for a lock.
    let mut upkeep = tokio::spawn(async {});
    let mut sweep_due = false;
    for round in 1_u64.. {
        let Some(store) = store.upgrade() else { return };
        let outcome = store.refresh().await;
        log_outcome(&outcome, std::mem::replace(&mut away, outcome.is_err()));
        if upkeep.is_finished() {
            let is_failing = store.write_failure.lock().unwrap_or_else(PoisonError::into_inner).is_some();
            let probes = round.is_multiple_of(if is_failing { PROBE_FAILING_EVERY } else { PROBE_EVERY });
            let sweeps = std::mem::take(&mut sweep_due);
            if probes || sweeps {
                let store = Arc::clone(&store);
                upkeep = tokio::spawn(async move {
                    if probes {
                        store.probe().await;
                    }
                    if sweeps {
                        store.sweep().await;
                    }
                });
            }
        }
        sweep_due |= round.is_multiple_of(SWEEP_EVERY);
        let clock = store.clock.clone();
        let backend = store.backend.clone();
        drop(store);
        select(clock.sleep(POLL), backend.news()).await;
    }
}

/// Logs once that the store cannot be read, and once that it can be read again.
fn log_outcome(outcome: &Result<(), StoreError>, was_away: bool) {
    match outcome {
        Ok(()) if was_away => tracing::info!("the store can be read again, and all changes have been read"),
        Err(error) if !was_away => {
            let cause = error.cause();
            tracing::warn!(cause, "cannot read changes from the store; will log when it recovers");
        }
        Ok(()) | Err(_) => {}
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
