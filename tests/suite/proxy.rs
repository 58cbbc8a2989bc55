//! Routes with an upstream: the real program in front of a service of the test's own.

use std::time::Duration;

use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use crate::support::{Answer, Client, Server, with_issuer};

/// To a handshake with the key of RFC 6455, section 1.3: HAProxy reads what it passes on.
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A service that tells the head of each request, and answers with it; a `WebSocket` it echoes.
pub(crate) async fn service() -> (String, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (heads, seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, heads.clone()));
        }
    });
    (address, seen)
}

async fn answer(stream: TcpStream, heads: mpsc::UnboundedSender<String>) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let _ = heads.send(head.clone());
        if head.contains("upgrade: websocket") {
            stream.write_all(SWITCHING.as_bytes()).await.unwrap();
            let (mut from, mut to) = stream.into_inner().into_split();
            let _ = tokio::io::copy(&mut from, &mut to).await;
            return;
        }
        let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{head}", head.len());
        if stream.write_all(response.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn configuration(service: &str) -> String {
    let rest = format!(
        r#"
scopes: {{ orders: Orders }}
upstreams: {{ orders: {{ url: "http://{service}" }} }}
identity: {{ headers: {{ X-Auth-Client: client_id, X-Auth-Scopes: scope }}, forward: strip }}
routes:
  - {{ match: /orders/**, require: orders, upstream: orders, strip_prefix: /orders }}
  - {{ match: /welcome, allow: anonymous, upstream: orders }}
"#
    );
    with_issuer("base_path: /.scopegate", "orders", &rest)
}

async fn token(server: &Server) -> String {
    let client = Client::new(&format!("{}/.scopegate", origin(server)));
    client.token("", "demo", "demo-secret", "orders").await
}

fn origin(server: &Server) -> String {
    server.url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn what_is_permitted_reaches_the_service_with_the_callers_identity() {
    let (service, _heads) = service().await;
    let server = Server::start(&configuration(&service));
    let token = token(&server).await;
    let authorization = format!("Bearer {token}");
    let headers =
        [("authorization", authorization.as_str()), ("x-auth-client", "admin"), ("x_auth_scopes", "all")];
    let answer = Client::new(&origin(&server)).send("GET", "/orders/%7Ea?q=1", &headers, "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.text.starts_with("GET /~a?q=1 HTTP/1.1\r\n"), "{answer:?}");
    assert!(
        answer.text.contains("x-auth-client: demo\r\n") && answer.text.contains("x-auth-scopes: orders\r\n")
    );
    assert!(!answer.text.contains(&token) && !answer.text.contains("x_auth_scopes"), "{answer:?}");
    assert!(answer.text.contains("x-forwarded-for: 127.0.0.1\r\n"), "{answer:?}");
}

#[tokio::test]
async fn the_service_is_told_the_id_that_the_caller_is_told() {
    let (service, _heads) = service().await;
    let trusting = "base_path: /.scopegate, trusted_proxies: [127.0.0.1]";
    let server = Server::start(&configuration(&service).replace("base_path: /.scopegate", trusting));
    let client = Client::new(&origin(&server));
    let told = |answer: &Answer| format!("x-request-id: {}\r\n", answer.header("x-request-id"));
    let made = client.get("/welcome").await;
    assert!(made.header("x-request-id").len() == 32 && made.text.contains(&told(&made)), "{made:?}");
    let brought = client.send("GET", "/welcome", &[("x-request-id", "3f2b-4c")], "").await;
    assert!(told(&brought).contains("3f2b-4c") && brought.text.contains(&told(&brought)), "{brought:?}");
    let harmful = client.send("GET", "/welcome", &[("x-request-id", "a b")], "").await;
    assert!(!harmful.text.contains("a b") && harmful.text.contains(&told(&harmful)), "{harmful:?}");
}

#[tokio::test]
async fn what_is_denied_never_reaches_the_service() {
    let (service, mut heads) = service().await;
    let server = Server::start(&configuration(&service));
    let client = Client::new(&origin(&server));
    assert_eq!(client.get("/orders/1").await.status, 401);
    assert_eq!(client.get_with("/orders/1", "nonsense").await.status, 401);
    assert_eq!(client.get("/orders/..;/welcome").await.status, 400);
    assert_eq!(client.get("/other").await.status, 404);
    let answer = client.json("POST", "/welcome/x", "nonsense", &json!({})).await;
    assert_eq!(answer.status, 404, "{answer:?}");
    assert!(heads.try_recv().is_err(), "the service was reached");
    assert_eq!(client.get("/welcome").await.status, 200);
    assert!(heads.try_recv().unwrap().contains("x-auth-client: \r\n"));
}

/// Asks for a `WebSocket`; the stream behind the answer's head, and its first line.
async fn websocket(server: &Server, authorization: &str) -> (BufReader<TcpStream>, String) {
    let address = origin(server).trim_start_matches("http://").to_owned();
    let mut stream = BufReader::new(TcpStream::connect(&address).await.unwrap());
    let head = format!(
        "GET /orders/ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{authorization}\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut status, mut line) = (String::new(), String::new());
    stream.read_line(&mut status).await.unwrap();
    while line != "\r\n" {
        line.clear();
        stream.read_line(&mut line).await.unwrap();
    }
    (stream, status)
}

#[tokio::test]
async fn a_websocket_is_opened_with_a_token_and_not_without() {
    let (service, _heads) = service().await;
    let server = Server::start(&configuration(&service));
    let token = token(&server).await;
    assert!(websocket(&server, "").await.1.starts_with("HTTP/1.1 401 "));
    let (mut stream, status) = websocket(&server, &format!("Authorization: Bearer {token}\r\n")).await;
    assert!(status.starts_with("HTTP/1.1 101 "), "{status}");
    stream.write_all(b"echo").await.unwrap();
    let mut echoed = [0; 4];
    stream.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"echo");
}

#[tokio::test]
async fn a_websocket_is_cut_within_a_second_of_the_revocation_of_its_token() {
    let (service, _heads) = service().await;
    let server = Server::start(&configuration(&service));
    let token = token(&server).await;
    let (mut stream, _) = websocket(&server, &format!("Authorization: Bearer {token}\r\n")).await;
    let own = Client::new(&format!("{}/.scopegate", origin(&server)));
    assert_eq!(own.form("/revoke", &format!("token={token}")).await.status, 200);
    let ended = tokio::time::timeout(Duration::from_secs(1), stream.read_u8()).await;
    assert!(ended.expect("it was to be cut").is_err());
}
