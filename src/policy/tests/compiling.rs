//! What is wrong with a policy is said at once, with where it is and what to write instead (invariant 13).

use super::*;

/// The places and texts of errors.
fn wrong(yaml: &str) -> Vec<(String, String, String)> {
    let errors = compile(yaml).expect_err(yaml);
    errors.iter().map(|error| (error.at.to_string(), error.key.clone(), error.problem.to_string())).collect()
}

/// The one problem of a policy of which all else is in order.
fn problem(yaml: &str) -> Problem {
    let mut errors = compile(yaml).expect_err(yaml);
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors.remove(0).problem
}

#[test]
fn invariant_13_all_errors_are_said_at_once_each_with_its_place() {
    let errors = wrong(
        "scopes: { items: Read, late: { description: x, routes: [GET items] } }
routes:
- { match: [/a, get /b], require: itms }
- { match: /c }
- { match: /d, require: { any_of: [{ all: items }, { providers: oktaa }] } }
- { match: /e, allow: anonymous, upstream: orders }
- { match: /c, allow: nobody, require: items }
- { match: /a, allow: nobody }
providers: { okta: {} }",
    );
    let host_paths: Vec<(&str, &str)> =
        errors.iter().map(|(at, key, _)| (at.as_str(), key.as_str())).collect();
    assert_eq!(
        host_paths,
        [
            ("routes[0]", "match[1]"),
            ("routes[0]", "require"),
            ("routes[1]", "require"),
            ("routes[2]", "require.any_of[1].providers"),
            ("routes[3]", "upstream"),
            ("routes[4]", "allow"),
            ("scopes.late", "routes[0]"),
        ]
    );
}

#[test]
fn a_scope_that_is_not_declared_is_refused_with_the_nearest() {
    let scope = |name: &str| Scope::parse(name).unwrap();
    let found = problem("scopes: { items: x, other: x }\nroutes: [{ match: /a, require: itms }]");
    assert_eq!(found, Problem::UndeclaredScope { scope: scope("itms"), nearest: Some(scope("items")) });
    assert_eq!(
        found.to_string(),
        "the scope `itms` is not declared: did you mean `items`? Otherwise declare it under `scopes`"
    );
    let found =
        problem("scopes: { items: x }\nroutes: [{ match: /a, require: { any: [completely, items] } }]");
    assert_eq!(found, Problem::UndeclaredScope { scope: scope("completely"), nearest: None });
}

#[test]
fn a_provider_that_is_not_configured_is_refused_with_the_nearest() {
    let found =
        problem("providers: { keycloak: {} }\nroutes: [{ match: /a, require: { providers: keyclock } }]");
    assert_eq!(found, Problem::UnknownProvider { name: "keyclock".into(), nearest: Some("keycloak".into()) });
}

#[test]
fn exactly_one_of_require_and_allow_is_written() {
    assert_eq!(problem("routes: [{ match: /a }]"), Problem::NeitherRequireNorAllow);
    let both = "scopes: { s: x }\nroutes: [{ match: /a, require: s, allow: authenticated }]";
    assert_eq!(problem(both), Problem::RequireAndAllow);
}

#[test]
fn overlapping_methods_on_one_pattern_are_refused_and_both_named() {
    let found = problem(
        "routes: [{ match: 'GET|PUT /a/{x}', allow: nobody }, { match: '/a/{y}/', allow: anonymous }]",
    );
    let Problem::DuplicatePattern { pattern, other, other_pattern, methods } = found else {
        panic!("{found}")
    };
    assert_eq!([pattern, other_pattern, methods], ["/a/{y}", "GET|PUT /a/{x}", "GET|PUT"]);
    assert_eq!(other, Source::Route { index: 0 });
    assert!(compile("routes: [{ match: GET /a, allow: nobody }, { match: POST /a, allow: nobody }]").is_ok());
}

#[test]
fn a_route_and_a_scope_do_not_declare_one_pattern() {
    let found = problem("scopes: { s: { routes: [GET /a] } }\nroutes: [{ match: /a, allow: nobody }]");
    assert!(matches!(found, Problem::DuplicatePattern { .. }), "{found}");
}

