//! The decisions of this node as they are made: a bounded memory of the last ones, and a feed for those who watch.
//!
//! A decision is redacted when it is recorded: its path is cut, and no token, query or header is kept. Denials are always
//! recorded. Permits are recorded only while someone watches, so that without a watcher a permitted request costs one
//! relaxed load. Recording never waits: what finds the queue full is counted instead.

use std::{
    collections::{HashMap, VecDeque},
    fmt, mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use http::Method;
use scopegate_provider::{ClientId, Clock, ProviderName, Scope, Subject, Timestamp};
use tokio::sync::{broadcast, mpsc};

use super::{DecisionOutcome, Held, Metrics, ShadowDecision, ShadowNote, metrics::Totals};

/// The number of denials and outages that are remembered.
const DENIALS: usize = 10_000;

/// The number of permits that are remembered.
const PERMITS: usize = 1_000;

/// The number of decisions that may wait to be remembered.
const QUEUE: usize = 4_096;

/// The number of decisions that a slow watcher may be behind.
const FEED: usize = 1_024;

/// The longest path that is kept, in bytes.
const PATH: usize = 256;

/// The time for which permits are recorded after someone has looked.
const ATTENTION: Duration = Duration::from_mins(10);

/// The number of minutes for which rates are kept.
const MINUTES: usize = 60;

/// A decision, as it is remembered.
#[derive(Debug, Clone)]
pub struct DecisionRecord {
    /// The number of the decision on this node.
    pub number: u64,
    /// The id of the request.
    pub request_id: String,
    /// The moment of the decision, set as it is remembered.
    pub at: Timestamp,
    /// The outcome.
    pub outcome: DecisionOutcome,
    /// The status of the answer.
    pub status: u16,
    /// The reason in the one vocabulary.
    pub reason: String,
    /// The method.
    pub method: Method,
    /// The host.
    pub host: String,
    /// The path without the query and without tokens, cut to 256 bytes.
    pub path: String,
    /// The label of the route that decided.
    pub route: Option<Arc<str>>,
    /// The place of the rule that decided, such as `scopegate.yaml:12`.
    pub rule: Option<Box<str>>,
    /// The provider of the token, if it was verified.
    pub provider: Option<ProviderName>,
    /// The client of the token, if it was verified.
    pub client: Option<ClientId>,
    /// The subject of the token, if it was verified and `telemetry.log.identify` is `subject`.
    pub subject: Option<Subject>,
    /// The address of the caller.
    pub peer: String,
    /// The scopes that the token lacks.
    pub missing: Vec<Scope>,
    /// The description of a refusal.
    pub detail: Option<Box<str>>,
    /// The facts of a verified token by which rules decide.
    pub held: Option<Box<Held>>,
    /// Set if a token would have been used and the request carried none.
    pub is_anonymous: bool,
    /// The time that the answer took, in microseconds.
    pub micros: u64,
    /// Set if a proxy asked about the request, which did not pass through the node itself.
    pub is_check: bool,
    /// The decision of the routes in `mode: shadow`, if any takes part.
    pub shadow: Option<ShadowNote>,
    /// The id of the trace, if the request belongs to one.
    pub trace_id: Option<Box<str>>,
}

/// The rates of one second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    /// The requests that were permitted.
    pub permitted: u64,
    /// The requests that were denied.
    pub denied: u64,
    /// The requests that could not be decided.
    pub outages: u64,
    /// The median time of a decision, in microseconds.
    pub p50_us: u64,
    /// The 99th percentile of the time of a decision, in microseconds.
    pub p99_us: u64,
}

/// The requests of the last minutes, the last of them not over yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Minutes {
    /// The requests of each minute.
    pub totals: Vec<Totals>,
    /// The requests of each route in the last hour.
    pub routes: Vec<(Arc<str>, Totals)>,
    /// The requests with tokens of each provider in the last hour.
    pub providers: HashMap<ProviderName, Totals>,
}

/// The live decisions of a node.
pub struct LiveDecisions {
    watched: AtomicBool,
    queue: mpsc::Sender<DecisionRecord>,
    waiting: Mutex<Option<mpsc::Receiver<DecisionRecord>>>,
    missed: AtomicU64,
    next: AtomicU64,
    watched_until: AtomicI64,
    memory: Mutex<Memory>,
    feed: broadcast::Sender<Arc<DecisionRecord>>,
}

