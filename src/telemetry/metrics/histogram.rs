//! Distributions of durations.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// The bounds of the buckets in microseconds: from a decision by what is in memory to a provider that does not answer.
const BOUNDS: [u64; 20] = [
    1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000,
];

/// Counts durations by their length.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS.len()],
    longer: AtomicU64,
    nanos: AtomicU64,
}

impl Histogram {
    /// Counts one.
    pub fn observe(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = self.buckets.get(BOUNDS.partition_point(|micros| micros * 1_000 < nanos));
        bucket.unwrap_or(&self.longer).fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// The upper bound of each bucket, itself included, and what fell into it and no lower one. The last has no bound.
    pub(super) fn buckets(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        let bounded = BOUNDS.iter().map(|micros| Some(Duration::from_micros(*micros))).zip(&self.buckets);
        bounded.chain([(None, &self.longer)]).map(|(bound, count)| (bound, count.load(Ordering::Relaxed)))
    }

    /// Returns the count of each bucket.
    pub fn counts(&self) -> Vec<u64> {
        self.buckets().map(|(_, count)| count).collect()
    }

    /// Returns the upper bound of the bucket that holds the given percentile of `counts`, in microseconds.
    pub fn percentile(&self, counts: &[u64], percentile: u64) -> u64 {
        let rank = (counts.iter().sum::<u64>() * percentile).div_ceil(100).max(1);
        let mut below = 0;
        for (index, count) in counts.iter().enumerate() {
            below += count;
            if below >= rank {
                return BOUNDS.get(index).or(BOUNDS.last()).copied().unwrap_or_default();
            }
        }
        0
    }

    /// The sum of all.
    pub(super) fn sum(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_on_a_bound_falls_below_it() {
        let histogram = Histogram::default();
        histogram.observe(Duration::from_micros(5));
        histogram.observe(Duration::from_nanos(5_001));
        let filled: Vec<_> = histogram.buckets().filter(|(_, count)| *count > 0).collect();
        let micros = |micros| Some(Duration::from_micros(micros));
        assert_eq!(filled, [(micros(5), 1), (micros(10), 1)]);
    }

    #[test]
    fn nothing_is_too_long_to_be_counted() {
        let histogram = Histogram::default();
        histogram.observe(Duration::MAX);
        assert_eq!(histogram.buckets().last(), Some((None, 1)));
    }
}
