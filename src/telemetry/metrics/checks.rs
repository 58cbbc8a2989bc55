//! Checks of signatures: how long they take, how many wait, how many were turned away.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use scopegate_provider::{Busy, Job, Offload};

use super::{Counter, Exposition, Histogram, Kind, Metrics};

/// Checks of signatures.
#[derive(Debug, Default)]
pub struct Checks {
    took: Histogram,
    waiting: AtomicU64,
    shed: Counter,
}

/// The threads that check signatures, with a clock.
#[derive(Debug)]
pub struct TimedOffload<O> {
    inner: O,
    metrics: Arc<Metrics>,
}

impl<O: Offload> TimedOffload<O> {
    /// Times what `inner` does.
    pub fn new(inner: O, metrics: Arc<Metrics>) -> Self {
        Self { inner, metrics }
    }
}

impl<O: Offload> Offload for TimedOffload<O> {
    fn offload(&self, job: Job) -> Result<(), Busy> {
        let metrics = self.metrics.clone();
        metrics.checks.waiting.fetch_add(1, Ordering::Relaxed);
        let timed = Box::new(move || {
            metrics.checks.waiting.fetch_sub(1, Ordering::Relaxed);
            let start = Instant::now();
            let finished = job();
            metrics.checks.took.observe(start.elapsed());
            finished
        });
        self.inner.offload(timed).inspect_err(|Busy| {
            let checks = &self.metrics.checks;
            checks.waiting.fetch_sub(1, Ordering::Relaxed);
            checks.shed.increment();
        })
    }
}

impl Checks {
    pub(super) fn write(&self, page: &mut Exposition) {
        let help = "Time to check a signature, without what it waited for that.";
        page.family("scopegate_signature_check_seconds", Kind::Histogram, help).histogram(&[], &self.took);
        let help = "Checks of signatures that wait for a thread.";
        let waiting = self.waiting.load(Ordering::Relaxed);
        page.single("scopegate_signature_checks_waiting", Kind::Gauge, help, waiting);
        let help = "Checks of signatures turned away because too many waited: answered 503.";
        page.single("scopegate_signature_checks_shed_total", Kind::Counter, help, self.shed.count());
    }
}

#[cfg(test)]
mod tests {
    use scopegate_provider::{Finished, Inline};

    use super::*;

    /// Has no room at all.
    #[derive(Debug)]
    struct Full;

    impl Offload for Full {
        fn offload(&self, _: Job) -> Result<(), Busy> {
            Err(Busy)
        }
    }

    fn page(metrics: &Metrics) -> String {
        let mut page = Exposition::default();
        metrics.checks.write(&mut page);
        page.into_text()
    }

    #[test]
    fn a_check_is_done_and_timed() {
        let metrics = Arc::<Metrics>::default();
        let (done, result) = std::sync::mpsc::channel();
        let offload = TimedOffload::new(Inline, metrics.clone());
        let job = Box::new(move || Finished::new(true, move || done.send(1).unwrap()));
        offload.offload(job).unwrap();
        assert_eq!(result.recv(), Ok(1));
        let text = page(&metrics);
        assert!(text.contains("scopegate_signature_check_seconds_count 1\n"), "{text}");
        assert!(text.contains("scopegate_signature_checks_waiting 0\n"), "{text}");
    }

    #[test]
    fn a_check_that_is_turned_away_is_counted_and_does_not_wait() {
        let metrics = Arc::<Metrics>::default();
        let offload = TimedOffload::new(Full, metrics.clone());
        assert_eq!(offload.offload(Box::new(|| Finished::new(true, || {}))), Err(Busy));
        let text = page(&metrics);
        assert!(text.contains("scopegate_signature_checks_shed_total 1\n"), "{text}");
        assert!(text.contains("scopegate_signature_checks_waiting 0\n"), "{text}");
    }
}
