//! Attacks on the running program, byte for byte as an attacker sends them. The threats page names them.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::Duration,
};

use crate::{
    support::{Client, Server, raw},
    tutorial::DEVELOPMENT,
};

/// Sends these bytes and reads until the server closes the connection.
fn exchange(server: &Server, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        // A server that closes before it has read everything resets the connection.
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}: {answer:?}"),
        _ => String::from_utf8_lossy(&answer).into_owned(),
    }
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

/// A request line and these headers, and the connection closed after it.
fn ask(server: &Server, line: &[u8], headers: &str) -> String {
    exchange(server, &[line, b" HTTP/1.1\r\n", headers.as_bytes(), b"Connection: close\r\n\r\n"].concat())
}

#[test]
fn invariant_5_hostile_targets_are_400_on_the_wire() {
    let server = Server::start(DEVELOPMENT);
    let lines: [&[u8]; 17] = [
        b"GET /api/public/../private",
        b"GET /api/public/%2e%2e/private",
        b"GET /api/public/%2E%2E/private",
        b"GET /api/public/..;/private",
        b"GET /items/..%2f..%2fapi%2fprivate",
        b"GET /api/public/..\\private",
        b"GET /items/public%5c..%5cprivate",
        b"GET /api/public%00",
        b"GET /api/public%0a",
        b"GET /items/public%23",
        b"GET /api/public%ff",
        b"GET /api/public%2",
        b"GET /api/\xc3\xa9",
        b"GET http://127.0.0.1/api/public",
        b"GET api/public",
        b"OPTIONS *",
        b"CONNECT 127.0.0.1:80",
    ];
    for line in lines {
        let answer = ask(&server, line, "Host: 127.0.0.1\r\n");
        assert_eq!(status(&answer), "400", "{}: {answer}", String::from_utf8_lossy(line));
    }
}

#[test]
fn invariant_5_irregular_paths_are_400_where_no_route_accepts_them() {
    let server = Server::start(DEVELOPMENT);
    for path in ["/items/a%2Fb", "/items/a%2fb", "/items/a%252Fb", "/items/1;x=y", "/items//1"] {
        let answer = ask(&server, format!("GET {path}").as_bytes(), "Host: 127.0.0.1\r\n");
        assert_eq!(status(&answer), "400", "{path}: {answer}");
    }
}

#[test]
fn invariant_5_a_request_names_exactly_one_host() {
    let server = Server::start(DEVELOPMENT);
    let hosts = ["", "Host: a.example\r\nHost: b.example\r\n", "Host: user@a.example\r\n", "Host: a b\r\n"];
    for headers in hosts {
        let answer = ask(&server, b"GET /api/public", headers);
        assert_eq!(status(&answer), "400", "{headers:?}: {answer}");
    }
}

/// A18: scopegate's own endpoints refuse what every route refuses.
#[test]
fn invariant_5_own_endpoints_take_origin_form_and_exactly_one_host() {
    let server = Server::start(DEVELOPMENT);
    for path in ["/openapi.json", "/docs", "/token", "/revoke", "/.well-known/oauth-protected-resource"] {
        for headers in ["", "Host: a.example\r\nHost: b.example\r\n", "Host: user@a.example\r\n"] {
            let answer = ask(&server, format!("GET {path}").as_bytes(), headers);
            assert_eq!(status(&answer), "400", "{path} {headers:?}: {answer}");
        }
        let answer = ask(&server, format!("GET http://a.example{path}").as_bytes(), "Host: a.example\r\n");
        assert_eq!(status(&answer), "400", "{path}: {answer}");
    }
}

/// A18: so does the operations listener, but for the HTTP/1.0 of health checks that name no host.
#[test]
fn invariant_5_the_operations_listener_takes_origin_form_and_exactly_one_host() {
    let server = Server::start(DEVELOPMENT);
    let operations = server.operations.strip_prefix("http://").unwrap();
    for request in [
        "GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
        "GET http://a/healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ] {
        assert_eq!(status(&raw(operations, request.as_bytes())), "400", "{request}");
    }
    assert_eq!(status(&raw(operations, b"GET /healthz HTTP/1.0\r\n\r\n")), "200");
}

