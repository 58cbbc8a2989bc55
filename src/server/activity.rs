//! What a connection is doing, and the time limits that hold between its requests.
//!
//! hyper's own header timeout sets a timer for every request and counts the rest between two requests as one. Here a
//! connection notes its activity in a few counters, and one timer per connection, moved only when its deadline comes
//! nearer or is reached, watches them. Bodies have limits of their own ([`progress`](super::progress)).

use std::{
    future::poll_fn,
    io, mem,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::Poll,
};

use tokio::{sync::Notify, time::Instant};

use super::{
    Limits,
    peer::{Peer, UnfinishedBody},
    progress::Progress,
    sending::Sending,
    timer::Timer,
};

/// The activity of one connection.
#[derive(Debug)]
pub(super) struct Activity {
    /// The peer whose limits the connection counts towards; none if it is exempt.
    pub(super) peer: Option<Arc<Peer>>,
    /// Requests whose response is not finished.
    in_flight: AtomicU32,
    /// Requests so far.
    requests: AtomicU32,
    /// Successful writes so far.
    writes: AtomicU32,
    /// Bytes written since a pause in writing was last counted.
    written: AtomicU64,
    /// Decoded bytes of the heads of the requests in flight.
    head_bytes: AtomicUsize,
    /// A head has begun to arrive.
    head_begun: AtomicBool,
    /// The peer accepts no more bytes at the moment.
    write_blocked: AtomicBool,
    /// HTTP is over: the connection has ended, or carries a tunnel.
    is_over: AtomicBool,
    /// The number of requests when [`Activity::still_rests`] found the connection at rest.
    rested_at: AtomicU32,
    /// Set when the connection's place is needed.
    wanted: Notify,
}

/// The error of a request whose peer has too many unfinished bodies.
pub(super) struct TooManyBodies;

/// A request that is being served, until its response has been sent.
#[derive(Debug)]
pub(super) struct InFlight {
    activity: Arc<Activity>,
    head_bytes: usize,
}

/// The limit that a connection exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expired {
    /// No complete head arrived in time.
    Head,
    /// No request arrived in time.
    Idle,
    /// The peer accepted too few bytes.
    Send,
}

impl Activity {
    pub(super) fn new(peer: Option<Arc<Peer>>) -> Self {
        Self {
            peer,
            in_flight: AtomicU32::new(0),
            requests: AtomicU32::new(0),
            writes: AtomicU32::new(0),
            written: AtomicU64::new(0),
            head_bytes: AtomicUsize::new(0),
            head_begun: AtomicBool::new(false),
            write_blocked: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            rested_at: AtomicU32::new(u32::MAX),
            wanted: Notify::new(),
        }
    }

    /// Notes that a request has arrived.
    pub(super) fn begin_request(self: &Arc<Self>) -> InFlight {
        self.requests.fetch_add(1, Relaxed);
        self.in_flight.fetch_add(1, Relaxed);
        InFlight { activity: Arc::clone(self), head_bytes: 0 }
    }

    /// Returns `true` if no request is being served.
    pub(super) fn is_resting(&self) -> bool {
        self.in_flight.load(Relaxed) == 0
    }

    /// Returns `true` if no request is being served and none has arrived since the last call.
    pub(super) fn still_rests(&self) -> bool {
        if self.is_over.load(Relaxed) || !self.is_resting() {
            self.rested_at.store(u32::MAX, Relaxed);
            return false;
        }
        let requests = self.requests.load(Relaxed);
        self.rested_at.swap(requests, Relaxed) == requests
    }

    /// Asks the connection to give its place up.
    pub(super) fn want_place(&self) {
        self.wanted.notify_one();
    }

    /// Returns when the connection's place is needed.
    pub(super) async fn place_wanted(&self) {
        self.wanted.notified().await;
    }

    /// Notes bytes that were received, and whether a head is incomplete after them.
    pub(super) fn note_read(&self, is_head_begun: bool) {
        self.head_begun.store(is_head_begun, Relaxed);
    }

