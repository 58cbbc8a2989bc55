//! One address of an upstream: its connections and its health.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};

use super::{
    UpstreamSettings,
    connect::{Connected, Connector},
    http1::Http1,
    http2::{Http2, Http2Pool},
    pool::Pool,
};

/// The time for which an address that took no connection is passed over while others are healthy.
const UNHEALTHY_FOR: Duration = Duration::from_secs(5);

/// An attempt to connect that several requests wait for.
type Attempt = Shared<BoxFuture<'static, Result<(), Arc<io::Error>>>>;

/// An address with its connections and its health.
pub(super) struct Address {
    pub(super) authority: Box<str>,
    /// The idle connections of HTTP/1.1.
    pub(super) pool: Pool,
    /// The connections of HTTP/2.
    pub(super) http2: Http2Pool,
    /// The last connection spoke HTTP/1.1.
    speaks_http1: AtomicBool,
    attempt: Mutex<Option<Attempt>>,
    /// Milliseconds from `created` to the moment until which the address is unhealthy.
    unhealthy_until: AtomicU64,
    created: Instant,
}

impl Address {
    pub(super) fn new(authority: &str, settings: &UpstreamSettings) -> Self {
        Self {
            authority: authority.into(),
            pool: Pool::new(settings.idle_connections, settings.idle_timeout.get()),
            http2: Http2Pool::new(),
            speaks_http1: AtomicBool::new(false),
            attempt: Mutex::new(None),
            unhealthy_until: AtomicU64::new(0),
            created: Instant::now(),
        }
    }

    /// Returns `true` if the last connection spoke HTTP/1.1.
    pub(super) fn speaks_http1(&self) -> bool {
        self.speaks_http1.load(Relaxed)
    }

    /// Connects once for all requests that wait for a connection, and keeps it in the pool of its protocol.
    pub(super) fn connect_shared(self: &Arc<Self>, connector: &Arc<Connector>) -> Attempt {
        let mut attempt = self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = attempt.as_ref().filter(|attempt| attempt.peek().is_none()) {
            return running.clone();
        }
        let address = Arc::clone(self);
        let connector = Arc::clone(connector);
        let connecting = async move {
            match address.connect(&connector).await? {
                Connection::Http1(connection) => address.pool.put(connection),
                Connection::Http2(connection) => address.http2.add(&connection),
            }
            Ok(())
        };
        let connecting = connecting.map(|connected: io::Result<()>| connected.map_err(Arc::new));
        let started = connecting.boxed().shared();
        *attempt = Some(started.clone());
        started
    }

    /// Connects.
    pub(super) async fn connect(&self, connector: &Connector) -> io::Result<Connection> {
        let Connected { io, http2 } = connector.connect(&self.authority).await?;
        let connection = if http2 {
            Connection::Http2(connector.in_time(Http2::handshake(io)).await?)
        } else {
            Connection::Http1(Http1::handshake(io).await.map_err(io::Error::other)?)
        };
        self.speaks_http1.store(!http2, Relaxed);
        self.mark_healthy();
        Ok(connection)
    }

    /// Returns `true` unless the address is known to be unhealthy.
    pub(super) fn is_healthy(&self) -> bool {
        match self.unhealthy_until.load(Relaxed) {
            0 => true,
            until => self.millis(Duration::ZERO) >= until,
        }
    }

    /// Passes the address over for a while: it took no connection.
    pub(super) fn mark_unhealthy(&self) {
        self.unhealthy_until.fetch_max(self.millis(UNHEALTHY_FOR), Relaxed);
    }

    /// Passes the address over until [`mark_healthy`](Self::mark_healthy): a health check failed.
    pub(super) fn mark_unhealthy_until_checked(&self) {
        self.unhealthy_until.store(u64::MAX, Relaxed);
    }

    /// Uses the address again.
    pub(super) fn mark_healthy(&self) {
        self.unhealthy_until.store(0, Relaxed);
    }

    fn millis(&self, from_now: Duration) -> u64 {
        u64::try_from((self.created.elapsed() + from_now).as_millis()).unwrap_or(u64::MAX)
    }
}

/// A connection that was just established.
pub(super) enum Connection {
    Http1(Box<Http1>),
    Http2(Arc<Http2>),
}
