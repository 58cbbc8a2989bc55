//! Browsers' WebSockets, which cannot send `Authorization`: the token among the subprotocols, through the real program.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use crate::{
    forward_auth::{HAPROXY, Proxy},
    grpc::Envoy,
    proxy::service,
    support::{Client, Server, with_issuer},
};

const APP: &str = "Origin: https://app.example\r\n";
const HANDSHAKE: &str =
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// `forward` is what becomes of the token on the way to the service.
fn configuration(service: &str, forward: &str) -> String {
    let rest = format!(
        r#"
scopes: {{ items: Items }}
upstreams: {{ live: {{ url: "http://{service}" }} }}
identity: {{ headers: {{ X-Auth-Subject: sub }}, forward: {forward} }}
forward_auth: {{ dialects: [traefik, haproxy], grpc_listen: 127.0.0.1:0 }}
cors: {{ origins: ["https://app.example"] }}
routes:
  - {{ match: GET /live, require: items, upstream: live, accept_token: [websocket_protocol] }}
  - {{ match: GET /strict, require: items, upstream: live }}
"#
    );
    with_issuer("trusted_proxies: [127.0.0.1/32]", "items", &rest)
}

struct Scene {
    service: String,
    server: Server,
    heads: tokio::sync::mpsc::UnboundedReceiver<String>,
    token: String,
}

impl Scene {
    async fn set() -> Self {
        Self::forwarding("keep").await
    }

    async fn forwarding(forward: &str) -> Self {
        let (service, heads) = service().await;
        let server = Server::start(&configuration(&service, forward));
        let token = Client::new(&server.url).token("", "demo", "demo-secret", "items").await;
        Self { service, server, heads, token }
    }

    /// The token as a subprotocol.
    fn offer(&self) -> String {
        format!("base64url.bearer.authorization.k8s.io.{}", URL_SAFE_NO_PAD.encode(&self.token))
    }

    async fn ask(&self, path: &str, lines: &str) -> String {
        ask(self.server.url.split('/').nth(2).unwrap(), path, lines).await
    }

    async fn offering(&self, path: &str, more: &str, offers: &str) -> String {
        self.ask(path, &offering(more, offers)).await
    }

    /// The head of the request that reached the service.
    fn seen(&mut self) -> String {
        let head = self.heads.try_recv().unwrap();
        assert!(!head.contains("base64url"), "{head}");
        head.to_ascii_lowercase()
    }
}

/// The head of the answer to a request with these lines, in lower case.
async fn ask(address: &str, path: &str, lines: &str) -> String {
    let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
    let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    while !answer.ends_with("\r\n\r\n") {
        assert_ne!(stream.read_line(&mut answer).await.unwrap(), 0, "{answer}");
    }
    answer.to_ascii_lowercase()
}

/// The lines of a handshake with these offers.
fn offering(more: &str, offers: &str) -> String {
    format!("{HANDSHAKE}{more}Sec-WebSocket-Protocol: {offers}\r\n")
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
    assert!(seen.contains("x-auth-subject: demo") && !seen.contains("sec-websocket-protocol"), "{seen}");
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

#[tokio::test]
async fn over_grpc_envoy_is_told_what_goes_on() {
    let scene = Scene::forwarding("strip").await;
    let mut envoy = Envoy::of(&scene.server).await;
    let mut ask = async |origin: &str, offers: &str| {
        let headers = [("origin", origin), ("sec-websocket-key", "x"), ("sec-websocket-protocol", offers)];
        envoy.ask("GET", "/live", &headers).await
    };
    let both = ask("https://app.example", &format!("chat, {}", scene.offer())).await;
    assert_eq!((both.status, both.header("sec-websocket-protocol")), (200, "chat"), "{both:?}");
    assert_eq!((both.header("x-auth-subject"), both.header("authorization")), ("demo", ""), "{both:?}");
    assert!(both.taken_off.contains(&"authorization".to_owned()), "{both:?}");
    let alone = ask("https://app.example", &scene.offer()).await;
    assert!(
        alone.status == 200 && alone.taken_off.contains(&"sec-websocket-protocol".to_owned()),
        "{alone:?}"
    );
    for answer in [both, alone] {
        let told = format!("{answer:?}");
        assert!(!told.contains(&scene.token) && !told.contains("base64url"), "{told}");
    }
    for origin in ["https://evil.example", "null"] {
        let refused = ask(origin, &scene.offer()).await;
        assert_eq!((refused.status, &refused.json()["reason"]), (403, &"origin_not_allowed".into()));
    }
}

#[tokio::test]
async fn through_haproxy_a_page_opens_a_websocket_and_its_token_stays_behind() {
    let mut scene = Scene::forwarding("strip").await;
    let proxy = Proxy::start(&HAPROXY, scene.server.url.trim_start_matches("http://"), &scene.service);
    let answer = ask(&proxy.address, "/live", &offering(APP, &format!("chat, {}", scene.offer()))).await;
    assert!(answer.starts_with("http/1.1 101 "), "{answer}");
    let seen = scene.seen();
    assert!(
        seen.contains("sec-websocket-protocol: chat\r\n") && seen.contains("x-auth-subject: demo"),
        "{seen}"
    );
    assert!(!seen.contains("authorization"), "{seen}");
    let answer = ask(&proxy.address, "/live", &offering(APP, &scene.offer())).await;
    assert!(answer.starts_with("http/1.1 101 "), "{answer}");
    let seen = scene.seen();
    assert!(!seen.contains("sec-websocket-protocol") && !seen.contains("authorization"), "{seen}");

    let (client, offer) = (Client::new(&format!("http://{}", proxy.address)), scene.offer());
    for origin in ["https://evil.example", "null"] {
        let handshake = [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-protocol", offer.as_str()),
            ("origin", origin),
        ];
        let refused = client.send("GET", "/live", &handshake, "").await;
        assert_eq!((refused.status, &refused.json()["reason"]), (403, &"origin_not_allowed".into()));
    }
    assert!(scene.heads.try_recv().is_err(), "the service was reached");
}
