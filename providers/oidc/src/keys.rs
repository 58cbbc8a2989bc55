//! The keys of an issuer, kept fresh behind the back of those who verify with them.

use std::{
    sync::{Arc, atomic::AtomicU64, atomic::Ordering},
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use scopegate_provider::{AuthnError, Clock, HttpClient, Issuer, Outage, OutageCause, Rejection, Timestamp};
use tokio::sync::{Notify, watch};
use url::Url;

use crate::{
    algorithm::Algorithm,
    discovery::Discovery,
    key_set::{Candidates, KeySet},
    metadata::Metadata,
    refresh,
    settings::JwksSettings,
};

/// An issuer, with the metadata and the key set that it published last. Reading them never waits; a task of its own
/// fetches them anew, and ends when the issuer is dropped.
#[derive(Debug)]
pub(crate) struct LiveIssuer {
    pub(crate) issuer: Issuer,
    pub(crate) plan: Plan,
    pub(crate) http: Arc<dyn HttpClient>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metadata: ArcSwapOption<Metadata>,
    pub(crate) status: ArcSwap<Status>,
    pub(crate) wake: Arc<Notify>,
    held: ArcSwapOption<Held>,
    progress: watch::Sender<Progress>,
    /// Counts up when a key is withdrawn; shared by all issuers of a provider.
    epoch: Arc<AtomicU64>,
}

/// What is to be fetched, and how often.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) discovery: Discovery,
    /// Where the keys are, whatever discovery says.
    pub(crate) jwks_uri: Option<Url>,
    /// Whether keys are wanted at all: not if every token is introspected.
    pub(crate) keys_wanted: bool,
    /// Whether no token can be judged without the metadata: if it is introspected, and only they say where.
    pub(crate) metadata_wanted: bool,
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) jwks: JwksSettings,
    /// How long somebody waits for a fetch that his token asked for.
    pub(crate) patience: Duration,
}

/// A key set and when it was fetched.
#[derive(Debug)]
struct Held {
    set: KeySet,
    fetched: Duration,
}

/// How the fetches are getting on.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    started: u64,
    finished: u64,
    /// Whether the last that finished failed.
    failed: bool,
    /// The uptime when an unknown key id last asked for one.
    asked: Option<Duration>,
}

/// What health reports say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Status {
    pub(crate) last_refresh: Option<Timestamp>,
    pub(crate) next_refresh: Option<Timestamp>,
    pub(crate) last_error: Option<String>,
    pub(crate) refreshes: u64,
    pub(crate) failed_refreshes: u64,
}

impl LiveIssuer {
    /// Makes it and starts the task that fetches. To be called within a Tokio runtime.
    pub(crate) fn start(
        issuer: Issuer,
        plan: Plan,
        http: Arc<dyn HttpClient>,
        clock: Arc<dyn Clock>,
        epoch: Arc<AtomicU64>,
    ) -> Arc<Self> {
        let this = Arc::new(Self {
            issuer,
            plan,
            http,
            clock,
            metadata: ArcSwapOption::empty(),
            status: ArcSwap::default(),
            wake: Arc::new(Notify::new()),
            held: ArcSwapOption::empty(),
            progress: watch::Sender::new(Progress::default()),
            epoch,
        });
        // The first fetch counts as begun at once, so that the first token waits for it rather than being turned away.
        this.begin();
        tokio::spawn(refresh::run(Arc::downgrade(&this)));
        this
    }

