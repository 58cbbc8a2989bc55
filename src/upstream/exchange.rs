//! An upstream, and the exchange of one request for its response.

use std::{
    borrow::Cow,
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::future::{Either, select};
use http::{HeaderMap, HeaderValue, Request, Response, Version, header::HOST};
use hyper::{body::Body, client::conn::TrySendError};
use tokio::time::Instant;

use super::{
    AbortSignal, CallerBody, ExchangeError, RelayBody, TrailerFilter, UpstreamError, UpstreamSettings,
    address::{Address, Connection},
    body::Lease,
    connect::Connector,
    headers,
    http1::Http1,
    http2::{self, StreamPermit},
    replay,
    response_timeout::ResponseTimeout,
    upload::{UploadSize, UploadState},
};

/// An upstream with its addresses.
pub(super) struct Upstream {
    pub(super) name: Box<str>,
    pub(super) settings: UpstreamSettings,
    pub(super) addresses: Box<[Arc<Address>]>,
    pub(super) connector: Arc<Connector>,
    pub(super) response_timeout: Duration,
    next: AtomicUsize,
}

/// A connection on which a request can be sent.
enum Ready {
    Http1(Box<Http1>),
    Http2(Arc<StreamPermit>),
}

/// Errors of sending a request to one address.
enum AddressError {
    /// No connection could be made: another address may take the request.
    Unreachable(io::Error),
    /// Another address would not help.
    Final(ExchangeError),
}

/// The result of sending a request on one connection.
#[expect(clippy::large_enum_variant, reason = "one exists per request: a box would allocate for each")]
enum Sent {
    Response(Response<RelayBody>),
    /// The upstream has not processed the request, which is where it was.
    Unprocessed,
    Failed(ExchangeError),
}

impl Upstream {
    pub(super) fn new(name: &str, settings: &UpstreamSettings) -> Result<Self, UpstreamError> {
        let own = [settings.url.address()];
        let named = if settings.addresses.is_empty() { own.as_slice() } else { &settings.addresses };
        Ok(Self {
            name: name.into(),
            settings: settings.clone(),
            addresses: named.iter().map(|authority| Arc::new(Address::new(authority, settings))).collect(),
            connector: Arc::new(Connector::new(name, settings)?),
            response_timeout: settings.response_timeout.get(),
            next: AtomicUsize::new(0),
        })
    }

    /// Sends a request and returns the response once its head has arrived. `abort` ends streams: gRPC calls, and
    /// responses that are event streams.
    pub(super) async fn exchange(
        &self,
        request: Request<CallerBody>,
        abort: Option<Arc<dyn AbortSignal>>,
        trailers: Option<TrailerFilter>,
    ) -> Result<Response<RelayBody>, ExchangeError> {
        let upload = (!request.body().is_end_stream()).then(Arc::<UploadState>::default);
        let timeout = ResponseTimeout::new(&self.name, self.response_timeout, upload.clone());
        let is_grpc = headers::is_grpc(request.headers());
        let mut request = request.map(|body| RelayBody::of_caller(body, upload.as_ref(), trailers.clone()));
        self.set_headers(request.headers_mut());
        // Pinned where it is made: it is large, and awaiting it would move it.
        let mut sending = pin!(self.send(request, &timeout));
        let mut response = match &abort {
            Some(signal) if is_grpc => match select(sending, signal.aborted()).await {
                Either::Left((response, _)) => response?,
                Either::Right((reason, _)) => return Err(ExchangeError::Aborted(reason)),
            },
            _ => sending.as_mut().await?,
        };
        let abort = abort.filter(|_| headers::is_stream(response.headers()));
        headers::remove_connection_fields(response.headers_mut());
        *response.version_mut() = Version::default();
        Ok(response.map(|body| body.filter_trailers(trailers).end_with(upload).abort_on(abort)))
    }

    /// Sets the headers that the upstream always gets, in place of the caller's in any spelling.
    pub(super) fn set_headers(&self, headers: &mut HeaderMap) {
        for (name, value) in self.settings.headers.iter() {
            headers::remove_matching(headers, |held| headers::is_same_field(held, name));
            headers.insert(name, value.clone());
        }
        let host = self.settings.host.name().and_then(|name| HeaderValue::from_str(name.as_str()).ok());
        if let Some(host) = host {
            headers.insert(HOST, host);
        }
    }

    /// Sends a request to the first address that takes connections.
    async fn send(
        &self,
        request: Request<RelayBody>,
        timeout: &ResponseTimeout<'_>,
    ) -> Result<Response<RelayBody>, ExchangeError> {
        let mut unsent = Some(request);
        let mut last = None;
        for address in self.candidates().iter() {
            match self.send_to(address, &mut unsent, timeout).await {
                Ok(response) => return Ok(response),
                Err(AddressError::Final(error)) => return Err(error),
                Err(AddressError::Unreachable(error)) => {
                    address.mark_unhealthy();
                    last = Some(error);
                }
            }
        }
        Err(self.unreachable(last))
    }

    /// Returns the addresses in the order in which they are tried: the healthy ones in turn, then the others.
    pub(super) fn candidates(&self) -> Cow<'_, [Arc<Address>]> {
        if self.addresses.len() <= 1 {
            return Cow::Borrowed(&self.addresses);
        }
        let turn = self.next.fetch_add(1, Relaxed) % self.addresses.len();
        let mut addresses = self.addresses.to_vec();
        addresses.rotate_left(turn);
        addresses.sort_by_cached_key(|address| !address.is_healthy());
        Cow::Owned(addresses)
    }

    /// Returns the error of a request that no address took.
    pub(super) fn unreachable(&self, last: Option<io::Error>) -> ExchangeError {
        let source = last.unwrap_or_else(|| io::Error::other("it has no address"));
        if source.kind() == io::ErrorKind::TimedOut {
            return ExchangeError::Timeout { upstream: self.name.clone() };
        }
        ExchangeError::Unreachable { upstream: self.name.clone(), source }
    }

    /// Sends the request on a pooled connection if there is one, and on a new one if that turns out to be closed.
    async fn send_to(
        &self,
        address: &Arc<Address>,
        unsent: &mut Option<Request<RelayBody>>,
        timeout: &ResponseTimeout<'_>,
    ) -> Result<Response<RelayBody>, AddressError> {
        let is_shared = self.connector.may_speak_http2() && !address.speaks_http1();
        let size = match unsent {
            Some(request) if is_shared => request.body_mut().read_ahead(),
            _ => UploadSize::Unbounded,
        };
        let pooled = match is_shared.then(|| address.http2.reserve(size)).flatten() {
            Some(permit) => Some(Ready::Http2(permit)),
            None => address.pool.take(Instant::now().into_std()).map(Ready::Http1),
        };
        if let Some(pooled) = pooled {
            match self.send_on(pooled, address, unsent, timeout).await {
                Sent::Response(response) => return Ok(response),
                Sent::Failed(error) => return Err(AddressError::Final(error)),
                Sent::Unprocessed => {}
            }
        }
        // Boxed: few requests need a connection of their own.
        let connected = Box::pin(self.connect(address, is_shared, size)).await;
        let connection = connected.map_err(AddressError::Unreachable)?;
        match self.send_on(connection, address, unsent, timeout).await {
            Sent::Response(response) => Ok(response),
            Sent::Failed(error) => Err(AddressError::Final(error)),
            Sent::Unprocessed => {
                let source = io::Error::new(io::ErrorKind::ConnectionReset, "it closed a new connection");
                Err(AddressError::Unreachable(source))
            }
        }
    }

    /// Makes a connection for a request. Requests without a body share the attempt where the upstream speaks HTTP/2.
    async fn connect(&self, address: &Arc<Address>, is_shared: bool, size: UploadSize) -> io::Result<Ready> {
        let shares_attempt = is_shared && size != UploadSize::Unbounded;
        while shares_attempt && !address.speaks_http1() {
            let attempt = address.connect_shared(&self.connector);
            attempt.await.map_err(|error| io::Error::new(error.kind(), error))?;
            if let Some(permit) = address.http2.reserve(size) {
                return Ok(Ready::Http2(permit));
            }
        }
        match address.connect(&self.connector).await? {
            Connection::Http1(connection) => Ok(Ready::Http1(connection)),
            Connection::Http2(connection) => {
                let permit = connection.reserve(size).ok_or(io::ErrorKind::ConnectionReset)?;
                address.http2.add(&connection);
                Ok(Ready::Http2(permit))
            }
        }
    }

    async fn send_on(
        &self,
        connection: Ready,
        address: &Arc<Address>,
        unsent: &mut Option<Request<RelayBody>>,
        timeout: &ResponseTimeout<'_>,
    ) -> Sent {
        match connection {
            Ready::Http1(connection) => self.send_on_http1(connection, address, unsent, timeout).await,
            Ready::Http2(permit) => self.send_on_http2(permit, unsent, timeout).await,
        }
    }

    async fn send_on_http1(
        &self,
        mut connection: Box<Http1>,
        address: &Arc<Address>,
        unsent: &mut Option<Request<RelayBody>>,
        timeout: &ResponseTimeout<'_>,
    ) -> Sent {
        let Some(request) = unsent.take() else { return self.invalid_request() };
        match connection.send_within(Instant::now(), timeout, request).await {
            Err(error) => Sent::Failed(error),
            Ok(Err(error)) => {
                let TrySend { error, request } = TrySend::of(error);
                *unsent = request;
                self.unsent_or_failed(unsent.as_ref(), error, timeout)
            }
            Ok(Ok(response)) => {
                // An upstream that does not read a body may take it for further requests, and answer those on the same
                // connection.
                let is_reusable = timeout.upload().is_none() && !headers::closes(&response);
                let address = Arc::clone(address);
                let lease = Lease { connection, address, is_reusable };
                Sent::Response(response.map(|incoming| RelayBody::of_http1(incoming, lease)))
            }
        }
    }

    async fn send_on_http2(
        &self,
        permit: Arc<StreamPermit>,
        unsent: &mut Option<Request<RelayBody>>,
        timeout: &ResponseTimeout<'_>,
    ) -> Sent {
        let Some(request) = unsent.take() else { return self.invalid_request() };
        let kept = replay::copy(&request);
        let Ok(mut request) = http2::into_http2(request, self.connector.is_tls()) else {
            return self.invalid_request();
        };
        request.body_mut().carry(&permit);
        let sending = permit.sender().try_send_request(request);
        match timeout.apply(Instant::now(), &mut timeout.timer(), sending).await {
            Err(error) => Sent::Failed(error),
            Ok(Ok(response)) => {
                Sent::Response(response.map(|incoming| RelayBody::of_http2(incoming, permit)))
            }
            Ok(Err(error)) => {
                let TrySend { error, request } = TrySend::of(error);
                let kept = kept.filter(|_| request.is_some() || replay::is_unprocessed(&error));
                *unsent = kept.or_else(|| request.map(http2::into_origin_form));
                self.unsent_or_failed(unsent.as_ref(), error, timeout)
            }
        }
    }

    fn unsent_or_failed(
        &self,
        unsent: Option<&Request<RelayBody>>,
        error: hyper::Error,
        timeout: &ResponseTimeout<'_>,
    ) -> Sent {
        let fault = timeout.upload().and_then(|upload| upload.fault());
        match (unsent, fault) {
            (Some(_), _) => Sent::Unprocessed,
            (None, Some(fault)) => Sent::Failed(ExchangeError::Caller(fault)),
            (None, None) => Sent::Failed(self.invalid_response(error)),
        }
    }

    fn invalid_request(&self) -> Sent {
        Sent::Failed(ExchangeError::InvalidRequest { upstream: self.name.clone() })
    }

    pub(super) fn invalid_response(&self, source: hyper::Error) -> ExchangeError {
        ExchangeError::InvalidResponse { upstream: self.name.clone(), source }
    }
}

/// The parts of an error of hyper's: the request is there if none of it was sent.
struct TrySend {
    error: hyper::Error,
    request: Option<Request<RelayBody>>,
}

impl TrySend {
    fn of(mut error: TrySendError<Request<RelayBody>>) -> Self {
        let request = error.take_message();
        Self { error: error.into_error(), request }
    }
}