#[test]
fn several_scopes_on_one_pattern_open_it_each() {
    let policy = policy(
        "scopes: { a: { routes: ['GET /x/{id}'] }, b: { routes: ['GET|POST /x/{n}'] }, c: { routes: ['/x/{n}'] } }",
    );
    let permits = |text: &str, scope: &str| outcome(&policy, text, Some(&Caller::with(scope))) == "permit";
    for (method, scopes) in [("GET", "abc"), ("HEAD", "abc"), ("POST", "bc"), ("DELETE", "c")] {
        for scope in ["a", "b", "c"] {
            assert_eq!(permits(&format!("{method} /x/1"), scope), scopes.contains(scope), "{method} {scope}");
        }
    }
}

#[test]
fn a_requirement_that_asks_for_nothing_or_for_the_impossible_is_refused() {
    let require = |require: &str| {
        problem(&format!(
            "scopes: {{ s: x }}\nproviders: {{ p: {{}} }}\nroutes: [{{ match: /a, require: {require} }}]"
        ))
    };
    assert_eq!(require("[]"), Problem::EmptyRequirement);
    assert_eq!(require("{}"), Problem::EmptyRequirement);
    for empty in [
        "{ all: [] }",
        "{ any: [] }",
        "{ roles: [] }",
        "{ clients: [] }",
        "{ providers: [] }",
        "{ audience: [] }",
        "{ claims: {} }",
        "{ any_of: [] }",
        "{ claims: { a: [] } }",
    ] {
        assert_eq!(require(empty), Problem::EmptyList, "{empty}");
    }
    assert_eq!(require("{ any_of: [{ all: s }], providers: p }"), Problem::AnyOfWithOthers);
    assert_eq!(require("{ any_of: [{ any_of: [{ all: s }] }] }"), Problem::NestedAnyOf);
    assert_eq!(require("{ any_of: [{}] }"), Problem::EmptyRequirement);
    assert_eq!(require("{ claims: { a: { b: c } } }"), Problem::ClaimForm);
    assert_eq!(require("{ claims: { a: null } }"), Problem::ClaimValue);
    assert!(matches!(require("{ claims: { '/a~x': b } }"), Problem::ClaimPath(_)));
}

#[test]
fn settings_without_meaning_are_refused() {
    assert_eq!(problem("routes: [{ match: /a, allow: anonymous, fresh: true }]"), Problem::NeedsToken);
    assert_eq!(
        problem("routes: [{ match: /a, allow: nobody, accept_token: [websocket_protocol] }]"),
        Problem::NeedsToken
    );
    assert_eq!(
        problem("routes: [{ match: /a, allow: anonymous, strip_prefix: /a }]"),
        Problem::StripWithoutUpstream
    );
    assert_eq!(problem("routes: [{ match: [], allow: anonymous }]"), Problem::NoPattern);
    let strip = |pattern: &str, prefix: &str| {
        compile(&format!(
            "upstreams: {{ u: {{}} }}\nroutes: [{{ match: '{pattern}', allow: anonymous, upstream: u, strip_prefix: '{prefix}' }}]"
        ))
    };
    assert!(strip("/api/v1/**", "/api/").is_ok());
    for (pattern, prefix) in [
        ("/apis/**", "/api"),
        ("/{x}/**", "/api"),
        ("/api/**", "/{x}"),
        ("/api/**", "/api/**"),
        ("/api", "/api/v1"),
        ("/api", "/"),
    ] {
        let errors = strip(pattern, prefix).unwrap_err();
        assert!(matches!(errors[0].problem, Problem::StripPrefix { .. }), "{pattern} {prefix}");
    }
}

#[test]
fn accepting_what_no_matching_path_can_hold_is_refused() {
    let found = problem("routes: [{ match: /a/b, allow: anonymous, accept: [parameters] }]");
    assert_eq!(found, Problem::AcceptsNothing { pattern: "/a/b".into() });
    assert!(compile("routes: [{ match: '/a/{b}', allow: anonymous, accept: [parameters] }]").is_ok());
}

#[test]
fn an_upstream_that_is_not_configured_is_refused_with_the_nearest() {
    let found =
        problem("upstreams: { orders: {} }\nroutes: [{ match: /a, allow: anonymous, upstream: order }]");
    assert_eq!(found, Problem::UnknownUpstream { name: "order".into(), nearest: Some("orders".into()) });
}

