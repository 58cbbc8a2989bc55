//! The body of an answer on an HTTP/1.1 connection.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::{address::Address, http1::Http1};

/// An answer's body, which drives its connection, and gives it back once the answer is complete. Dropped before that,
/// it closes the connection: what is left of the answer must not become another caller's.
pub(super) struct Http1Body {
    incoming: Incoming,
    link: Option<(Box<Http1>, Arc<Address>)>,
    /// Whether the connection may serve another request.
    is_reusable: bool,
}

impl Http1Body {
    pub(super) fn new(
        incoming: Incoming,
        connection: Box<Http1>,
        address: Arc<Address>,
        is_reusable: bool,
    ) -> Self {
        let mut body = Self { incoming, link: Some((connection, address)), is_reusable };
        if body.incoming.is_end_stream() {
            // Nobody reads a body that is not there.
            body.recycle();
        }
        body
    }

    /// Gives the connection back. Whether anything is left on it is looked at by whoever takes it.
    fn recycle(&mut self) {
        if let Some((connection, address)) = self.link.take()
            && self.is_reusable
            && !connection.has_ended()
        {
            address.pool.put(connection);
        }
    }
}

impl Body for Http1Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let Self { incoming, link, .. } = &mut *self;
        let frame = match link {
            Some((connection, _)) => connection.poll_frame(incoming, cx),
            None => Pin::new(incoming).poll_frame(cx),
        };
        match &frame {
            Poll::Ready(Some(Err(_))) => self.link = None,
            Poll::Ready(_) if self.incoming.is_end_stream() => self.recycle(),
            Poll::Ready(None) => self.recycle(),
            _ => {}
        }
        frame.map_err(io::Error::other)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
