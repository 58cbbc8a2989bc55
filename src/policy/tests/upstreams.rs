//! Whatever way an upstream reads a path, what it then serves is what the policy permitted (invariant 5).
//!
//! The upstreams here share no code with the normal form: they decode, cut and merge raw text in any order.

use proptest::prelude::*;

use super::{finding::host_path, *};

/// The steps that servers apply to a path on its way to a handler.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Decode,
    DropParameters,
    MergeSlashes,
    DropAuthority,
}

fn take(step: Step, path: &[u8]) -> Vec<u8> {
    match step {
        Step::Decode => percent_encoding::percent_decode(path).collect(),
        Step::DropParameters => {
            let segments = path.split(|byte| *byte == b'/');
            let kept: Vec<&[u8]> =
                segments.map(|text| text.split(|byte| *byte == b';').next().unwrap()).collect();
            kept.join(&b'/')
        }
        Step::MergeSlashes => {
            let mut merged = path.to_vec();
            merged.dedup_by(|a, b| *a == b'/' && *b == b'/');
            merged
        }
        Step::DropAuthority => match path.strip_prefix(b"//") {
            Some(rest) => {
                let authority = rest.iter().take_while(|byte| **byte != b'/').count();
                if authority == rest.len() { b"/".to_vec() } else { rest[authority..].to_vec() }
            }
            None => path.to_vec(),
        },
    }
}

/// Returns the segments that an upstream serves once it has taken these steps, or nothing where it resolves dots, cuts the
/// path off or fails.
pub(super) fn served(steps: &[Step], path: &str) -> Option<Vec<Vec<u8>>> {
    let path = steps.iter().fold(path.as_bytes().to_vec(), |path, step| take(*step, &path));
    let path = path.strip_suffix(b"/").unwrap_or(&path);
    let segments: Vec<Vec<u8>> = path.split(|byte| *byte == b'/').skip(1).map(<[u8]>::to_vec).collect();
    let unsafe_segment = |segment: &Vec<u8>| {
        let name = segment.split(|byte| *byte == b';').next().unwrap();
        name == b"."
            || name == b".."
            || std::str::from_utf8(segment).is_err()
            || segment.iter().any(|byte| byte.is_ascii_control() || matches!(byte, b'\\' | b'#'))
    };
    (!segments.iter().any(unsafe_segment)).then_some(segments)
}

/// The smallest place that matches segments which are compared as bytes.
pub(super) fn decides<'p>(policy: &'p Policy, segments: &[Vec<u8>]) -> Option<&'p Route> {
    let matches = |route: &&Route| {
        let path = &route.pattern().host_path.path;
        let fits = |(pattern, given): (&Segment, &Vec<u8>)| match pattern {
            Segment::Literal(text) => text.as_bytes() == given,
            Segment::Parameter(_) => true,
        };
        let count = path.segments().len();
        (count == segments.len() || (path.takes_rest() && count < segments.len()))
            && path.segments().iter().zip(segments).all(fits)
    };
    policy.routes().iter().filter(matches).min_by(|a, b| a.pattern().host_path.cmp(&b.pattern().host_path))
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop::sample::select(vec![
        Step::Decode,
        Step::Decode,
        Step::DropParameters,
        Step::MergeSlashes,
        Step::DropAuthority,
    ]);
    prop::collection::vec(step, 0..5).prop_map(|steps| [vec![Step::Decode], steps].concat())
}

pub(super) fn before_decoding() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(
        prop::sample::select(vec![Step::DropParameters, Step::MergeSlashes, Step::DropAuthority]),
        0..3,
    )
}

pub(super) fn path() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "/", "/", "a", "b", "a", "b", "%61", "%2f", "%2F", "%252f", "%25252F", "%2e", "%252e", ".", ";",
        "%3b", "%253B", ";x=y", "//", "%25", "%2561", "%255c", "%00", "%c3%a9",
    ]);
    prop::collection::vec(piece, 0..8).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #[test]
    fn invariant_5_no_upstream_serves_what_the_policy_would_deny(
        host_paths in prop::collection::vec(host_path(), 1..8),
        closed in prop::collection::vec(any::<bool>(), 8),
        path in path(),
        ways in prop::collection::vec((before_decoding(), steps()), 12),
    ) {
        let mut definition = Definition::default();
        for (index, (host_path, closed)) in host_paths.iter().zip(closed).enumerate() {
            let path = host_path.get(host_path.find('/').unwrap()..).unwrap();
            let accept = ["encoded_slash", "encoded_percent", "parameters", "empty_segment"];
            let allow = if closed { "nobody" } else { "anonymous" };
            let literal = !path.contains(['{', '*']);
            let accept = if literal { &[][..] } else { &accept };
            let route = json!({ "match": path, "allow": allow, "accept": accept });
            definition.add_stored_route(index.to_string(), serde_json::from_value(route).unwrap());
        }
        let (Ok(compiled), Ok(target)) = (Policy::compile(&definition), parse(&format!("GET {path}"))) else { return Ok(()) };
        let policy = compiled.policy;
        if let Decision::Permit { .. } = policy.decide(&target, None) {
            for (before, after) in ways {
                let steps = [before, after].concat();
                let segments = served(&steps, &path);
                prop_assert!(segments.is_some(), "{path} by {steps:?} is not acceptable");
                let route = decides(&policy, &segments.unwrap_or_default());
                prop_assert!(route.is_some_and(|route| *route.rule() == Rule::Anonymous), "{path} by {steps:?}: {route:?}");
            }
        }
    }
}
