//! A request as the gate reads it: its target, its token, and the proxy that forwarded it.

pub(super) mod head;
pub(super) mod proof;
pub(super) mod site;
pub(super) mod subprotocol;
pub(super) mod token;
pub(super) mod trust;

use std::sync::Arc;

use http::{HeaderMap, Method};
use scopegate_provider::Thumbprint;

use self::trust::TrustedProxies;
use crate::{
    policy::{Route, Target},
    problem::Problem,
};

/// The place at which the certificate of a client is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CertificateSource {
    /// The client's own connection, which may have none.
    Connection(Option<Thumbprint>),
    /// The configured header of a trusted proxy. The certificate of the proxy's connection is the proxy's (T3.4).
    Header,
}

/// A request to be authorized, in the form in which a front received it.
pub(super) trait Incoming {
    /// Returns the method.
    fn method(&self) -> &Method;

    /// Returns the header fields.
    fn headers(&self) -> &HeaderMap;

    /// Parses the target, as if the request had been sent with `method`.
    ///
    /// # Errors
    /// 400 for a request that no policy may accept.
    fn target(&self, method: &Method, trusted: &TrustedProxies) -> Result<Target, Problem>;

    /// Returns the host and port that the request is for, as the client names them.
    fn authority(&self, trusted: &TrustedProxies) -> Option<&[u8]>;

    /// Returns the host and port that the client called, if a trusted proxy vouches for them.
    fn forwarded_authority(&self, _: &TrustedProxies) -> Option<&[u8]> {
        None
    }

    /// Returns the place at which the client's certificate is found.
    fn certificate_source(&self, trusted: &TrustedProxies) -> CertificateSource;

    /// Returns `true` if the request is the handshake of a `WebSocket`.
    fn opens_websocket(&self) -> bool;

    /// Returns the route of the endpoint that the request is for, if the policy does not decide about that endpoint.
    fn own_route(&self) -> Option<&Arc<Route>> {
        None
    }
}
