//! A reusable timer that is cheap to re-arm, for timeouts that rarely fire.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that keeps its registration from one use to the next. Moving it to a later deadline costs nothing: the new
/// deadline is compared when the old one fires.
pub(crate) struct Timer {
    sleep: Pin<Box<Sleep>>,
    /// The waker that the registration wakes, if the timer has been polled.
    waker: Option<Waker>,
}

impl Timer {
    /// Creates a timer that is set to `deadline`.
    pub(crate) fn at(deadline: Instant) -> Self {
        Self { sleep: Box::pin(sleep_until(deadline)), waker: None }
    }

    /// Returns ready once `deadline` is reached.
    pub(crate) fn poll(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        if deadline < self.sleep.deadline() {
            self.set(deadline);
        }
        if self.will_wake(cx) {
            return Poll::Pending;
        }
        while self.sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                self.waker = None;
                return Poll::Ready(());
            }
            self.set(deadline);
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn set(&mut self, deadline: Instant) {
        self.sleep.as_mut().reset(deadline);
        self.waker = None;
    }

    /// Returns `true` if the timer has not fired and is registered for this task already.
    fn will_wake(&self, cx: &Context<'_>) -> bool {
        let same = self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        same && !self.sleep.is_elapsed()
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use tokio::time::{sleep, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn fires_at_the_deadline_of_each_poll_whatever_it_was_set_to() {
        let begun = Instant::now();
        let mut timer = Timer::at(begun + Duration::from_secs(5));
        for seconds in [9, 2, 3, 11] {
            let deadline = (begun + Duration::from_secs(seconds)).max(Instant::now());
            poll_fn(|cx| timer.poll(deadline, cx)).await;
            assert_eq!(Instant::now(), deadline);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn wakes_the_task_that_polled_last() {
        let mut timer = Timer::at(Instant::now());
        let deadline = Instant::now() + Duration::from_secs(5);
        let noop = &mut Context::from_waker(Waker::noop());
        assert!(timer.poll(deadline, noop).is_pending());
        let fired = timeout(Duration::from_secs(9), poll_fn(|cx| timer.poll(deadline, cx)));
        assert_eq!((fired.await, Instant::now()), (Ok(()), deadline));
    }

    #[tokio::test(start_paused = true)]
    async fn is_ready_for_a_poll_after_the_deadline() {
        let mut timer = Timer::at(Instant::now());
        let deadline = Instant::now() + Duration::from_secs(5);
        assert!(poll_fn(|cx| Poll::Ready(timer.poll(deadline, cx))).await.is_pending());
        sleep(Duration::from_secs(9)).await;
        assert!(poll_fn(|cx| Poll::Ready(timer.poll(deadline, cx))).await.is_ready());
    }
}
