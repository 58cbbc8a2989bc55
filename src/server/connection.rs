//! One connection: the protocol, and the reasons to end it.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::{
    FutureExt, StreamExt,
    future::{Either, Fuse},
    stream::FuturesUnordered,
};
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use poem::{Endpoint, web::RemoteAddr};

use super::{
    Limits, Phase,
    activity::{Activity, Expired},
    connections::Place,
    exchange::answer,
    listening::{ConnectInfo, Listening},
    sending::{ExchangeExecutor, Sending},
    socket::{Socket, TrackedStream},
};

/// The time that a silent connection is kept when it shall end: a request that is on its way is still answered.
const LINGER: Duration = Duration::from_secs(1);

/// The bytes of one HTTP/2 request body that a caller may send before they are read.
const STREAM_WINDOW: u32 = 64 << 10;

/// The number of fields that hyper's parser of HTTP/1.1 has room for without allocating.
const HYPER_FIELDS: u32 = 100;

/// The smallest buffer that hyper takes (`max_buf_size` panics below it).
const SMALLEST_BUFFER: usize = 8192;

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

/// Serves a connection until it ends.
pub(super) async fn serve<E: Endpoint + 'static>(
    listening: Arc<Listening<E>>,
    socket: Socket,
    info: ConnectInfo,
    place: Place,
    activity: Arc<Activity>,
) {
    let io = TokioIo::new(TrackedStream::new(socket, Arc::clone(&activity), place));
    Sending::scope(exchanges(&listening, io, &info, &activity)).await;
    activity.end();
}

/// Serves the exchanges of a connection.
async fn exchanges<E: Endpoint + 'static>(
    listening: &Arc<Listening<E>>,
    io: TokioIo<TrackedStream>,
    info: &ConnectInfo,
    activity: &Arc<Activity>,
) {
    let service =
        service_fn(|request| answer(Arc::clone(listening), request, info, activity.begin_request()));
    let mut connection = pin!(listening.http.serve_connection_with_upgrades(io, service));
    // HTTP/1.1 cannot say that a request was not processed, so a connection on which none is being served is not closed
    // under one that is on its way.
    let drained = async {
        listening.shutdown.reached(Phase::Draining).await;
        if activity.is_resting() {
            tokio::time::sleep(LINGER).await;
        }
        End::Drain
    };
    // Polled when they have something to say, not whenever the connection is.
    let mut ends: FuturesUnordered<_> = [
        Either::Left(Either::Left(drained)),
        Either::Left(Either::Right(activity.place_wanted().map(|()| End::GiveWay))),
        Either::Right(listening.cut.reached(Phase::Cut).map(|()| End::Cut)),
    ]
    .into_iter()
    .collect();
    let mut overdue = pin!(Fuse::terminated());
    let mut is_ending = false;
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => return note(ended, &info.remote),
            Some(end) = ends.next() => {
                if end == End::Cut {
                    return;
                }
                if end == End::GiveWay {
                    overdue.set(tokio::time::sleep(LINGER).fuse());
                }
            }
            expired = activity.expiry(&listening.limits) => {
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

/// Logs the end of a connection.
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
