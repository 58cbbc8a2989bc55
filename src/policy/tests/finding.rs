//! Which route decides (invariant 6).

use proptest::prelude::*;

use super::*;

const PRECEDENCE: &str = "
routes:
- { match: /**, allow: nobody }
- { match: /items/**, allow: nobody }
- { match: '/items/{id}', allow: nobody }
- { match: /items/new, allow: nobody }
- { match: '/items/{id}/parts', allow: nobody }
- { match: '*.example.com/items/new', allow: nobody }
- { match: api.example.com/**, allow: nobody }
";

#[test]
fn invariant_6_the_most_specific_pattern_decides_whatever_the_order() {
    let policy = policy(PRECEDENCE);
    for (target, pattern) in [
        ("GET /items/new", "/items/new"),
        ("GET /items/1", "/items/{id}"),
        ("GET /items/1/parts", "/items/{id}/parts"),
        ("GET /items/new/parts", "/items/{id}/parts"),
        ("GET /items/1/2", "/items/**"),
        ("GET /items", "/items/**"),
        ("GET /", "/**"),
        ("GET /other/new", "/**"),
        ("GET www.example.com/items/new", "*.example.com/items/new"),
        ("GET www.example.com/items/1", "/items/{id}"),
        ("GET api.example.com/items/new", "api.example.com/**"),
        ("GET a.b.example.com/items/new", "/items/new"),
        ("GET example.com/items/new", "/items/new"),
    ] {
        assert_eq!(decided_by(&policy, target), pattern, "{target}");
    }
}

#[test]
fn invariant_6_a_method_that_the_most_specific_pattern_does_not_name_falls_through_to_no_other() {
    let policy =
        policy("routes: [{ match: GET|PUT /items/**, allow: anonymous }, { match: /**, allow: anonymous }]");
    let Found::MethodNotAllowed { allowed, .. } = policy.find(&target("DELETE /items/1")) else { panic!() };
    assert_eq!(allowed.as_ref(), [Method::GET, Method::PUT, Method::HEAD]);
    assert_eq!(outcome(&policy, "DELETE /items/1", None), "method_not_allowed");
    assert_eq!(outcome(&policy, "OPTIONS /items/1", None), "method_not_allowed");
    assert_eq!(outcome(&policy, "get /items/1", None), "method_not_allowed");
    assert_eq!(outcome(&policy, "DELETE /other", None), "permit");
}

#[test]
fn invariant_6_where_no_route_leads_there_is_no_access() {
    assert_eq!(outcome(&policy("routes: []"), "GET /", None), "no_route");
    let policy = policy("routes: [{ match: api.example.com/a, allow: anonymous }]");
    for elsewhere in
        ["GET api.example.com/", "GET api.example.com/a/b", "GET example.com/a", "GET x.api.example.com/a"]
    {
        assert_eq!(outcome(&policy, elsewhere, None), "no_route", "{elsewhere}");
    }
}

#[test]
fn head_is_decided_as_get_unless_it_is_named() {
    let policy = policy(
        "routes: [{ match: GET /a, allow: anonymous }, { match: GET /b, allow: anonymous }, { match: HEAD /b, allow: nobody }]",
    );
    assert_eq!(outcome(&policy, "HEAD /a", None), "permit");
    assert_eq!(outcome(&policy, "HEAD /b", None), "nobody");
    assert!(policy.routes()[0].methods().contains(&Method::HEAD));
    assert!(!policy.routes()[1].methods().contains(&Method::HEAD));
}

#[test]
fn the_host_is_compared_without_case_port_and_final_dot_however_many_hosts_there_are() {
    // Istio GHSA-7774-7vr3-cc8j; Caddy CVE-2026-27588: case counted above a hundred hosts.
    for hosts in [1, 99, 101, 10_000] {
        let route = |index| format!("- {{ match: Host{index}.Example.com/, allow: anonymous }}\n");
        let policy = policy(&format!("routes:\n{}", (0..hosts).map(route).collect::<String>()));
        for host in ["host0.example.com", "HOST0.EXAMPLE.COM", "host0.example.com.", "Host0.example.com:8443"]
        {
            assert_eq!(outcome(&policy, &format!("GET {host}/"), None), "permit", "{host} of {hosts}");
        }
    }
}

#[test]
fn a_literal_of_a_pattern_has_the_normal_form_of_requests() {
    let policy = policy(
        r#"routes: [{ match: "/caf%c3%a9/%7Ea", allow: anonymous }, { match: /thé/x y, allow: anonymous }]"#
            .replace("x y", "x")
            .as_str(),
    );
    for path in ["/caf%C3%A9/~a", "/caf%c3%a9/%7ea", "/th%C3%A9/x", "/th%c3%a9/%78"] {
        assert_eq!(outcome(&policy, &format!("GET {path}"), None), "permit", "{path}");
    }
}

#[test]
fn a_path_that_no_pattern_is_as_deep_as_is_found_without_trouble() {
    let policy = policy("routes: [{ match: /a/**, allow: anonymous }]");
    assert_eq!(outcome(&policy, &format!("GET /a{}", "/b".repeat(10_000)), None), "permit");
}

const SEGMENTS: [&str; 3] = ["a", "b", "c"];

pub(super) fn host_path() -> impl Strategy<Value = String> {
    let host = prop::sample::select(vec!["", "", "h.example", "*.example", "*.h.example"]);
    let segment = prop::sample::select(vec!["a", "b", "{x}", "{y}"]);
    (host, prop::collection::vec(segment, 0..5), any::<bool>()).prop_map(|(host, segments, rest)| {
        let path = segments.iter().fold(String::new(), |path, segment| path + "/" + segment);
        let path = if rest { path + "/**" } else { path };
        format!("{host}{}", if path.is_empty() { "/" } else { &path })
    })
}

pub(super) fn pattern() -> impl Strategy<Value = String> {
    let methods = prop::sample::select(vec!["", "GET ", "POST ", "GET|POST ", "HEAD "]);
    (methods, host_path()).prop_map(|(methods, host_path)| format!("{methods}{host_path}"))
}

pub(super) fn request() -> impl Strategy<Value = String> {
    let method = prop::sample::select(vec!["GET", "POST", "HEAD", "DELETE"]);
    let host = prop::sample::select(vec!["h.example", "g.example", "x.h.example", "other"]);
    let segments = prop::collection::vec(prop::sample::select(SEGMENTS.to_vec()), 0..6);
    (method, host, segments, any::<bool>()).prop_map(|(method, host, segments, slash)| {
        let slash = if slash || segments.is_empty() { "/" } else { "" };
        format!(
            "{method} {host}{}{slash}",
            segments.iter().fold(String::new(), |path, segment| path + "/" + segment)
        )
    })
}

/// Routes of these patterns, leaving out what would be decided twice or never.
fn routes(patterns: &[String]) -> Policy {
    let mut kept: Vec<String> = patterns.to_vec();
    loop {
        let mut definition = Definition::default();
        for text in &kept {
            definition
                .add_route(serde_json::from_value(json!({ "match": text, "allow": "anonymous" })).unwrap());
        }
        match Policy::compile(&definition) {
            Ok(compiled) => return compiled.policy,
            Err(errors) => {
                let Source::Route { index } = errors[0].at else { panic!("{errors:?}") };
                kept.remove(index);
            }
        }
    }
}

/// The same by its definition: of the places that match, the smallest; of its routes, the one that names the method.
fn naively(policy: &Policy, target: &Target) -> String {
    let matching = policy
        .routes()
        .iter()
        .map(|route| &route.pattern().host_path)
        .filter(|host_path| host_path.matches(target));
    let Some(host_path) = matching.min() else { return "none".to_owned() };
    let here = || policy.routes().iter().filter(|route| route.pattern().host_path == *host_path);
    let named = |method: &Method| here().find(|route| route.pattern().methods.contains(method));
    let head = || named(&Method::GET).filter(|_| *target.method() == Method::HEAD);
    named(target.method()).or_else(head).map_or("405".to_owned(), ToString::to_string)
}

fn found(policy: &Policy, target: &Target) -> String {
    match policy.find(target) {
        Found::Route(route) => route.to_string(),
        Found::MethodNotAllowed { .. } => "405".to_owned(),
        Found::Mcp { error, .. } => error.to_string(),
        Found::NoRoute => "none".to_owned(),
    }
}

proptest! {
    #[test]
    fn the_tree_finds_what_the_definition_says(patterns in prop::collection::vec(pattern(), 0..12), requests in prop::collection::vec(request(), 1..12)) {
        let policy = routes(&patterns);
        for request in requests {
            let target = target(&request);
            prop_assert_eq!(found(&policy, &target), naively(&policy, &target), "{}", request);
        }
    }

    #[test]
    fn the_order_of_routes_means_nothing(patterns in prop::collection::vec(host_path(), 0..12), request in request()) {
        let reversed: Vec<String> = patterns.iter().rev().cloned().collect();
        let host_path = |policy: Policy| match policy.find(&target(&request)) {
            Found::Route(route) => Some(route.pattern().host_path.clone()),
            Found::MethodNotAllowed { .. } | Found::Mcp { .. } | Found::NoRoute => None,
        };
        prop_assert_eq!(host_path(routes(&patterns)), host_path(routes(&reversed)));
    }

    #[test]
    fn a_final_slash_never_leads_to_another_rule(patterns in prop::collection::vec(pattern(), 0..12), request in request()) {
        // Keycloak CVE-2026-15573, Spring #28552: a slash more picked a looser rule.
        let policy = routes(&patterns);
        let without = request.strip_suffix('/').unwrap_or(&request);
        let with = target(&format!("{without}/"));
        if !without.ends_with("example") && !without.ends_with("other") {
            prop_assert_eq!(found(&policy, &with), found(&policy, &target(without)));
        }
    }

    #[test]
    fn precedence_is_total(texts in prop::collection::vec(host_path(), 3)) {
        let host_paths: Vec<HostPath> = texts.iter().map(|text| Pattern::parse(text).unwrap().host_path).collect();
        let [a, b, c] = host_paths.try_into().unwrap();
        prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        prop_assert_eq!(a.cmp(&b).is_eq(), a == b);
        prop_assert!(!(a <= b && b <= c) || a <= c);
    }

    #[test]
    fn a_pattern_is_read_as_it_is_written(text in pattern()) {
        let pattern = Pattern::parse(&text).unwrap();
        prop_assert_eq!(pattern.to_string(), text.clone());
        prop_assert_eq!(Pattern::parse(&pattern.to_string()).unwrap(), pattern);
    }
}
