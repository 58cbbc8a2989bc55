//! The state that the connections of a listener share, and the facts that the listener knows of each.

use std::sync::Arc;

use http::uri::Scheme;
use hyper_util::server::conn::auto;
use poem::web::{LocalAddr, RemoteAddr};

use super::{
    Limits, Shutdown, connections::Connections, sending::ExchangeExecutor, settings::ClientCertThumbprint,
    tls::ClientCertificate,
};

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
    pub(super) client_thumbprint: Option<ClientCertThumbprint>,
}

impl<E> Listening<E> {
    /// Returns `true` if connections are not kept for later requests.
    pub(super) fn closes_connections(&self) -> bool {
        self.shutdown.is_leaving() || self.connections.is_crowded()
    }
}
