//! One connection: requests in, responses out, and the reasons to end it.

use std::{
    convert::Infallible,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, future::Either, stream::FuturesUnordered};
use http::{
    HeaderMap, HeaderValue, Method, Version,
    header::{CONNECTION, UPGRADE},
    uri::Scheme,
};
use http_body_util::combinators::BoxBody;
use hyper::{
    Request, Response,
    body::{Body, Frame, Incoming, SizeHint},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use poem::{
    Endpoint, IntoResponse,
    web::{LocalAddr, RemoteAddr},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::OwnedSemaphorePermit,
};

use super::{
    Limits, Phase, Shutdown,
    settings::Certified,
    vigil::{Expired, InFlight, Vigil, Watched},
};

/// How long a silent connection is kept when the server drains: a request that is on its way is still answered.
const LINGER: Duration = Duration::from_secs(1);

/// What every connection of one listener is served with.
pub(super) struct Serving<E> {
    pub(super) endpoint: Arc<E>,
    pub(super) http: auto::Builder<TokioExecutor>,
    pub(super) limits: Limits,
    pub(super) shutdown: Shutdown,
    /// Reached once what is left has been counted.
    pub(super) cut: Shutdown,
}

/// Whose connection it is.
#[derive(Debug, Clone)]
pub(super) struct Ends {
    pub(super) local: LocalAddr,
    pub(super) remote: RemoteAddr,
    pub(super) scheme: Scheme,
    pub(super) certified: bool,
}

/// hyper as these limits want it. What a timeout needs is watched by [`Vigil`].
pub(super) fn http(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    let headers = limits.headers.get();
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(headers.max(SMALLEST_BUFFER));
    http.http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(headers).unwrap_or(u32::MAX))
        .max_concurrent_streams(limits.streams.get())
        .keep_alive_interval(limits.body_timeout.get())
        .keep_alive_timeout(limits.header_timeout.get());
    http
}

/// The least that hyper takes (`max_buf_size` panics below it).
const SMALLEST_BUFFER: usize = 8192;

impl<E: Endpoint + 'static> Serving<E> {
    /// Serves a connection to its end.
    pub(super) async fn serve<S>(&self, stream: S, ends: Ends, place: OwnedSemaphorePermit)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let vigil = Arc::new(Vigil::default());
        let io = TokioIo::new(Watched::new(stream, Arc::clone(&vigil), place));
        let service = service_fn({
            let (vigil, endpoint, shutdown) =
                (Arc::clone(&vigil), Arc::clone(&self.endpoint), self.shutdown.clone());
            move |request| {
                let in_flight = vigil.request();
                answer(Arc::clone(&endpoint), request, &ends, in_flight, shutdown.clone())
            }
        });
        let mut connection = pin!(self.http.serve_connection_with_upgrades(io, service));
        let leave = Either::Left(self.leave(&vigil).map(|()| Phase::Draining));
        let cut = Either::Right(self.cut.reached(Phase::Cut).map(|()| Phase::Cut));
        // Polled when they have something to say, not whenever the connection is.
        let mut phases: FuturesUnordered<_> = [leave, cut].into_iter().collect();
        let mut ending = false;
        loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => return note(ended),
                Some(phase) = phases.next() => {
                    if phase == Phase::Cut {
                        return;
                    }
                }
                expired = vigil.expiry(&self.limits) => {
                    if ending || expired != Expired::Idle {
                        return;
                    }
                }
            }
            connection.as_mut().graceful_shutdown();
            ending = true;
        }
    }

    /// Returns when this connection shall end because the server does. HTTP/1.1 has no way to say that a request was
    /// not taken, so a connection that rests is not closed under a request that is on its way.
    async fn leave(&self, vigil: &Vigil) {
        self.shutdown.reached(Phase::Draining).await;
        if vigil.is_resting() {
            tokio::time::sleep(LINGER).await;
        }
    }
}

fn note(ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

// Not an `async fn`, which would hold the request twice.
fn answer<E: Endpoint>(
    endpoint: Arc<E>,
    request: Request<Incoming>,
    ends: &Ends,
    in_flight: InFlight,
    shutdown: Shutdown,
) -> impl Future<Output = Result<Response<Sent>, Infallible>> + use<E> {
    let is_http2 = request.version() == Version::HTTP_2;
    let asked_to_change = !is_http2 && changes_protocol(request.method(), request.headers());
    let (local, remote) = (ends.local.clone(), ends.remote.clone());
    let mut request: poem::Request = (request, local, remote, ends.scheme.clone()).into();
    if ends.certified {
        request.set_data(Certified);
    }
    async move {
        let answer = endpoint.call(request).await;
        let response = answer.map_or_else(poem::Error::into_response, IntoResponse::into_response);
        let mut response: Response<BoxBody<Bytes, io::Error>> = response.into();
        let closes = asked_to_change || (!is_http2 && shutdown.is_leaving());
        if closes && !response.status().is_informational() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response.map(|body| Sent { body, _in_flight: in_flight }))
    }
}

/// Whether what follows need not be HTTP: the connection is not used again if it turns out to be.
fn changes_protocol(method: &Method, headers: &HeaderMap) -> bool {
    let mut protocols = headers.get_all(UPGRADE).iter();
    *method == Method::CONNECT || protocols.any(|protocol| !protocol.as_bytes().eq_ignore_ascii_case(b"h2c"))
}

/// A response's body; the request is in flight until it is dropped.
struct Sent {
    body: BoxBody<Bytes, io::Error>,
    _in_flight: InFlight,
}

impl Body for Sent {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
