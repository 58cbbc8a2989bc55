//! Clocks that a test moves by hand.

use std::{
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use scopegate_provider::{Clock, Sleep, SystemClock, Timestamp};
use tokio::sync::watch;

/// A clock that stands still until a test moves it; whoever sleeps wakes when it passes the end of the sleep.
///
/// ```
/// use std::time::Duration;
/// use scopegate_provider::{Clock, Timestamp};
/// use scopegate_testkit::TestClock;
///
/// let clock = TestClock::at(Timestamp::from_seconds(1_790_000_000));
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now(), Timestamp::from_seconds(1_790_000_060));
/// ```
pub struct TestClock {
    now: Mutex<Timestamp>,
    uptime: watch::Sender<Duration>,
}

impl TestClock {
    /// A clock that shows `now`.
    pub fn at(now: Timestamp) -> Self {
        Self { now: Mutex::new(now), uptime: watch::Sender::new(Duration::ZERO) }
    }

    /// Moves the time of day and the uptime on.
    pub fn advance(&self, by: Duration) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = self.now() + by;
        self.uptime.send_modify(|uptime| *uptime += by);
    }

    /// Sets the time of day, as an administrator may; the uptime stays.
    pub fn set(&self, now: Timestamp) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// Returns the number of sleepers: a test waits for it before it moves the clock.
    pub fn sleepers(&self) -> usize {
        self.uptime.receiver_count()
    }
}

impl Default for TestClock {
    /// The moment on which the recorded claims of the providers are built: 2026-09-21T14:13:20Z.
    fn default() -> Self {
        Self::at(Timestamp::from_seconds(1_790_000_000))
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn uptime(&self) -> Duration {
        *self.uptime.borrow()
    }

    fn sleep(&self, duration: Duration) -> Sleep<'_> {
        let mut uptime = self.uptime.subscribe();
        let end = uptime.borrow().saturating_add(duration);
        Box::pin(async move {
            // The sender lives in `self`, so waiting cannot fail.
            let _ = uptime.wait_for(|uptime| *uptime >= end).await;
        })
    }
}

impl fmt::Debug for TestClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestClock").field("now", &self.now()).field("uptime", &self.uptime()).finish()
    }
}

/// The clock of the system, whose time of day a test may step as an administrator or a time server may. The uptime goes
/// on as it does.
#[derive(Debug, Default)]
pub struct SteppedClock {
    system: SystemClock,
    /// In milliseconds.
    step: AtomicI64,
}

impl SteppedClock {
    /// A clock that is right.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on it is fast by this much, or slow.
    pub fn step_to(&self, wrong_by: Duration, slow: bool) {
        let millis = i64::try_from(wrong_by.as_millis()).unwrap();
        self.step.store(if slow { -millis } else { millis }, Ordering::SeqCst);
    }
}

impl Clock for SteppedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.system.now().millis() + self.step.load(Ordering::SeqCst))
    }

    fn uptime(&self) -> Duration {
        self.system.uptime()
    }

    fn sleep(&self, duration: Duration) -> Sleep<'_> {
        self.system.sleep(duration)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn a_sleeper_wakes_when_the_clock_passes_the_end_of_its_sleep() {
        let clock = Arc::new(TestClock::default());
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep(Duration::from_secs(10)).await }
        });
        while clock.sleepers() == 0 {
            tokio::task::yield_now().await;
        }
        clock.advance(Duration::from_secs(9));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(1));
        sleeper.await.unwrap();
    }

    #[test]
    fn setting_the_time_back_leaves_the_uptime() {
        let clock = TestClock::default();
        clock.advance(Duration::from_secs(5));
        clock.set(Timestamp::from_seconds(0));
        assert_eq!((clock.now(), clock.uptime()), (Timestamp::from_seconds(0), Duration::from_secs(5)));
    }
}
