//! Requests as they come: method, hosts and path.

use http::Method;
use scopegate::policy::{Decision, RawTarget, Scheme, Target, TargetError};

use crate::servers::{POLICY, serve_only_what_is_open};

/// Bytes: the method, a line of hosts with `|` between them, and all the rest is path and query.
pub fn target(data: &[u8]) -> bool {
    let mut parts = data.splitn(3, |byte| *byte == b'\n');
    let mut next = || parts.next().unwrap_or_default();
    let (method, hosts, path) = (next(), next(), next());
    let Ok(method) = Method::from_bytes(method) else { return false };
    let hosts: Vec<&[u8]> = hosts.split(|byte| *byte == b'|').collect();
    let Ok(target) = parse(&method, &hosts, path) else { return false };
    assert_eq!(hosts.len(), 1, "several hosts");
    check(&target);
    let permitted = matches!(POLICY.decide(&target, None), Decision::Permit { .. });
    if permitted {
        serve_only_what_is_open(target.path_as_sent().as_bytes());
    }
    permitted
}

fn parse(method: &Method, hosts: &[&[u8]], path_and_query: &[u8]) -> Result<Target, TargetError> {
    let hosts = hosts.iter().copied();
    Target::parse(RawTarget { method, scheme: Scheme::Https, authority: None, hosts, path_and_query })
}

fn check(target: &Target) {
    let again = parse(target.method(), &[target.host().as_bytes()], target.normal_path().as_bytes());
    let again = again.unwrap_or_else(|error| panic!("{target:?}: {error}"));
    assert_eq!(again.normal_path(), target.normal_path(), "normalised twice");
    assert_eq!(again.path_as_sent(), target.normal_path(), "the normal form is not its own");
    assert_eq!((again.host(), again.irregularities()), (target.host(), target.irregularities()));
    assert_ne!(target.method(), Method::CONNECT);
    assert!(
        !target.host().contains(['@', '/', '|']) && *target.host() == *target.host().to_ascii_lowercase()
    );
    let decode = |path: &str| percent_encoding::percent_decode_str(path).collect::<Vec<u8>>();
    assert_eq!(
        decode(target.normal_path()),
        decode(target.path_as_sent()),
        "the normal form is another path"
    );
    let joined: Vec<&str> = [""].into_iter().chain(target.segments()).collect();
    let normal = target.normal_path();
    assert_eq!(joined.join("/"), normal.strip_suffix('/').unwrap_or(normal));
}
