//! The store as a node uses it: an implementation, and in memory what is asked on every request.

mod traits;

use std::{
    error::Error,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use futures_util::future::select;
use scopegate_provider::{Clock, Timestamp};
use tokio::sync::watch;

use super::{
    Backend, ChangeNumber, Heads, MaxStaleness, MemoryStore, NewRevocation, OpenError, ProviderState,
    RevocationIndex, StoreError, StoreSettings, StoreUrl, StoredPolicy, Tolerance, durable,
};

/// The store of a node. Clones are the same store.
///
/// It implements the traits of the store: what is written is in this node's memory, too, before the write is answered.
/// What other nodes write arrives within a second.
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
    /// What has been read. Locked while reading on, so that two readers don't do the same.
    seen: tokio::sync::Mutex<Heads>,
    /// The uptime, in milliseconds, at which the last answer was asked for.
    heard: AtomicU64,
    /// Held while it is found out what remains of a key: what is recorded meanwhile must not be overwritten.
    reconciling: tokio::sync::Mutex<()>,
    changed: watch::Sender<Heads>,
    /// For how long the audit is kept, in milliseconds.
    retention: AtomicU64,
}

/// How often a node asks whether something has changed.
const POLL: Duration = Duration::from_millis(250);

/// After how many polls what has expired is removed.
const SWEEP_EVERY: u64 = 240;

/// How many revocations are read at once.
const BATCH: usize = 20_000;

impl Store {
    /// Opens the store that the settings name; without settings one in memory that refuses every write (invariant 14).
    /// It goes on reading what changes until the last clone is dropped.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(settings: Option<&StoreSettings>, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let Some(settings) = settings else {
            let nothing = Arc::new(MemoryStore::read_only(clock.clone()));
            // What never changes is never stale.
            let never = MaxStaleness { policy: Tolerance::Unlimited, revocations: Tolerance::Unlimited };
            return Self::over(nothing, &StoreUrl::Memory, never, clock).await;
        };
        let backend = durable::open(settings, clock.clone()).await?;
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
        }));
        store.refresh().await.map_err(|source| OpenError::Read { url: url.to_string(), source })?;
        tokio::spawn(follow(Arc::downgrade(&store.0)));
        Ok(store)
    }

    /// Which tokens are revoked.
    pub fn revocation_index(&self) -> &RevocationIndex {
        &self.0.index
    }

    /// The scopes and routes of the store, from memory.
    pub fn policy(&self) -> Arc<StoredPolicy> {
        self.0.policy.load_full()
    }

    /// What was decided about providers, from memory.
    pub fn providers(&self) -> Arc<Vec<ProviderState>> {
        self.0.providers.load_full()
    }

    /// Tells of changes once they are in this node's memory, whoever made them.
    pub fn subscribe(&self) -> watch::Receiver<Heads> {
        self.0.changed.subscribe()
    }

    /// Keeps the audit for this long (`telemetry.audit.retention`); for ever unless said.
    pub fn keep_audit(&self, retention: Duration) {
        self.0.retention.store(millis(retention), Ordering::Relaxed);
    }

    /// The time by the clock of the store.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// For how long nothing has been heard of the store.
    pub fn silence(&self) -> Duration {
        let heard = Duration::from_millis(self.0.heard.load(Ordering::Relaxed));
        self.0.clock.uptime().saturating_sub(heard)
    }

    /// Whether this node may no longer let tokens pass, as it may not know of revocations
    /// (`store.max_staleness.revocations`).
    pub fn revocations_are_stale(&self) -> bool {
        self.is_silent_beyond(self.0.max_staleness.revocations)
    }

    /// Whether this node may no longer decide, as its policy may be old (`store.max_staleness.policy`).
    pub fn policy_is_stale(&self) -> bool {
        self.is_silent_beyond(self.0.max_staleness.policy)
    }

    /// Asked on every request: the clock is read only where the answer depends on it.
    fn is_silent_beyond(&self, tolerance: Tolerance) -> bool {
        tolerance != Tolerance::Unlimited && tolerance.is_exceeded_by(self.silence())
    }

    /// Reads what has changed since the last time. Done all the time by itself.
    ///
    /// # Errors
    /// The store cannot be read; what is in memory stays as it was.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        self.0.refresh().await
    }

    /// The implementation.
    pub(super) fn backend(&self) -> &dyn Backend {
        &*self.0.backend
    }

    /// After a change of this node's own, which is kept already: what fails now is tried again all the time.
    async fn catch_up(&self) {
        if let Err(error) = self.refresh().await {
            tracing::warn!(%error, "cannot read a change back from the store");
        }
    }
}

impl Shared {
    async fn refresh(&self) -> Result<(), StoreError> {
        let mut seen = self.seen.lock().await;
        let asked = millis(self.clock.uptime());
        let heads = self.backend.heads().await?;
        if heads.revocations > seen.revocations {
            self.read_revocations(seen.revocations).await?;
        }
        if heads.policy > seen.policy {
            self.take_policy(&self.backend.stored_policy().await?);
        }
        if heads.providers > seen.providers {
            self.providers.store(Arc::new(self.backend.provider_states().await?));
        }
        self.heard.store(asked, Ordering::Relaxed);
        if heads != *seen {
            *seen = heads;
            self.changed.send_replace(heads);
        }
        Ok(())
    }

    async fn read_revocations(&self, seen: ChangeNumber) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let page = self.backend.revocations_since(seen, after, BATCH).await?;
            self.index.extend(page.items.iter().filter(|found| !found.deleted).map(|found| &found.record));
            for deleted in page.items.iter().filter(|found| found.deleted) {
                self.reconcile(&deleted.record).await?;
            }
            match page.items.last() {
                Some(last) if page.more => after = Some((last.change, last.id.clone())),
                Some(_) | None => return Ok(()),
            }
        }
    }

    /// After a record was taken back: what remains of its key.
    async fn reconcile(&self, record: &NewRevocation) -> Result<(), StoreError> {
        let _nobody_records = self.reconciling.lock().await;
        let remaining = self.backend.revocations_of(&record.provider, &record.key).await?;
        self.index.replace(&record.provider, &record.key, remaining.iter().map(|found| &found.record));
        Ok(())
    }

    async fn sweep(&self) {
        if let Err(error) = self.try_sweep().await {
            tracing::warn!(%error, "cannot remove what has expired from the store");
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

    /// Takes over a policy unless a later one is known.
    fn take_policy(&self, policy: &Arc<StoredPolicy>) {
        self.policy.rcu(|known| if known.change > policy.change { known.clone() } else { policy.clone() });
    }
}

async fn follow(store: Weak<Shared>) {
    let mut away = false;
    for round in 1_u64.. {
        let Some(store) = store.upgrade() else { return };
        let outcome = store.refresh().await;
        tell(&outcome, std::mem::replace(&mut away, outcome.is_err()));
        if round.is_multiple_of(SWEEP_EVERY) {
            store.sweep().await;
        }
        let (clock, backend) = (store.clock.clone(), store.backend.clone());
        drop(store);
        select(clock.sleep(POLL), backend.news()).await;
    }
}

/// Says once that the store cannot be read, and once that it can be read again.
fn tell(outcome: &Result<(), StoreError>, was_away: bool) {
    match outcome {
        Ok(()) if was_away => tracing::info!("the store can be read again, and everything in it has been"),
        Err(error) if !was_away => {
            let cause = error.source().map(tracing::field::display);
            tracing::warn!(%error, cause, "what changes in the store cannot be read, until it is said that it can");
        }
        Ok(()) | Err(_) => {}
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