#[test]
fn what_is_no_pattern_is_refused_with_what_to_write() {
    for (text, message) in [
        (
            "GET items",
            "expected a path that begins with `/`: write `/items` for a path, `items/**` for a whole host",
        ),
        ("get /a", "methods are written in capitals: write `GET`"),
        (
            "GET, POST /a",
            "expected `METHOD[|METHOD] [host]/path`, such as `GET /items/**`, found `GET, POST /a`",
        ),
        ("GET| /a", "`` is not a method: expected one or more of `GET`, `POST`, …, with `|` between them"),
        ("* /a", "`*` is not a method: leave the method out for every method"),
        ("CONNECT /a", "no request with the method CONNECT is ever served, so this can never match"),
        ("https://a.example/b", "a pattern holds no scheme: write `a.example/b`"),
        ("a.example:8443/b", "the port is not compared: write `a.example` without it"),
        (
            "*.*.example/b",
            "in a host `*` may only be the whole first label, as in `*.example.com`; leave the host out for any host",
        ),
        (
            "*/b",
            "in a host `*` may only be the whole first label, as in `*.example.com`; leave the host out for any host",
        ),
        ("/a?b=c", "the query is never compared: leave out `?` and what follows"),
        ("/**/a", "`**` may only be the last segment"),
        ("/a/*", "`*`: write `{name}` for one segment of any text, `**` as the last for zero or more"),
        ("/a/b**", "`b**`: write `{name}` for one segment of any text, `**` as the last for zero or more"),
        (
            "/a/{*rest}",
            "`{*rest}`: write `{name}` for one segment of any text, `**` as the last for zero or more",
        ),
        (
            "/a/x{y}",
            "`x{y}`: a parameter is a whole segment with a name of letters, digits, `_` and `-`, as `{name}`",
        ),
        (
            "/a/{}",
            "`{}`: a parameter is a whole segment with a name of letters, digits, `_` and `-`, as `{name}`",
        ),
        ("/a/:id", "`:id`: write `{id}` for one segment of any text, or `%3Aid` if it begins with a colon"),
        ("/a//b", "the path holds an empty segment (`//`), which no request is decided by"),
        ("//", "the path holds an empty segment (`//`), which no request is decided by"),
        ("//**", "the path holds an empty segment (`//`), which no request is decided by"),
        ("/a/../b", "`..` can never match: the path holds a segment `.` or `..`"),
        (
            "/a%2Fb",
            "`a%2Fb` can never match as a literal: write `{name}`, and name in `accept:` what is irregular",
        ),
        (
            "a_b!/c",
            "`a_b!` is not a host: expected a host name, an IPv4 address or an IPv6 address in brackets",
        ),
    ] {
        assert_eq!(Pattern::parse(text).unwrap_err().to_string(), message, "{text}");
    }
    let deep = "/a".repeat(PathPattern::MAX_SEGMENTS + 1);
    assert_eq!(Pattern::parse(&deep).unwrap_err(), PatternError::TooLong);
}

#[test]
fn a_provider_of_several_audiences_is_warned_of_where_a_route_names_none() {
    let compiled = compile(
        "providers: { okta: { audience: [a, b] }, one: { audience: c } }
scopes: { s: x }
routes:
- { match: /a, require: s }
- { match: /b, require: { all: s, audience: a } }
- { match: /c, require: { all: s, providers: one } }
- { match: /d, allow: authenticated }
- { match: /e, allow: anonymous }",
    )
    .unwrap();
    let okta = || ProviderName::parse("okta").unwrap();
    let warning = |index| Warning::AudienceNotNamed { at: Source::Route { index }, provider: okta() };
    assert_eq!(compiled.warnings, [warning(0), warning(3)]);
}

#[test]
fn freshness_that_no_provider_can_give_is_warned_of() {
    let compiled = compile(
        "providers: { asks: { introspects: true }, trusts: {} }
routes:
- { match: /a, allow: authenticated, fresh: true }
- { match: /b, require: { providers: trusts }, fresh: true }",
    )
    .unwrap();
    assert_eq!(compiled.warnings, [Warning::NeverFresh { at: Source::Route { index: 1 } }]);
}

#[test]
fn a_pattern_that_more_specific_ones_cover_is_refused() {
    let found = problem(
        "routes: [{ match: /a/**, allow: nobody }, { match: /a, allow: nobody }, { match: '/a/{x}/**', allow: nobody }]",
    );
    assert_eq!(found, Problem::NeverDecides { pattern: "/a/**".into() });
    assert!(
        compile("routes: [{ match: /a/**, allow: nobody }, { match: '/a/{x}/**', allow: nobody }]").is_ok()
    );
    assert!(compile("routes: [{ match: /a/**, allow: nobody }, { match: /a, allow: nobody }, { match: /a/b/**, allow: nobody }]").is_ok());
}
