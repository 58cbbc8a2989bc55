//! Pages of other origins, as browsers ask for them: the real program, with the sample API and in front of a service.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use crate::{
    support::{Answer, Client, Server},
    tutorial::DEVELOPMENT,
};

const APP: &str = "https://app.example";
const CORS: &str = "cors: { origins: ['https://app.example'], max_age: 10m }\n";

async fn preflight(client: &Client, path: &str, origin: &str, method: &str) -> Answer {
    let asks = "access-control-request-headers";
    let headers = [("origin", origin), ("access-control-request-method", method), (asks, "authorization")];
    client.send("OPTIONS", path, &headers, "").await
}

fn told<'a>(answer: &'a Answer, name: &str) -> Vec<&'a str> {
    answer.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}

fn is_silent(answer: &Answer) -> bool {
    answer.headers.keys().all(|name| !name.as_str().starts_with("access-control-"))
}

#[tokio::test]
async fn a_page_of_a_named_origin_may_call_the_sample_api() {
    let server = Server::start(&format!("{DEVELOPMENT}{CORS}"));
    let client = Client::new(&server.url);
    let answer = preflight(&client, "/items/1", APP, "DELETE").await;
    assert_eq!((answer.status, answer.text.as_str()), (204, ""), "{answer:?}");
    assert_eq!(told(&answer, "access-control-allow-origin"), [APP]);
    assert_eq!(told(&answer, "access-control-allow-methods"), ["DELETE"]);
    assert_eq!(told(&answer, "access-control-allow-headers"), ["authorization, content-type"]);
    assert_eq!(told(&answer, "access-control-max-age"), ["600"]);

    let token = client.token("", "reader", "reader-secret", "items").await;
    let headers = [("origin", APP), ("authorization", &format!("Bearer {token}"))];
    let answer = client.send("GET", "/items", &headers, "").await;
    assert_eq!((answer.status, told(&answer, "access-control-allow-origin")), (200, vec![APP]), "{answer:?}");
    assert_eq!(told(&answer, "vary"), ["origin"]);
}

/// CASES I10: a service's own header fields can be exposed.
#[tokio::test]
async fn pages_may_read_the_header_fields_that_cors_exposes() {
    let cors = "cors: { origins: ['https://app.example'], expose: [Mcp-Session-Id] }\n";
    let server = Server::start(&format!("{DEVELOPMENT}{cors}"));
    let answer = Client::new(&server.url).send("GET", "/items", &[("origin", APP)], "").await;
    let exposed = told(&answer, "access-control-expose-headers").join(", ");
    assert!(exposed.contains("mcp-session-id") && exposed.contains("x-request-id"), "{exposed}");
}

#[tokio::test]
async fn a_page_may_read_why_it_is_refused_and_the_id_of_its_request() {
    let server = Server::start(&format!("{DEVELOPMENT}{CORS}"));
    let answer = Client::new(&server.url).send("GET", "/items", &[("origin", APP)], "").await;
    assert_eq!((answer.status, told(&answer, "access-control-allow-origin")), (401, vec![APP]), "{answer:?}");
    let exposed = told(&answer, "access-control-expose-headers").join(", ");
    for name in ["www-authenticate", "retry-after", "x-request-id"] {
        assert!(exposed.contains(name), "{exposed}");
    }
    assert!(answer.headers.contains_key("www-authenticate") && answer.headers.contains_key("x-request-id"));
}

#[tokio::test]
async fn a_page_of_another_origin_is_told_nothing() {
    let server = Server::start(&format!("{DEVELOPMENT}{CORS}"));
    let client = Client::new(&server.url);
    for origin in ["https://app.example.evil", "null"] {
        let refused = preflight(&client, "/items", origin, "GET").await;
        assert_eq!((refused.status, refused.json()["reason"].as_str()), (403, Some("origin_not_allowed")));
        let answer = client.send("GET", "/api/public", &[("origin", origin)], "").await;
        assert!(answer.status == 200 && is_silent(&refused) && is_silent(&answer), "{origin}: {answer:?}");
    }
    let refused = preflight(&client, "/items", APP, "PATCH").await;
    assert!(refused.status == 405 && is_silent(&refused), "{refused:?}");
}