#[derive(Debug, Default)]
struct Memory {
    denials: VecDeque<Arc<DecisionRecord>>,
    permits: VecDeque<Arc<DecisionRecord>>,
    minutes: VecDeque<Totals>,
    /// The totals at the last second and at the start of the running minute.
    last_second: Totals,
    minute_start: Totals,
    minute: i64,
    rates: Rates,
    buckets: Vec<u64>,
    /// The totals of routes and providers at the start of each five minutes of the hour.
    snapshots: VecDeque<Snapshot>,
}

/// The totals at one moment.
#[derive(Debug)]
struct Snapshot {
    routes: HashMap<Arc<str>, Totals>,
    providers: HashMap<ProviderName, Totals>,
}

impl Snapshot {
    fn of(metrics: &Metrics) -> Self {
        Self {
            routes: metrics.requests.totals_by_route().into_iter().collect(),
            providers: metrics.requests.totals_by_provider(),
        }
    }
}

impl LiveDecisions {
    /// Remembers decisions and rates for as long as the node exists. Later calls do nothing.
    pub fn start(metrics: &Arc<Metrics>, clock: Arc<dyn Clock>) {
        let waiting = lock(&metrics.live.waiting).take();
        if let Some(queue) = waiting {
            tokio::spawn(collect(Arc::downgrade(metrics), queue, clock));
        }
    }

    /// Returns `true` if permits are recorded, too.
    pub fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Relaxed)
    }

    /// Records permits from now on, for some minutes.
    pub fn watch(&self, now: Timestamp) {
        self.watched_until.store((now + ATTENTION).millis(), Ordering::Relaxed);
        self.watched.store(true, Ordering::Relaxed);
    }

    /// Records a decision. Never waits.
    pub fn record(&self, mut record: DecisionRecord) {
        record.number = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        if self.queue.try_send(record).is_err() {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns a feed of the decisions that follow.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<DecisionRecord>> {
        self.feed.subscribe()
    }

    /// Returns the number of decisions that were not recorded because too many came at once.
    pub fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    /// Returns the remembered decisions, newest first.
    pub fn recent(&self) -> Vec<Arc<DecisionRecord>> {
        let memory = lock(&self.memory);
        let mut all: Vec<_> = memory.denials.iter().chain(&memory.permits).cloned().collect();
        drop(memory);
        all.sort_by_key(|record| std::cmp::Reverse(record.number));
        all
    }

    /// Returns the remembered decision about a request.
    pub fn find(&self, request_id: &str) -> Option<Arc<DecisionRecord>> {
        let memory = lock(&self.memory);
        let mut all = memory.denials.iter().rev().chain(memory.permits.iter().rev());
        all.find(|record| record.request_id == request_id).cloned()
    }

    /// Returns the rates of the last second.
    pub fn rates(&self) -> Rates {
        lock(&self.memory).rates
    }

    /// Returns the requests of the last hour, by minute and by route.
    pub fn last_hour(&self, metrics: &Metrics) -> Minutes {
        let now = metrics.requests.totals();
        let memory = lock(&self.memory);
        let running = now.since(memory.minute_start);
        let mut totals: Vec<_> = memory.minutes.iter().copied().chain([running]).collect();
        let missing = MINUTES.saturating_sub(totals.len());
        totals.splice(0..0, std::iter::repeat_n(Totals::default(), missing));
        let earlier = memory.snapshots.front();
        let now = Snapshot::of(metrics);
        let routes = now.routes.into_iter().map(|(route, totals)| {
            let before = earlier.and_then(|earlier| earlier.routes.get(&route)).copied().unwrap_or_default();
            (route, totals.since(before))
        });
        let providers = now.providers.into_iter().map(|(name, totals)| {
            let before =
                earlier.and_then(|earlier| earlier.providers.get(&name)).copied().unwrap_or_default();
            (name, totals.since(before))
        });
        Minutes { totals, routes: routes.collect(), providers: providers.collect() }
    }
}

impl Default for LiveDecisions {
    fn default() -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        Self {
            watched: AtomicBool::new(false),
            queue,
            waiting: Mutex::new(Some(waiting)),
            missed: AtomicU64::new(0),
            next: AtomicU64::new(0),
            watched_until: AtomicI64::new(0),
            memory: Mutex::default(),
            feed: broadcast::Sender::new(FEED),
        }
    }
}

impl fmt::Debug for LiveDecisions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveDecisions").field("watched", &self.watched).finish_non_exhaustive()
    }
}

