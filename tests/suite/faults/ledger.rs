//! What came of it, counted.
#![expect(clippy::print_stdout, reason = "it prints its table")]

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

/// What must not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Wrong {
    /// A bad or revoked token passed, or one that does not suffice.
    Permitted,
    /// A good token, of a key that the node knew, did not pass.
    Denied,
    /// A request was not answered.
    Lost,
    /// Something else.
    Other,
}

/// The counts.
pub(super) struct Ledger {
    begun: Instant,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    /// What callers were told, by what they presented.
    answers: BTreeMap<&'static str, BTreeMap<String, u64>>,
    events: BTreeMap<&'static str, u64>,
    wrong: BTreeMap<Wrong, Vec<String>>,
    memory: Vec<String>,
    /// How long a revocation took until it held at another node that reaches the store.
    latest: Duration,
}

/// Everything that must have happened at least once.
const EVENTS: [&str; 20] = [
    "a node was frozen and went on",
    "a key was published",
    "a key was withdrawn",
    "an issuer hung",
    "an issuer answered 500",
    "an issuer named another issuer",
    "an issuer answered malformed JSON",
    "an issuer closed connections",
    "a good configuration was taken over",
    "a bad configuration was refused",
    "PostgreSQL was restarted",
    "PostgreSQL was killed and started",
    "all connections were terminated",
    "the database went back in time",
    "the disk of the database was full, and was not any more",
    "the connection of a node led nowhere",
    "the connection of a node was cut",
    "the connection of a node was cut for long",
    "a node was ended and started",
    "a clock was stepped",
];

impl Ledger {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), counts: Mutex::default() }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap()
    }

    /// A caller was told something.
    pub(super) fn answer(&self, presented: &'static str, told: impl Into<String>) {
        *self.counts().answers.entry(presented).or_default().entry(told.into()).or_default() += 1;
    }

    /// Something happened.
    pub(super) fn event(&self, what: &'static str) {
        assert!(EVENTS.contains(&what), "{what}");
        *self.counts().events.entry(what).or_default() += 1;
    }

    /// Something happened that must not.
    pub(super) fn wrong(&self, what: Wrong, detail: String) {
        println!("wrong, after {:?}: {what:?}: {detail}", self.begun.elapsed());
        self.counts().wrong.entry(what).or_default().push(detail);
    }

    /// A node's memory.
    pub(super) fn memory(&self, line: String) {
        self.counts().memory.push(line);
    }

    /// A revoked token passed this long after its revocation, at a node that had not heard of it.
    pub(super) fn passed_late(&self, after: Duration) {
        let mut counts = self.counts();
        counts.latest = counts.latest.max(after);
    }

    pub(super) fn count(&self, wrong: Wrong) -> usize {
        self.counts().wrong.get(&wrong).map_or(0, Vec::len)
    }

    pub(super) fn reloads(&self) -> u64 {
        let counts = self.counts();
        let of = |event| counts.events.get(event).copied().unwrap_or_default();
        of("a good configuration was taken over") + of("a bad configuration was refused")
    }

    /// That everything happened, and that good tokens passed for the most part.
    pub(super) fn check_that_it_was_a_test(&self) {
        let counts = self.counts();
        for event in EVENTS {
            assert!(counts.events.contains_key(event), "it never happened that {event}");
        }
        let good = &counts.answers["good"];
        let passed = good.get("200").copied().unwrap_or_default();
        assert!(passed * 10 > good.values().sum::<u64>() * 8, "too few good tokens passed");
        let revoked = &counts.answers["revoked"];
        assert!(revoked.get("401 revoked").is_some_and(|refused| *refused > 50), "too few were revoked");
    }

    pub(super) fn print(&self) {
        let counts = self.counts();
        println!("\nwhat callers were told");
        for (presented, answers) in &counts.answers {
            for (told, count) in answers {
                println!("  {presented:<28} {told:<36} {count:>8}");
            }
        }
        println!("\nwhat happened");
        for (event, count) in &counts.events {
            println!("  {event:<65} {count:>8}");
        }
        println!("\nmemory");
        for line in &counts.memory {
            println!("  {line}");
        }
        println!("\nwhat must not happen");
        let of = |wrong| counts.wrong.get(&wrong).map_or(0, Vec::len);
        println!("  {:<65} {:>8}", "wrongly permitted", of(Wrong::Permitted));
        println!("  {:<65} {:>8}", "wrongly denied, with a good token and a known key", of(Wrong::Denied));
        println!("  {:<65} {:>8}", "requests lost", of(Wrong::Lost));
        println!("  {:<65} {:>8}", "anything else", of(Wrong::Other));
        println!("  a revoked token passed at another node for at most {:?}\n", counts.latest);
    }
}
