//! What is counted and timed, for Prometheus. Counting takes no lock and allocates nothing; what something else knows
//! already is asked for when somebody scrapes.

mod exposition;
mod histogram;
mod requests;

use std::sync::atomic::{AtomicU64, Ordering};

pub use self::{
    exposition::{Exposition, Family, Kind},
    histogram::Histogram,
    requests::Requests,
};

/// What a node counts as it works.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Answers.
    pub requests: Requests,
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
    }
}
