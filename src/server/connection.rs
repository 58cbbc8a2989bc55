//! One connection: the protocol, and the reasons to end it.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::{
    FutureExt, StreamExt,
    future::{Either, Fuse},
    stream::FuturesUnordered,
};
use http::uri::Scheme;
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use poem::{
    Endpoint,
    web::{LocalAddr, RemoteAddr},
};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    Limits, Phase, Shutdown,
    activity::{Activity, Expired, TrackedStream},
    connections::{Connections, Place},
    exchange::answer,
    response_body::{ExchangeExecutor, Sending},
    tls::ClientCertificate,
};

/// The time that a silent connection is kept when it shall end: a request that is on its way is still answered.
const LINGER: Duration = Duration::from_secs(1);

/// The bytes of one HTTP/2 request body that a caller may send before they are read.
const STREAM_WINDOW: u32 = 64 << 10;

/// The number of fields that hyper's parser of HTTP/1.1 has room for without allocating.
const HYPER_FIELDS: u32 = 100;

/// The smallest buffer that hyper takes (`max_buf_size` panics below it).
const SMALLEST_BUFFER: usize = 8192;

/// State that all connections of one listener share.
pub(super) struct Listening<E> {
    pub(super) endpoint: Arc<E>,
    pub(super) http: auto::Builder<ExchangeExecutor>,
    pub(super) limits: Limits,
    pub(super) connections: Arc<Connections>,
    pub(super) shutdown: Shutdown,
    /// Reached once the connections that are left have been counted.
    pub(super) cut: Shutdown,
}

/// Both ends of a connection.
#[derive(Debug, Clone)]
pub(super) struct ConnectInfo {
    pub(super) local: LocalAddr,
    pub(super) remote: RemoteAddr,
    pub(super) scheme: Scheme,
    pub(super) client_certificate: Option<Arc<ClientCertificate>>,
}

/// A reason to end a connection that does not come from the connection itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The server drains.
    Drain,
    /// Other connections need the place.
    GiveWay,
    /// The server has ended.
    Cut,
}

/// Returns hyper's settings for these limits.
pub(super) fn http(limits: &Limits) -> auto::Builder<ExchangeExecutor> {
    let mut http = auto::Builder::new(ExchangeExecutor { limit: limits.sending() });
    let headers = limits.headers.get();
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(headers.max(SMALLEST_BUFFER));
    if limits.header_fields.get() > HYPER_FIELDS {
        http.http1().max_headers(limits.header_fields.get() as usize);
    }
    http.http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(headers).unwrap_or(u32::MAX))
        .max_concurrent_streams(limits.streams.get())
        // Above all streams together: a body that is not read stops its own stream and no other.
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(connection_window(limits.streams.get()))
        .keep_alive_interval(limits.body_timeout.get())
        .keep_alive_timeout(limits.header_timeout.get());
    http
}

/// Returns a window that as many bodies as there are streams do not fill (RFC 9113, section 6.9.1: at most 2^31 - 1).
fn connection_window(streams: u32) -> u32 {
    const LARGEST: u32 = (1 << 31) - 1;
    streams.saturating_add(1).saturating_mul(STREAM_WINDOW).min(LARGEST)
}

impl<E: Endpoint + 'static> Listening<E> {
    /// Returns `true` if connections are not kept for later requests.
    pub(super) fn closes_connections(&self) -> bool {
        self.shutdown.is_leaving() || self.connections.is_crowded()
    }

    /// Serves a connection until it ends.
    pub(super) async fn serve<S>(
        self: &Arc<Self>,
        stream: S,
        info: ConnectInfo,
        place: Place,
        activity: Arc<Activity>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Sending::scope(self.run(stream, info, place, &activity)).await;
        activity.end();
    }

    async fn run<S>(self: &Arc<Self>, stream: S, info: ConnectInfo, place: Place, activity: &Arc<Activity>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let io = TokioIo::new(TrackedStream::new(stream, Arc::clone(activity), place));
        let remote = info.remote.clone();
        let service =
            service_fn(|request| answer(Arc::clone(self), request, &info, activity.begin_request()));
        let mut connection = pin!(self.http.serve_connection_with_upgrades(io, service));
        // Polled when they have something to say, not whenever the connection is.
        let mut ends: FuturesUnordered<_> = [
            Either::Left(Either::Left(self.drained(activity).map(|()| End::Drain))),
            Either::Left(Either::Right(activity.place_wanted().map(|()| End::GiveWay))),
            Either::Right(self.cut.reached(Phase::Cut).map(|()| End::Cut)),
        ]
        .into_iter()
        .collect();
        let mut overdue = pin!(Fuse::terminated());
        let mut is_ending = false;
        loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => return note(ended, &remote),
                Some(end) = ends.next() => {
                    if end == End::Cut {
                        return;
                    }
                    if end == End::GiveWay {
                        overdue.set(tokio::time::sleep(LINGER).fuse());
                    }
                }
                expired = activity.expiry(&self.limits) => {
                    if is_ending || expired != Expired::Idle {
                        return;
                    }
                    overdue.set(tokio::time::sleep(LINGER).fuse());
                }
                () = overdue.as_mut() => {
                    if activity.is_resting() {
                        return;
                    }
                }
            }
            connection.as_mut().graceful_shutdown();
            is_ending = true;
        }
    }

    /// Returns when the connection shall end because the server does. HTTP/1.1 cannot say that a request was not
    /// processed, so a connection on which none is being served is not closed under one that is on its way.
    async fn drained(&self, activity: &Activity) {
        self.shutdown.reached(Phase::Draining).await;
        if activity.is_resting() {
            tokio::time::sleep(LINGER).await;
        }
    }
}

fn note(ended: Result<(), Box<dyn std::error::Error + Send + Sync>>, remote: &RemoteAddr) {
    let Err(error) = ended else { return };
    let is_malformed = error
        .downcast_ref::<hyper::Error>()
        .is_some_and(|error| error.is_parse() || error.is_parse_too_large());
    if is_malformed {
        tracing::info!(peer = %remote.0, %error, "refused a request that is not HTTP");
    } else {
        tracing::debug!(peer = %remote.0, %error, "connection ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A13: bodies that are not read cannot use up the connection's window, whatever the number of streams.
    #[test]
    fn the_connection_window_is_larger_than_all_stream_windows() {
        for streams in [1, 200, 10_000] {
            assert!(u64::from(connection_window(streams)) > u64::from(streams) * u64::from(STREAM_WINDOW));
        }
        assert_eq!(connection_window(u32::MAX), (1 << 31) - 1);
    }
}