#[test]
fn invariant_5_a_request_with_two_lengths_is_400_and_hides_no_second_request() {
    let server = Server::start(DEVELOPMENT);
    for lengths in [
        "Content-Length: 40\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 40\r\n",
    ] {
        let request = format!(
            "GET /api/public HTTP/1.1\r\nHost: a\r\n{lengths}\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"
        );
        let answer = exchange(&server, request.as_bytes());
        assert_eq!((status(&answer), answer.matches("HTTP/1.1 ").count()), ("400", 1), "{answer}");
        assert!(!answer.contains("World"), "{answer}");
    }
}

#[test]
fn scopegates_own_endpoints_have_one_spelling() {
    let server = Server::start(DEVELOPMENT);
    for path in ["/%6fpenapi.json", "/openapi.json/", "/OPENAPI.json", "/%64ocs"] {
        let answer = ask(&server, format!("GET {path}").as_bytes(), "Host: 127.0.0.1\r\n");
        assert_eq!(status(&answer), "404", "{path}: {answer}");
        assert!(answer.contains("no_route"), "{path}: {answer}");
    }
}

#[test]
fn invariant_7_what_a_stranger_says_about_path_and_host_changes_no_decision() {
    let server = Server::start(DEVELOPMENT);
    for header in [
        "X-Original-URL: /api/public",
        "X-Original-URI: /api/public",
        "X-Rewrite-URL: /api/public",
        "X-Forwarded-Uri: /api/public",
        "X-Forwarded-Method: OPTIONS",
        "X-Forwarded-Prefix: /api/public",
        "X-Forwarded-Host: public.example",
        "Forwarded: for=127.0.0.1;host=public.example;proto=https",
        "User-Agent: kube-probe/1.30",
    ] {
        let answer = ask(&server, b"GET /items", &format!("Host: 127.0.0.1\r\n{header}\r\n"));
        assert_eq!(status(&answer), "401", "{header}: {answer}");
    }
}

#[tokio::test]
async fn a_method_override_changes_nothing() {
    let server = Server::start(DEVELOPMENT);
    let client = Client::new(&server.url);
    let token = client.token("", "reader", "reader-secret", "items").await;
    let bearer = format!("Bearer {token}");
    for name in ["x-http-method-override", "x-http-method", "x-method-override"] {
        let headers = [("authorization", bearer.as_str()), (name, "DELETE")];
        let answer = client.send("GET", "/items/1?_method=DELETE", &headers, "").await;
        assert_eq!((answer.status, answer.json()["name"].as_str()), (200, Some("red ball")), "{name}");
    }
    let headers = [("authorization", bearer.as_str()), ("x-http-method-override", "GET")];
    assert_eq!(client.send("DELETE", "/items/1", &headers, "").await.status, 403);
    assert_eq!(client.get_with("/items/1", &token).await.status, 200);
}

#[tokio::test]
async fn invariant_4_a_token_that_opened_one_route_opens_no_other() {
    let server = Server::start(DEVELOPMENT);
    let client = Client::new(&server.url);
    let token = client.token("", "reader", "reader-secret", "items").await;
    let bearer = format!("Bearer {token}");
    for _ in 0..3 {
        assert_eq!(client.get_with("/items", &token).await.status, 200);
        let refused = client.send("DELETE", "/items/1", &[("authorization", &bearer)], "").await;
        assert_eq!((refused.status, refused.json()["reason"].as_str()), (403, Some("insufficient_scope")));
    }
}

#[tokio::test]
async fn invariant_11_a_refusal_does_not_show_the_token() {
    let server = Server::start(DEVELOPMENT);
    let client = Client::new(&server.url);
    let token = client.token("", "nobody", "nobody-secret", "").await;
    let (signed, _) = token.rsplit_once('.').unwrap();
    for bad in [token.clone(), format!("{signed}.AAAA"), "opaque-0123456789abcdef".to_owned()] {
        let answer = client.get_with("/items", &bad).await;
        assert!(matches!(answer.status, 401 | 403), "{answer:?}");
        let shown = format!("{:?} {}", answer.headers, answer.text);
        let parts = bad.split('.').filter(|part| part.len() > 8);
        assert!(parts.into_iter().all(|part| !shown.contains(part)), "{shown}");
    }
}
