//! Everything goes wrong, for minutes, under steady load; and nothing comes of it.
//!
//! Two nodes, which are the program itself, share one PostgreSQL and stand behind one balancer; a third is a gate in this
//! process, so that its clock can be stepped. Keys rotate and issuers fail, configurations change for good and bad, the
//! database restarts and its connections are cut, nodes are ended and started. Callers with good, bad, revoked and missing
//! tokens go on all the while, and know what they must be told.
//!
//! `tests/run faults 10m` runs it for ten minutes. `SCOPEGATE_FAULTS` is its length, `SCOPEGATE_FAULTS_SEED` its seed.

mod authority;
mod clock;
mod events;
mod ledger;
mod load;
mod nodes;
mod upstream;

use std::{
    env,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use scopegate_provider::Span;
use scopegate_testkit::Postgres;
use tokio::task::{JoinSet, LocalSet};

use self::{
    authority::{Authority, Token},
    ledger::{Ledger, Wrong},
    nodes::{Life, Slot},
};
use crate::support::Chance;

/// How many call at the same time.
const CALLERS: u64 = 12;

/// `store.max_staleness.revocations` of the nodes.
const STALENESS: Duration = Duration::from_secs(10);

/// Within what time a revocation holds at a node that reaches the store (invariant 14).
const EVERYWHERE: Duration = Duration::from_secs(1);

/// Everything that there is.
struct World {
    begun: Instant,
    length: Duration,
    database: Postgres,
    database_name: String,
    /// How often a time began or ended (odd while one lasts) in which acknowledged writes may be lost.
    losing_writes: AtomicU64,
    authorities: [Authority; 2],
    slots: [Slot; 2],
    upstream: String,
    revoked: Mutex<Vec<Revoked>>,
    ledger: Ledger,
    /// Held while a node starts, and while the database cannot be reached: a node does not start without its store.
    starting: tokio::sync::Mutex<()>,
}

/// A token whose revocation was acknowledged.
#[derive(Clone)]
struct Revoked {
    token: Arc<Token>,
    /// When, and by which node.
    at: Instant,
    by: u64,
}

impl World {
    async fn start(length: Duration) -> Arc<Self> {
        let database = tokio::task::spawn_blocking(Postgres::start).await.unwrap();
        let url = database.database();
        let slots = [Slot::new(&database, &url).await, Slot::new(&database, &url).await];
        let authorities = [Authority::start("alpha").await, Authority::start("beta").await];
        let upstream = upstream::start().await;
        let database_name = url.rsplit_once('/').unwrap().1.split('?').next().unwrap().to_owned();
        let (revoked, ledger) = (Mutex::default(), Ledger::new());
        let begun = Instant::now();
        let starting = tokio::sync::Mutex::default();
        let world = Arc::new(Self {
            begun,
            length,
            database,
            database_name,
            losing_writes: AtomicU64::new(0),
            authorities,
            slots,
            upstream,
            revoked,
            ledger,
            starting,
        });
        world.slots[0].start(&world, true).await;
        // Entries that no node can use: nodes start all the same, and follow later changes.
        for entry in [
            "INSERT INTO routes VALUES ('broken', '{\"match\":', 1)",
            "INSERT INTO routes VALUES ('unknown', '{\"match\": \"GTE /x\", \"require\": \"items\"}', 1)",
            "INSERT INTO scopes (name, description, routes, version) VALUES ('two words', 'x', '[]', 1)",
        ] {
            assert!(world.database.psql(&world.database_name, entry), "{entry}");
        }
        world.slots[1].start(&world, true).await;
        world
    }

    fn is_over(&self) -> bool {
        self.begun.elapsed() >= self.length
    }

    /// Waits; says whether it goes on after that.
    async fn rest(&self, chance: &mut Chance, seconds: std::ops::Range<f64>) -> bool {
        let millis = |seconds: f64| Duration::from_secs_f64(seconds).as_millis();
        let (from, to) = (millis(seconds.start) as usize, millis(seconds.end) as usize);
        tokio::time::sleep(Duration::from_millis(chance.of(from..to) as u64)).await;
        !self.is_over()
    }

    /// From now on the database will forget what it acknowledges.
    fn begin_losing_writes(&self) {
        self.losing_writes.fetch_add(1, Ordering::SeqCst);
    }

    /// It keeps again what it acknowledges.
    fn end_losing_writes(&self) {
        self.losing_writes.fetch_add(1, Ordering::SeqCst);
    }

    /// The number of the present time in which writes are kept; none while they are lost.
    fn keeping_writes(&self) -> Option<u64> {
        Some(self.losing_writes.load(Ordering::SeqCst)).filter(|count| count % 2 == 0)
    }

    fn authority(&self, chance: &mut Chance) -> &Authority {
        &self.authorities[chance.of(0..2)]
    }

    /// One of the nodes that the balancer sends requests to.
    fn pick(&self, chance: &mut Chance) -> Option<Arc<Life>> {
        let first = chance.of(0..2);
        self.slots[first].listed().or_else(|| self.slots[1 - first].listed())
    }

    fn lives(&self) -> impl Iterator<Item = Arc<Life>> {
        self.slots.iter().filter_map(Slot::listed)
    }

    /// Whether a token whose revocation was acknowledged must be refused by a request that begins now.
    fn must_refuse(&self, revoked: &Revoked, life: &Life) -> bool {
        let (now, slot) = (Instant::now(), &self.slots[life.slot]);
        let age = now - revoked.at;
        revoked.by == life.number
            || life.begun > revoked.at
            || age > STALENESS + EVERYWHERE
            || age > EVERYWHERE && slot.was_connected(revoked.at, now)
    }
}

fn length() -> Duration {
    env::var("SCOPEGATE_FAULTS").map_or(Duration::from_mins(2), |text| text.parse::<Span>().unwrap().get())
}

fn seed() -> u64 {
    env::var("SCOPEGATE_FAULTS_SEED").map_or(5, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes two minutes or more: `tests/run` runs it"]
async fn whatever_fails_nobody_is_wrongly_permitted_or_denied_and_no_request_is_lost() {
    let (length, seed) = (length(), seed());
    println!("everything fails for {length:?}, seed {seed}");
    let world = World::start(length).await;
    LocalSet::new().run_until(run(&world, Chance::new(seed))).await;
    for life in world.lives() {
        life.check_memory(&world.ledger);
    }
    world.ledger.print();
    assert_eq!(world.ledger.reloads(), 100);
    for wrong in [Wrong::Permitted, Wrong::Denied, Wrong::Lost, Wrong::Other] {
        assert_eq!(world.ledger.count(wrong), 0, "{wrong:?}");
    }
    world.ledger.check_that_it_was_a_test();
}

async fn run(world: &Arc<World>, mut chance: Chance) {
    let mut tasks = JoinSet::new();
    let mut next = || Chance::new(chance.number());
    for _ in 0..CALLERS {
        tasks.spawn_local(load::call(world.clone(), next()));
    }
    tasks.spawn_local(load::revoke(world.clone(), next()));
    tasks.spawn_local(events::issuers_fail(world.clone(), next()));
    tasks.spawn_local(events::keys_rotate(world.clone(), next()));
    tasks.spawn_local(events::configurations_change(world.clone(), next()));
    tasks.spawn_local(events::the_database_fails(world.clone(), next()));
    tasks.spawn_local(events::nodes_restart(world.clone()));
    tasks.spawn_local(events::nodes_freeze(world.clone(), next()));
    tasks.spawn_local(events::memory_is_looked_at(world.clone()));
    for slot in 0..world.slots.len() {
        tasks.spawn_local(events::the_database_is_observed(world.clone(), slot));
    }
    tasks.spawn_local(clock::steps(world.clone(), next()));
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}
