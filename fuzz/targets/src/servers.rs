//! A policy, and servers behind it that read paths in every way in which servers do. They share no code with the normal
//! form: they decode, cut and merge raw bytes in any order.

use std::sync::{Arc, LazyLock};

use scopegate::policy::{Definition, Policy, Route, Rule, Segment};
use serde_json::{Value, json};

/// The policy of [`routes`].
pub(crate) static POLICY: LazyLock<Arc<Policy>> = LazyLock::new(|| {
    let mut definition = Definition::default();
    for route in routes() {
        definition.add_route(serde_json::from_value(route).unwrap());
    }
    Arc::new(Policy::compile(&definition).unwrap().policy)
});

/// Routes that let everybody in beside routes that let in nobody, all but one of them accepting whatever is irregular.
pub(crate) fn routes() -> Vec<Value> {
    let irregular = ["encoded_slash", "encoded_percent", "parameters", "empty_segment"];
    let routes = [
        ("/public/**", "anonymous"),
        ("/public/closed/**", "nobody"),
        ("/{any}/closed", "nobody"),
        ("/items/{id}", "anonymous"),
        ("/items/{id}/owner", "nobody"),
        ("/files/{name}/**", "anonymous"),
        ("/admin/**", "nobody"),
    ];
    let lenient = |(pattern, allow)| json!({ "match": pattern, "allow": allow, "accept": irregular });
    let strict = json!({ "match": "GET /strict/**", "allow": "anonymous" });
    routes.map(lenient).into_iter().chain([strict]).collect()
}

/// Longer paths are read in the same ways, only more slowly.
const LONGEST: usize = 400;

type Step = fn(&[u8]) -> Vec<u8>;

const STEPS: [Step; 3] = [decode, drop_parameters, merge_slashes];
const BEFORE_DECODING: [&[Step]; 5] = [
    &[],
    &[drop_parameters],
    &[merge_slashes],
    &[drop_parameters, merge_slashes],
    &[merge_slashes, drop_parameters],
];

/// Checks that every server which is sent `path` (without a query), which the policy permits to everybody, serves what the
/// policy permits to everybody.
pub(crate) fn serve_only_what_is_open(path: &[u8]) {
    if path.len() > LONGEST {
        return;
    }
    for before in BEFORE_DECODING {
        let decoded = decode(&before.iter().fold(path.to_vec(), |path, step| step(&path)));
        check_all(path, &decoded, 3);
    }
}

/// The path as it is now, and after each of so many further steps.
fn check_all(sent: &[u8], read: &[u8], further: usize) {
    check(sent, read);
    if further > 0 {
        for step in STEPS {
            let next = step(read);
            if next != read {
                check_all(sent, &next, further - 1);
            }
        }
    }
}

fn check(sent: &[u8], read: &[u8]) {
    let shown =
        || format!("{:?}, read as {:?}", String::from_utf8_lossy(sent), String::from_utf8_lossy(read));
    let path = read.strip_suffix(b"/").unwrap_or(read);
    let segments: Vec<&[u8]> = path.split(|byte| *byte == b'/').skip(1).collect();
    assert!(segments.iter().all(|segment| is_safe(segment)), "not acceptable: {}", shown());
    let route = decides(&segments);
    assert!(route.is_some_and(|route| *route.rule() == Rule::Anonymous), "{route:?} decides {}", shown());
}

fn is_safe(segment: &[u8]) -> bool {
    let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
    let strange = |byte: &u8| byte.is_ascii_control() || matches!(byte, b'\\' | b'#');
    name != b"." && name != b".." && std::str::from_utf8(segment).is_ok() && !segment.iter().any(strange)
}

/// The smallest place that matches segments which are compared as bytes.
fn decides(segments: &[&[u8]]) -> Option<&'static Route> {
    let matches = |route: &&Route| {
        let path = &route.pattern().host_path.path;
        let fits = |(pattern, given): (&Segment, &&[u8])| match pattern {
            Segment::Literal(text) => text.as_bytes() == *given,
            Segment::Parameter(_) => true,
        };
        let count = path.segments().len();
        (count == segments.len() || (path.takes_rest() && count < segments.len()))
            && path.segments().iter().zip(segments).all(fits)
    };
    POLICY.routes().iter().filter(matches).min_by(|a, b| a.pattern().host_path.cmp(&b.pattern().host_path))
}

fn decode(path: &[u8]) -> Vec<u8> {
    percent_encoding::percent_decode(path).collect()
}

fn drop_parameters(path: &[u8]) -> Vec<u8> {
    let segments = path.split(|byte| *byte == b'/');
    let kept: Vec<&[u8]> =
        segments.map(|text| text.split(|byte| *byte == b';').next().unwrap_or_default()).collect();
    kept.join(&b'/')
}

fn merge_slashes(path: &[u8]) -> Vec<u8> {
    let mut merged = path.to_vec();
    merged.dedup_by(|a, b| *a == b'/' && *b == b'/');
    merged
}
