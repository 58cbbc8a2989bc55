//! The HTTP/2 connection to an upstream's address, shared by all requests.

use http::Request;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::{Body, connect::Wire};

/// Sends requests on one connection.
pub(super) type Sender = http2::SendRequest<Body>;

/// Begins HTTP/2 on a connection.
pub(super) async fn handshake(wire: Wire) -> hyper::Result<Sender> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).adaptive_window(true);
    builder.keep_alive_interval(std::time::Duration::from_secs(20));
    let (sender, connection) = builder.handshake(wire).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection to an upstream ended");
        }
    });
    Ok(sender)
}

/// A request as HTTP/2 wants it: the authority in the URI, no `Host`.
pub(super) fn request(mut request: Request<Body>, https: bool) -> Result<Request<Body>, http::Error> {
    let host = request.headers_mut().remove(http::header::HOST);
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(if https { http::uri::Scheme::HTTPS } else { http::uri::Scheme::HTTP });
    if let Some(host) = host {
        parts.authority = Some(host.as_bytes().try_into()?);
    }
    *request.uri_mut() = http::Uri::from_parts(parts)?;
    *request.version_mut() = http::Version::HTTP_2;
    Ok(request)
}
