//! The way of a strict client: from a challenge to the document, whose `resource` it compares with the URL that it called.

use http::{HeaderMap, Method, header};
use poem::{Endpoint, EndpointExt, Request, endpoint::make_sync};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    gate::{Gate, GateSettings},
    testing,
};

fn gate(urls: &[String], public_url: Option<&str>) -> Gate {
    let policy = testing::policy(&json!([
        { "match": "GET /public/**", "allow": "anonymous" },
        { "match": "/**", "allow": "authenticated" },
    ]));
    let resources = urls.iter().map(|url| {
        let resource: Resource = serde_json::from_value(json!({ "url": url, "name": "Tools" })).unwrap();
        resource
    });
    let url: Option<Box<str>> = public_url.map(Into::into);
    let settings = GateSettings {
        public_origin: PublicOrigin { at_callers_host: url.is_none(), url },
        resources: resources.collect(),
        ..GateSettings::default()
    };
    testing::gate_with(policy, None, settings).gate()
}

/// Returns the URL of the metadata that the challenge for a call names.
async fn challenged(gate: &Gate, host: &str, path: &str) -> Option<String> {
    let target = Target::parse(crate::policy::RawTarget {
        method: &Method::GET,
        scheme: Scheme::Http,
        authority: None,
        hosts: [host],
        path_and_query: path.as_bytes(),
    });
    let refused = gate.authorize(&target.unwrap(), &HeaderMap::new()).await.unwrap_err();
    let challenge = refused.problem.www_authenticate().unwrap();
    let (_, rest) = challenge.to_str().unwrap().split_once("resource_metadata=\"")?;
    Some(rest.split('"').next().unwrap().to_owned())
}

/// Returns the document at this URL, from a program that embeds the gate.
async fn document(gate: &Gate, url: &str, method: Method) -> Option<(HeaderMap, Value)> {
    let (_, rest) = url.split_once("://").unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    let request = Request::builder().method(method).uri_str(path).header(header::HOST, host).finish();
    let response = make_sync(|_| "of the program").with(gate.clone()).get_response(request).await;
    let is_public = response.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN).is_some();
    let headers = response.headers().clone();
    let body = response.into_body().into_json().await.unwrap_or_default();
    is_public.then_some((headers, body))
}

async fn resource(gate: &Gate, url: &str) -> Option<String> {
    document(gate, url, Method::GET).await?.1["resource"].as_str().map(str::to_owned)
}

/// T1.1, T1.2: a resource is the URL that was called, with or without a final slash.
#[tokio::test]
async fn the_document_of_a_declared_resource_repeats_the_url() {
    let gate = gate(&["https://mcp.example/mcp".to_owned(), "https://api.example".to_owned()], None);
    for (host, called, expected) in [
        ("mcp.example", "/mcp", "https://mcp.example/mcp"),
        ("mcp.example", "/mcp/", "https://mcp.example/mcp/"),
        ("mcp.example", "/mcp/deeper", "https://mcp.example/mcp"),
        ("api.example", "/", "https://api.example"),
        ("api.example", "/items", "https://api.example"),
    ] {
        let url = challenged(&gate, host, called).await.unwrap();
        assert_eq!(resource(&gate, &url).await.as_deref(), Some(expected), "{host}{called}: {url}");
    }
    assert_eq!(challenged(&gate, "mcp.example", "/other").await, None, "in no resource");
    let mcp =
        document(&gate, "https://mcp.example/.well-known/oauth-protected-resource/mcp", Method::GET).await;
    assert_eq!(mcp.unwrap().1["resource_name"], "Tools");
}

/// T1.9: a path that is not a declared resource has no document, whether or not there are routes.
#[tokio::test]
async fn other_paths_have_no_document() {
    let gate = gate(&["https://api.example/mcp".to_owned()], None);
    let well_known = "https://api.example/.well-known/oauth-protected-resource";
    assert!(resource(&gate, &format!("{well_known}/mcp")).await.is_some());
    for path in ["", "/", "/items", "/mcp/deeper", "/mcp%2F", "/x/../mcp", "//mcp", "-of-someone"] {
        assert_eq!(resource(&gate, &format!("{well_known}{path}")).await, None, "{path}");
    }
}

/// T1.6: the scheme and host of challenges are the configured ones, not those of the request.
#[tokio::test]
async fn challenges_name_the_public_url_behind_tls_termination() {
    let gate = gate(&[], Some("https://api.example"));
    let url = challenged(&gate, "10.0.0.7:8080", "/items").await.unwrap();
    assert_eq!(url, "https://api.example/.well-known/oauth-protected-resource/items");
}

/// T1.7: pages of every origin may read the metadata of a program that embeds the gate, without a token.
#[tokio::test]
async fn anyone_may_read_the_metadata() {
    let gate = gate(&["https://api.example/mcp".to_owned()], None);
    let url = "https://api.example/.well-known/oauth-protected-resource/mcp";
    for method in [Method::GET, Method::OPTIONS] {
        let (headers, _) = document(&gate, url, method.clone()).await.unwrap();
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*", "{method}");
    }
    let (preflight, _) = document(&gate, url, Method::OPTIONS).await.unwrap();
    assert_eq!(preflight[header::ACCESS_CONTROL_ALLOW_HEADERS], "*");
}

/// CASES I11: a program that embeds the gate serves the metadata to which its challenges point.
#[tokio::test]
async fn a_program_with_a_public_url_serves_its_metadata() {
    let gate = gate(&[], Some("https://api.example"));
    let url = challenged(&gate, "api.example", "/mcp/").await.unwrap();
    assert_eq!(resource(&gate, &url).await.as_deref(), Some("https://api.example/mcp/"));
    let unknown = self::gate(&[], None);
    assert_eq!(challenged(&unknown, "api.example", "/mcp").await, None, "no host is certain");
    assert_eq!(resource(&unknown, &url).await, None);
}

fn path() -> impl Strategy<Value = String> {
    proptest::string::string_regex("(/[a-zA-Z0-9._~!$&'()*+,=:@-]{1,6}|/%C3%A9){0,3}/?")
        .unwrap()
        .prop_filter("dot segments are refused anyway", |path| {
            !path.split('/').any(|segment| segment == "." || segment == "..")
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// T1.1, T1.2: for every URL that a client calls, the check of strict clients holds: the document to which the
    /// challenge points is about that URL, byte for byte, or about the declared resource that contains it.
    #[test]
    fn the_check_of_strict_clients_holds(host in "[a-z]{1,8}\\.example", declared in path(), called in path()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let origin = format!("https://{host}");
            let called = if called.is_empty() { "/" } else { &called };
            let derived = gate(&[], Some(&origin));
            if !called.starts_with("/public") && !called.starts_with("/.well-known") {
                let url = challenged(&derived, &host, called).await.unwrap();
                let expected = format!("{origin}{}", if called == "/" { "" } else { called });
                assert_eq!(resource(&derived, &url).await, Some(expected));
            }
            let gate = gate(&[format!("{origin}{declared}")], None);
            let called = if declared.is_empty() { "/" } else { &declared };
            if !called.starts_with("/public") && !called.starts_with("/.well-known") {
                let url = challenged(&gate, &host, called).await.unwrap();
                let expected = format!("{origin}{}", if called == "/" { "" } else { called });
                assert_eq!(resource(&gate, &url).await, Some(expected));
            }
        });
    }
}
