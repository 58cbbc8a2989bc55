//! An upstream: its addresses, which of them are well, and how a request is exchanged with one.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Extensions, Request, Response, Version};
use http_body_util::BodyExt;
use hyper::{body::Incoming, client::conn::TrySendError};
use poem::{Response as Answer, ResponseParts};
use tokio::time::Instant;

use super::{
    Body, ProxyError, StreamGuard, UpstreamError, UpstreamSettings,
    address::Address,
    body::Http1Body,
    connect::{Connected, Connector},
    headers, health,
    http1::Http1,
    http2,
    patience::Patience,
    resend::Resend,
    stream::Guarded,
};

/// Where requests are sent on to.
pub(super) struct Upstream {
    pub(super) name: Box<str>,
    pub(super) settings: UpstreamSettings,
    pub(super) addresses: Box<[Arc<Address>]>,
    pub(super) connector: Connector,
    pub(super) response_timeout: Duration,
    next: AtomicUsize,
    https: bool,
}

/// The head of an answer, and where its body comes from.
enum Answered {
    Http1(Response<Incoming>, Box<Http1>),
    Http2(Response<Incoming>),
}

/// Why a request got no answer.
enum Failure {
    /// No connection: another address may take the request.
    Unsent(io::Error),
    /// It may have been acted on, or will be refused everywhere.
    Final(ProxyError),
}

/// What became of a request on one connection.
enum Sent {
    Answered(Response<Incoming>),
    /// The connection had ended. Nobody has acted on the request, or it may be acted on twice: it is where it was.
    Again,
    Failed(ProxyError),
}

impl From<ProxyError> for Failure {
    fn from(error: ProxyError) -> Self {
        Self::Final(error)
    }
}

impl Upstream {
    pub(super) fn new(name: &str, settings: &UpstreamSettings) -> Result<Arc<Self>, UpstreamError> {
        let own = [settings.url.address()];
        let named = if settings.addresses.is_empty() { own.as_slice() } else { &settings.addresses };
        let upstream = Arc::new(Self {
            name: name.into(),
            settings: settings.clone(),
            addresses: named.iter().map(|authority| Arc::new(Address::new(authority, settings))).collect(),
            connector: Connector::new(name, settings)?,
            response_timeout: settings.response_timeout.get(),
            next: AtomicUsize::new(0),
            https: settings.url.is_https(),
        });
        health::watch(&upstream, settings);
        Ok(upstream)
    }

