//! A timer for who waits often and seldom for long.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that stays set from one use to the next: setting it to a later moment costs nothing, it is looked at again when it
/// fires.
pub(crate) struct Alarm(Pin<Box<Sleep>>);

impl Alarm {
    /// Set to this moment.
    pub(crate) fn at(deadline: Instant) -> Self {
        Self(Box::pin(sleep_until(deadline)))
    }

    /// Ready at `deadline`.
    pub(crate) fn poll(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        if deadline < self.0.deadline() {
            self.0.as_mut().reset(deadline);
        }
        while self.0.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            self.0.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

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
}
