//! `WebSocket`: once both sides have agreed, bytes go back and forth until one ends it, or the token does.

use std::io;

use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use poem::{OnUpgrade, Response as Answer};
use tokio::{io::copy_bidirectional_with_sizes, time::Instant};

use super::{
    Body, ProxyError, StreamGuard,
    connect::Wire,
    headers,
    patience::Patience,
    upstream::{Upstream, answer},
};
use crate::gate::request::upgrade::upgrade;

/// What each direction of a tunnel holds at most, in bytes; there may be very many that are idle.
const BUFFER: usize = 4096;

/// Asks an upstream to change the protocol, and connects both sides if it does.
pub(super) async fn open(
    upstream: &Upstream,
    mut request: Request<Body>,
    protocol: &'static str,
    ours: OnUpgrade,
    guard: Option<StreamGuard>,
) -> Result<Answer, ProxyError> {
    request.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("upgrade"));
    request.headers_mut().insert(header::UPGRADE, header::HeaderValue::from_static(protocol));
    let mut sender = handshake(upstream).await?;
    let patience = Patience::new(&upstream.name, upstream.response_timeout, guard.as_ref());
    let asked = patience.with(Instant::now(), &mut patience.alarm(), sender.send_request(request)).await?;
    let mut response = asked.map_err(|source| upstream.broken(source))?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let body = |incoming: Incoming| incoming.map_err(io::Error::other).boxed();
        return Ok(answer(response.map(body), guard));
    }
    let agreed = upgrade(response.headers()) == Some(protocol);
    if !agreed {
        return Err(ProxyError::OtherProtocol { upstream: upstream.name.clone() });
    }
    let theirs = hyper::upgrade::on(&mut response);
    tokio::spawn(async move {
        if let Err(error) = relay(ours, theirs, guard).await {
            tracing::debug!(%error, "a tunnel ended");
        }
    });
    let mut switching = Answer::builder().status(StatusCode::SWITCHING_PROTOCOLS).finish();
    *switching.headers_mut() = std::mem::take(response.headers_mut());
    headers::towards_caller(switching.headers_mut());
    switching.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("upgrade"));
    switching.headers_mut().insert(header::UPGRADE, header::HeaderValue::from_static(protocol));
    Ok(switching)
}

/// A connection of the tunnel's own.
async fn handshake(upstream: &Upstream) -> Result<http1::SendRequest<Body>, ProxyError> {
    let wire = connect(upstream).await?;
    let handshake = http1::Builder::new().handshake(wire).await;
    let (sender, connection) = handshake.map_err(|source| upstream.broken(source))?;
    tokio::spawn(connection.with_upgrades());
    Ok(sender)
}

async fn connect(upstream: &Upstream) -> Result<Wire, ProxyError> {
    let mut last = None;
    for address in upstream.candidates() {
        match upstream.connector.connect_http1(&address.authority).await {
            Ok(wire) => return Ok(wire),
            Err(error) => {
                address.fell_ill();
                last = Some(error);
            }
        }
    }
    Err(upstream.unreachable(last))
}

async fn relay(
    ours: OnUpgrade,
    theirs: hyper::upgrade::OnUpgrade,
    guard: Option<StreamGuard>,
) -> io::Result<()> {
    let mut ours = ours.await.map_err(io::Error::other)?;
    let mut theirs = TokioIo::new(theirs.await.map_err(io::Error::other)?);
    let ended = async {
        match &guard {
            Some(guard) => guard.ended().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        copied = copy_bidirectional_with_sizes(&mut ours, &mut theirs, BUFFER, BUFFER) => copied.map(drop),
        end = ended => Err(io::Error::other(end)),
    }
}
