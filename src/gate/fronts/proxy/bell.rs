//! Who is woken by a connection to an upstream.
//!
//! hyper's two halves of a connection wake each other through channels, as if each had a task of its own. Here one task
//! drives both: woken by what it does itself, it would run once more for nothing, and a task that had the connection
//! before would run when its successor sends.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;

/// Wakes the task that waits for a connection, and nobody while the connection is driven or rests.
pub(super) struct Bell {
    shared: Arc<Shared>,
    waker: Waker,
}

#[derive(Default)]
struct Shared {
    state: AtomicU8,
    task: AtomicWaker,
}

/// Somebody waits, and is to be woken.
const AWAITED: u8 = 1;
/// It has rung since it was last listened to.
const RUNG: u8 = 2;

impl Bell {
    pub(super) fn new() -> Self {
        let shared = Arc::<Shared>::default();
        Self { waker: Arc::clone(&shared).into(), shared }
    }

    /// Polls with this bell. Until it is pending, whatever rings is news only to who polls.
    pub(super) fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.shared.task.register(cx.waker());
        self.shared.state.store(0, Ordering::SeqCst);
        let polled = poll(&mut Context::from_waker(&self.waker));
        if polled.is_pending() && self.shared.state.swap(AWAITED, Ordering::SeqCst) == RUNG {
            cx.waker().wake_by_ref();
        }
        polled
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.fetch_or(RUNG, Ordering::SeqCst) == AWAITED {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts how often it is woken.
    struct Woken(AtomicU8);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn it_wakes_who_waits_once() {
        let (bell, task) = (Bell::new(), Arc::new(Woken(AtomicU8::new(0))));
        let waker = Waker::from(Arc::clone(&task));
        for round in 0..3 {
            let _ = bell.poll(&mut Context::from_waker(&waker), |_| Poll::<()>::Pending);
            assert_eq!(task.0.load(Ordering::SeqCst), round);
            bell.waker.wake_by_ref();
            bell.waker.wake_by_ref();
            assert_eq!(task.0.load(Ordering::SeqCst), round + 1);
        }
    }

    #[test]
    fn what_rings_while_it_is_polled_is_not_lost() {
        let (bell, task) = (Bell::new(), Arc::new(Woken(AtomicU8::new(0))));
        let waker = Waker::from(Arc::clone(&task));
        let rings = |cx: &mut Context<'_>| {
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        };
        let _ = bell.poll(&mut Context::from_waker(&waker), rings);
        assert_eq!(task.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn nobody_is_woken_by_what_was_waited_for_no_longer() {
        let (bell, task) = (Bell::new(), Arc::new(Woken(AtomicU8::new(0))));
        let waker = Waker::from(Arc::clone(&task));
        bell.waker.wake_by_ref();
        let _ = bell.poll(&mut Context::from_waker(&waker), |_| Poll::<()>::Pending);
        let _ = bell.poll(&mut Context::from_waker(&waker), |cx| {
            cx.waker().wake_by_ref();
            Poll::Ready(())
        });
        bell.waker.wake_by_ref();
        assert_eq!(task.0.load(Ordering::SeqCst), 0);
    }
}
