//! Response bodies, and the tasks that send them over HTTP/2.
//!
//! A stream whose peer grants no window is invisible on the socket, and its body is not polled. So the task that hyper
//! makes of each HTTP/2 exchange notes when it holds a piece that it cannot send, and ends when that lasts too long,
//! which resets the stream. On an HTTP/1.1 connection there is one response at a time, and the connection itself is
//! ended ([`Activity::expiry`](super::activity::Activity::expiry)).

use std::{
    cell::Cell,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::{
    body::{Body, Frame, SizeHint},
    rt::Executor,
};
use tokio::time::Instant;

use super::{
    activity::InFlight,
    progress::{ProgressLimit, ProgressTimer},
    request_body::{RequestBodyState, SMALL, Unread},
    timer::Timer,
};

/// The longest time that the rest of a small request body is waited for once the response has been sent.
const READ_REST: Duration = Duration::from_secs(1);

/// A response body. The request is in flight until it is dropped.
pub(super) struct ResponseBody {
    body: BoxBody<Bytes, io::Error>,
    _in_flight: InFlight,
    /// Of an HTTP/2 request with a body.
    request: Option<Arc<RequestBodyState>>,
    rest: Option<Rest>,
}

/// The rest of a small request body, which is read before the stream ends: some clients take the reset that would
/// follow the end for a failure, though it says `NO_ERROR` (RFC 9113, section 8.1).
struct Rest {
    unread: Unread,
    read: u64,
    deadline: Instant,
    timer: Timer,
}

impl ResponseBody {
    pub(super) fn new(
        body: BoxBody<Bytes, io::Error>,
        in_flight: InFlight,
        request: Option<Arc<RequestBodyState>>,
    ) -> Self {
        Self { body, _in_flight: in_flight, request, rest: None }
    }

    /// Returns ready once the request's body has been read as far as it is.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.rest.is_none() {
            self.rest = self.request.take().and_then(|request| request.take_rest()).map(Rest::new);
        }
        match &mut self.rest {
            Some(rest) => rest.poll(cx),
            None => Poll::Ready(()),
        }
    }
}

impl Rest {
    fn new(unread: Unread) -> Self {
        let deadline = Instant::now() + READ_REST;
        Self { unread, read: 0, deadline, timer: Timer::at(deadline) }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.read <= SMALL {
            match Pin::new(&mut self.unread.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => self.read += frame.data_ref().map_or(0, Bytes::len) as u64,
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.timer.poll(self.deadline, cx),
            }
        }
        Poll::Ready(())
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Sending::note_sent();
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => Sending::note_held(frame.data_ref().map_or(0, Bytes::len)),
            Some(Err(_)) => {}
            None => ready!(self.poll_rest(cx)),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
            && self.rest.is_none()
            && !self.request.as_ref().is_some_and(|request| request.has_rest())
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

tokio::task_local! {
    /// The response that the running task sends: an exchange's over HTTP/2, the present one's on an HTTP/1.1 connection.
    static SENDING: Sending;
}

/// The progress of a response.
#[derive(Debug, Default)]
pub(super) struct Sending {
    /// The bytes of a piece that has not been sent.
    held: Cell<Option<u64>>,
    sent: Cell<u64>,
    /// The caller may not be waited for longer than one pause in all.
    is_brief: Cell<bool>,
}

impl Sending {
    /// Runs the task of a connection, or of an exchange over HTTP/2.
    pub(super) fn scope<F: Future>(task: F) -> impl Future<Output = F::Output> {
        SENDING.scope(Self::default(), task)
    }

    /// Sets whether the caller may not be waited for longer than one `send_timeout` in all.
    pub(super) fn set_brief(is_brief: bool) {
        let _ = SENDING.try_with(|sending| sending.is_brief.set(is_brief));
    }

    /// Returns `true` if the caller may not be waited for longer than one `send_timeout` in all.
    pub(super) fn is_brief() -> bool {
        SENDING.try_with(|sending| sending.is_brief.get()).unwrap_or_default()
    }

    fn note_held(bytes: usize) {
        let _ = SENDING.try_with(|sending| sending.held.set(Some(bytes as u64)));
    }

    /// A piece has been sent once the next one is polled for.
    fn note_sent() {
        let _ = SENDING.try_with(|sending| {
            let bytes = sending.held.take().unwrap_or_default();
            sending.sent.set(sending.sent.get() + bytes);
        });
    }
}

/// Runs the tasks of HTTP/2 exchanges, each until its peer accepts too few bytes of the response.
#[derive(Debug, Clone)]
pub(super) struct ExchangeExecutor {
    pub(super) limit: ProgressLimit,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for ExchangeExecutor {
    fn execute(&self, exchange: F) {
        tokio::spawn(Sending::scope(run(exchange, self.limit)));
    }
}

async fn run(exchange: impl Future<Output = ()>, limit: ProgressLimit) {
    let mut exchange = pin!(exchange);
    let mut timer = ProgressTimer::new(limit);
    let mut sent = 0;
    poll_fn(|cx| {
        if exchange.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        SENDING.with(|sending| {
            let now_sent = sending.sent.get();
            if now_sent != sent || sending.held.get().is_none() {
                timer.moved(now_sent - sent);
                sent = now_sent;
            }
            if sending.held.get().is_none() {
                return Poll::Pending;
            }
            ready!(timer.poll_stalled(cx, sending.is_brief.get()));
            tracing::debug!("ended a stream whose peer accepts too few bytes");
            Poll::Ready(())
        })
    })
    .await;
}