    /// Sends a request and returns the answer once its head has come.
    pub(super) async fn exchange(
        &self,
        mut request: Request<Body>,
        guard: Option<StreamGuard>,
    ) -> Result<Answer, ProxyError> {
        let mut patience = Patience::new(&self.name, self.response_timeout, guard.as_ref());
        patience.watch(request.body_mut());
        let mut unsent = Some(request);
        let mut last = None;
        for address in self.candidates() {
            match self.ask(address, &mut unsent, &patience).await {
                Ok(Answered::Http1(response, connection)) => {
                    let address = Arc::clone(address);
                    let again = patience.has_no_body() && !headers::closes(&response);
                    let body = |incoming| Http1Body::new(incoming, connection, address, again);
                    return Ok(answer(response.map(body), guard));
                }
                Ok(Answered::Http2(response)) => {
                    let body = |incoming: Incoming| incoming.map_err(io::Error::other);
                    return Ok(answer(response.map(body), guard));
                }
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Unsent(error)) => {
                    address.fell_ill();
                    last = Some(error);
                }
            }
        }
        Err(self.unreachable(last))
    }

    /// The addresses in the order in which they are tried: those that are well in turn, then the others.
    pub(super) fn candidates(&self) -> impl Iterator<Item = &Arc<Address>> {
        let turn = if self.addresses.len() == 1 { 0 } else { self.next.fetch_add(1, Relaxed) };
        let (before, after) = self.addresses.split_at(turn % self.addresses.len().max(1));
        let in_turn = || after.iter().chain(before);
        in_turn().filter(|address| address.is_well()).chain(in_turn().filter(|address| !address.is_well()))
    }

    pub(super) fn unreachable(&self, last: Option<io::Error>) -> ProxyError {
        let source = last.unwrap_or_else(|| io::Error::other("it has no address"));
        if source.kind() == io::ErrorKind::TimedOut {
            return ProxyError::Timeout { upstream: self.name.clone() };
        }
        ProxyError::Unreachable { upstream: self.name.clone(), source }
    }

    /// Sends what is `unsent` on whatever connection there is. It is moved once, into the connection.
    async fn ask(
        &self,
        address: &Arc<Address>,
        unsent: &mut Option<Request<Body>>,
        patience: &Patience<'_>,
    ) -> Result<Answered, Failure> {
        if let Some(sender) = address.shared() {
            match self.on_http2(sender, unsent, patience).await {
                Sent::Answered(response) => return Ok(Answered::Http2(response)),
                Sent::Failed(error) => return Err(error.into()),
                Sent::Again => {}
            }
        }
        loop {
            let now = Instant::now();
            let Some(mut connection) = address.pool.take(now.into_std()) else { break };
            match self.on_http1(&mut connection, now, unsent, patience).await {
                Sent::Answered(response) => return Ok(Answered::Http1(response, connection)),
                Sent::Failed(error) => return Err(error.into()),
                Sent::Again => {}
            }
        }
        // Boxed: few requests need a connection of their own.
        Box::pin(self.connect(address, unsent, patience)).await
    }

    /// Sends a request on a connection of its own.
    async fn connect(
        &self,
        address: &Arc<Address>,
        unsent: &mut Option<Request<Body>>,
        patience: &Patience<'_>,
    ) -> Result<Answered, Failure> {
        let connected = self.connector.connect(&address.authority).await;
        let Connected { wire, http2 } = connected.map_err(Failure::Unsent)?;
        address.is_found_well();
        let sent = if http2 {
            let sender = http2::handshake(wire).await.map_err(|source| self.broken(source))?;
            address.share(sender.clone());
            self.on_http2(sender, unsent, patience).await
        } else {
            let mut connection = Http1::new(wire).await.map_err(|source| self.broken(source))?;
            match self.on_http1(&mut connection, Instant::now(), unsent, patience).await {
                Sent::Answered(response) => return Ok(Answered::Http1(response, connection)),
                sent => sent,
            }
        };
        match sent {
            Sent::Answered(response) => Ok(Answered::Http2(response)),
            Sent::Failed(error) => Err(error.into()),
            Sent::Again => {
                let ended = io::Error::new(io::ErrorKind::ConnectionReset, "it ended a connection at once");
                Err(Failure::Unsent(ended))
            }
        }
    }

    async fn on_http1(
        &self,
        connection: &mut Http1,
        now: Instant,
        unsent: &mut Option<Request<Body>>,
        patience: &Patience<'_>,
    ) -> Sent {
        let Some(request) = unsent.take() else { return self.unsendable() };
        let resend = Resend::of(&request);
        match connection.send_within(now, patience, request).await {
            Err(error) => Sent::Failed(error),
            Ok(Ok(response)) => Sent::Answered(response),
            Ok(Err(error)) => self.failed(unsent, resend, error),
        }
    }

    async fn on_http2(
        &self,
        mut sender: http2::Sender,
        unsent: &mut Option<Request<Body>>,
        patience: &Patience<'_>,
    ) -> Sent {
        let Some(Ok(request)) = unsent.take().map(|request| http2::request(request, self.https)) else {
            return self.unsendable();
        };
        let resend = Resend::of(&request);
        let send = async {
            // A connection that has ended is noticed by sending on it, which gives the request back.
            let _ = sender.ready().await;
            sender.try_send_request(request).await
        };
        match patience.with(Instant::now(), &mut patience.alarm(), send).await {
            Err(error) => Sent::Failed(error),
            Ok(Ok(response)) => Sent::Answered(response),
            Ok(Err(error)) => self.failed(unsent, resend, error),
        }
    }

    fn failed(
        &self,
        unsent: &mut Option<Request<Body>>,
        resend: Option<Resend>,
        mut error: TrySendError<Request<Body>>,
    ) -> Sent {
        let returned = error.take_message();
        let error = error.into_error();
        *unsent = returned.or_else(|| resend.filter(|_| !error.is_parse()).map(Resend::request));
        if unsent.is_some() { Sent::Again } else { Sent::Failed(self.broken(error)) }
    }

    fn unsendable(&self) -> Sent {
        Sent::Failed(ProxyError::Unsendable { upstream: self.name.clone() })
    }

    pub(super) fn broken(&self, source: hyper::Error) -> ProxyError {
        ProxyError::Broken { upstream: self.name.clone(), source }
    }
}

/// An upstream's answer as the caller gets it.
pub(super) fn answer<B>(response: Response<B>, guard: Option<StreamGuard>) -> Answer
where
    B: hyper::body::Body<Data = Bytes, Error = io::Error> + Send + Sync + Unpin + 'static,
{
    let (mut parts, body) = response.into_parts();
    headers::towards_caller(&mut parts.headers);
    let guard = guard.filter(|_| !body.is_end_stream());
    let body: Body = match guard {
        Some(guard) => Guarded::new(body, guard).boxed(),
        None => body.boxed(),
    };
    let parts = ResponseParts {
        status: parts.status,
        version: Version::default(),
        headers: parts.headers,
        extensions: Extensions::new(),
    };
    Answer::from_parts(parts, body.into())
}
