//! The two nodes, and the balancer before them.

use std::{
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use scopegate::store::{Changes, Store, StoreSettings};
use scopegate_provider::SystemClock;
use scopegate_testkit::{Cable, Postgres};

use super::{
    STALENESS, World,
    ledger::{Ledger, Wrong},
};
use crate::support::{Client, Server, eventually};

/// A place behind the balancer, where one node after the other runs.
pub(super) struct Slot {
    number: usize,
    pub(super) cable: Cable,
    database: String,
    listed: Mutex<Option<Arc<Life>>>,
    /// Held while the node's configuration or the node itself is replaced.
    pub(super) changing: tokio::sync::Mutex<()>,
    /// When the database could not be reached from here, as events bring it about and as is observed.
    outages: [Mutex<Vec<Outage>>; 2],
}

/// From when to when something could not be reached; without an end it still cannot.
type Outage = (Instant, Option<Instant>);

/// Who says that the database cannot be reached.
#[derive(Clone, Copy)]
pub(super) enum Source {
    /// Who brings it about.
    Event,
    /// Who asks it all the time by the same way: on a busy machine it may be slow by itself.
    Observer,
}

/// A run of the program.
pub(super) struct Life {
    /// Tells runs apart.
    pub(super) number: u64,
    pub(super) slot: usize,
    pub(super) begun: Instant,
    pub(super) client: Client,
    pub(super) operations: Client,
    pub(super) server: Mutex<Server>,
    warm: OnceLock<u64>,
}

/// How long a node takes, at most, to reach a database again that can be reached again: a connection that is waited for
/// when it comes back is given up after three seconds.
const REACHED_AGAIN: Duration = Duration::from_secs(6);

/// After what time a node has everything in memory that it needs all the time.
const WARM: Duration = Duration::from_secs(15);

impl Slot {
    pub(super) async fn new(server: &Postgres, database: &str) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let cable = Cable::to(server).await;
        Self {
            number: usize::try_from(COUNT.fetch_add(1, Ordering::Relaxed)).unwrap(),
            database: cable.url(database),
            cable,
            listed: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            outages: Default::default(),
        }
    }

    /// The configuration: with or without a route open, and if `broken`, what must never be in force.
    pub(super) fn config(&self, world: &World, open: bool) -> String {
        let provider = |index: usize| {
            let (name, issuer) = (world.authorities[index].name, world.authorities[index].issuer.url());
            format!(
                "  {name}: {{ kind: oidc, issuer: \"{issuer}\", audience: http://api.example, \
                 jwks: {{ refresh: 30s, cool_down: 1s }}, http: {{ timeout: 1s }} }}"
            )
        };
        format!(
            r#"
server: {{ listen: 127.0.0.1:0, shutdown_delay: 3s, shutdown_grace: 10s }}
operations: {{ listen: 127.0.0.1:0 }}
store: {{ url: "{store}", max_connections: 4, max_staleness: {{ revocations: {staleness}s }} }}
admin: {{ require: {{ all: ["scopegate:admin"], providers: [alpha] }} }}
cache: {{ tokens: 500 }}
telemetry: {{ log: {{ level: off }} }}
providers:
{alpha}
{beta}
scopes:
  items: Read items
  guarded: Nobody has it
  scopegate:admin: Administer
routes:
  - {{ match: GET /fast/**, require: items, upstream: api }}
  - {{ match: GET /slow/**, require: items, upstream: http2 }}
  - {{ match: GET /guarded/**, require: guarded, upstream: api }}
  - {{ match: GET /open, allow: {open}, upstream: api }}
upstreams:
  api: {{ url: "{upstream}" }}
  http2: {{ url: "{upstream}", protocol: http2 }}
"#,
            store = self.database,
            staleness = STALENESS.as_secs(),
            alpha = provider(0),
            beta = provider(1),
            open = if open { "anonymous" } else { "nobody" },
            upstream = world.upstream,
        )
    }

    /// The node that the balancer sends requests to.
    pub(super) fn listed(&self) -> Option<Arc<Life>> {
        self.listed.lock().unwrap().clone()
    }

    /// Starts a node and lists it once it is ready.
    pub(super) async fn start(&self, world: &World, open: bool) {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        let _database_is_there = world.starting.lock().await;
        let (config, begun) = (self.config(world, open), Instant::now());
        let server = tokio::task::spawn_blocking(move || Server::start(&config)).await.unwrap();
        let life = Life {
            number: COUNT.fetch_add(1, Ordering::Relaxed),
            slot: self.number,
            begun,
            client: Client::new(&server.url),
            operations: Client::new(&server.operations),
            server: Mutex::new(server),
            warm: OnceLock::new(),
        };
        eventually(async || life.operations.get("/readyz").await, |answer| answer.status == 200).await;
        *self.listed.lock().unwrap() = Some(Arc::new(life));
    }

    /// Ends the node as an operator does, takes it out as a balancer does, and starts another. Nothing must be lost.
    pub(super) async fn restart(&self, world: &World) {
        let _changing = self.changing.lock().await;
        let life = self.listed().unwrap();
        life.server.lock().unwrap().signal("TERM");
        let leaving = |answer: &String| answer.contains("shutting down");
        eventually(async || life.operations.get("/readyz").await.text, leaving).await;
        *self.listed.lock().unwrap() = None;
        life.check_memory(&world.ledger);
        let ended = eventually(async || life.server.lock().unwrap().ended(), Option::is_some).await;
        if !ended.is_some_and(|ended| ended.success()) {
            world.ledger.wrong(Wrong::Other, format!("a node ended with {ended:?}"));
        }
        self.start(world, true).await;
    }

    /// Freezes the node as a paused machine is, once the balancer has taken it out and it has answered what it was asked.
    /// It is listed again when it says that it is ready.
    pub(super) async fn freeze(&self, world: &World, time: Duration) {
        let _changing = self.changing.lock().await;
        let _database_is_there = world.starting.lock().await;
        let Some(life) = self.listed.lock().unwrap().take() else { return };
        tokio::time::sleep(Duration::from_secs(2)).await;
        self.loses_database(Source::Event, Instant::now());
        life.server.lock().unwrap().signal("STOP");
        tokio::time::sleep(time).await;
        life.server.lock().unwrap().signal("CONT");
        self.finds_database(Source::Event);
        eventually(async || life.operations.get("/readyz").await.status, |status| *status == 200).await;
        *self.listed.lock().unwrap() = Some(life);
    }

    /// The database cannot be reached from here, from then on.
    pub(super) fn loses_database(&self, source: Source, at: Instant) {
        let mut outages = self.outages[source as usize].lock().unwrap();
        if outages.last().is_none_or(|(_, ended)| ended.is_some()) {
            outages.push((at, None));
        }
    }

    /// It can be reached again.
    pub(super) fn finds_database(&self, source: Source) {
        if let Some((_, ended @ None)) = self.outages[source as usize].lock().unwrap().last_mut() {
            *ended = Some(Instant::now());
        }
    }

    fn outages(&self) -> Vec<Outage> {
        self.outages.iter().flat_map(|outages| outages.lock().unwrap().clone()).collect()
    }

    /// Whether the node may say at this moment that it has not heard of revocations for too long.
    pub(super) fn may_be_stale(&self, at: Instant) -> bool {
        self.outages().iter().any(|(begun, ended)| {
            // It may have heard for the last time a moment before.
            at + Duration::from_secs(1) > *begun + STALENESS
                && ended.is_none_or(|ended| at < ended + REACHED_AGAIN)
        })
    }

    /// Whether the database could be reached all the time.
    pub(super) fn was_connected(&self, from: Instant, to: Instant) -> bool {
        let apart =
            |(begun, ended): &Outage| *begun > to || ended.is_some_and(|ended| ended + REACHED_AGAIN < from);
        self.outages().iter().all(apart)
    }

    /// Asks the database by the node's way, all the time, until it is over.
    pub(super) async fn observe(&self, world: &World) {
        let settings = StoreSettings::new(self.database.parse().unwrap());
        let store = Store::open(Some(&settings), Arc::new(SystemClock::new())).await.unwrap();
        while !world.is_over() {
            let asked = Instant::now();
            match tokio::time::timeout(SLOW, store.heads()).await {
                Ok(Ok(_)) => self.finds_database(Source::Observer),
                Ok(Err(_)) | Err(_) => self.loses_database(Source::Observer, asked),
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }
}

/// What takes longer than this is no answer.
const SLOW: Duration = Duration::from_secs(1);

impl Life {
    /// Notes what memory it has once it is warm.
    pub(super) fn look_at_memory(&self) {
        if self.begun.elapsed() > WARM {
            self.warm.get_or_init(|| self.server.lock().unwrap().memory());
        }
    }

    /// Compares its memory with what it was.
    pub(super) fn check_memory(&self, ledger: &Ledger) {
        let Some(warm) = self.warm.get().copied() else { return };
        let now = self.server.lock().unwrap().memory();
        let age = self.begun.elapsed().as_secs();
        let mb = |bytes: u64| bytes / 1_000_000;
        ledger.memory(format!(
            "node {}, {age} s old: {} MB, when warm {} MB",
            self.number,
            mb(now),
            mb(warm)
        ));
        if now > warm + warm / 5 + 10_000_000 {
            ledger.wrong(Wrong::Other, format!("the memory of node {} has grown", self.number));
        }
    }
}
