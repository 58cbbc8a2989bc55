//! The keys of an issuer, kept fresh in the background.

use std::{
    hash::{BuildHasher, RandomState},
    path::Path,
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
    issuers::IssuerPattern,
    key_set::{Candidates, KeyParameter, KeyReference, KeySet},
    metadata::Metadata,
    refresh,
    settings::JwksSettings,
};

/// An issuer with its most recent metadata and key set. Reading them never waits. A task of its own refreshes them, and
/// ends when the issuer is dropped.
#[derive(Debug)]
pub(crate) struct RemoteKeySet {
    pub(crate) issuer: Issuer,
    pub(crate) plan: Plan,
    pub(crate) http: Arc<dyn HttpClient>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metadata: ArcSwapOption<Metadata>,
    pub(crate) status: ArcSwap<Status>,
    pub(crate) wake: Arc<Notify>,
    held: ArcSwapOption<Held>,
    progress: watch::Sender<Progress>,
    hasher: RandomState,
    /// Grows when a key is withdrawn; shared by all issuers of a provider.
    epoch: Arc<AtomicU64>,
}

/// The sources of metadata and keys, and the schedule of their refreshes.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The tenants' issuers that share these keys; nothing for a single issuer.
    pub(crate) pattern: Option<IssuerPattern>,
    /// The place of the metadata; nothing if it may not be reached and nothing in it is needed.
    pub(crate) discovery: Option<Discovery>,
    pub(crate) keys: KeySource,
    /// `true` if no token can be verified without the metadata: it is introspected, and only they name the endpoint.
    pub(crate) needs_metadata: bool,
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) key_by: Vec<KeyParameter>,
    pub(crate) jwks: JwksSettings,
    /// The longest time for which a token waits for a fetch that it asked for.
    pub(crate) fetch_timeout: Duration,
}

/// The source of an issuer's keys.
#[derive(Debug)]
pub(crate) enum KeySource {
    /// The `jwks_uri` of the metadata.
    Discovery,
    /// A configured URL.
    Url(Url),
    /// A file, read anew when it has changed.
    File(Box<Path>),
    /// The configuration itself.
    Inline(Box<[u8]>),
    /// None: every token is introspected.
    Unneeded,
}

/// A token whose key is looked up. Its parts are unverified.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lookup<'a> {
    pub(crate) reference: KeyReference<'a>,
    pub(crate) algorithm: Algorithm,
    /// The tenant in the issuer, where keys belong to tenants.
    pub(crate) tenant: Option<&'a str>,
    /// `iat`.
    pub(crate) issued_at: Option<Timestamp>,
}

/// A key set and the time of its fetch.
#[derive(Debug)]
struct Held {
    set: KeySet,
    /// By the uptime.
    fetched: Duration,
    /// By the time of day.
    fetched_at: Timestamp,
}

/// The progress of fetches.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    started: u64,
    finished: u64,
    /// `true` if the last fetch that finished failed.
    failed: bool,
    /// The uptime when an unknown key last asked for a fetch.
    asked: Option<Duration>,
    /// The hash of that key's reference.
    asked_for: Option<u64>,
}

/// The state of the refreshes, for health reports.
#[derive(Debug, Clone, Default)]
pub(crate) struct Status {
    pub(crate) last_refresh: Option<Timestamp>,
    pub(crate) next_refresh: Option<Timestamp>,
    pub(crate) last_error: Option<String>,
    pub(crate) refreshes: u64,
    pub(crate) failed_refreshes: u64,
}

/// The difference between our clock and the issuer's that is assumed when a token's `iat` is compared with a fetch.
const CLOCK_SKEW: Duration = Duration::from_mins(1);

