//! A request as the policy sees it, whatever carries it: what the handler will see, and nothing else.

use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version, header};
use poem::Addr;

use super::{ForwardedError, TrustedProxies};
use crate::{
    policy::{RawTarget, Scheme, Target},
    problem::Problem,
};

/// The head of a request.
#[derive(Clone, Copy)]
pub(super) struct Head<'r> {
    pub(super) method: &'r Method,
    pub(super) version: Version,
    pub(super) headers: &'r HeaderMap,
    /// The scheme of its own connection.
    pub(super) scheme: Scheme,
    /// Who sent it, if that is known.
    pub(super) peer: Option<&'r Addr>,
    /// As whoever stands behind the gate will see it.
    pub(super) seen: &'r Uri,
    /// As it was sent, where a router before the gate may have taken something off the front.
    pub(super) sent: Option<&'r Uri>,
    /// Whether a router before the gate has read the path to its end, so that it is too late to change it.
    pub(super) routed: bool,
}

impl Head<'_> {
    /// The target of the request. Its scheme and host are those that a proxy of `trusted` tells, if one stands before.
    ///
    /// # Errors
    /// 400 for what no policy may accept, 500 where the path that the handler will see is not the end of the one sent.
    pub(super) fn target(&self, trusted: &TrustedProxies) -> Result<Target, Problem> {
        let target = self.parse(self.decided_uri()?)?;
        let Some(peer) = self.peer else { return Ok(target) };
        let origin = trusted.origin(peer, target.scheme(), self.headers);
        let origin = origin.map_err(|error| contradiction(&error))?;
        Ok(target.received_at(origin.scheme, origin.host.map(HeaderValue::as_bytes))?)
    }

    /// What the handler is to see instead, so that its path is the normal form of what was decided on; none if it is
    /// that already. An irregular path that its route accepts stays as it was sent.
    ///
    /// # Errors
    /// 400 where a router has read another spelling of the path already.
    pub(super) fn rewritten(&self, target: &Target) -> Result<Option<Uri>, Problem> {
        if target.normal_path() == target.path_as_sent() || !target.irregularities().is_empty() {
            return Ok(None);
        }
        if self.routed {
            let description = "the path is not in its normal form, and a router has read it already";
            return Err(Problem::invalid_request("not_normal", description));
        }
        let inner = self.parse(self.seen)?;
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

    fn parse(&self, uri: &Uri) -> Result<Target, Problem> {
        let http2 = self.version >= Version::HTTP_2;
        let authority = uri.authority().map(|authority| authority.as_str().as_bytes());
        let whole;
        let path_and_query = match authority {
            // HTTP/1 has an authority in absolute form and in CONNECT's only: the policy is to see that.
            Some(_) if !http2 => {
                whole = uri.to_string();
                whole.as_bytes()
            }
            _ => uri.path_and_query().map_or(b"".as_slice(), |path| path.as_str().as_bytes()),
        };
        let hosts = self.headers.get_all(header::HOST);
        let authority = authority.filter(|_| http2);
        let (method, scheme) = (self.method, self.scheme);
        Ok(Target::parse(RawTarget { method, scheme, authority, hosts, path_and_query })?)
    }
}

/// What a trusted proxy says contradicts itself.
pub(super) fn contradiction(error: &ForwardedError) -> Problem {
    Problem::invalid_request("forwarded_headers", error.to_string())
}

/// What the handler would see is not what was asked for.
pub(super) fn misplaced() -> Problem {
    let description = "the path that the handler would see is not the one that was asked for";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "misplaced_gate", description)
}
