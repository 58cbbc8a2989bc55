//! The line that the log has about each refusal.

use serde_json::Value;

use crate::{admin, secrecy::Written, support::Client};

fn configuration(identify: &str) -> String {
    let trusting = "server: { listen: 127.0.0.1:0, trusted_proxies: [127.0.0.2/32] }\n\
        forward_auth: { dialects: [traefik] }\n";
    let log = format!("telemetry: {{ log: {{ format: json, identify: {identify} }} }}\n");
    let config = admin::config("memory:").replace("server: { listen: 127.0.0.1:0 }\n", trusting);
    format!("{config}{log}")
}

/// The lines about refusals in what the program has written.
fn refusals(written: &str) -> Vec<Value> {
    let lines = written.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["message"] == "refused" || line["message"] == "failed").collect()
}

fn text<'v>(line: &'v Value, name: &str) -> &'v str {
    line[name].as_str().unwrap_or_default()
}

/// O4: one line explains a denial, with everything that an operator asks for and without the query.
#[tokio::test]
async fn a_denial_is_logged_once_with_its_rule_caller_and_what_is_missing() {
    let written = Written::start(&configuration("client"));
    let client = written.client().await;
    let token = client.token("", "demo", "demo-secret", "items").await;
    let headers = [("authorization", &*format!("Bearer {token}")), ("x-request-id", "of-the-caller")];
    let refused = client.send("POST", &format!("/items/{token}?secret=x"), &headers, "").await;
    assert_eq!(refused.status, 403);
    let id = refused.header("x-request-id").to_owned();
    assert_ne!(id, "of-the-caller", "A21: the id of a sender that is not trusted");
    assert_eq!(refused.json()["request_id"], id);
    client.get("/nowhere").await;
    let permitted = client.get_with("/items", &token).await;
    assert_eq!(permitted.status, 200);
    let nothing = client.get_with("/items/1/2/3", &token).await;
    assert_eq!(nothing.status, 404);
    let all = written.end();
    let lines = refusals(&all);
    let of_id: Vec<_> = lines.iter().filter(|line| text(line, "request_id") == id).collect();
    let [line] = of_id[..] else { panic!("{of_id:?} in {all}") };
    for (name, expected) in [
        ("level", "INFO"),
        ("method", "POST"),
        ("path", "/items/[token]"),
        ("reason", "insufficient_scope"),
        ("missing", "items:write"),
        ("provider", "local"),
        ("client", "demo"),
        ("peer", "127.0.0.1"),
        ("subject", ""),
    ] {
        assert_eq!(text(line, name), expected, "{name}: {line}");
    }
    assert!(text(line, "route").contains("/items/**"), "{line}");
    assert!(text(line, "rule").contains("scopegate.yaml:"), "{line}");
    assert!(text(line, "host").starts_with("127.0.0.1:"), "{line}");
    assert!(text(line, "detail").contains("items:write"), "{line}");
    assert!(!all.contains("secret=x"), "the query is logged");
    for (path, reason) in [("/nowhere", "no_route"), ("/items/1/2/3", "nothing_here")] {
        assert!(
            lines.iter().any(|line| text(line, "path") == path && text(line, "reason") == reason),
            "{path}: {all}"
        );
    }
    assert_eq!(lines.len(), 3, "permits are not logged at info: {all}");
}

/// O4: `telemetry.log.identify`.
#[tokio::test]
async fn the_identity_of_the_caller_is_logged_as_configured() {
    for (identify, client_id, subject) in [("subject", "demo", "demo"), ("none", "", "")] {
        let written = Written::start(&configuration(identify));
        let client = written.client().await;
        let token = client.token("", "demo", "demo-secret", "items").await;
        client.json("POST", "/items", &token, &Value::Null).await;
        let all = written.end();
        let lines = refusals(&all);
        let line = lines.iter().find(|line| text(line, "path") == "/items").unwrap();
        assert_eq!((text(line, "client"), text(line, "subject")), (client_id, subject), "{line}");
    }
}

