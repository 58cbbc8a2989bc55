//! The proxies whose forwarded headers are believed, and the origin of a request (invariant 7).

mod network;

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue};
use poem::{Addr, Request};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::network::{Network, NetworkError};
use crate::{policy::Scheme, server::ClientCertVerified};

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The networks whose forwarded headers are believed; nobody's unless said. Peers on a Unix-domain socket are always
/// believed: who may open it is for the file system to say.
///
/// ```
/// use scopegate::gate::TrustedProxies;
///
/// let trusted: TrustedProxies = serde_json::from_str(r#"["10.42.0.0/16", "127.0.0.1"]"#)?;
/// assert!(trusted.contains("10.42.7.1".parse()?));
/// assert!(serde_json::from_str::<TrustedProxies>(r#"["0.0.0.0/0"]"#).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct TrustedProxies(Vec<Network>);

/// The origin of a request, as far as it is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The caller's address: the nearest one that is no trusted proxy. None behind a proxy that does not tell, or on a
    /// Unix-domain socket.
    pub client: Option<IpAddr>,
    /// The scheme that the caller used.
    pub scheme: Scheme,
    /// The host that the caller asked, where a proxy tells another one than `Host`.
    pub host: Option<&'a HeaderValue>,
}

/// Errors in the forwarded headers of a trusted proxy: 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardedError {
    /// Two values: which one was the proxy's, which one the caller's?
    #[error("expected one value of `{header}`, found several")]
    Several {
        /// The header.
        header: &'static str,
    },
    /// A scheme that is not HTTP's.
    #[error("expected `http` or `https` in `X-Forwarded-Proto`")]
    Scheme,
}

impl TrustedProxies {
    /// Returns `true` if an address is among them. An IPv4 address in IPv6 notation counts as the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(address))
    }

    /// Returns `true` if there are none, so that only the peers of Unix-domain sockets are believed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns `true` if the peer of a connection is believed.
    pub fn trusts(&self, peer: &Addr) -> bool {
        match peer {
            Addr::SocketAddr(address) => self.contains(address.ip()),
            Addr::Unix(_) => true,
            Addr::Custom(..) => false,
        }
    }

    /// Returns `true` if the sender of a request is believed: its peer is trusted, or it has a client certificate that the
    /// listener verified.
    pub fn trusts_sender(&self, request: &Request) -> bool {
        self.trusts(request.remote_addr()) || request.data::<ClientCertVerified>().is_some()
    }

    /// Returns the origin of a request: that of its connection, unless the peer is trusted.
    ///
    /// # Errors
    /// [`ForwardedError`] if a trusted peer contradicts itself.
    pub fn origin<'a>(
        &self,
        peer: &Addr,
        scheme: Scheme,
        headers: &'a HeaderMap,
    ) -> Result<Origin<'a>, ForwardedError> {
        let own = peer.as_socket_addr().map(|address| address.ip().to_canonical());
        // Few headers come: looking at each costs less than looking for three.
        let tells = headers.keys().any(|name| [FOR, PROTO, HOST].contains(name));
        if !tells || !self.trusts(peer) {
            return Ok(Origin { client: own, scheme, host: None });
        }
        let forwarded = one(headers, &PROTO, "X-Forwarded-Proto")?;
        Ok(Origin {
            client: if headers.contains_key(FOR) { self.client(headers) } else { own },
            scheme: forwarded.map_or(Ok(scheme), parse_scheme)?,
            host: one(headers, &HOST, "X-Forwarded-Host")?,
        })
    }

    /// The last address in `X-Forwarded-For` that is no trusted proxy; each proxy adds its peer at the end. What stands
    /// before an entry that cannot be read was written by who knows whom.
    fn client(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let values = headers.get_all(FOR).iter();
        let lines: Vec<&str> = values.map(|value| value.to_str().unwrap_or_default()).collect();
        let entries = lines.iter().rev().flat_map(|line| line.rsplit(','));
        let mut addresses = entries.map_while(|entry| parse_address(entry.trim()));
        addresses.find(|address| !self.contains(*address))
    }
}

impl FromIterator<Network> for TrustedProxies {
    fn from_iter<T: IntoIterator<Item = Network>>(networks: T) -> Self {
        Self(networks.into_iter().collect())
    }
}

/// The scheme of a request's own connection.
pub(crate) fn peer_scheme(request: &Request) -> Scheme {
    if *request.scheme() == http::uri::Scheme::HTTPS { Scheme::Https } else { Scheme::Http }
}

fn one<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    header: &'static str,
) -> Result<Option<&'a HeaderValue>, ForwardedError> {
    let mut values = headers.get_all(name).iter();
    let (first, second) = (values.next(), values.next());
    if second.is_some() || first.is_some_and(|value| value.as_bytes().contains(&b',')) {
        return Err(ForwardedError::Several { header });
    }
    Ok(first)
}

fn parse_scheme(value: &HeaderValue) -> Result<Scheme, ForwardedError> {
    match value.as_bytes() {
        scheme if scheme.eq_ignore_ascii_case(b"http") || scheme.eq_ignore_ascii_case(b"ws") => {
            Ok(Scheme::Http)
        }
        scheme if scheme.eq_ignore_ascii_case(b"https") || scheme.eq_ignore_ascii_case(b"wss") => {
            Ok(Scheme::Https)
        }
        _ => Err(ForwardedError::Scheme),
    }
}

/// An address, with or without a port.
fn parse_address(text: &str) -> Option<IpAddr> {
    let address = match text.parse::<SocketAddr>() {
        Ok(with_port) => with_port.ip(),
        Err(_) => match text.strip_prefix('[') {
            Some(bracketed) => bracketed.strip_suffix(']')?.parse().ok()?,
            None => text.parse().ok()?,
        },
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests;
