//! What is counted and timed, for Prometheus. Counting takes no lock and allocates nothing; what something else knows
//! already is asked for when somebody scrapes.

mod checks;
mod exposition;
mod histogram;
mod requests;
mod signals;

use std::sync::atomic::{AtomicU64, Ordering};

pub use self::{
    checks::{Checks, TimedOffload},
    exposition::{Exposition, Family, Kind},
    histogram::Histogram,
    requests::{Requests, Totals},
    signals::{SignalKind, Signals},
};

/// What a node counts as it works.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Answers.
    pub requests: Requests,
    /// How long decisions take, whatever was waited for meanwhile included.
    pub decisions: Histogram,
    /// Checks of signatures.
    pub checks: Checks,
    /// The last decisions, and those that are made now.
    pub live: super::LiveDecisions,
    /// Tokens for services behind that were signed.
    pub minted: Counter,
    /// The signals of providers.
    pub signals: Signals,
    /// Configurations that were taken over while the node ran.
    pub good_reloads: Counter,
    /// Configurations that were refused while the node ran.
    pub bad_reloads: Counter,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many so far.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Metrics {
    /// Writes what was counted.
    pub fn write(&self, page: &mut Exposition) {
        self.requests.write(page);
        let help = "Time to decide about a request, what was waited for included.";
        page.family("scopegate_decision_seconds", Kind::Histogram, help).histogram(&[], &self.decisions);
        self.checks.write(page);
        let help = "Tokens for services behind that were signed; one is used again for most of its life.";
        page.single("scopegate_minted_tokens_total", Kind::Counter, help, self.minted.count());
        self.signals.write(page);
        let help = "Configurations that were read while the node ran; a bad one changes nothing.";
        let mut reloads = page.family("scopegate_config_reloads_total", Kind::Counter, help);
        reloads.sample(&[("outcome", "good")], self.good_reloads.count());
        reloads.sample(&[("outcome", "bad")], self.bad_reloads.count());
        let help = "The number of the configuration in force; the one that the node started with is 1.";
        page.single("scopegate_config_generation", Kind::Gauge, help, self.good_reloads.count() + 1);
    }
}
