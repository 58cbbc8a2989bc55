//! Who keeps a connection open without need is noticed here.
//!
//! hyper's own header timeout makes a timer for every request, and counts the rest between two requests as one. Here the
//! connection notes progress in a few counters, and one timer per connection, set anew only when its deadline comes
//! nearer or is reached, watches them.

use std::{
    future::poll_fn,
    io, mem,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::OwnedSemaphorePermit,
    time::Instant,
};

use super::{
    Limits,
    alarm::Alarm,
    framing::{Framing, Receiving},
};

/// What a connection does, noted by those who serve it.
#[derive(Debug, Default)]
pub(super) struct Vigil {
    /// Requests whose response is not finished.
    in_flight: AtomicU32,
    /// Requests so far.
    requests: AtomicU32,
    /// Successful writes so far.
    writes: AtomicU32,
    /// Successful reads so far.
    reads: AtomicU32,
    /// A head has begun to come.
    head_begun: AtomicBool,
    /// The rest of a body is waited for.
    body_awaited: AtomicBool,
    /// The peer takes no more bytes at the moment.
    write_blocked: AtomicBool,
}

/// A request that is being served, until its response has been sent.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Vigil>);

/// A stream that notes its progress, and takes a connection's place for as long as it is there, tunnels included.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    vigil: Arc<Vigil>,
    framing: Framing,
    _place: OwnedSemaphorePermit,
}

/// Why a connection was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expired {
    /// No whole head came in time.
    Head,
    /// Nothing was asked for too long.
    Idle,
    /// The rest of a body did not come in time.
    Body,
    /// The peer took no bytes of a response for too long.
    Send,
}

impl Vigil {
    /// Notes that a request came.
    pub(super) fn request(self: &Arc<Self>) -> InFlight {
        self.requests.fetch_add(1, Relaxed);
        self.in_flight.fetch_add(1, Relaxed);
        InFlight(Arc::clone(self))
    }

    /// Whether no request is being served or has begun to arrive, and one was served before.
    pub(super) fn is_resting(&self) -> bool {
        matches!(self.state(), Some((Expired::Idle, _)))
    }

    /// Returns when a limit is passed. To be polled whenever the connection is, after it.
    pub(super) async fn expiry(&self, limits: &Limits) -> Expired {
        let mut alarm = Alarm::at(Instant::now() + limits.header_timeout.get());
        let mut seen = None;
        let mut since = Instant::now();
        poll_fn(move |cx| {
            let state = self.state();
            let is_new = mem::replace(&mut seen, state) != state;
            let Some((reason, _)) = state else { return Poll::Pending };
            if is_new {
                since = Instant::now();
            }
            alarm.poll(since + reason.limit(limits), cx).map(|()| reason)
        })
        .await
    }

    /// What would be the reason if nothing changed for too long, and what would be a change.
    fn state(&self) -> Option<(Expired, u32)> {
        if self.write_blocked.load(Relaxed) {
            return Some((Expired::Send, self.writes.load(Relaxed)));
        }
        if self.in_flight.load(Relaxed) > 0 {
            let awaited = self.body_awaited.load(Relaxed);
            return awaited.then(|| (Expired::Body, self.reads.load(Relaxed)));
        }
        let requests = self.requests.load(Relaxed);
        let waits_for =
            if self.head_begun.load(Relaxed) || requests == 0 { Expired::Head } else { Expired::Idle };
        Some((waits_for, requests))
    }
}

impl Expired {
    fn limit(self, limits: &Limits) -> Duration {
        match self {
            Self::Head => limits.header_timeout.get(),
            Self::Idle => limits.idle_timeout.get(),
            Self::Body => limits.body_timeout.get(),
            Self::Send => limits.send_timeout.get(),
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, vigil: Arc<Vigil>, place: OwnedSemaphorePermit) -> Self {
        Self { stream, vigil, framing: Framing::default(), _place: place }
    }

    fn received(&mut self, bytes: &mut [u8]) {
        self.framing.inspect(bytes);
        self.vigil.reads.fetch_add(1, Relaxed);
        self.vigil.head_begun.store(self.framing.receiving() == Receiving::Head, Relaxed);
    }

    fn wrote<T>(&self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.vigil.write_blocked.store(written.is_pending(), Relaxed);
        if written.is_ready() {
            self.vigil.writes.fetch_add(1, Relaxed);
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if let Some((_, new)) = buffer.filled_mut().split_at_mut_checked(before)
            && !new.is_empty()
        {
            self.received(new);
        }
        let awaits_body = read.is_pending() && self.framing.receiving() == Receiving::Body;
        self.vigil.body_awaited.store(awaits_body, Relaxed);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.vigil.write_blocked.store(flushed.is_pending(), Relaxed);
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