impl Memory {
    fn remember(&mut self, record: Arc<DecisionRecord>) {
        let (ring, most) = match record.outcome {
            DecisionOutcome::Permitted => (&mut self.permits, PERMITS),
            DecisionOutcome::Denied | DecisionOutcome::Outage => (&mut self.denials, DENIALS),
        };
        if ring.len() == most {
            ring.pop_front();
        }
        ring.push_back(record);
    }

    /// Takes the sample of a second.
    fn sample(&mut self, metrics: &Metrics, now: Timestamp) {
        let totals = metrics.requests.totals();
        let since = totals.since(mem::replace(&mut self.last_second, totals));
        let buckets = metrics.decisions.counts();
        let spent: Vec<u64> = buckets
            .iter()
            .enumerate()
            .map(|(index, count)| count - self.buckets.get(index).copied().unwrap_or_default().min(*count))
            .collect();
        if spent.iter().sum::<u64>() > 0 {
            self.rates.p50_us = metrics.decisions.percentile(&spent, 50);
            self.rates.p99_us = metrics.decisions.percentile(&spent, 99);
            self.buckets = buckets;
        }
        self.rates =
            Rates { permitted: since.permitted, denied: since.denied, outages: since.outages, ..self.rates };
        let minute = now.millis().div_euclid(60_000);
        if minute == self.minute {
            return;
        }
        if self.minute != 0 {
            self.minutes.push_back(totals.since(self.minute_start));
        }
        while self.minutes.len() >= MINUTES {
            self.minutes.pop_front();
        }
        (self.minute, self.minute_start) = (minute, totals);
        if minute % 5 == 0 || self.snapshots.is_empty() {
            self.snapshots.push_back(Snapshot::of(metrics));
        }
        while self.snapshots.len() > MINUTES / 5 {
            self.snapshots.pop_front();
        }
    }
}

/// Remembers decisions and takes samples until the node ends.
async fn collect(
    metrics: std::sync::Weak<Metrics>,
    mut queue: mpsc::Receiver<DecisionRecord>,
    clock: Arc<dyn Clock>,
) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let record = tokio::select! {
            record = queue.recv() => match record {
                Some(record) => Some(record),
                None => return,
            },
            _ = second.tick() => None,
        };
        let Some(metrics) = metrics.upgrade() else { return };
        let live = &metrics.live;
        if let Some(record) = record {
            let record = Arc::new(DecisionRecord { at: clock.now(), ..record });
            lock(&live.memory).remember(record.clone());
            // Without a watcher the feed has no receiver.
            let _ = live.feed.send(record);
        } else {
            lock(&live.memory).sample(&metrics, clock.now());
            let is_over = live.watched_until.load(Ordering::Relaxed) < clock.now().millis();
            if is_over && live.feed.receiver_count() == 0 {
                live.watched.store(false, Ordering::Relaxed);
            }
        }
    }
}

/// A poisoned lock holds what was remembered so far.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns a path as it may be shown: without the query, without tokens, and cut to 256 bytes.
pub(super) fn shown_path(path: &str) -> String {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let segments = path.split('/').map(|segment| if holds_token(segment) { "[token]" } else { segment });
    let mut shown = segments.collect::<Vec<_>>().join("/");
    shown.truncate(shown.floor_char_boundary(PATH));
    shown
}

/// Returns `true` if a segment of a path holds what looks like a JWT.
fn holds_token(segment: &str) -> bool {
    segment.contains("eyJ") && segment.len() > 20
}

/// Logs a record: a macro, as the level of an event is a constant.
macro_rules! log {
    ($level:ident, $record:expr, $message:expr) => {{
        let record: &DecisionRecord = $record;
        let missing = record.missing.iter().map(Scope::as_str).collect::<Vec<_>>().join(" ");
        tracing::$level!(
            request_id = record.request_id,
            method = %record.method,
            host = record.host,
            path = record.path,
            status = record.status,
            reason = Some(record.reason.as_str()).filter(|reason| !reason.is_empty()),
            route = record.route.as_deref(),
            rule = record.rule.as_deref(),
            missing = Some(missing.as_str()).filter(|missing| !missing.is_empty()),
            detail = record.detail.as_deref(),
            provider = record.provider.as_ref().map(ProviderName::as_str),
            client = record.client.as_ref().map(ClientId::as_str),
            subject = record.subject.as_ref().map(Subject::as_str),
            peer = record.peer,
            micros = record.micros,
            trace_id = record.trace_id.as_deref(),
            "{}",
            $message
        );
    }};
}

