//! HTTP/2 connections to an upstream's address, shared by exchanges that cannot hinder each other.
//!
//! | shared resource | it is never used up because |
//! | --- | --- |
//! | receive window of the connection | it holds [`MAX_STREAMS`] full stream windows |
//! | streams | a connection is given no more than the upstream allows; others open another connection |
//! | the upstream's receive window | bodies of unknown size have a connection for themselves among bodies; small ones share 65,535 bytes, which every upstream must accept (RFC 9113, section 6.9.2) |
//! | the upstream's tolerance for resets | a connection is retired after [`MAX_RESETS`] |

use std::{
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU64, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
    },
    task::Poll,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use futures_util::task::AtomicWaker;
use http::{HeaderValue, Request, Uri, header::HOST, uri};
use hyper::client::conn::http2;
use hyper_util::rt::TokioTimer;

use super::{RelayBody, connect::Io, upload::UploadSize};

/// The number of exchanges that share a connection at most.
const MAX_STREAMS: usize = 64;
/// The number of bytes of a response that are held for a caller that does not read them.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The number of bytes of all responses of a connection.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * 64;
/// The number of request bytes that every upstream accepts on a connection before it reads any.
const UPLOAD_WINDOW: usize = 65_535;
/// The number of streams that are reset on a connection before it takes no further ones.
const MAX_RESETS: usize = 64;

/// The HTTP/2 connections to one address.
pub(super) struct Http2Pool {
    connections: ArcSwap<Vec<Arc<Http2>>>,
}

impl Http2Pool {
    pub(super) fn new() -> Self {
        Self { connections: ArcSwap::from_pointee(Vec::new()) }
    }

    /// Reserves a stream for a request on the first connection that has room for it.
    pub(super) fn reserve(&self, size: UploadSize) -> Option<Arc<StreamPermit>> {
        self.connections.load().iter().find_map(|connection| connection.reserve(size))
    }

    /// Adds a connection, and drops those that have ended.
    pub(super) fn add(&self, connection: &Arc<Http2>) {
        self.connections.rcu(|connections| {
            let open = connections.iter().filter(|connection| !connection.sender.is_closed());
            open.chain([connection]).map(Arc::clone).collect::<Vec<_>>()
        });
    }

    /// Drops connections that have ended, or were not used for `idle`.
    pub(super) fn sweep(&self, idle: Duration) {
        if self.connections.load().iter().any(|connection| connection.is_expired(idle)) {
            self.connections.rcu(|connections| {
                let kept = connections.iter().filter(|connection| !connection.is_expired(idle));
                kept.map(Arc::clone).collect::<Vec<_>>()
            });
        }
    }
}

/// A connection.
pub(super) struct Http2 {
    sender: http2::SendRequest<RelayBody>,
    /// The number of streams that the upstream allows.
    limit: Arc<AtomicUsize>,
    streams: AtomicUsize,
    /// The rest of [`UPLOAD_WINDOW`].
    upload_window: AtomicUsize,
    resets: AtomicUsize,
    begun: Instant,
    /// Milliseconds from `begun` to the end of the last exchange.
    last_used: AtomicU64,
}

impl Http2 {
    /// Begins HTTP/2 on a connection. Completes once the upstream's settings have arrived.
    pub(super) async fn handshake(io: Io) -> io::Result<Arc<Self>> {
        let progress = Progress::default();
        let mut builder = http2::Builder::new(progress.clone());
        builder.timer(TokioTimer::new()).keep_alive_interval(Duration::from_secs(20));
        builder.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
        // Until the upstream has said how many streams it allows, it allows none.
        builder.initial_max_send_streams(0);
        let (sender, mut connection) = builder.handshake(io).await.map_err(io::Error::other)?;
        let limit = poll_fn(|cx| {
            progress.0.register(cx.waker());
            match (Pin::new(&mut connection).poll(cx), connection.current_max_send_streams()) {
                (Poll::Ready(Err(error)), _) => Poll::Ready(Err(io::Error::other(error))),
                (Poll::Ready(Ok(())), _) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                (Poll::Pending, 0) => Poll::Pending,
                (Poll::Pending, limit) => Poll::Ready(Ok(limit)),
            }
        });
        let limit = Arc::new(AtomicUsize::new(limit.await?));
        let current = Arc::clone(&limit);
        tokio::spawn(async move {
            let ended = poll_fn(|cx| {
                let polled = Pin::new(&mut connection).poll(cx);
                current.store(connection.current_max_send_streams(), Relaxed);
                polled
            });
            if let Err(error) = ended.await {
                tracing::debug!(%error, "connection to an upstream ended");
            }
        });
        Ok(Arc::new(Self {
            sender,
            limit,
            streams: AtomicUsize::new(0),
            upload_window: AtomicUsize::new(UPLOAD_WINDOW),
            resets: AtomicUsize::new(0),
            begun: Instant::now(),
            last_used: AtomicU64::new(0),
        }))
    }

