//! The body of a response that passes a gate.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::HttpBody;
use bytes::Bytes;
use http_body::{Frame, SizeHint};

/// The body of the service behind a gate, or that of the gate's own answer.
#[derive(Debug)]
pub struct GateBody<B>(Kind<B>);

#[derive(Debug)]
enum Kind<B> {
    Inner(B),
    Own(Option<Bytes>),
}

impl<B> GateBody<B> {
    /// Creates the body of a service behind the gate.
    pub(super) fn inner(body: B) -> Self {
        Self(Kind::Inner(body))
    }

    /// Creates the body of an answer of the gate.
    pub(super) fn own(body: Bytes) -> Self {
        Self(Kind::Own(Some(body).filter(|body| !body.is_empty())))
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for GateBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match &mut self.0 {
            Kind::Inner(body) => Pin::new(body).poll_frame(context),
            Kind::Own(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Inner(body) => body.is_end_stream(),
            Kind::Own(body) => body.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Inner(body) => body.size_hint(),
            Kind::Own(body) => SizeHint::with_exact(body.as_ref().map_or(0, Bytes::len) as u64),
        }
    }
}
