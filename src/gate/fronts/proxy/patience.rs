//! How long an answer is waited for.

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, SizeHint};
use tokio::time::Instant;

use super::{Body, ProxyError, StreamGuard, stream::EVERY};
use crate::server::Alarm;

/// Waits for the head of an answer as long as the request's body makes progress, and for a limit after that; no longer
/// than the caller's token is good.
pub(super) struct Patience<'a> {
    upstream: &'a str,
    limit: Duration,
    guard: Option<&'a StreamGuard>,
    progress: Option<Arc<AtomicU32>>,
}

impl<'a> Patience<'a> {
    pub(super) fn new(upstream: &'a str, limit: Duration, guard: Option<&'a StreamGuard>) -> Self {
        Self { upstream, limit, guard, progress: None }
    }

    /// Notes the progress of a request's body.
    pub(super) fn watch(&mut self, body: &mut Body) {
        if body.is_end_stream() {
            return;
        }
        let progress = Arc::default();
        self.progress = Some(Arc::clone(&progress));
        *body = Noted { body: std::mem::take(body), progress }.boxed();
    }

    /// Waits for `answer` to what was sent at `since`; the alarm is the connection's.
    pub(super) async fn with<T>(
        &self,
        mut since: Instant,
        alarm: &mut Alarm,
        answer: impl Future<Output = T>,
    ) -> Result<T, ProxyError> {
        let mut answer = pin!(answer);
        let look = if self.guard.is_some() { EVERY.min(self.limit) } else { self.limit };
        let mut seen = self.seen();
        let mut next = since + look;
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                    return Poll::Ready(Ok(answer));
                }
                ready!(alarm.poll(next, cx));
                if self.guard.is_some_and(|guard| guard.end().is_some()) {
                    return Poll::Ready(Err(ProxyError::TokenEnded));
                }
                let now = Instant::now();
                if self.seen() != seen {
                    (since, seen) = (now, self.seen());
                } else if now >= since + self.limit {
                    let upstream = self.upstream.into();
                    return Poll::Ready(Err(ProxyError::Timeout { upstream }));
                }
                next = now + look;
            }
        })
        .await
    }

    /// An alarm for an answer on a connection that has none of its own.
    pub(super) fn alarm(&self) -> Alarm {
        Alarm::at(Instant::now() + self.limit)
    }

    /// Whether the request has no body. An upstream that does not read one may take it for further requests, and answer
    /// those on the same connection.
    pub(super) fn has_no_body(&self) -> bool {
        self.progress.is_none()
    }

    fn seen(&self) -> u32 {
        self.progress.as_ref().map_or(0, |progress| progress.load(Relaxed))
    }
}

/// A body that notes its progress.
struct Noted {
    body: Body,
    progress: Arc<AtomicU32>,
}

impl hyper::body::Body for Noted {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if frame.is_ready() {
            self.progress.fetch_add(1, Relaxed);
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
