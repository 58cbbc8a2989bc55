//! The request body of an exchange, as both of its directions see it.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use hyper::body::{Body, Frame, SizeHint};

use super::{BodyError, CallerBody, CallerFault, http2::StreamPermit};

/// The state that the two directions of an exchange with a request body share.
#[derive(Default)]
pub(super) struct UploadState {
    frames: AtomicU32,
    is_over: AtomicBool,
    reader: AtomicWaker,
    fault: OnceLock<CallerFault>,
}

impl UploadState {
    /// Returns the number of frames that were read so far.
    pub(super) fn progress(&self) -> u32 {
        self.frames.load(Ordering::Relaxed)
    }

    /// Returns the fault by which the caller's body ended, if it did.
    pub(super) fn fault(&self) -> Option<CallerFault> {
        self.fault.get().copied()
    }
}

/// Ends the request body when the response's body is dropped: it is complete or was given up.
pub(super) struct EndOnDrop(pub(super) Arc<UploadState>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Release);
        self.0.reader.wake();
    }
}

/// The number of bytes that a request body occupies of an HTTP/2 connection's window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UploadSize {
    /// The request has no body.
    None,
    /// The whole body has been read, and has this many bytes.
    Known(usize),
    /// The body may take as much as the upstream accepts, for any time.
    Unbounded,
}

/// A caller's request body on its way to an upstream.
///
/// It ends when the response is complete (RFC 9113, section 8.1): a caller that never ends its body must not keep a
/// stream of a shared connection.
pub(super) struct Upload {
    body: CallerBody,
    /// Frames that were read before a connection was chosen.
    read_ahead: VecDeque<Frame<Bytes>>,
    /// The error that ended reading ahead: the body must not seem to be complete.
    failure: Option<BodyError>,
    bytes: usize,
    is_complete: bool,
    state: Arc<UploadState>,
    /// The stream that carries it, on HTTP/2.
    permit: Option<Arc<StreamPermit>>,
}

impl Upload {
    /// The largest body that is read before a connection is chosen.
    const READ_AHEAD: usize = 16 * 1024;

    pub(super) fn new(body: CallerBody, state: Arc<UploadState>) -> Self {
        Self {
            body,
            read_ahead: VecDeque::new(),
            failure: None,
            bytes: 0,
            is_complete: false,
            state,
            permit: None,
        }
    }

    /// Reads what has arrived already, and returns the size of the body.
    pub(super) fn read_ahead(&mut self) -> UploadSize {
        let mut cx = Context::from_waker(Waker::noop());
        while !self.is_complete && self.failure.is_none() && self.bytes <= Self::READ_AHEAD {
            match self.poll_body(&mut cx) {
                Poll::Ready(Some(Ok(frame))) => self.read_ahead.push_back(frame),
                Poll::Ready(Some(Err(error))) => self.failure = Some(error),
                Poll::Ready(None) => {}
                Poll::Pending => break,
            }
        }
        if self.is_complete { UploadSize::Known(self.bytes) } else { UploadSize::Unbounded }
    }

    /// Returns a copy if the whole body has been read and none of it has been taken.
    pub(super) fn try_clone(&self) -> Option<VecDeque<Bytes>> {
        let is_whole = self.is_complete && self.permit.is_none();
        let data = self.read_ahead.iter().map(|frame| frame.data_ref().cloned());
        is_whole.then(|| data.collect()).flatten()
    }

    /// Notes the stream that carries the body.
    pub(super) fn carry(&mut self, permit: &Arc<StreamPermit>) {
        if self.is_complete {
            permit.upload_is_complete(self.bytes);
        }
        self.permit = Some(Arc::clone(permit));
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.read_ahead.is_empty()
            && self.failure.is_none()
            && (self.is_complete || self.body.is_end_stream())
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let ahead = self.read_ahead.iter().filter_map(Frame::data_ref).map(Bytes::len).sum::<usize>();
        let ahead = u64::try_from(ahead).unwrap_or(u64::MAX);
        let rest = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(ahead));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(ahead));
        }
        hint
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(frame) = self.read_ahead.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        if let Some(error) = self.failure.take() {
            return Poll::Ready(Some(Err(error)));
        }
        if self.is_complete {
            return Poll::Ready(None);
        }
        self.state.reader.register(cx.waker());
        if self.state.is_over.load(Ordering::Acquire) {
            return Poll::Ready(Some(Err(BodyError::over())));
        }
        self.poll_body(cx)
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.state.frames.fetch_add(1, Ordering::Relaxed);
        match &frame {
            Some(Ok(frame)) => self.bytes += frame.data_ref().map_or(0, Bytes::len),
            Some(Err(error)) => drop(self.state.fault.set(CallerFault::of(error))),
            None => {}
        }
        let has_failed = self.state.fault.get().is_some();
        if !has_failed && (frame.is_none() || self.body.is_end_stream()) {
            self.is_complete = true;
            if let Some(permit) = &self.permit {
                permit.upload_is_complete(self.bytes);
            }
        }
        Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Caller)))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    /// CASES P6, P7: a body that failed while it was read ahead does not seem to be complete to the upstream.
    #[test]
    fn a_body_that_fails_while_it_is_read_ahead_is_not_complete() {
        let frames = [Ok(Frame::data(Bytes::from_static(b"half"))), Err(io::Error::other("broken off"))];
        let body: CallerBody = StreamBody::new(futures_util::stream::iter(frames)).boxed();
        let mut upload = Upload::new(body, Arc::default());
        assert_eq!(upload.read_ahead(), UploadSize::Unbounded);
        assert!(!upload.is_end_stream() && upload.try_clone().is_none());
        let mut cx = Context::from_waker(Waker::noop());
        let mut next = || match upload.poll_frame(&mut cx) {
            Poll::Ready(Some(frame)) => frame.map(|frame| frame.into_data().unwrap()).ok(),
            _ => panic!("the body seems to be complete"),
        };
        assert_eq!((next(), next()), (Some(Bytes::from_static(b"half")), None));
    }
}
