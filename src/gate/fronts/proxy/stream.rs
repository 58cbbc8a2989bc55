//! An open stream ends when the token that opened it does.

use std::{
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use scopegate_provider::{Clock, Timestamp};

/// How often an open stream's token is looked at.
pub(super) const EVERY: Duration = Duration::from_millis(500);

/// How many frames may pass at once before the time is looked at: a stream that never waits ends too.
const FRAMES: u32 = 64;

/// What an exchange must know about the token that opened it: until when it is good, and how to find out whether it
/// has been revoked.
#[derive(Clone)]
pub struct StreamGuard {
    clock: Arc<dyn Clock>,
    ends: Timestamp,
    is_good: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// Why a stream was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamEnd {
    /// The token expired.
    #[error("the token that opened the stream has expired")]
    Expired,
    /// The token was revoked, or nobody can tell any more whether it was.
    #[error("the token that opened the stream is not good any more")]
    Revoked,
}

impl StreamGuard {
    /// A guard for a token that expires at `expires`; the stream may go on for `grace` after that. `is_good` is asked
    /// twice a second while a stream is open and must not block.
    pub fn new(
        clock: Arc<dyn Clock>,
        expires: Timestamp,
        grace: Duration,
        is_good: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        Self { clock, ends: expires + grace, is_good: Arc::new(is_good) }
    }

    /// Returns when the stream must end.
    pub async fn ended(&self) -> StreamEnd {
        loop {
            if let Some(end) = self.end() {
                return end;
            }
            self.clock.sleep(EVERY.min(self.ends.since(self.clock.now()))).await;
        }
    }

    pub(super) fn end(&self) -> Option<StreamEnd> {
        if self.clock.now() >= self.ends {
            return Some(StreamEnd::Expired);
        }
        (!(self.is_good)()).then_some(StreamEnd::Revoked)
    }
}

impl fmt::Debug for StreamGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamGuard").field("ends", &self.ends).finish_non_exhaustive()
    }
}

/// A body that fails when its guard says so.
pub(super) struct Guarded<B> {
    body: B,
    guard: StreamGuard,
    /// Made when the body first makes its reader wait; most never do. The lock is never taken: it makes the future
    /// `Sync`, as poem wants bodies to be.
    ended: Option<Mutex<Pin<Box<dyn Future<Output = StreamEnd> + Send>>>>,
    frames: u32,
}

impl<B> Guarded<B> {
    pub(super) fn new(body: B, guard: StreamGuard) -> Self {
        Self { body, guard, ended: None, frames: 0 }
    }

    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<StreamEnd> {
        let guard = &self.guard;
        let ended = self.ended.get_or_insert_with(|| {
            let guard = guard.clone();
            Mutex::new(Box::pin(async move { guard.ended().await }))
        });
        ended.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut().poll(cx)
    }
}

impl<B: Body<Data = Bytes, Error = io::Error> + Unpin> Body for Guarded<B> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.frames = if frame.is_pending() { FRAMES } else { self.frames + 1 };
        if self.frames >= FRAMES {
            self.frames = 0;
            if let Poll::Ready(end) = self.poll_ended(cx) {
                return Poll::Ready(Some(Err(io::Error::other(end))));
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