    /// The keys that may have signed a token. Waits only if the key is unknown: for the fetch that is under way, or for
    /// one that this token asks for, of which there is at most one in a cool-down (invariant 10).
    ///
    /// # Errors
    /// [`Rejection::UnknownKey`] if the issuer has no such key; an outage if it cannot be asked whether it has, if the
    /// keys are too old, or if there are none yet.
    pub(crate) async fn find(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Candidates, AuthnError> {
        match self.look(id, algorithm) {
            Err(AuthnError::Rejected(Rejection::UnknownKey)) => {}
            Err(AuthnError::Unavailable(outage)) if outage.cause == OutageCause::KeysUnavailable => {}
            certain => return certain,
        }
        let known = match self.ask() {
            Some(fetch) => self.finished(fetch).await,
            None => true,
        };
        let found = self.look(id, algorithm);
        match found {
            Err(AuthnError::Rejected(Rejection::UnknownKey)) if !known || self.progress.borrow().failed => {
                Err(self.outage(OutageCause::KeysUnavailable).into())
            }
            found => found,
        }
    }

    /// Takes the set that was fetched. Keys that are not in it any more are forgotten.
    pub(crate) fn accept(&self, set: KeySet) {
        let fetched = self.clock.uptime();
        let before = self.held.load_full();
        let kept = before.is_none_or(|before| set.keeps_all_of(&before.set));
        self.held.store(Some(Arc::new(Held { set, fetched })));
        if !kept {
            // After the swap: whoever reads the new epoch verifies with the new keys.
            self.epoch.fetch_add(1, Ordering::SeqCst);
            tracing::info!(issuer = %self.issuer, "the issuer has withdrawn a key");
        }
    }

    /// Whether tokens can be judged: what is wanted for it is there, and the keys are not too old.
    pub(crate) fn ready(&self) -> bool {
        let fresh = |held: &Arc<Held>| !self.is_stale(held);
        let keys = !self.plan.keys_wanted || self.held.load().as_ref().is_some_and(fresh);
        keys && (!self.plan.metadata_wanted || self.metadata.load().is_some())
    }

    /// Waits until tokens can be judged.
    pub(crate) async fn until_ready(&self) {
        let mut progress = self.progress.subscribe();
        while !self.ready() {
            // The sender lives in `self`, so waiting cannot fail.
            let _ = progress.changed().await;
        }
    }

    /// Fetches now, whatever the cool-down says: an administrator asks.
    pub(crate) async fn refresh(&self) -> Result<(), Outage> {
        let (fetch, begun) = self.begin();
        if begun {
            self.wake.notify_one();
        }
        if self.finished(fetch).await && !self.progress.borrow().failed {
            Ok(())
        } else {
            Err(self.outage(OutageCause::KeysUnavailable))
        }
    }

    /// Does `f` with the key set, if there is one.
    pub(crate) fn with_keys<T>(&self, f: impl FnOnce(&KeySet) -> T) -> Option<T> {
        self.held.load().as_ref().map(|held| f(&held.set))
    }

    /// Notes that a fetch begins, unless one is under way; its number, and whether it is new.
    pub(crate) fn begin(&self) -> (u64, bool) {
        let mut number = 0;
        let begun = self.progress.send_if_modified(|progress| {
            let idle = progress.started == progress.finished;
            progress.started += u64::from(idle);
            number = progress.started;
            idle
        });
        (number, begun)
    }

    /// Notes that the fetch under way has ended.
    pub(crate) fn end(&self, failed: bool) {
        self.progress.send_modify(|progress| {
            progress.finished = progress.started;
            progress.failed = failed;
        });
    }

    fn look(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Candidates, AuthnError> {
        let held = self.held.load();
        let Some(held) = held.as_ref() else {
            return Err(self.outage(OutageCause::KeysUnavailable).into());
        };
        if self.is_stale(held) {
            return Err(self.outage(OutageCause::KeysStale).into());
        }
        held.set.find(id, algorithm).map_err(AuthnError::from)
    }

    fn is_stale(&self, held: &Held) -> bool {
        self.clock.uptime().saturating_sub(held.fetched) > self.plan.jwks.stale_if_error.get()
    }

    /// Joins the fetch that is under way, or asks for one. Nothing if an unknown key id asked less than a cool-down ago,
    /// or if there are no keys at all and the first fetch failed: then fetches come as fast as they may in any case.
    fn ask(&self) -> Option<u64> {
        let (now, without_keys) = (self.clock.uptime(), self.held.load().is_none());
        let mut fetch = None;
        let asked = self.progress.send_if_modified(|progress| {
            if progress.started > progress.finished && !(without_keys && progress.failed) {
                fetch = Some(progress.started);
                return false;
            }
            let cool = |asked: Duration| now.saturating_sub(asked) >= self.plan.jwks.cool_down.get();
            if without_keys || !progress.asked.is_none_or(cool) {
                return false;
            }
            progress.started += 1;
            progress.asked = Some(now);
            fetch = Some(progress.started);
            true
        });
        if asked {
            self.wake.notify_one();
        }
        fetch
    }

    /// Waits for the end of a fetch; false if that takes too long.
    async fn finished(&self, fetch: u64) -> bool {
        let mut progress = self.progress.subscribe();
        tokio::select! {
            ended = progress.wait_for(|progress| progress.finished >= fetch) => ended.is_ok(),
            () = self.clock.sleep(self.plan.patience) => false,
        }
    }

    /// The metadata; waits if they are being fetched.
    pub(crate) async fn metadata(&self) -> Option<Arc<Metadata>> {
        if self.metadata.load().is_none() {
            let progress = *self.progress.borrow();
            if progress.started > progress.finished && !progress.failed {
                self.finished(progress.started).await;
            }
        }
        self.metadata.load_full()
    }

    /// An outage until the next fetch.
    pub(crate) fn outage(&self, cause: OutageCause) -> Outage {
        let next = self.status.load().next_refresh;
        let wait = next.map_or(Duration::ZERO, |next| next.since(self.clock.now()));
        Outage::new(cause, wait.clamp(Duration::from_secs(1), Duration::from_mins(1)))
    }
}

impl Drop for LiveIssuer {
    fn drop(&mut self) {
        self.wake.notify_one();
    }
}