    /// Notes whether the peer accepts bytes, and how many it has accepted.
    pub(super) fn note_write(&self, written: &Poll<io::Result<usize>>) {
        self.note_blocked(written.is_pending());
        if let Poll::Ready(Ok(bytes)) = written {
            self.writes.fetch_add(1, Relaxed);
            self.written.fetch_add(*bytes as u64, Relaxed);
        }
    }

    /// Notes whether the peer accepts bytes.
    pub(super) fn note_blocked(&self, is_blocked: bool) {
        self.write_blocked.store(is_blocked, Relaxed);
    }

    /// Notes that HTTP is over on the connection.
    pub(super) fn end(&self) {
        self.is_over.store(true, Relaxed);
    }

    /// Returns when a limit is exceeded. It has to be polled whenever the connection is, after it.
    pub(super) async fn expiry(&self, limits: &Limits) -> Expired {
        let mut timer = Timer::at(Instant::now() + limits.header_timeout.get());
        let mut sending = Progress::new(limits.sending());
        let mut seen = None;
        let mut since = Instant::now();
        poll_fn(move |cx| {
            let state = self.state();
            let before = mem::replace(&mut seen, state);
            if before != state {
                let now = Instant::now();
                if matches!(before, Some((Expired::Send, _))) {
                    sending.waited(now - since);
                    sending.moved(self.written.swap(0, Relaxed));
                }
                since = now;
            }
            let Some((expired, _)) = state else {
                if self.is_resting() {
                    sending = Progress::new(limits.sending());
                }
                return Poll::Pending;
            };
            let limit = match expired {
                Expired::Head => limits.header_timeout.get(),
                Expired::Idle => limits.idle_timeout.get(),
                Expired::Send if Sending::is_brief() => sending.left_without_credit(),
                Expired::Send => sending.left(),
            };
            timer.poll(since + limit, cx).map(|()| expired)
        })
        .await
    }

    /// Returns the limit that is exceeded if the state lasts for too long, with a number that tells it from the next
    /// state of the kind.
    fn state(&self) -> Option<(Expired, u32)> {
        if self.write_blocked.load(Relaxed) {
            return Some((Expired::Send, self.writes.load(Relaxed)));
        }
        if !self.is_resting() {
            return None;
        }
        let requests = self.requests.load(Relaxed);
        let expired =
            if self.head_begun.load(Relaxed) || requests == 0 { Expired::Head } else { Expired::Idle };
        Some((expired, requests))
    }
}

impl InFlight {
    /// Counts a request body towards the limit of its peer, if the peer is known.
    pub(super) fn begin_body(&self, limits: &Limits) -> Result<Option<UnfinishedBody>, TooManyBodies> {
        let Some(peer) = &self.activity.peer else { return Ok(None) };
        peer.begin_body(limits.bodies_per_peer.get()).map(Some).ok_or(TooManyBodies)
    }

    /// Counts the decoded bytes of the request's head, and returns `false` if the connection or its peer holds too many.
    pub(super) fn hold_head(&mut self, bytes: usize, limits: &Limits) -> bool {
        let Some(peer) = &self.activity.peer else { return true };
        let of_connection = self.activity.head_bytes.fetch_add(bytes, Relaxed) + bytes;
        let of_peer = peer.head_bytes.fetch_add(bytes, Relaxed) + bytes;
        self.head_bytes += bytes;
        of_connection <= limits.headers_per_connection.get() && of_peer <= limits.headers_per_peer.get()
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.activity.in_flight.fetch_sub(1, Relaxed);
        if self.head_bytes > 0 {
            self.activity.head_bytes.fetch_sub(self.head_bytes, Relaxed);
            if let Some(peer) = &self.activity.peer {
                peer.head_bytes.fetch_sub(self.head_bytes, Relaxed);
            }
        }
    }
}
