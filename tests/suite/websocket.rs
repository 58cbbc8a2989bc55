//! Browsers' WebSockets, which cannot send `Authorization`: the token among the subprotocols, through the real program.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use crate::{
    proxy::service,
    support::{Client, Server, with_issuer},
};

const APP: &str = "Origin: https://app.example\r\n";
const HANDSHAKE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n";

fn configuration(service: &str) -> String {
    let rest = format!(
        r#"
scopes: {{ items: Items }}
upstreams: {{ live: {{ url: "http://{service}" }} }}
identity: {{ headers: {{ X-Auth-Client: client_id }} }}
forward_auth: {{ dialects: [traefik] }}
cors: {{ origins: ["https://app.example"] }}
routes:
  - {{ match: GET /live, require: items, upstream: live, accept_token: [websocket_protocol] }}
  - {{ match: GET /strict, require: items, upstream: live }}
"#
    );
    with_issuer("trusted_proxies: [127.0.0.1/32]", "items", &rest)
}

struct Scene {
    server: Server,
    heads: tokio::sync::mpsc::UnboundedReceiver<String>,
    token: String,
}

impl Scene {
    async fn set() -> Self {
        let (service, heads) = service().await;
        let server = Server::start(&configuration(&service));
        let token = Client::new(&server.url).token("", "demo", "demo-secret", "items").await;
        Self { server, heads, token }
    }

    /// The token as a subprotocol.
    fn offer(&self) -> String {
        format!("base64url.bearer.authorization.k8s.io.{}", URL_SAFE_NO_PAD.encode(&self.token))
    }

    /// The head of the answer to a request with these lines, in lower case.
    async fn ask(&self, path: &str, lines: &str) -> String {
        let address = self.server.url.split('/').nth(2).unwrap();
        let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
        let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        while !answer.ends_with("\r\n\r\n") {
            assert_ne!(stream.read_line(&mut answer).await.unwrap(), 0, "{answer}");
        }
        answer.to_ascii_lowercase()
    }

    async fn offering(&self, path: &str, more: &str, offers: &str) -> String {
        self.ask(path, &format!("{HANDSHAKE}{more}Sec-WebSocket-Protocol: {offers}\r\n")).await
    }

    /// The head of the request that reached the service.
    fn seen(&mut self) -> String {
        let head = self.heads.try_recv().unwrap();
        assert!(!head.contains("base64url"), "{head}");
        head.to_ascii_lowercase()
    }
}

#[tokio::test]
async fn a_page_opens_a_websocket_with_the_token_among_the_subprotocols() {
    let mut scene = Scene::set().await;
    let answer = scene.offering("/live", APP, &format!("bearer, {}", scene.offer())).await;
    assert!(
        answer.starts_with("http/1.1 101 ") && answer.contains("sec-websocket-protocol: bearer\r\n"),
        "{answer}"
    );
    let seen = scene.seen();
    assert!(seen.contains("x-auth-client: demo") && !seen.contains("sec-websocket-protocol"), "{seen}");
    assert!(seen.contains("authorization: bearer "), "`forward: keep`: {seen}");
    let answer = scene.offering("/live", APP, &format!("chat, {}", scene.offer())).await;
    assert!(answer.starts_with("http/1.1 101 ") && !answer.contains("sec-websocket-protocol"), "{answer}");
    assert!(scene.seen().contains("sec-websocket-protocol: chat\r\n"));
}

#[tokio::test]
async fn a_page_of_another_origin_or_none_opens_nothing_by_it() {
    let mut scene = Scene::set().await;
    for origin in ["", "Origin: https://evil.example\r\n", "Origin: null\r\n", &format!("{APP}{APP}")] {
        let answer = scene.offering("/live", origin, &scene.offer()).await;
        assert!(answer.starts_with("http/1.1 403 "), "{origin}: {answer}");
    }
    assert!(scene.heads.try_recv().is_err(), "the service was reached");
}

#[tokio::test]
async fn a_token_in_two_places_is_400() {
    let mut scene = Scene::set().await;
    let both = format!("{APP}Authorization: Bearer {}\r\n", scene.token);
    let answer = scene.offering("/live", &both, &scene.offer()).await;
    assert!(answer.starts_with("http/1.1 400 "), "{answer}");
    let twice = format!("{0}, {0}", scene.offer());
    assert!(scene.offering("/live", APP, &twice).await.starts_with("http/1.1 400 "));
    assert!(scene.heads.try_recv().is_err(), "the service was reached");
}

#[tokio::test]
async fn it_is_no_token_on_another_route_or_in_another_request() {
    let mut scene = Scene::set().await;
    let offer = scene.offer();
    assert!(scene.offering("/strict", APP, &offer).await.starts_with("http/1.1 401 "));
    let plain = format!("{APP}Sec-WebSocket-Protocol: {offer}\r\n");
    assert!(scene.ask("/live", &plain).await.starts_with("http/1.1 401 "));
    let other = format!("{APP}Connection: Upgrade\r\nUpgrade: h2c\r\nSec-WebSocket-Protocol: {offer}\r\n");
    assert!(scene.ask("/live", &other).await.starts_with("http/1.1 401 "));
    assert!(scene.heads.try_recv().is_err(), "the service was reached");
}

#[tokio::test]
async fn a_proxy_that_asks_is_told_what_goes_on() {
    let scene = Scene::set().await;
    let ask = async |uri: &str, offers: &str| {
        let headers = [
            ("x-forwarded-method", "GET"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "api.example"),
            ("x-forwarded-uri", uri),
            ("origin", "https://app.example"),
            ("sec-websocket-key", "x"),
            ("sec-websocket-protocol", offers),
        ];
        Client::new(&scene.server.url).send("GET", "/auth/traefik", &headers, "").await
    };
    let answer = ask("/live", &format!("chat, {}", scene.offer())).await;
    assert_eq!((answer.status, answer.header("sec-websocket-protocol")), (200, "chat"), "{answer:?}");
    assert_eq!(answer.header("authorization"), format!("Bearer {}", scene.token));
    let alone = ask("/live", &scene.offer()).await;
    let lines: Vec<_> = alone.headers.get_all("sec-websocket-protocol").iter().collect();
    assert!(alone.status == 200 && lines == [""], "always told: {alone:?}");
    assert_eq!(ask("/strict", &scene.offer()).await.status, 401);
}
