//! Asking addresses how they are, and closing connections that nobody needs.

use std::{io, sync::Arc, time::Duration};

use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use tokio::time::timeout;

use super::{
    HealthSettings, UpstreamSettings,
    address::Address,
    connect::{Connected, Connector},
    http1::Http1,
    http2,
    upstream::Upstream,
};

/// How often idle connections are looked through.
const SWEEP: Duration = Duration::from_secs(10);

/// Looks after an upstream for as long as it is there.
pub(super) fn watch(upstream: &Arc<Upstream>, settings: &UpstreamSettings) {
    let host: Box<str> = settings.url.host().into();
    for address in &upstream.addresses {
        let of = Arc::downgrade(upstream);
        let (address, health, host) = (Arc::clone(address), settings.health.clone(), host.clone());
        tokio::spawn(async move {
            while let Some(upstream) = of.upgrade() {
                address.pool.sweep();
                let every = match &health {
                    None => SWEEP,
                    Some(health) => {
                        note(&upstream, &address, &check(&upstream.connector, &address, health, &host).await);
                        health.every.get()
                    }
                };
                drop(upstream);
                tokio::time::sleep(every).await;
            }
        });
    }
}

fn note(upstream: &Upstream, address: &Address, found: &io::Result<StatusCode>) {
    let well = found.as_ref().is_ok_and(|status| status.as_u16() < 400);
    if well == address.is_well() {
        return;
    }
    if well {
        tracing::info!(upstream = &*upstream.name, address = &*address.authority, "an address is well again");
        address.is_found_well();
    } else {
        tracing::warn!(
            upstream = &*upstream.name,
            address = &*address.authority,
            ?found,
            "an address is ill"
        );
        address.is_found_ill();
    }
}

async fn check(
    connector: &Connector,
    address: &Address,
    health: &HealthSettings,
    host: &str,
) -> io::Result<StatusCode> {
    let asked = timeout(health.timeout.get(), ask(connector, address, &health.path, host)).await;
    asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn ask(connector: &Connector, address: &Address, path: &str, host: &str) -> io::Result<StatusCode> {
    let body = Empty::new().map_err(|never| match never {}).boxed();
    let request = Request::get(path).header(http::header::HOST, host).body(body).map_err(io::Error::other)?;
    let Connected { wire, http2 } = connector.connect(&address.authority).await?;
    if http2 {
        let mut sender = http2::handshake(wire).await.map_err(io::Error::other)?;
        let request = http2::request(request, connector.is_tls()).map_err(io::Error::other)?;
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        return Ok(response.status());
    }
    let mut connection = Http1::new(wire).await.map_err(io::Error::other)?;
    let response = connection.send(request).await.map_err(|error| io::Error::other(error.into_error()))?;
    Ok(response.status())
}
