//! The normal form, and the holes that others had because they had none (invariant 5).

use proptest::prelude::*;

use super::*;

fn normal(path: &str) -> Result<String, TargetError> {
    parse(&format!("GET {path}")).map(|target| target.normal_path().to_owned())
}

fn refused(paths: &[&str], error: TargetError) {
    for path in paths {
        assert_eq!(normal(path), Err(error), "{path}");
    }
}

#[test]
fn invariant_5_what_stands_for_itself_is_decoded_and_all_else_encoded_in_capitals() {
    assert_eq!(normal("/%41%62%7e/%c3%a9/%20{x}/").unwrap(), "/Ab~/%C3%A9/%20%7Bx%7D/");
    assert_eq!(normal("/a!$&'()*+,=:@-._~").unwrap(), "/a!$&'()*+,=:@-._~");
    assert_eq!(normal("/%21%24%26%3A%40").unwrap(), "/!$&:@");
}

#[test]
fn invariant_5_dot_segments_are_refused_raw_and_encoded() {
    // oathkeeper GHSA-p224-6x5r-fjpm, heimdall CVE-2026-42274: the rule matched what the upstream resolved away.
    let paths =
        ["/public/../admin", "/public/%2e%2e/admin", "/%2E./x", "/.%2e/x", "/a/.", "/a/./b", "/..", "/%2e"];
    refused(&paths, TargetError::DotSegment);
    assert_eq!(normal("/.well-known/a..b/...").unwrap(), "/.well-known/a..b/...");
}

#[test]
fn invariant_5_dot_segments_with_parameters_are_refused() {
    // Envoy CVE-2026-73553, -73511, -73551: `/..;/` is `/../` to servers that take parameters off first.
    let paths = ["/..;/admin", "/.;/admin", "/a/..;x=y/b", "/%2e%2e;/b", "/..%3b/b", "/..%3Bx/b"];
    refused(&paths, TargetError::DotSegment);
}

#[test]
fn invariant_5_a_raw_backslash_and_nul_and_control_characters_raw_and_encoded_are_refused() {
    refused(&["/a\\b", "/..\\admin"], TargetError::Backslash);
    refused(&["/a\0", "/a%00", "/%00/b"], TargetError::Nul);
    // Spring CVE-2022-22978: a line break that `.` in an expression did not match.
    refused(
        &["/a%0ab", "/a%0Ab", "/a%0d", "/a%7f", "/a%7F", "/a\u{7f}", "/a\tb", "/%c2%85"],
        TargetError::Control,
    );
}

#[test]
fn invariant_5_a_raw_fragment_is_refused() {
    // Envoy CVE-2021-32779, oauth2-proxy CVE-2026-41059: one side counted `#…` as path.
    refused(&["/a#b", "/a?b#c"], TargetError::Fragment);
}

/// CASES P10: an encoded `#` or backslash is refused with its spelling unless the route accepts it by name.
#[test]
fn invariant_5_an_encoded_hash_or_backslash_is_refused_unless_accepted() {
    let policy = policy(
        "routes: [{ match: /plain/**, allow: anonymous }, { match: /wiki/**, allow: anonymous, accept: [encoded_hash, encoded_backslash] }]",
    );
    for (path, spelling) in
        [("/plain/C%23", "`%23` (encoded_hash)"), ("/plain/a%5cb", "`%5C` (encoded_backslash)")]
    {
        let Decision::Deny(refused) = policy.decide(&target(&format!("GET {path}")), None) else {
            panic!("{path}")
        };
        assert_eq!(refused.denial.reason(), Reason::IrregularPath);
        assert!(refused.denial.to_string().contains(spelling), "{}", refused.denial);
    }
    for path in ["/wiki/C%23", "/wiki/a%5Cb", "/wiki/%23"] {
        assert_eq!(outcome(&policy, &format!("GET {path}"), None), "permit", "{path}");
    }
}

