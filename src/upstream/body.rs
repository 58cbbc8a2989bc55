//! The body of a message on its way through, in either direction.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::{
    AbortSignal, BodyError, CallerBody, TrailerFilter,
    abort::Abort,
    address::Address,
    http1::Http1,
    http2::StreamPermit,
    upload::{EndOnDrop, Upload, UploadSize, UploadState},
};

/// A request body on its way to an upstream, or a response body on its way back.
///
/// A response body drives its HTTP/1.1 connection, and gives it back to the pool once it is complete. Dropped before
/// that, it closes the connection: the rest of the response must not become another caller's.
pub struct RelayBody {
    source: Source,
    abort: Option<Abort>,
    trailers: Option<TrailerFilter>,
    /// The request body of the same exchange, which ends with this response body.
    upload: Option<EndOnDrop>,
}

enum Source {
    /// Data that is in memory.
    Data(VecDeque<Bytes>),
    Caller(Box<Upload>),
    Http1(Incoming, Option<Lease>),
    Http2(Incoming, Arc<StreamPermit>),
    /// A response on a connection that serves no other request.
    Own(Incoming),
}

/// An HTTP/1.1 connection while its response is read.
pub(super) struct Lease {
    pub(super) connection: Box<Http1>,
    pub(super) address: Arc<Address>,
    pub(super) is_reusable: bool,
}

impl RelayBody {
    /// Returns a body without data.
    pub(super) fn empty() -> Self {
        Self::new(Source::Data(VecDeque::new()))
    }

    /// Returns the body of a caller's request.
    pub(super) fn of_caller(
        body: CallerBody,
        state: Option<&Arc<UploadState>>,
        trailers: Option<TrailerFilter>,
    ) -> Self {
        let Some(state) = state else { return Self::empty() };
        let upload = Upload::new(body, Arc::clone(state));
        Self { trailers, ..Self::new(Source::Caller(Box::new(upload))) }
    }

    /// Returns the body of a response on an HTTP/1.1 connection.
    pub(super) fn of_http1(incoming: Incoming, lease: Lease) -> Self {
        let mut body = Self::new(Source::Http1(incoming, Some(lease)));
        if body.is_end_stream() {
            // A body that is not there is never polled.
            body.source.recycle();
        }
        body
    }

    /// Returns the body of a response on a shared HTTP/2 connection.
    pub(super) fn of_http2(incoming: Incoming, permit: Arc<StreamPermit>) -> Self {
        let mut body = Self::new(Source::Http2(incoming, permit));
        if body.is_end_stream() {
            body.source.complete();
        }
        body
    }

    /// Returns the body of a response on a connection that serves no other request.
    pub(super) fn of_own_connection(incoming: Incoming) -> Self {
        Self::new(Source::Own(incoming))
    }

    fn new(source: Source) -> Self {
        Self { source, abort: None, trailers: None, upload: None }
    }

    /// Drops the trailer fields that `trailers` selects.
    pub(super) fn filter_trailers(self, trailers: Option<TrailerFilter>) -> Self {
        Self { trailers, ..self }
    }

    /// Ends the request body of the exchange with this body.
    pub(super) fn end_with(mut self, upload: Option<Arc<UploadState>>) -> Self {
        self.upload = upload.map(EndOnDrop).filter(|_| !self.is_end_stream());
        self
    }

    /// Ends this body when `signal` says so.
    pub(super) fn abort_on(mut self, signal: Option<Arc<dyn AbortSignal>>) -> Self {
        self.abort = signal.filter(|_| !self.is_end_stream()).map(Abort::new);
        self
    }

    /// Reads what has arrived of a request body already, and returns its size.
    pub(super) fn read_ahead(&mut self) -> UploadSize {
        match &mut self.source {
            Source::Caller(upload) => upload.read_ahead(),
            _ => UploadSize::None,
        }
    }

    /// Notes the stream that carries a request body.
    pub(super) fn carry(&mut self, permit: &Arc<StreamPermit>) {
        if let Source::Caller(upload) = &mut self.source {
            upload.carry(permit);
        }
    }

    /// Returns a copy of a request body that is wholly in memory.
    pub(super) fn try_clone(&self) -> Option<Self> {
        match &self.source {
            Source::Data(data) => Some(Self::new(Source::Data(data.clone()))),
            Source::Caller(upload) => Some(Self::new(Source::Data(upload.try_clone()?))),
            _ => None,
        }
    }
}

impl Source {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match self {
            Self::Data(data) => return Poll::Ready(data.pop_front().map(|data| Ok(Frame::data(data)))),
            Self::Caller(upload) => return upload.poll_frame(cx),
            Self::Http1(incoming, Some(lease)) => lease.connection.poll_frame(incoming, cx),
            Self::Http1(incoming, None) | Self::Http2(incoming, _) | Self::Own(incoming) => {
                Pin::new(incoming).poll_frame(cx)
            }
        };
        match &frame {
            Poll::Ready(Some(Err(_))) => self.close(),
            Poll::Ready(None) => self.complete(),
            Poll::Ready(_) if self.is_end_stream() => self.complete(),
            _ => {}
        }
        frame.map_err(BodyError::Upstream)
    }

    /// Notes that the response is complete.
    fn complete(&mut self) {
        match self {
            Self::Http1(..) => self.recycle(),
            Self::Http2(_, permit) => permit.response_is_complete(),
            _ => {}
        }
    }

    /// Closes the connection, if it is this body's.
    fn close(&mut self) {
        if let Self::Http1(_, lease) = self {
            *lease = None;
        }
    }

    /// Gives an HTTP/1.1 connection back to the pool.
    fn recycle(&mut self) {
        if let Self::Http1(_, lease) = self
            && let Some(Lease { connection, address, is_reusable: true }) = lease.take()
            && !connection.has_ended()
        {
            address.pool.put(connection);
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Data(data) => data.is_empty(),
            Self::Caller(upload) => upload.is_end_stream(),
            Self::Http1(incoming, _) | Self::Http2(incoming, _) | Self::Own(incoming) => {
                incoming.is_end_stream()
            }
        }
    }
}

impl Body for RelayBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut frame = self.source.poll_frame(cx);
        if let Some(abort) = &mut self.abort
            && let Poll::Ready(reason) = abort.poll(frame.is_pending(), cx)
        {
            self.source.close();
            return Poll::Ready(Some(Err(BodyError::Aborted(reason))));
        }
        if let Poll::Ready(Some(Ok(frame))) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
            && let Some(filter) = &self.trailers
        {
            super::headers::remove_matching(trailers, |name| filter(name));
        }
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) || self.source.is_end_stream() {
            self.upload = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Data(data) => SizeHint::with_exact(
                data.iter().map(|data| u64::try_from(data.len()).unwrap_or(u64::MAX)).sum(),
            ),
            Source::Caller(upload) => upload.size_hint(),
            Source::Http1(incoming, _) | Source::Http2(incoming, _) | Source::Own(incoming) => {
                incoming.size_hint()
            }
        }
    }
}