    /// Reserves a stream, and what the request's body may occupy of the upstream's window.
    pub(super) fn reserve(self: &Arc<Self>, size: UploadSize) -> Option<Arc<StreamPermit>> {
        let limit = self.limit.load(Relaxed).min(MAX_STREAMS);
        if self.sender.is_closed() || self.resets.load(Relaxed) >= MAX_RESETS {
            return None;
        }
        self.streams
            .fetch_update(AcqRel, Acquire, |streams| (streams < limit).then_some(streams + 1))
            .ok()?;
        let bytes = match size {
            UploadSize::None => 0,
            UploadSize::Known(bytes) => bytes.min(UPLOAD_WINDOW),
            UploadSize::Unbounded => UPLOAD_WINDOW,
        };
        if self.upload_window.fetch_update(AcqRel, Acquire, |window| window.checked_sub(bytes)).is_err() {
            self.streams.fetch_sub(1, AcqRel);
            return None;
        }
        Some(Arc::new(StreamPermit {
            connection: Arc::clone(self),
            reserved: AtomicUsize::new(bytes),
            is_complete: AtomicBool::new(false),
        }))
    }

    fn is_expired(&self, idle: Duration) -> bool {
        let unused = self.begun.elapsed().saturating_sub(Duration::from_millis(self.last_used.load(Relaxed)));
        let is_unused = self.streams.load(Acquire) == 0 && unused >= idle;
        is_unused || self.sender.is_closed()
    }
}

/// Runs a connection's tasks, and wakes whoever waits for the upstream's settings whenever one has run.
#[derive(Clone, Default)]
struct Progress(Arc<AtomicWaker>);

impl<F> hyper::rt::Executor<F> for Progress
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, task: F) {
        let progress = Arc::clone(&self.0);
        tokio::spawn(async move {
            let mut task = pin!(task);
            poll_fn(|cx| {
                let polled = task.as_mut().poll(cx);
                progress.wake();
                polled
            })
            .await
        });
    }
}

/// A stream of a connection, reserved for one exchange and given back when both of its bodies are gone.
pub(super) struct StreamPermit {
    connection: Arc<Http2>,
    /// The bytes of [`UPLOAD_WINDOW`] that are reserved.
    reserved: AtomicUsize,
    is_complete: AtomicBool,
}

impl StreamPermit {
    /// Returns a handle that sends the request.
    pub(super) fn sender(&self) -> http2::SendRequest<RelayBody> {
        self.connection.sender.clone()
    }

    /// Gives back what the request body, which has this many bytes in all, cannot occupy any more.
    pub(super) fn upload_is_complete(&self, bytes: usize) {
        let reserved = self.reserved.load(Acquire);
        if bytes < reserved {
            self.reserved.store(bytes, Relaxed);
            self.connection.upload_window.fetch_add(reserved - bytes, AcqRel);
        }
    }

    /// Notes that the stream ends without a reset.
    pub(super) fn response_is_complete(&self) {
        self.is_complete.store(true, Relaxed);
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        let Self { connection, reserved, is_complete } = self;
        connection.upload_window.fetch_add(*reserved.get_mut(), AcqRel);
        if !*is_complete.get_mut() {
            connection.resets.fetch_add(1, Relaxed);
        }
        let millis = connection.begun.elapsed().as_millis();
        connection.last_used.store(u64::try_from(millis).unwrap_or(u64::MAX), Relaxed);
        connection.streams.fetch_sub(1, AcqRel);
    }
}

/// Turns a request in origin form into one for HTTP/2: the authority is in the URI, and there is no `Host`.
pub(super) fn into_http2(
    mut request: Request<RelayBody>,
    https: bool,
) -> Result<Request<RelayBody>, http::Error> {
    let host = request.headers_mut().remove(HOST);
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(if https { uri::Scheme::HTTPS } else { uri::Scheme::HTTP });
    if let Some(host) = host {
        parts.authority = Some(host.as_bytes().try_into()?);
    }
    *request.uri_mut() = Uri::from_parts(parts)?;
    *request.version_mut() = http::Version::HTTP_2;
    Ok(request)
}

/// Turns a request back into origin form.
pub(super) fn into_origin_form(mut request: Request<RelayBody>) -> Request<RelayBody> {
    let parts = std::mem::take(request.uri_mut()).into_parts();
    let host = parts.authority.and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    if let Some(host) = host {
        request.headers_mut().insert(HOST, host);
    }
    *request.uri_mut() = parts.path_and_query.map(Uri::from).unwrap_or_default();
    *request.version_mut() = http::Version::HTTP_11;
    request
}
