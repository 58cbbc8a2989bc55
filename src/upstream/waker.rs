//! The waker of a connection to an upstream.
//!
//! hyper's two halves of a connection wake each other through channels, as if each had a task of its own. Here one task
//! drives both. Woken by its own progress, it would run once more for nothing; and a task that used the connection
//! earlier would run when the next one sends.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;

/// Wakes the task that waits for a connection, and none while the connection is polled or idle.
pub(super) struct ConnectionWaker {
    shared: Arc<Shared>,
    waker: Waker,
}

#[derive(Default)]
struct Shared {
    state: AtomicU8,
    task: AtomicWaker,
}

/// A task waits and is to be woken.
const WAITING: u8 = 1;
/// The waker was used since the last poll began.
const WOKEN: u8 = 2;

impl ConnectionWaker {
    pub(super) fn new() -> Self {
        let shared = Arc::<Shared>::default();
        Self { waker: Arc::clone(&shared).into(), shared }
    }

    /// Polls with this waker. The task is woken for what happens during the poll only if the poll is pending.
    pub(super) fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.shared.task.register(cx.waker());
        self.shared.state.store(0, Ordering::SeqCst);
        let polled = poll(&mut Context::from_waker(&self.waker));
        if polled.is_pending() && self.shared.state.swap(WAITING, Ordering::SeqCst) == WOKEN {
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
        if self.state.fetch_or(WOKEN, Ordering::SeqCst) == WAITING {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A task that counts how often it is woken.
    struct Task(AtomicU8);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn wakes_the_waiting_task_once() {
        let connection = ConnectionWaker::new();
        let task = Arc::new(Task(AtomicU8::new(0)));
        let waker = Waker::from(Arc::clone(&task));
        for round in 0..3 {
            let _ = connection.poll(&mut Context::from_waker(&waker), |_| Poll::<()>::Pending);
            assert_eq!(task.0.load(Ordering::SeqCst), round);
            connection.waker.wake_by_ref();
            connection.waker.wake_by_ref();
            assert_eq!(task.0.load(Ordering::SeqCst), round + 1);
        }
    }

    #[test]
    fn does_not_lose_a_wake_during_the_poll() {
        let connection = ConnectionWaker::new();
        let task = Arc::new(Task(AtomicU8::new(0)));
        let waker = Waker::from(Arc::clone(&task));
        let _ = connection.poll(&mut Context::from_waker(&waker), |cx| {
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        assert_eq!(task.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn wakes_no_task_that_has_stopped_waiting() {
        let connection = ConnectionWaker::new();
        let task = Arc::new(Task(AtomicU8::new(0)));
        let waker = Waker::from(Arc::clone(&task));
        connection.waker.wake_by_ref();
        let _ = connection.poll(&mut Context::from_waker(&waker), |_| Poll::<()>::Pending);
        let _ = connection.poll(&mut Context::from_waker(&waker), |cx| {
            cx.waker().wake_by_ref();
            Poll::Ready(())
        });
        connection.waker.wake_by_ref();
        assert_eq!(task.0.load(Ordering::SeqCst), 0);
    }
}