/// A14: denials of scopegate's own endpoints are explained in the log, with the client and the peer.
#[tokio::test]
async fn denials_of_own_endpoints_are_logged_with_path_reason_client_and_peer() {
    let written = Written::start(&configuration("client"));
    let client = written.client().await;
    let user = client.token("", "demo", "demo-secret", "items").await;
    client.get_with("/admin/scopes", &user).await;
    client.form("/introspect", "token=x&client_id=api&client_secret=wrong").await;
    client.form("/token", "grant_type=client_credentials&client_id=demo&client_secret=wrong").await;
    let all = written.end();
    let lines = refusals(&all);
    for (path, reason, client) in [
        ("/admin/scopes", "insufficient_scope", "demo"),
        ("/introspect", "no_client", "api"),
        ("/token", "invalid_client", "demo"),
    ] {
        let line = lines.iter().find(|line| text(line, "path") == path).unwrap();
        assert_eq!((text(line, "reason"), text(line, "client")), (reason, client), "{line}");
        assert_eq!(text(line, "peer"), "127.0.0.1", "{line}");
        assert!(!text(line, "route").is_empty() && !text(line, "detail").is_empty(), "{line}");
    }
    let admin = lines.iter().find(|line| text(line, "path") == "/admin/scopes").unwrap();
    assert!(text(admin, "rule").contains("scopegate.yaml:"), "the rule of `admin.require`: {admin}");
}

/// O4: a request that a proxy asks about is logged with its own method and path. A21: the id of a trusted proxy is kept.
#[tokio::test]
async fn a_request_that_a_proxy_asks_about_is_logged_as_itself() {
    let config = configuration("client").replace("127.0.0.2/32", "127.0.0.1/32");
    let written = Written::start(&config);
    let client = written.client().await;
    let headers = [
        ("x-forwarded-method", "DELETE"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "api.example"),
        ("x-forwarded-uri", "/items/7?secret=x"),
        ("x-forwarded-for", "192.0.2.7"),
        ("x-request-id", "of-the-proxy"),
    ];
    let refused = client.send("GET", "/auth/traefik", &headers, "").await;
    assert_eq!((refused.status, refused.header("x-request-id")), (401, "of-the-proxy"));
    let all = written.end();
    let lines = refusals(&all);
    let line = lines.iter().find(|line| text(line, "request_id") == "of-the-proxy").unwrap();
    for (name, expected) in
        [("method", "DELETE"), ("host", "api.example"), ("path", "/items/7"), ("peer", "192.0.2.7")]
    {
        assert_eq!(text(line, name), expected, "{name}: {line}");
    }
    assert!(!all.contains("secret=x"), "the query is logged");
}

/// A browser gets a page with reason, id and advice, with the status and headers of every other client.
#[tokio::test]
async fn a_browser_gets_a_page_and_other_clients_problem_details() {
    let written = Written::start(&configuration("client"));
    let client = written.client().await;
    let browser = [("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")];
    let page = client.send("GET", "/items", &browser, "").await;
    let plain = client.get("/items").await;
    assert_eq!((page.status, page.header("content-type")), (401, "text/html; charset=utf-8"));
    assert_eq!((plain.status, plain.header("content-type")), (401, "application/problem+json"));
    assert_eq!(plain.json()["request_id"], plain.header("x-request-id"));
    for name in ["www-authenticate", "cache-control"] {
        assert_eq!(page.header(name), plain.header(name), "{name}");
    }
    for part in
        ["no_token", page.header("x-request-id"), "Send <code>Authorization: Bearer TOKEN</code>", "/docs"]
    {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
    let admin = client.send("GET", "/admin/scopes", &browser, "").await;
    assert_eq!((admin.status, admin.header("content-type")), (401, "text/html; charset=utf-8"));
}

/// A request about which the gate cannot decide is not counted as denied.
#[tokio::test]
async fn an_outage_is_counted_as_unavailable() {
    let issuer = "providers: { other: { kind: oidc, issuer: 'https://127.0.0.1:1', audience: a } }";
    let config = format!(
        "server: {{ listen: 127.0.0.1:0 }}\noperations: {{ listen: 127.0.0.1:0 }}\n{issuer}\n\
         scopes: {{ items: Items }}\nroutes: [ {{ match: /items, require: items }} ]\n"
    );
    let server = crate::support::Server::start(&config);
    let client = Client::new(&server.url);
    // {"alg": "RS256", "kid": "1", "typ": "at+jwt"}.{"iss": "https://127.0.0.1:1", "aud": "a", "sub": "x", "client_id": "x", "jti": "1", "iat": 1700000000, "exp": 9000000000}
    let token = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEiLCJ0eXAiOiJhdCtqd3QifQ.eyJpc3MiOiJodHRwczovLzEyNy4wLjAuMToxIiwiYXVkIjoiYSIsInN1YiI6IngiLCJjbGllbnRfaWQiOiJ4IiwianRpIjoiMSIsImlhdCI6MTcwMDAwMDAwMCwiZXhwIjo5MDAwMDAwMDAwfQ.c2ln";
    let refused = client.get_with("/items", token).await;
    assert_eq!(refused.status, 503, "{refused:?}");
    let page = Client::new(&server.operations).get("/metrics").await.text;
    assert!(page.contains(r#"route="/items",decision="unavailable""#), "{page}");
}
