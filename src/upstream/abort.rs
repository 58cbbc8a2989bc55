//! The signal that ends a stream before its upstream does.

use std::{
    error::Error,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use futures_util::{FutureExt, future::BoxFuture};

/// The number of frames that may pass before the signal is polled: a stream that never waits ends too.
const FRAMES_BETWEEN_POLLS: u32 = 64;

/// The reason for which a stream was ended.
pub type Aborted = Box<dyn Error + Send + Sync>;

/// Tells when a stream has to end.
pub trait AbortSignal: Send + Sync + 'static {
    /// Completes with the reason when the stream has to end.
    fn aborted(&self) -> BoxFuture<'static, Aborted>;
}

/// An [`AbortSignal`] that is polled beside the frames of a body.
pub(super) struct Abort {
    signal: Arc<dyn AbortSignal>,
    /// Created when the body first makes its reader wait. The lock is never contended: it makes the future `Sync`, as
    /// poem requires of bodies.
    aborted: Option<Mutex<BoxFuture<'static, Aborted>>>,
    frames: u32,
}

impl Abort {
    pub(super) fn new(signal: Arc<dyn AbortSignal>) -> Self {
        Self { signal, aborted: None, frames: 0 }
    }

    /// Returns the reason if the stream has to end. `is_waiting` says that no frame is there.
    pub(super) fn poll(&mut self, is_waiting: bool, cx: &mut Context<'_>) -> Poll<Aborted> {
        self.frames += 1;
        if !is_waiting && self.frames < FRAMES_BETWEEN_POLLS {
            return Poll::Pending;
        }
        self.frames = 0;
        let signal = &self.signal;
        let aborted = self.aborted.get_or_insert_with(|| Mutex::new(signal.aborted()));
        aborted.get_mut().unwrap_or_else(PoisonError::into_inner).poll_unpin(cx)
    }
}
