//! The head of a request that reached this process itself.

use http::{HeaderMap, HeaderValue, Method, Uri, Version, header};
use poem::Addr;
use scopegate_provider::Thumbprint;

use super::{
    CertificateSource, Incoming,
    trust::{ForwardedError, TrustedProxies},
};
use crate::{
    policy::{RawTarget, Scheme, Target},
    problem::Problem,
    reason::Reason,
    upstream::headers::upgrade,
};

/// The head of a request.
#[derive(Clone, Copy)]
pub(in crate::gate) struct Head<'r> {
    pub(in crate::gate) method: &'r Method,
    pub(in crate::gate) version: Version,
    pub(in crate::gate) headers: &'r HeaderMap,
    /// The scheme of its own connection.
    pub(in crate::gate) scheme: Scheme,
    /// The peer of its connection, if known.
    pub(in crate::gate) peer: Option<&'r Addr>,
    /// The URI as the handler behind the gate will see it.
    pub(in crate::gate) seen: &'r Uri,
    /// The URI as it was sent, where a router before the gate may have removed the front of the path.
    pub(in crate::gate) sent: Option<&'r Uri>,
    /// The thumbprint of the certificate that the client presented on its connection.
    pub(in crate::gate) certificate: Option<Thumbprint>,
    /// Set if a router before the gate has read the whole path, so that it is too late to change it.
    pub(in crate::gate) routed: bool,
}

impl Incoming for Head<'_> {
    fn method(&self) -> &Method {
        self.method
    }

    fn headers(&self) -> &HeaderMap {
        self.headers
    }

    /// Parses the target. Its scheme and host are those that a trusted proxy forwards, if there is one.
    ///
    /// # Errors
    /// 400 for a request that no policy may accept, 500 if the path that the handler will see is not the end of the one
    /// that was sent.
    fn target(&self, method: &Method, trusted: &TrustedProxies) -> Result<Target, Problem> {
        let target = self.parse(method, self.decided_uri()?)?;
        let Some(peer) = self.peer else { return Ok(target) };
        let origin = trusted.origin(peer, target.scheme(), self.headers);
        let origin = origin.map_err(|error| contradiction(&error))?;
        Ok(target.received_at(origin.scheme, origin.host.map(HeaderValue::as_bytes))?)
    }

    fn authority(&self, trusted: &TrustedProxies) -> Option<&[u8]> {
        let own = self.seen.authority().map(|authority| authority.as_str().as_bytes());
        self.forwarded_authority(trusted)
            .or(own)
            .or_else(|| self.headers.get(header::HOST).map(HeaderValue::as_bytes))
    }

    fn forwarded_authority(&self, trusted: &TrustedProxies) -> Option<&[u8]> {
        let origin = trusted.origin(self.peer?, self.scheme, self.headers).ok()?;
        origin.host.map(HeaderValue::as_bytes)
    }

    fn certificate_source(&self, trusted: &TrustedProxies) -> CertificateSource {
        if self.peer.is_some_and(|peer| trusted.trusts(peer)) {
            CertificateSource::Header
        } else {
            CertificateSource::Connection(self.certificate)
        }
    }

    fn opens_websocket(&self) -> bool {
        self.method == Method::GET && upgrade(self.headers).is_some()
    }
}

impl Head<'_> {
    /// Returns the URI that the handler has to see instead, so that its path is the normal form that was decided on;
    /// `None` if it is already. An irregular path that its route accepts stays as it was sent.
    ///
    /// # Errors
    /// 400 if a router has read another spelling of the path already.
    pub(in crate::gate) fn rewritten(&self, target: &Target) -> Result<Option<Uri>, Problem> {
        if target.normal_path() == target.path_as_sent() || !target.irregularities().is_empty() {
            return Ok(None);
        }
        if self.routed {
            let description = "the path is not in its normal form, and a router has read it already";
            return Err(Problem::new(Reason::NotNormal, description));
        }
        let inner = self.parse(self.method, self.seen)?;
        let query = inner.query().map(|query| format!("?{query}")).unwrap_or_default();
        let mut parts = self.seen.clone().into_parts();
        parts.path_and_query = format!("{}{query}", inner.normal_path()).parse().ok();
        Uri::from_parts(parts).map(Some).map_err(|_| misplaced())
    }

    fn decided_uri(&self) -> Result<&Uri, Problem> {
        match self.sent {
            None => Ok(self.seen),
            Some(sent) if sent.path().ends_with(self.seen.path()) => Ok(sent),
            Some(_) => Err(misplaced()),
        }
    }

    /// Checks the form of a request for an endpoint that is in no policy: origin form and exactly one host, whatever its
    /// path.
    ///
    /// # Errors
    /// 400, as for a request that the policy decides on.
    pub(in crate::gate) fn check_form(&self) -> Result<(), Problem> {
        let authority = self.seen.authority();
        if authority.is_some() && self.version < Version::HTTP_2 {
            return self.parse(self.method, self.seen).map(drop);
        }
        let authority = authority.map(|authority| authority.as_str().as_bytes());
        let hosts = self.headers.get_all(header::HOST);
        let target =
            RawTarget { method: self.method, scheme: self.scheme, authority, hosts, path_and_query: b"/" };
        Target::parse(target)?;
        Ok(())
    }

    fn parse(&self, method: &Method, uri: &Uri) -> Result<Target, Problem> {
        let http2 = self.version >= Version::HTTP_2;
        let authority = uri.authority().map(|authority| authority.as_str().as_bytes());
        let whole;
        let path_and_query = match authority {
            // HTTP/1 has an authority only in absolute form and in CONNECT's: the policy has to see that.
            Some(_) if !http2 => {
                whole = uri.to_string();
                whole.as_bytes()
            }
            _ => uri.path_and_query().map_or(b"".as_slice(), |path| path.as_str().as_bytes()),
        };
        let hosts = self.headers.get_all(header::HOST);
        let authority = authority.filter(|_| http2);
        let scheme = self.scheme;
        Ok(Target::parse(RawTarget { method, scheme, authority, hosts, path_and_query })?)
    }
}

/// The forwarded headers of a trusted proxy contradict each other.
pub(in crate::gate) fn contradiction(error: &ForwardedError) -> Problem {
    Problem::new(Reason::ForwardedHeaders, error.to_string())
}

/// The handler would see another path than the one that was decided on.
pub(in crate::gate) fn misplaced() -> Problem {
    let description = "the path that the handler would see is not the one that was requested";
    Problem::new(Reason::MisplacedGate, description)
}
