//! One stream type for all kinds of connection, so that the HTTP code is compiled once.

use std::{
    fmt::Debug,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    activity::Activity,
    connections::Place,
    framing::{Framing, Receiving},
};

/// The bytes of a connection: over TCP, a Unix-domain socket or TLS.
pub(super) trait Stream: AsyncRead + AsyncWrite + Debug + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Debug + Send + Unpin> Stream for S {}

/// An accepted connection.
pub(super) type Socket = Box<dyn Stream>;

/// A stream that notes the activity of its connection, and holds the connection's place for as long as it exists,
/// tunnels included.
#[derive(Debug)]
pub(super) struct TrackedStream {
    socket: Socket,
    activity: Arc<Activity>,
    framing: Framing,
    _place: Place,
}

impl TrackedStream {
    pub(super) fn new(socket: Socket, activity: Arc<Activity>, place: Place) -> Self {
        Self { socket, activity, framing: Framing::default(), _place: place }
    }
}

impl AsyncRead for TrackedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.framing.receiving() == Receiving::Lost {
            // The end of the stream: where the next request would begin is not known.
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.socket).poll_read(cx, buffer);
        if let Some((_, new)) = buffer.filled_mut().split_at_mut_checked(before)
            && !new.is_empty()
        {
            this.framing.inspect(new);
            this.activity.note_read(this.framing.receiving() == Receiving::Head);
        }
        read
    }
}

impl AsyncWrite for TrackedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.activity.note_write(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.activity.note_write(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        self.activity.note_blocked(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