/// CASES P10: an accepted `%23` or `%5C` is decided under every interpretation.
#[test]
fn invariant_5_an_accepted_hash_or_backslash_is_permitted_only_if_every_interpretation_is() {
    let policy = policy(
        "routes:
- { match: /**, allow: anonymous, accept: [encoded_hash, encoded_backslash, encoded_percent, empty_segment] }
- { match: /files/secret, allow: nobody }
- { match: /files/secret/**, allow: nobody }",
    );
    for path in [
        "/files%5Csecret",
        "/files/secret%23",
        "/files/secret%23/open",
        "/files%5csecret%23x",
        "/files%255Csecret",
        "/files/secret%2523",
        "/%5Cx%5Cfiles%5Csecret",
    ] {
        assert_eq!(outcome(&policy, &format!("GET {path}"), None), "nobody", "{path}");
    }
    for (path, reason) in
        [("/a%5C..%5Cb", "dot_segment"), ("/..%5Cb", "dot_segment"), ("/a/..%23", "dot_segment")]
    {
        assert_eq!(outcome(&policy, &format!("GET {path}"), None), reason, "{path}");
    }
    assert_eq!(outcome(&policy, "GET /files/C%23", None), "permit");
}

#[test]
fn invariant_5_bytes_that_are_no_utf_8_are_refused() {
    // Envoy CVE-2026-73552: the same bytes read as Latin-1 and as UTF-8.
    refused(
        &["/%ff", "/%c0%af", "/%c3", "/%c3/%a9", "/%c3a%a9", "/%ed%a0%80", "/%C3%28"],
        TargetError::NotUtf8,
    );
    refused(&["/é", "/a?é"], TargetError::NonAscii);
}

#[test]
fn invariant_5_an_invalid_percent_encoding_is_refused() {
    refused(&["/%", "/%2", "/a%zz", "/a%%32", "/%2/x", "/%u002f"], TargetError::PercentEncoding);
    refused(&["/a b"], TargetError::Space);
}

#[test]
fn invariant_5_what_is_no_path_is_refused() {
    // gRPC-Go CVE-2026-33186: `:path` without a slash reached the handler, but not the rule that denied it.
    let parse = |method: &Method, path: &str| {
        let path_and_query = path.as_bytes();
        let raw = RawTarget { method, scheme: Scheme::Http, authority: None, hosts: ["h"], path_and_query };
        Target::parse(raw).unwrap_err()
    };
    assert_eq!(parse(&Method::GET, "admin"), TargetError::NotOriginForm);
    assert_eq!(parse(&Method::GET, "?a"), TargetError::NotOriginForm);
    assert_eq!(parse(&Method::OPTIONS, "*"), TargetError::AsteriskForm);
    assert_eq!(parse(&Method::GET, "http://h/admin"), TargetError::AbsoluteForm);
    // Envoy CVE-2026-73547: a CONNECT has no path, and asking about it crashed.
    assert_eq!(parse(&Method::CONNECT, ""), TargetError::Connect);
    assert_eq!(parse(&Method::GET, ""), TargetError::NotOriginForm);
}

#[test]
fn invariant_5_there_is_exactly_one_host() {
    let parse = |authority: Option<&'static str>, hosts: &[&'static str]| {
        let authority = authority.map(str::as_bytes);
        let method = &Method::GET;
        let raw = RawTarget { method, scheme: Scheme::Http, authority, hosts, path_and_query: b"/" };
        Target::parse(raw).map(|target| target.host().to_owned())
    };
    assert_eq!(parse(None, &[]), Err(TargetError::NoHost));
    assert_eq!(parse(None, &["a", "a"]), Err(TargetError::SeveralHosts));
    assert_eq!(parse(Some("a"), &["b"]), Err(TargetError::SeveralHosts));
    assert_eq!(parse(Some("a:80"), &["a:81"]), Err(TargetError::SeveralHosts));
    assert_eq!(parse(Some("A.example"), &["a.EXAMPLE."]).as_deref(), Ok("a.example"));
    assert_eq!(parse(Some("a"), &[]).as_deref(), Ok("a"));
    assert_eq!(parse(None, &["user@a"]), Err(TargetError::Host(HostError::UserInfo)));
}

#[test]
fn invariant_5_what_parsers_read_differently_is_named() {
    let irregular = |path: &str| target(&format!("GET {path}")).irregularities().to_string();
    assert_eq!(irregular("/a%2Fb"), "encoded_slash");
    assert_eq!(irregular("/a%252Fb"), "encoded_percent");
    assert_eq!(irregular("/a;x=y/b"), "parameters");
    assert_eq!(irregular("/a%3bx/b"), "parameters");
    for path in ["//a", "/a//b", "/a//", "//"] {
        assert_eq!(irregular(path), "empty_segment", "{path}");
    }
    for path in ["/", "/a", "/a/", "/a/b"] {
        assert_eq!(irregular(path), "", "{path}");
    }
    assert_eq!(irregular("//a;b%2F%25"), "encoded_slash, encoded_percent, parameters, empty_segment");
}

#[test]
fn invariant_5_an_irregular_path_is_refused_where_its_route_does_not_accept_it_by_name() {
    let policy = policy("routes: [{ match: /a/**, allow: anonymous, accept: [parameters] }]");
    assert_eq!(outcome(&policy, "GET /a/b;c", None), "permit");
    for path in ["/a/b%2Fc", "/a/b%2fc", "/a/b%25", "/a//b", "/a/b;c%2Fd"] {
        assert_eq!(outcome(&policy, &format!("GET {path}"), None), "irregular_path", "{path}");
    }
}

#[test]
fn invariant_5_an_accepted_irregular_path_is_permitted_only_if_every_reading_is() {
    let accept = "accept: [encoded_slash, encoded_percent, parameters, empty_segment]";
    let policy = policy(&format!(
        "routes:\n- {{ match: /**, allow: anonymous, {accept} }}\n- {{ match: /files/secret, allow: nobody }}"
    ));
    for path in [
        "/files%2Fsecret",
        "/files%2fsecret",
        "/files%252Fsecret",
        "/files%25252fsecret",
        "/files;x/secret",
        "/files/secret;x=y",
        "/files//secret",
        "//files/secret",
        "/files%2F;x%2Fsecret",
        "/files%2F%2Fsecret",
        "/files/%2573ecret",
        "/files;a%2Fb/secret",
        "/files%253Bx/secret",
        "/;/files/secret",
    ] {
        assert_eq!(outcome(&policy, &format!("GET {path}"), None), "nobody", "{path}");
    }
    for path in ["/files%2Fopen", "/files//open", "/files/100%25", "/files;v=1/open", "/files/%25zz"] {
        assert_eq!(outcome(&policy, &format!("GET {path}"), None), "permit", "{path}");
    }
}

#[test]
fn invariant_5_a_reading_that_is_never_acceptable_denies() {
    let accept = "accept: [encoded_slash, encoded_percent, parameters, empty_segment]";
    let policy = policy(&format!("routes: [{{ match: /**, allow: anonymous, {accept} }}]"));
    for (path, reason) in [
        ("/a%2F..%2Fb", "dot_segment"),
        ("/a/..%2Fb", "dot_segment"),
        ("/%252e%252e/b", "dot_segment"),
        ("/%25252e%25252e/b", "dot_segment"),
        ("/a/.%252e;x/b", "dot_segment"),
        ("/a%255cb", "irregular_path"),
        ("/a%2500", "nul"),
        ("/a%250d", "control_character"),
        ("/a%2523", "irregular_path"),
        ("/a%25ff", "not_utf8"),
    ] {
        assert_eq!(outcome(&policy, &format!("GET {path}"), None), reason, "{path}");
    }
}

#[test]
fn an_upstream_gets_the_normal_form_or_what_was_sent_where_that_is_accepted() {
    let policy = policy(
        "routes: [{ match: /a/**, allow: anonymous }, { match: /b/**, allow: anonymous, accept: [encoded_slash] }]",
    );
    let path = |text: &str| {
        let target = target(text);
        policy.resolve(&target).unwrap().route().path_for(&target).to_owned()
    };
    assert_eq!(path("GET /a/%7e/?q"), "/a/~/");
    assert_eq!(path("GET /b/%7e%2fc"), "/b/%7e%2fc");
}

#[test]
fn a_prefix_is_stripped_by_segments_and_what_is_left_is_parsed_again() {
    // Traefik CVE-2026-40912: the raw path was cut by the decoded prefix's length, and dots resolved afterwards.
    let strip = |path: &str, prefix: &str| {
        let rest = target(&format!("GET {path}")).without_prefix(prefix).unwrap();
        let query = rest.query().map(|query| format!("?{query}")).unwrap_or_default();
        rest.path_as_sent().to_owned() + &query
    };
    assert_eq!(strip("/%61pi/x%2Fy/?a=/b", "/api"), "/x%2Fy/?a=/b");
    assert_eq!(strip("/api/v1/x", "/api/v1"), "/x");
    assert_eq!(strip("/api", "/api"), "/");
    assert_eq!(strip("/api/", "/api"), "/");
    assert_eq!(strip("/api?q", "/api"), "/?q");
}

#[test]
fn a_path_of_many_readings_is_refused_in_bounded_time() {
    let path = format!("/{}x", "%25".to_owned() + &"25".repeat(4000));
    let policy = policy("routes: [{ match: /**, allow: anonymous, accept: [encoded_percent] }]");
    assert_eq!(outcome(&policy, &format!("GET {path}"), None), "too_many_readings");
}

#[test]
fn a_target_in_a_log_shows_no_query() {
    let text = format!("{:?}", target("GET /a?access_token=secret"));
    assert!(!text.contains("secret"), "{text}");
}

/// Paths of everything that is ever read in different ways.
fn tricky_path() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "/", "/", "/", "a", "b", "admin", ".", "..", ";", ";x=y", "%2f", "%2F", "%2e", "%25", "%252f",
        "%252e", "%5c", "%00", "%0a", "%23", "%c3%a9", "%ff", "%41", "%7e", "%3b", "%zz", "%", "#", "\\",
        "é", " ", "{", "!", "//",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #[test]
    fn normalising_twice_changes_nothing(path in tricky_path()) {
        if let Ok(once) = normal(&path) {
            prop_assert_eq!(normal(&once).unwrap(), once.clone());
            prop_assert!(once.bytes().all(|byte| byte.is_ascii_graphic()));
        }
    }

    #[test]
    fn both_cases_of_hexadecimal_digits_are_the_same(path in tricky_path()) {
        // heimdall CVE-2026-42272: `%2F` was refused, `%2f` was not.
        let upper = path.replace("%2f", "%2F").replace("%5c", "%5C").replace("%0a", "%0A").replace("%3b", "%3B");
        let lower = upper.replace("%2F", "%2f").replace("%5C", "%5c").replace("%0A", "%0a").replace("%3B", "%3b");
        let parse = |path: &str| parse(&format!("GET {path}"));
        let facts = |path: &str| parse(path).map(|target| (target.normal_path().to_owned(), target.irregularities()));
        prop_assert_eq!(facts(&upper), facts(&lower));
    }

    #[test]
    fn the_query_never_matters(path in tricky_path(), query in "[a-z=&?/.%;]{0,12}") {
        // oauth2-proxy GHSA-7rh7-c77v-6434: an exception for a path was matched against path and query.
        let facts = |text: &str| parse(text).map(|target| (target.normal_path().to_owned(), target.irregularities()));
        prop_assert_eq!(facts(&format!("GET {path}?{query}")), facts(&format!("GET {path}")));
    }

    #[test]
    fn a_regular_path_has_one_reading_for_every_decoder(path in tricky_path()) {
        let Ok(target) = parse(&format!("GET {path}")) else { return Ok(()) };
        if target.irregularities().is_empty() {
            // Decoding once more, cutting at `;`, merging slashes and resolving dots all change nothing.
            let decoded = percent_encoding::percent_decode_str(target.normal_path()).decode_utf8().unwrap();
            prop_assert!(!decoded.contains(['%', ';', '\\', '#']) && !decoded.contains("//"));
            prop_assert_eq!(decoded.matches('/').count(), target.normal_path().matches('/').count());
            prop_assert!(decoded.split('/').all(|segment| segment != "." && segment != ".."));
        }
    }

    #[test]
    fn no_bytes_make_a_target_panic(method in "[A-Z]{1,8}", host in prop::collection::vec(any::<u8>(), 0..20),
                                    path in prop::collection::vec(any::<u8>(), 0..40)) {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        for path_and_query in [path.clone(), [b"/".to_vec(), path].concat()] {
            let path_and_query = path_and_query.as_slice();
            let raw = RawTarget { method: &method, scheme: Scheme::Http, authority: None, hosts: [&host], path_and_query };
            drop(Target::parse(raw));
        }
    }
}
