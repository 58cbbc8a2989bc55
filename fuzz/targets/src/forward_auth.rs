//! What proxies ask: a target for each dialect. Another dialect is a function here with the headers that it requires.

use std::sync::{Arc, LazyLock};

use futures_util::FutureExt;
use http::HeaderMap;
use poem::{
    Addr, Body, Request,
    web::{LocalAddr, RemoteAddr},
};
use scopegate::{
    authenticator::{Authenticator, NoRevocations, VerifiedTokens},
    gate::{
        Gate, GateSettings, State,
        forward_auth::{Caddy, Dialect, Envoy, Haproxy, Nginx, Traefik},
    },
    policy::Target,
    problem::Problem,
};
use scopegate_provider::SystemClock;

use crate::servers::{POLICY, serve_only_what_is_open};

/// The gate of every dialect.
static GATE: LazyLock<Gate> = LazyLock::new(|| {
    let (tokens, clock) = (VerifiedTokens::new(0), Arc::new(SystemClock::new()));
    let authenticator = Authenticator::new(Vec::new(), tokens, Arc::new(NoRevocations), clock).unwrap();
    Gate::new(State::new(POLICY.clone(), authenticator, GateSettings::default()))
});

const FORWARDED: &[&str] =
    &["x-forwarded-method", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-uri"];

/// Bytes: method and URI, and on each further line a header.
pub fn nginx(data: &[u8]) -> bool {
    let (url, uri): (&[_], &[_]) = (&["x-original-url"], &["x-original-uri", "x-original-host"]);
    ask(&Nginx, data, |headers| {
        let (url, uri) = (each_once(headers, url), each_once(headers, uri));
        each_once(headers, &["x-original-method"]) && url != uri
    })
}

/// As [`nginx`].
pub fn traefik(data: &[u8]) -> bool {
    ask(&Traefik, data, |headers| each_once(headers, FORWARDED))
}

/// As [`nginx`].
pub fn caddy(data: &[u8]) -> bool {
    ask(&Caddy, data, |headers| each_once(headers, FORWARDED))
}

/// As [`nginx`].
pub fn envoy(data: &[u8]) -> bool {
    ask(&Envoy::at("/auth/envoy"), data, |headers| each_once(headers, &["x-forwarded-proto"]))
}

/// As [`nginx`].
pub fn haproxy(data: &[u8]) -> bool {
    let told = ["x-scopegate-method", "x-scopegate-scheme", "x-scopegate-host", "x-scopegate-uri"];
    ask(&Haproxy, data, |headers| each_once(headers, &told))
}

fn each_once(headers: &HeaderMap, names: &[&str]) -> bool {
    names.iter().all(|name| headers.get_all(*name).iter().count() == 1)
}

fn ask(dialect: &impl Dialect, data: &[u8], whole: impl FnOnce(&HeaderMap) -> bool) -> bool {
    let Some(request) = request(data) else { return false };
    let asked = match dialect.original_request(&request) {
        Ok(asked) => asked,
        Err(error) => return refused(dialect, &error.into()),
    };
    assert!(whole(request.headers()), "{asked:?} is told by a part of the headers: {:?}", request.headers());
    let target = match Target::parse(asked.raw()) {
        Ok(target) => target,
        Err(error) => return refused(dialect, &error.into()),
    };
    match GATE.authorize(&target, request.headers()).now_or_never().unwrap() {
        Ok(permit) => {
            assert!(permit.principal.is_none());
            serve_only_what_is_open(target.path_as_sent().as_bytes());
            true
        }
        Err(refusal) => refused(dialect, &refusal.problem),
    }
}

/// Whether it is relayed as success: never.
fn refused(dialect: &impl Dialect, problem: &Problem) -> bool {
    let relayed = dialect.relay(problem);
    assert!(
        relayed.status().is_client_error() || relayed.status().is_server_error(),
        "{problem:?} as {relayed:?}"
    );
    false
}

fn request(data: &[u8]) -> Option<Request> {
    let mut lines = data.split(|byte| *byte == b'\n');
    let mut first = lines.next()?.splitn(2, |byte| *byte == b' ');
    let mut builder = http::Request::builder().method(first.next()?).uri(first.next()?);
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        builder = builder.header(&line[..colon], &line[colon + 1..]);
    }
    let (parts, ()) = builder.body(()).ok()?.into_parts();
    let remote = RemoteAddr(Addr::SocketAddr(([10, 0, 0, 1], 1).into()));
    let parts = (parts, LocalAddr::default(), remote, http::uri::Scheme::HTTP).into();
    Some(Request::from_parts(parts, Body::empty()))
}