impl RemoteKeySet {
    /// Starts the task that fetches. Must be called within a Tokio runtime.
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
            hasher: RandomState::new(),
            epoch,
        });
        // The first fetch counts as begun at once, so that the first token waits for it instead of being refused.
        this.begin();
        tokio::spawn(refresh::run(Arc::downgrade(&this)));
        this
    }

    /// Returns `true` if tokens of `issuer` are signed by these keys.
    pub(crate) fn serves(&self, issuer: &str) -> bool {
        match &self.plan.pattern {
            Some(pattern) => pattern.tenant_of(issuer).is_some(),
            None => self.issuer.as_str() == issuer,
        }
    }

    /// Finds the keys that may have signed a token. Waits only if the key is unknown: for the fetch that is under way, or
    /// for one that this token asks for, of which there is at most one in a cool-down (invariant 10).
    ///
    /// # Errors
    /// [`Rejection::UnknownKey`] if the issuer has no such key. An outage if the key may exist and the issuer cannot be
    /// asked now, if the keys are too old, or if there are none yet.
    pub(crate) async fn find(&self, lookup: Lookup<'_>) -> Result<Candidates, AuthnError> {
        let arrived = self.clock.uptime();
        match self.find_held(lookup) {
            Err(AuthnError::Rejected(Rejection::UnknownKey)) => {}
            Err(AuthnError::Unavailable(outage)) if outage.cause == OutageCause::KeysUnavailable => {}
            certain => return certain,
        }
        let reference = self.hasher.hash_one(format!("{:?}", lookup.reference));
        let fetched = match self.ask(reference) {
            Some(fetch) => self.finished(fetch).await && !self.progress.borrow().failed,
            None => !self.progress.borrow().failed && !self.may_be_outdated(lookup, reference, arrived),
        };
        match self.find_held(lookup) {
            Err(AuthnError::Rejected(Rejection::UnknownKey)) if !fetched => {
                Err(self.outage(OutageCause::KeysUnavailable).into())
            }
            found => found,
        }
    }

    /// Returns `true` if a key that is not in the set may have been published after the set was fetched: the set was
    /// fetched before the token arrived, not on behalf of this key, and not long after the token was issued.
    fn may_be_outdated(&self, lookup: Lookup<'_>, reference: u64, arrived: Duration) -> bool {
        let held = self.held.load();
        let Some(held) = held.as_ref() else { return true };
        let issued_before = lookup.issued_at.is_some_and(|moment| moment + CLOCK_SKEW < held.fetched_at);
        held.fetched < arrived && self.progress.borrow().asked_for != Some(reference) && !issued_before
    }

    /// Replaces the key set by one that was fetched. Keys that are not in it any more are forgotten.
    pub(crate) fn accept(&self, set: KeySet) {
        let fetched = self.clock.uptime();
        let before = self.held.load_full();
        let kept = before.is_none_or(|before| set.keeps_all_of(&before.set));
        self.held.store(Some(Arc::new(Held { set, fetched, fetched_at: self.clock.now() })));
        if !kept {
            // After the swap: whoever reads the new epoch verifies with the new keys.
            self.epoch.fetch_add(1, Ordering::SeqCst);
            tracing::info!(issuer = %self.issuer, "the issuer has withdrawn a key");
        }
    }

    /// Returns `true` if tokens can be verified: the metadata and keys that this needs are there and not too old.
    pub(crate) fn ready(&self) -> bool {
        let has_keys = matches!(self.plan.keys, KeySource::Unneeded)
            || self.held.load().as_ref().is_some_and(|held| !self.is_stale(held));
        has_keys && (!self.plan.needs_metadata || self.metadata.load().is_some())
    }

    /// Waits until tokens can be verified.
    pub(crate) async fn until_ready(&self) {
        let mut progress = self.progress.subscribe();
        while !self.ready() {
            // The sender lives in `self`, so waiting cannot fail.
            let _ = progress.changed().await;
        }
    }

    /// Fetches now, whatever the cool-down says, on behalf of an administrator.
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

    /// Returns the moment from which the keys are too old to be used, if there are any.
    pub(crate) fn stale_at(&self) -> Option<Timestamp> {
        self.held.load().as_ref().map(|held| held.fetched_at + self.plan.jwks.stale_if_error.get())
    }

    /// Calls `f` with the key set, if there is one.
    pub(crate) fn with_keys<T>(&self, f: impl FnOnce(&KeySet) -> T) -> Option<T> {
        self.held.load().as_ref().map(|held| f(&held.set))
    }

    /// Begins a fetch unless one is under way. Returns its number, and `true` if it is new.
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

    /// Ends the fetch under way.
    pub(crate) fn end(&self, failed: bool) {
        self.progress.send_modify(|progress| {
            progress.finished = progress.started;
            progress.failed = failed;
        });
    }

    /// Finds keys in the set that is held.
    fn find_held(&self, lookup: Lookup<'_>) -> Result<Candidates, AuthnError> {
        let held = self.held.load();
        let Some(held) = held.as_ref() else {
            return Err(self.outage(OutageCause::KeysUnavailable).into());
        };
        if self.is_stale(held) {
            return Err(self.outage(OutageCause::KeysStale).into());
        }
        let found = held.set.find_by(lookup.reference, &self.plan.key_by, lookup.algorithm)?;
        Ok(match lookup.tenant {
            Some(tenant) => found.of_tenant(tenant)?,
            None => found,
        })
    }

    fn is_stale(&self, held: &Held) -> bool {
        self.clock.uptime().saturating_sub(held.fetched) > self.plan.jwks.stale_if_error.get()
    }

    /// Joins the fetch that is under way, or asks for one. Returns nothing if an unknown key asked less than a cool-down
    /// ago, or if there are no keys at all and the first fetch failed: then fetches follow their own schedule.
    fn ask(&self, reference: u64) -> Option<u64> {
        let now = self.clock.uptime();
        let without_keys = self.held.load().is_none();
        let mut fetch = None;
        let asked = self.progress.send_if_modified(|progress| {
            if progress.started > progress.finished && !(without_keys && progress.failed) {
                fetch = Some(progress.started);
                return false;
            }
            let cool_down = self.plan.jwks.cool_down.get();
            let is_cooling = progress.asked.is_some_and(|asked| now.saturating_sub(asked) < cool_down);
            if without_keys || is_cooling {
                return false;
            }
            progress.started += 1;
            progress.asked = Some(now);
            progress.asked_for = Some(reference);
            fetch = Some(progress.started);
            true
        });
        if asked {
            self.wake.notify_one();
        }
        fetch
    }

    /// Waits for the end of a fetch. Returns `false` if that takes too long.
    async fn finished(&self, fetch: u64) -> bool {
        let mut progress = self.progress.subscribe();
        tokio::select! {
            ended = progress.wait_for(|progress| progress.finished >= fetch) => ended.is_ok(),
            () = self.clock.sleep(self.plan.fetch_timeout) => false,
        }
    }

    /// Returns the metadata; waits while they are being fetched.
    pub(crate) async fn metadata(&self) -> Option<Arc<Metadata>> {
        if self.metadata.load().is_none() {
            let progress = *self.progress.borrow();
            if progress.started > progress.finished && !progress.failed {
                self.finished(progress.started).await;
            }
        }
        self.metadata.load_full()
    }

    /// Returns an outage until the next fetch, or until an unknown key may ask for one.
    pub(crate) fn outage(&self, cause: OutageCause) -> Outage {
        let next = self.status.load().next_refresh;
        let mut wait = next.map_or(Duration::ZERO, |next| next.since(self.clock.now()));
        let asked = self.progress.borrow().asked;
        if let Some(asked) = asked.filter(|_| self.held.load().is_some()) {
            wait = wait.min((asked + self.plan.jwks.cool_down.get()).saturating_sub(self.clock.uptime()));
        }
        Outage::new(cause, wait.clamp(Duration::from_secs(1), Duration::from_mins(1)))
    }
}

impl Drop for RemoteKeySet {
    fn drop(&mut self) {
        self.wake.notify_one();
    }
}
