//! Request bodies: the time limit of each, and the reason why one failed.

use std::{
    error::Error,
    io,
    iter::successors,
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Frame, SizeHint};

use super::{
    peer::UnfinishedBody,
    progress::{ProgressLimit, ProgressTimer, Stalled},
};
use crate::{problem::Problem, reason::Reason};

/// The most bytes of an unread body that are read for a client whose request was answered without it.
pub(super) const SMALL: u64 = 64 << 10;

/// The reason why the caller's request body could not be read. It is the caller's fault, or its network's: never the
/// upstream's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestBodyError {
    /// The bytes are not a body: a malformed chunk, a bare line feed, trailers that are too long.
    #[error("the request's body is malformed")]
    Malformed,
    /// The caller ended the connection or the stream before the body was complete.
    #[error("the caller broke off the request's body")]
    Incomplete,
    /// The caller paused for longer than `server.limits.body_timeout`.
    #[error("the caller paused for too long while it sent the request's body")]
    Paused,
    /// The caller sent fewer bytes a second than `server.limits.minimum_rate`.
    #[error("the caller sent the request's body too slowly")]
    TooSlow,
}

impl RequestBodyError {
    /// Finds the failure of a request body among an error and its sources.
    pub fn find(error: &(dyn Error + 'static)) -> Option<Self> {
        causes(error).find_map(|cause| cause.downcast_ref().copied())
    }

    /// Returns the reason.
    pub fn reason(self) -> Reason {
        match self {
            Self::Malformed => Reason::MalformedBody,
            Self::Incomplete => Reason::IncompleteBody,
            Self::Paused | Self::TooSlow => Reason::SlowBody,
        }
    }

    /// Returns the answer to the caller.
    pub fn problem(self) -> Problem {
        Problem::new(self.reason(), self.to_string())
    }

    /// Classifies an error of hyper's: its decoder of chunks wraps errors of a kind of their own.
    fn of_transport(error: &(dyn Error + 'static)) -> Self {
        let is_malformed = causes(error)
            .filter_map(|cause| cause.downcast_ref::<io::Error>())
            .any(|cause| matches!(cause.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData));
        if is_malformed { Self::Malformed } else { Self::Incomplete }
    }
}

/// Returns an error and its causes. An `io::Error` names the source of the error that it wraps as its own; here the
/// wrapped error comes first.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    successors(Some(error), |&error| {
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        wrapped.map(|wrapped| wrapped as &(dyn Error + 'static)).or_else(|| error.source())
    })
}

impl From<RequestBodyError> for io::Error {
    fn from(error: RequestBodyError) -> Self {
        let kind = match error {
            RequestBodyError::Malformed => io::ErrorKind::InvalidData,
            RequestBodyError::Incomplete => io::ErrorKind::UnexpectedEof,
            RequestBodyError::Paused | RequestBodyError::TooSlow => io::ErrorKind::TimedOut,
        };
        Self::new(kind, error)
    }
}

/// The part of a request body's state that the response has to know.
#[derive(Debug, Default)]
pub(super) struct RequestBodyState {
    failure: OnceLock<RequestBodyError>,
    /// The exchange is a stream in both directions, in which pauses are no fault.
    is_stream: AtomicBool,
    /// All pauses together may be as long as one.
    is_brief: AtomicBool,
    /// The rest of a small body that the endpoint left unread.
    rest: Mutex<Option<Unread>>,
}

/// The body of a request that is being served, among the request's data if it has a body. Clones are the same body.
#[derive(Debug, Clone)]
pub struct RequestBodyHandle(pub(super) Arc<RequestBodyState>);

/// The rest of a body that was left unread.
#[derive(Debug)]
pub(super) struct Unread {
    pub(super) body: BoxBody<Bytes, io::Error>,
    _place: Option<UnfinishedBody>,
}

/// A request body that fails when its caller takes too long. Only time that the endpoint waits for the body counts.
pub(super) struct RequestBody {
    body: BoxBody<Bytes, io::Error>,
    state: Arc<RequestBodyState>,
    timer: ProgressTimer,
    has_ended: bool,
    /// The rest is to be read if the endpoint leaves it.
    is_small: bool,
    place: Option<UnfinishedBody>,
}

impl RequestBodyHandle {
    /// Returns the reason why the body could not be read, if it could not: an exchange that fails then is not the
    /// upstream's fault.
    pub fn failure(&self) -> Option<RequestBodyError> {
        self.0.failure()
    }
}

impl RequestBodyState {
    /// Returns the reason why the body failed, if it did.
    pub(super) fn failure(&self) -> Option<RequestBodyError> {
        self.failure.get().copied()
    }

    /// Lifts the time limit: the answer to the request is a stream.
    pub(super) fn set_stream(&self) {
        self.is_stream.store(true, Relaxed);
    }

    /// Limits all pauses together to one `body_timeout`.
    pub(super) fn set_brief(&self) {
        self.is_brief.store(true, Relaxed);
    }