/// A service that lets every page read its answers, which are the heads of requests; and these heads.
fn service() -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (heads, seen) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let heads = heads.clone();
            std::thread::spawn(move || answer(stream, &heads));
        }
    });
    (address, seen)
}

fn answer(mut stream: TcpStream, heads: &mpsc::Sender<String>) {
    let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let head = head.join("\n");
    // The test may have ended, and its caller with it.
    let _ = heads.send(head.clone());
    let _ = write!(
        stream,
        "HTTP/1.1 200 OK\r\nConnection: close\r\nAccess-Control-Allow-Origin: *\r\n\
         Access-Control-Allow-Credentials: true\r\nAccess-Control-Expose-Headers: X-Total\r\n\
         Content-Length: {}\r\n\r\n{head}",
        head.len()
    );
}

/// The program in front of this service.
fn proxy(service: &str, cors: &str) -> (Server, Client) {
    let server = Server::start(&format!(
        "
server: {{ listen: 127.0.0.1:0, base_path: /.scopegate }}
operations: {{ listen: 127.0.0.1:0 }}
upstreams: {{ pages: {{ url: 'http://{service}' }} }}
identity: {{ headers: {{ X-Auth-Subject: sub }} }}
routes:
  - {{ match: GET|OPTIONS /pages, allow: anonymous, upstream: pages }}
{cors}"
    ));
    let client = Client::new(&server.url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/"));
    (server, client)
}

#[tokio::test]
async fn what_the_service_says_is_replaced() {
    let (service, _heads) = service();
    let (_server, client) = proxy(&service, CORS);
    let answer = client.send("GET", "/pages", &[("origin", APP)], "").await;
    assert_eq!(told(&answer, "access-control-allow-origin"), [APP], "{answer:?}");
    assert!(told(&answer, "access-control-allow-credentials").is_empty());
    assert!(told(&answer, "access-control-expose-headers").contains(&"X-Total"), "{answer:?}");
    assert!(is_silent(&client.send("GET", "/pages", &[("origin", "https://evil.example")], "").await));
    assert!(is_silent(&client.get("/pages").await));
}

#[tokio::test]
async fn a_service_that_is_not_configured_for_has_its_own_say() {
    let (service, heads) = service();
    let (_server, client) = proxy(&service, "");
    let answer = preflight(&client, "/pages", APP, "GET").await;
    assert_eq!((answer.status, told(&answer, "access-control-allow-origin")), (200, vec!["*"]), "{answer:?}");
    assert!(heads.recv().unwrap().starts_with("OPTIONS /pages "));
}

#[tokio::test]
async fn a_preflight_reaches_no_service() {
    let (service, heads) = service();
    let (_server, client) = proxy(&service, CORS);
    assert_eq!(preflight(&client, "/pages", APP, "GET").await.status, 204);
    assert_eq!(preflight(&client, "/pages", "https://evil.example", "GET").await.status, 403);
    assert_eq!(preflight(&client, "/pages", APP, "PUT").await.status, 405);
    assert!(heads.try_recv().is_err(), "the service was reached");
}

#[tokio::test]
async fn invariant_8_identity_headers_are_taken_off_options_too() {
    let (service, _heads) = service();
    for cors in ["", CORS] {
        let (_server, client) = proxy(&service, cors);
        // Shaped like a preflight in all but the method that it would announce.
        let headers = [("origin", APP), ("x-auth-subject", "admin"), ("x_auth_subject", "admin")];
        let answer = client.send("OPTIONS", "/pages", &headers, "").await;
        assert!(answer.status == 200 && answer.text.contains("x-auth-subject: "), "{answer:?}");
        assert!(!answer.text.contains("admin"), "{answer:?}");
    }
    let (_server, client) = proxy(&service, "");
    let headers = [("origin", APP), ("access-control-request-method", "GET"), ("X-Auth-Subject", "admin")];
    let answer = client.send("OPTIONS", "/pages", &headers, "").await;
    assert!(answer.status == 200 && !answer.text.contains("admin"), "{answer:?}");
}
