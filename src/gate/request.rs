//! A poem request as the policy sees it: what the handler will see, and nothing else.

use http::{HeaderValue, Method, StatusCode, Uri, Version, header};
use poem::{PathPattern, Request};

use super::{ForwardedError, TrustedProxies, trust::peer_scheme};
use crate::{
    policy::{RawTarget, Target},
    problem::Problem,
};

/// The target of a request. Its scheme and host are those that a proxy of `trusted` tells, if one stands before.
///
/// # Errors
/// 400 for what no policy may accept, 500 where the path that the handler will see is not the end of the one sent.
pub(super) fn target(request: &Request, trusted: &TrustedProxies) -> Result<Target, Problem> {
    target_as(request, request.method(), trusted)
}

/// The target of a request, had it come with this method.
///
/// # Errors
/// As [`target`].
pub(super) fn target_as(
    request: &Request,
    method: &Method,
    trusted: &TrustedProxies,
) -> Result<Target, Problem> {
    let target = parse(request, method, decided_uri(request)?)?;
    let origin = trusted.origin(request.remote_addr(), target.scheme(), request.headers());
    let origin = origin.map_err(|error| contradiction(&error))?;
    Ok(target.received_at(origin.scheme, origin.host.map(HeaderValue::as_bytes))?)
}

/// What a trusted proxy says contradicts itself.
pub(super) fn contradiction(error: &ForwardedError) -> Problem {
    Problem::invalid_request("forwarded_headers", error.to_string())
}

/// Makes the path that the handler sees the normal form of what was decided on; an irregular path that its route
/// accepts stays as it was sent.
pub(super) fn normalise(request: &mut Request, target: &Target) -> Result<(), Problem> {
    if target.normal_path() == target.path_as_sent() || !target.irregularities().is_empty() {
        return Ok(());
    }
    let inner = parse(request, request.method(), request.uri())?;
    let query = inner.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = format!("{}{query}", inner.normal_path()).parse().ok();
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_| misplaced())?;
    Ok(())
}

/// Where the gate stands inside a mounted part, poem has taken the mount's path off `uri` and kept the whole in
/// `original_uri`. Before any routing, `uri` is what the handler will see, whatever was rewritten before.
fn decided_uri(request: &Request) -> Result<&Uri, Problem> {
    let (original, seen) = (request.original_uri(), request.uri());
    if request.data::<PathPattern>().is_none() {
        Ok(seen)
    } else if original.path().ends_with(seen.path()) {
        Ok(original)
    } else {
        Err(misplaced())
    }
}

fn misplaced() -> Problem {
    let description = "the path that the handler would see is not the one that was asked for";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "misplaced_gate", description)
}

fn parse(request: &Request, method: &Method, uri: &Uri) -> Result<Target, Problem> {
    let http2 = request.version() >= Version::HTTP_2;
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
    let scheme = peer_scheme(request);
    let hosts = request.headers().get_all(header::HOST);
    let authority = authority.filter(|_| http2);
    let raw = RawTarget { method, scheme, authority, hosts, path_and_query };
    Ok(Target::parse(raw)?)
}
