//! A timer for who waits often and seldom for long.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that stays set from one use to the next: setting it to a later moment costs nothing, it is looked at again when it
/// fires.
pub(crate) struct Alarm {
    sleep: Pin<Box<Sleep>>,
    /// Whom it wakes; nobody before it is looked at.
    wakes: Option<Waker>,
}

impl Alarm {
    /// Set to this moment.
    pub(crate) fn at(deadline: Instant) -> Self {
        Self { sleep: Box::pin(sleep_until(deadline)), wakes: None }
    }

    /// Ready at `deadline`.
    pub(crate) fn poll(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        if deadline < self.sleep.deadline() {
            self.set(deadline);
        }
        if self.will_wake(cx) {
            return Poll::Pending;
        }
        while self.sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                self.wakes = None;
                return Poll::Ready(());
            }
            self.set(deadline);
        }
        self.wakes = Some(cx.waker().clone());
        Poll::Pending
    }

    fn set(&mut self, deadline: Instant) {
        self.sleep.as_mut().reset(deadline);
        self.wakes = None;
    }

    /// Whether it has not fired, and will wake who asks when it does: telling it again would be for nothing.
    fn will_wake(&self, cx: &Context<'_>) -> bool {
        let same = self.wakes.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        same && !self.sleep.is_elapsed()
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use tokio::time::{sleep, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_rings_when_it_is_asked_to_whatever_it_was_set_to() {
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let mut alarm = Alarm::at(after(5));
        for seconds in [9, 2, 3, 11] {
            let deadline = after(seconds).max(Instant::now());
            poll_fn(|cx| alarm.poll(deadline, cx)).await;
            assert_eq!(Instant::now(), deadline);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_wakes_who_looked_at_it_last() {
        let mut alarm = Alarm::at(Instant::now());
        let deadline = Instant::now() + Duration::from_secs(5);
        let nobody = &mut Context::from_waker(Waker::noop());
        assert!(alarm.poll(deadline, nobody).is_pending());
        let rung = timeout(Duration::from_secs(9), poll_fn(|cx| alarm.poll(deadline, cx)));
        assert_eq!((rung.await, Instant::now()), (Ok(()), deadline));
    }

    #[tokio::test(start_paused = true)]
    async fn it_rings_for_who_comes_after_it_fired() {
        let mut alarm = Alarm::at(Instant::now());
        let deadline = Instant::now() + Duration::from_secs(5);
        assert!(poll_fn(|cx| Poll::Ready(alarm.poll(deadline, cx))).await.is_pending());
        sleep(Duration::from_secs(9)).await;
        assert!(poll_fn(|cx| Poll::Ready(alarm.poll(deadline, cx))).await.is_ready());
    }
}
