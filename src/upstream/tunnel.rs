//! `WebSocket` tunnels: once both sides have agreed, bytes are copied both ways until one side ends, or the tunnel is
//! aborted.

use std::{io, sync::Arc};

use futures_util::future::{BoxFuture, Either, select};
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, copy_bidirectional_with_sizes},
    time::Instant,
};

use super::{
    AbortSignal, CallerBody, ExchangeError, RelayBody,
    connect::Io,
    exchange::Upstream,
    headers::{remove_connection_fields, upgrade},
    response_timeout::ResponseTimeout,
};

/// The number of bytes that each direction of a tunnel holds at most. Very many tunnels may be idle.
const BUFFER: usize = 4096;

/// The bytes of a caller's upgraded connection.
pub trait CallerStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> CallerStream for S {}

/// The caller's connection, once the response has told it to change the protocol.
pub type Upgrade = BoxFuture<'static, io::Result<Box<dyn CallerStream>>>;

/// Asks an upstream to change to `WebSocket`, and connects both sides if it does.
pub(super) async fn open(
    upstream: &Upstream,
    mut request: Request<CallerBody>,
    caller: Upgrade,
    abort: Option<Arc<dyn AbortSignal>>,
) -> Result<Response<RelayBody>, ExchangeError> {
    upstream.set_headers(request.headers_mut());
    set_upgrade(request.headers_mut());
    // A tunnel has its connection to itself.
    let handshake = http1::Builder::new().handshake(connect(upstream).await?).await;
    let (mut sender, connection) = handshake.map_err(|source| upstream.invalid_response(source))?;
    tokio::spawn(connection.with_upgrades());
    let timeout = ResponseTimeout::new(&upstream.name, upstream.response_timeout, None);
    let request = request.map(|_| RelayBody::empty());
    let asked = timeout.apply(Instant::now(), &mut timeout.timer(), sender.send_request(request)).await?;
    let mut response = asked.map_err(|source| upstream.invalid_response(source))?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        remove_connection_fields(response.headers_mut());
        return Ok(response.map(RelayBody::of_own_connection));
    }
    if upgrade(response.headers()).is_none() {
        return Err(ExchangeError::OtherProtocol { upstream: upstream.name.clone() });
    }
    let service = hyper::upgrade::on(&mut response);
    tokio::spawn(async move {
        if let Err(error) = relay(caller, service, abort).await {
            tracing::debug!(%error, "a tunnel ended");
        }
    });
    remove_connection_fields(response.headers_mut());
    set_upgrade(response.headers_mut());
    Ok(response.map(|_| RelayBody::empty()))
}

fn set_upgrade(headers: &mut http::HeaderMap) {
    headers.insert(header::CONNECTION, const { HeaderValue::from_static("upgrade") });
    headers.insert(header::UPGRADE, const { HeaderValue::from_static("websocket") });
}

/// Connects to the first address that takes the connection.
async fn connect(upstream: &Upstream) -> Result<Io, ExchangeError> {
    let mut last = None;
    for address in upstream.candidates().iter() {
        match upstream.connector.connect_http1(&address.authority).await {
            Ok(io) => return Ok(io),
            Err(error) => {
                address.mark_unhealthy();
                last = Some(error);
            }
        }
    }
    Err(upstream.unreachable(last))
}

/// Copies bytes both ways.
async fn relay(
    caller: Upgrade,
    service: hyper::upgrade::OnUpgrade,
    abort: Option<Arc<dyn AbortSignal>>,
) -> io::Result<()> {
    let mut caller = caller.await?;
    let mut service = TokioIo::new(service.await.map_err(io::Error::other)?);
    let copying = copy_bidirectional_with_sizes(&mut caller, &mut service, BUFFER, BUFFER);
    let Some(signal) = abort else { return copying.await.map(drop) };
    match select(Box::pin(copying), signal.aborted()).await {
        Either::Left((copied, _)) => copied.map(drop),
        Either::Right((reason, _)) => Err(io::Error::other(reason)),
    }
}
