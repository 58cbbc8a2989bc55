//! Health checks of addresses, and the closing of idle connections.

use std::{io, sync::Arc, time::Duration};

use http::{Request, StatusCode, header::HOST, uri::Authority};
use tokio::time::timeout;

use super::{
    RelayBody, UpstreamSettings,
    address::Address,
    connect::{Connected, Connector},
    exchange::Upstream,
    http1::Http1,
    http2::{self, Http2},
    upload::UploadSize,
};

/// The time between two searches for idle connections.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// Checks an upstream's addresses, and closes their idle connections, until the upstream is dropped.
pub(super) fn watch(upstream: &Arc<Upstream>, settings: &UpstreamSettings) {
    let idle = settings.idle_timeout.get();
    for address in &upstream.addresses {
        let upstream = Arc::downgrade(upstream);
        let address = Arc::clone(address);
        let health = settings.health.clone();
        tokio::spawn(async move {
            while let Some(upstream) = upstream.upgrade() {
                address.pool.sweep();
                address.http2.sweep(idle);
                let interval = match &health {
                    None => SWEEP_INTERVAL,
                    Some(health) => {
                        let settings = &upstream.settings;
                        let host = settings.host.name().map_or(settings.url.host(), Authority::as_str);
                        let checking = check(&upstream.connector, &address, &health.path, host);
                        let found = timeout(health.timeout.get(), checking).await;
                        let found = found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
                        note(&upstream, &address, &found);
                        health.every.get()
                    }
                };
                drop(upstream);
                tokio::time::sleep(interval).await;
            }
        });
    }
}

/// Notes and logs a change of an address's health.
fn note(upstream: &Upstream, address: &Address, found: &io::Result<StatusCode>) {
    let is_healthy = found.as_ref().is_ok_and(|status| status.as_u16() < 400);
    if is_healthy == address.is_healthy() {
        return;
    }
    let name = &*upstream.name;
    let authority = &*address.authority;
    if is_healthy {
        tracing::info!(upstream = name, address = authority, "an address is healthy again");
        address.mark_healthy();
    } else {
        tracing::warn!(upstream = name, address = authority, ?found, "an address is unhealthy");
        address.mark_unhealthy_until_checked();
    }
}

/// Sends the request of a health check on a connection of its own.
async fn check(connector: &Connector, address: &Address, path: &str, host: &str) -> io::Result<StatusCode> {
    let request = Request::get(path).header(HOST, host).body(RelayBody::empty()).map_err(io::Error::other)?;
    let Connected { io, http2 } = connector.connect(&address.authority).await?;
    if http2 {
        let connection = Http2::handshake(io).await?;
        let permit = connection.reserve(UploadSize::None).ok_or(io::ErrorKind::ConnectionReset)?;
        let request = http2::into_http2(request, connector.is_tls()).map_err(io::Error::other)?;
        let response = permit.sender().send_request(request).await.map_err(io::Error::other)?;
        return Ok(response.status());
    }
    let mut connection = Http1::handshake(io).await.map_err(io::Error::other)?;
    let response = connection.send(request).await.map_err(|error| io::Error::other(error.into_error()))?;
    Ok(response.status())
}
