//! What is left of a path without its prefix is decided again.

use proptest::prelude::*;

use super::{
    upstreams::{before_decoding, decides, path, served, steps},
    *,
};

const GUARDED: &str = "
    scopes: { admin: Administer }
    upstreams: { app: {}, other: {} }
    routes:
      - { match: /public/**, allow: anonymous, upstream: app, strip_prefix: /public }
      - { match: GET /admin/**, require: admin, upstream: app }
      - { match: /other/**, allow: anonymous, upstream: other, strip_prefix: /other }
";

#[test]
fn what_is_left_is_as_guarded_as_where_it_is_asked_for_by_its_own_name() {
    let policy = policy(GUARDED);
    assert_eq!(outcome(&policy, "GET /public/x", None), "permit");
    assert_eq!(outcome(&policy, "GET /public/admin/x", None), "no_token");
    let admin = Caller::with("admin");
    assert_eq!(outcome(&policy, "GET /public/admin/x", Some(&admin)), "permit");
    assert_eq!(outcome(&policy, "POST /public/admin/x", Some(&admin)), "method_not_allowed");
}

#[test]
fn where_another_upstream_has_that_name_what_is_left_is_not_guarded_by_it() {
    assert_eq!(outcome(&policy(GUARDED), "GET /other/admin/x", None), "permit");
}

#[test]
fn a_token_is_looked_at_where_what_is_left_needs_one() {
    let (policy, target) = (policy(GUARDED), target("GET /public/admin/x"));
    assert_eq!(policy.resolve(&target).unwrap().token_use(), TokenUse::Required);
}

#[test]
fn what_is_left_is_decided_as_if_an_empty_segment_began_an_authority() {
    let policy = policy(
        "upstreams: { app: {} }
routes:
  - { match: /api/**, allow: anonymous, upstream: app, strip_prefix: /api, accept: [empty_segment, encoded_slash] }
  - { match: /api/admin/**, allow: nobody, upstream: app, strip_prefix: /api }",
    );
    assert_eq!(outcome(&policy, "GET /api//x/y", None), "permit");
    for path in ["/api//x/admin/y", "/api/%2Fx/admin/y", "/api/%2fx%2fadmin/y"] {
        assert_ne!(outcome(&policy, &format!("GET {path}"), None), "permit", "{path}");
    }
}

#[test]
fn an_explanation_names_what_guards_what_is_left() {
    let explanation = policy(GUARDED).explain(&target("GET /public/admin/x"), None);
    let paths: Vec<&str> = explanation.interpretations.iter().map(|reading| reading.path.as_str()).collect();
    assert_eq!(paths, ["/public/admin/x", "/admin/x"]);
}

fn own_path() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec!["/a", "/b", "/{x}"]);
    (prop::collection::vec(segment, 0..4), any::<bool>()).prop_map(|(segments, rest)| {
        let path = segments.concat() + if rest { "/**" } else { "" };
        if path.is_empty() { "/**".to_owned() } else { path }
    })
}

proptest! {
    #[test]
    fn invariant_5_no_upstream_serves_what_is_denied_once_a_prefix_is_stripped(
        stripping in prop::collection::vec((own_path(), any::<bool>()), 1..6),
        by_name in prop::collection::vec((own_path(), any::<bool>()), 0..4),
        path in path(),
        ways in prop::collection::vec((before_decoding(), steps()), 12),
    ) {
        let mut definition = Definition::new(Vec::new(), vec![KnownUpstream::from("app".to_owned())]);
        let mut added = 0;
        let mut add = |path: String, closed: bool, prefix: Option<&str>| {
            let accept = ["encoded_slash", "encoded_percent", "parameters", "empty_segment"];
            let accept = if path.contains(['{', '*']) { &accept[..] } else { &[] };
            let allow = if closed { "nobody" } else { "anonymous" };
            let route = json!({ "match": path, "allow": allow, "accept": accept, "upstream": "app", "strip_prefix": prefix });
            added += 1;
            definition.add_stored_route(added.to_string(), serde_json::from_value(route).unwrap());
        };
        for (path, closed) in stripping {
            add(format!("/p{path}"), closed, Some("/p"));
        }
        for (path, closed) in by_name {
            add(path, closed, None);
        }
        let sent = parse(&format!("GET /p{path}"));
        let (Ok(compiled), Ok(target)) = (Policy::compile(&definition), sent) else { return Ok(()) };
        let policy = compiled.policy;
        let Decision::Permit { route } = policy.decide(&target, None) else { return Ok(()) };
        prop_assume!(route.options().strip_prefix.is_some());
        for (before, after) in ways {
            let steps = [before, after].concat();
            let segments = served(&steps, &path);
            prop_assert!(segments.is_some(), "{path} by {steps:?} is not acceptable");
            let segments = segments.unwrap_or_default();
            let whole = [vec![b"p".to_vec()], segments.clone()].concat();
            let route = decides(&policy, &whole);
            prop_assert!(route.is_some_and(|route| *route.rule() == Rule::Anonymous), "{path} by {steps:?}: {route:?}");
            let named = decides(&policy, &segments).filter(|route| route.options().strip_prefix.is_none());
            prop_assert!(named.is_none_or(|route| *route.rule() == Rule::Anonymous), "{path} by {steps:?} is {named:?}");
        }
    }
}