impl DecisionRecord {
    /// Logs a refusal or failure: one line that explains it.
    pub(super) fn log_at_info(&self, message: &str) {
        log!(info, self, message);
    }

    /// Logs any other answer.
    pub(super) fn log_at_debug(&self) {
        log!(debug, self, "answered");
    }

    /// Logs a request that the routes in `mode: shadow` would treat in another way.
    pub(super) fn log_shadow(&self, decision: &ShadowDecision) {
        let would_be = match decision.outcome {
            DecisionOutcome::Permitted => "would be permitted",
            DecisionOutcome::Denied | DecisionOutcome::Outage => "would be denied",
        };
        tracing::info!(
            request_id = self.request_id,
            method = %self.method,
            host = self.host,
            path = self.path,
            status = self.status,
            route = self.route.as_deref(),
            shadow_route = decision.route.as_deref(),
            shadow_reason = decision.reason.as_str(),
            provider = decision.provider.as_ref().map(ProviderName::as_str),
            client = decision.client.as_ref().map(ClientId::as_str),
            peer = self.peer,
            "shadow: {would_be}"
        );
    }

    /// Returns the decision of the routes in `mode: shadow`, if it was made by now.
    pub fn shadow_decision(&self) -> Option<Arc<ShadowDecision>> {
        self.shadow.as_ref()?.decision()
    }

    /// Returns the decision of the routes in `mode: shadow` if it differs from the one that was enforced.
    pub fn changed_by_shadow(&self) -> Option<Arc<ShadowDecision>> {
        self.shadow_decision().filter(|decision| decision.differs_from(self.outcome))
    }
}

#[cfg(test)]
mod tests {
    use scopegate_provider::SystemClock;

    use super::*;

    fn record(id: &str, outcome: DecisionOutcome) -> DecisionRecord {
        DecisionRecord {
            number: 0,
            request_id: id.to_owned(),
            at: Timestamp::from_millis(1),
            outcome,
            status: 403,
            reason: "insufficient_scope".to_owned(),
            method: Method::GET,
            host: "a".to_owned(),
            path: shown_path(&format!("/{}?token=secret", "é".repeat(300))),
            route: None,
            rule: None,
            provider: None,
            client: None,
            subject: None,
            peer: "192.0.2.1".to_owned(),
            missing: Vec::new(),
            detail: None,
            held: None,
            is_anonymous: false,
            micros: 1,
            is_check: false,
            shadow: None,
            trace_id: None,
        }
    }

    async fn settle() {
        tokio::time::sleep(Duration::from_secs(2)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_path_is_kept_without_its_query_and_cut_between_characters() {
        let metrics = Arc::<Metrics>::default();
        LiveDecisions::start(&metrics, Arc::new(SystemClock::new()));
        metrics.live.record(record("a", DecisionOutcome::Denied));
        settle().await;
        let kept = metrics.live.find("a").unwrap();
        assert_eq!(kept.path.len(), 255);
        assert!(!kept.path.contains("secret"));
    }

    #[test]
    fn a_token_in_a_path_is_not_shown() {
        let token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl";
        assert_eq!(shown_path(&format!("/items/{token}/x?y")), "/items/[token]/x");
        assert_eq!(shown_path("/items/eyJ/x"), "/items/eyJ/x");
    }

    #[tokio::test(start_paused = true)]
    async fn the_memory_is_bounded_and_keeps_denials_apart_from_permits() {
        let metrics = Arc::<Metrics>::default();
        LiveDecisions::start(&metrics, Arc::new(SystemClock::new()));
        metrics.live.record(record("first denial", DecisionOutcome::Denied));
        for _ in 0..3 {
            for number in 0..1_000 {
                metrics.live.record(record(&number.to_string(), DecisionOutcome::Permitted));
            }
            settle().await;
        }
        assert_eq!(metrics.live.recent().len(), PERMITS + 1);
        assert!(metrics.live.find("first denial").is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_counted_and_never_waited_for() {
        let metrics = Arc::<Metrics>::default();
        for number in 0..QUEUE + 7 {
            metrics.live.record(record(&number.to_string(), DecisionOutcome::Denied));
        }
        assert_eq!(metrics.live.missed(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn permits_are_recorded_only_while_someone_watches() {
        let metrics = Arc::<Metrics>::default();
        let clock = Arc::new(SystemClock::new());
        LiveDecisions::start(&metrics, clock.clone());
        assert!(!metrics.live.is_watched());
        metrics.live.watch(clock.now());
        assert!(metrics.live.is_watched());
    }
}
