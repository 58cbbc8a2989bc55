//! Response bodies.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::{
    activity::InFlight,
    request_body::{RequestBodyState, SMALL, Unread},
    sending::Sending,
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
            None => {
                let this = &mut *self;
                if this.rest.is_none() {
                    this.rest = this.request.take().and_then(|request| request.take_rest()).map(Rest::new);
                }
                if let Some(rest) = &mut this.rest {
                    ready!(rest.poll(cx));
                }
            }
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