    /// Returns `true` if the endpoint left a small body unread.
    pub(super) fn has_rest(&self) -> bool {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Takes the rest of a small body that the endpoint left unread.
    pub(super) fn take_rest(&self) -> Option<Unread> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl RequestBody {
    pub(super) fn new(
        body: BoxBody<Bytes, io::Error>,
        limit: ProgressLimit,
        place: Option<UnfinishedBody>,
        is_small: bool,
    ) -> Self {
        let timer = ProgressTimer::new(limit);
        Self { body, state: Arc::default(), timer, has_ended: false, is_small, place }
    }

    /// Returns the state that the response shares.
    pub(super) fn state(&self) -> Arc<RequestBodyState> {
        Arc::clone(&self.state)
    }

    fn end(&mut self) {
        self.has_ended = true;
        self.place = None;
    }

    fn fail(&mut self, error: RequestBodyError) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.end();
        let _ = self.state.failure.set(error);
        Poll::Ready(Some(Err(error.into())))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.timer.moved(frame.data_ref().map_or(0, |data| data.len() as u64));
                if this.body.is_end_stream() {
                    this.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                tracing::debug!(%error, "a request's body cannot be read");
                this.fail(RequestBodyError::of_transport(&error))
            }
            Poll::Ready(None) => {
                this.end();
                Poll::Ready(None)
            }
            Poll::Pending if this.state.is_stream.load(Relaxed) => Poll::Pending,
            Poll::Pending => match this.timer.poll_stalled(cx, this.state.is_brief.load(Relaxed)) {
                Poll::Ready(_) if this.state.is_stream.load(Relaxed) => Poll::Pending,
                Poll::Ready(Stalled::Pause) => this.fail(RequestBodyError::Paused),
                Poll::Ready(Stalled::Rate) => this.fail(RequestBodyError::TooSlow),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if self.is_small && !self.has_ended && !self.body.is_end_stream() {
            let unread = Unread { body: std::mem::take(&mut self.body), _place: self.place.take() };
            *self.state.rest.lock().unwrap_or_else(PoisonError::into_inner) = Some(unread);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt;
    use tokio::time::Instant;

    use super::*;

    const LIMIT: ProgressLimit = ProgressLimit { pause: Duration::from_secs(30), minimum_rate: 240 };

    /// Returns a body that sends `piece` every `pause`, and has no end.
    fn endless(piece: &'static [u8], pause: Duration) -> RequestBody {
        let pieces = futures_util::stream::unfold((), move |()| async move {
            tokio::time::sleep(pause).await;
            Some((Ok::<_, io::Error>(Bytes::from_static(piece)), ()))
        });
        RequestBody::new(poem::Body::from_bytes_stream(pieces).into(), LIMIT, None, false)
    }

    /// Reads a body to its end. Returns its failure, and the seconds after which it came.
    async fn failure(mut body: RequestBody) -> (Option<RequestBodyError>, u64) {
        let begun = Instant::now();
        while let Some(Ok(_)) = body.frame().await {}
        (body.state.failure(), begun.elapsed().as_secs())
    }

    /// A2: a body whose caller pauses ends after `body_timeout`.
    #[tokio::test(start_paused = true)]
    async fn a_pause_is_limited() {
        let body = endless(b"aaaa", Duration::from_hours(1));
        assert_eq!(failure(body).await, (Some(RequestBodyError::Paused), 30));
    }

    /// A2: a byte every 29 seconds does not keep a request alive.
    #[tokio::test(start_paused = true)]
    async fn a_drip_is_limited() {
        let body = endless(b"a", Duration::from_secs(29));
        assert_eq!(failure(body).await, (Some(RequestBodyError::TooSlow), 30));
    }

    /// A2: a brief endpoint waits for one `body_timeout` in all, however fast the body is.
    #[tokio::test(start_paused = true)]
    async fn the_body_of_a_brief_request_is_limited_in_all() {
        let body = endless(&[b'a'; 10_000], Duration::from_secs(2));
        body.state.set_brief();
        assert_eq!(failure(body).await, (Some(RequestBodyError::Paused), 30));
    }

    /// A2: time that the endpoint takes between two reads is not the caller's.
    #[tokio::test(start_paused = true)]
    async fn only_time_that_the_endpoint_waits_counts() {
        let mut body = endless(&[b'a'; 240], Duration::from_secs(1));
        for _ in 0..100 {
            assert!(body.frame().await.unwrap().is_ok());
            tokio::time::sleep(Duration::from_mins(1)).await;
        }
    }

    /// A2: the caller's side of a gRPC stream may be silent for as long as it wants.
    #[tokio::test(start_paused = true)]
    async fn a_stream_has_no_limit() {
        let mut body = endless(b"a", Duration::from_hours(1));
        body.state.set_stream();
        assert!(body.frame().await.unwrap().is_ok());
    }

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] io::Error);

    /// CASES P6: the failure of a request body is found under the errors of a client that sends it on.
    #[test]
    fn a_failure_is_found_among_the_sources_of_an_error() {
        let outer = Outer(io::Error::other(io::Error::from(RequestBodyError::TooSlow)));
        assert_eq!(RequestBodyError::find(&outer), Some(RequestBodyError::TooSlow));
        assert_eq!(RequestBodyError::find(&Outer(io::Error::other("other"))), None);
    }

    /// CASES P6: only the kinds that hyper's decoder uses are malformed bodies.
    #[test]
    fn errors_of_the_transport_are_told_apart() {
        let malformed =
            io::Error::other(Outer(io::Error::new(io::ErrorKind::InvalidInput, "Invalid chunk size")));
        assert_eq!(RequestBodyError::of_transport(&malformed), RequestBodyError::Malformed);
        let cut = io::Error::other(Outer(io::Error::new(io::ErrorKind::UnexpectedEof, "cut")));
        assert_eq!(RequestBodyError::of_transport(&cut), RequestBodyError::Incomplete);
    }
}
