//! Exchanges through the proxy: the real program between callers and a service of the test's own, over HTTP/1.1 and
//! HTTP/2 on both sides.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::uri::PathAndQuery;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    Request, Response,
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use scopegate::api::grpc_health::{HealthCheckRequest, HealthCheckResponse};
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tonic::{Code, Status, transport::Endpoint};
use tonic_prost::ProstCodec;

use crate::{
    secrecy::Written,
    support::{Client, Server, eventually, raw, with_issuer},
};

/// The pieces of a body that takes [`PAUSE`] for each.
const PIECES: usize = 9;
const PAUSE: Duration = Duration::from_millis(450);

const LARGE: usize = 3 << 20;

/// The upstreams of [`configuration`]: the same service over each protocol.
const UPSTREAMS: [&str; 2] = ["http1", "http2"];

/// The heads of requests that have reached a service.
type Seen = Arc<Mutex<Vec<String>>>;

/// Starts a service that speaks both protocols, and ends with the test.
async fn service() -> (SocketAddr, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Seen::default();
    let noted = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let noted = Arc::clone(&noted);
            tokio::spawn(async move {
                let answer = service_fn(move |request| answer(request, Arc::clone(&noted)));
                let http = auto::Builder::new(TokioExecutor::new());
                // A caller that goes away ends it.
                let _ = http.serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    });
    (address, seen)
}

/// `/slow` takes as long as a body in pieces, `/download` sends one, `/upload` takes one, `/large` answers at once; any
/// other path is answered by the head of the request.
async fn answer(
    request: Request<Incoming>,
    seen: Seen,
) -> Result<Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
    let fields: Vec<String> = request
        .headers()
        .iter()
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    let head = format!("{} {:?} {host}\n{}", request.uri().path(), request.version(), fields.join("\n"));
    seen.lock().unwrap().push(head.clone());
    let path = request.uri().path().to_owned();
    let body = match path.as_str() {
        "/download" => return Ok(Response::new(in_pieces())),
        "/large" => Bytes::from(vec![7; LARGE]),
        "/slow" => {
            let body = request.into_body().collect().await?.to_bytes();
            tokio::time::sleep(PAUSE * u32::try_from(PIECES).unwrap()).await;
            body
        }
        "/upload" => request.into_body().collect().await?.to_bytes(),
        _ => {
            request.into_body().collect().await?;
            head.into()
        }
    };
    Ok(Response::new(Full::new(body).boxed()))
}

fn in_pieces() -> BoxBody<Bytes, Infallible> {
    let pieces = futures_util::stream::unfold(0, |sent| async move {
        tokio::time::sleep(PAUSE).await;
        (sent < PIECES).then(|| (Ok(Frame::data(Bytes::from_static(b"piece"))), sent + 1))
    });
    BodyExt::boxed(SyncBody(Mutex::new(Box::pin(StreamBody::new(pieces)))))
}

/// Makes a body `Sync`, as boxed bodies are.
struct SyncBody<B>(Mutex<std::pin::Pin<Box<B>>>);

impl<B: hyper::body::Body> hyper::body::Body for SyncBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.0.get_mut().unwrap().as_mut().poll_frame(cx)
    }
}

/// Routes to a service at this address, over each protocol.
fn routes(service: SocketAddr) -> String {
    format!(
        r#"
scopes: {{ items: Items, admin: Administer }}
identity: {{ headers: {{ X-Auth-Subject: sub, X-Auth-Client: client_id }} }}
upstreams:
  http1:
    url: "http://{service}"
    protocol: http1
    host: orders.internal
    headers: {{ X-Api-Key: our-key }}
  http2: {{ url: "http://{service}", protocol: http2, host: orders.internal, headers: {{ X-Api-Key: our-key }} }}
  gone: {{ url: "http://127.0.0.1:1" }}
routes:
  - {{ match: /http1/**, require: items, upstream: http1, strip_prefix: /http1 }}
  - {{ match: /http2/**, require: items, upstream: http2, strip_prefix: /http2 }}
  - {{ match: /open/http1/**, allow: anonymous, upstream: http1, strip_prefix: /open/http1 }}
  - {{ match: /open/http2/**, allow: anonymous, upstream: http2, strip_prefix: /open/http2 }}
  - {{ match: /admin/**, require: admin, upstream: http1 }}
  - {{ match: /gone/**, allow: anonymous, upstream: gone }}
"#
    )
}

fn configuration(service: SocketAddr) -> String {
    with_issuer("base_path: /.scopegate, trusted_proxies: [127.0.0.1/32]", "items", &routes(service))
}

fn origin(server: &Server) -> String {
    server.url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/")
}

async fn token(server: &Server) -> String {
    let own = Client::new(&format!("{}/.scopegate", origin(server)));
    own.token("", "demo", "demo-secret", "items").await
}

/// Clients of each protocol.
fn callers() -> [(&'static str, reqwest::Client); 2] {
    let builder = || reqwest::Client::builder().no_proxy();
    [("HTTP/1.1", builder().build().unwrap()), ("HTTP/2", builder().http2_prior_knowledge().build().unwrap())]
}

fn claims(token: &str) -> Value {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&claims).unwrap()
}

/// CASES P1: the service's answer comes, though the token expires before it. CASES P3: so does the whole of an upload or
/// a download that takes longer than the token is good for.
#[tokio::test(flavor = "multi_thread")]
async fn invariant_17_an_exchange_that_was_permitted_is_answered_whole_though_its_token_expires() {
    let (service, seen) = service().await;
    let issuer = with_issuer("base_path: /.scopegate", "items", "")
        .replace("scopes: [items] }", "scopes: [items], lifetime: 3s }");
    let issuer = Server::start(&issuer);
    let name = claims(&token(&issuer).await)["iss"].as_str().unwrap().to_owned();
    let server = Server::start(&format!(
        "server: {{ listen: 127.0.0.1:0 }}\noperations: {{ listen: 127.0.0.1:0 }}\nproviders:\n  local: {{ kind: oidc, \
         issuer: \"{name}\", audience: https://api.example, leeway: 0s }}\n{}",
        routes(service)
    ));
    let mut exchanges = JoinSet::new();
    for (protocol, caller) in callers() {
        for (upstream, path) in
            UPSTREAMS.iter().flat_map(|upstream| ["slow", "upload", "download"].map(|path| (*upstream, path)))
        {
            let token = token(&issuer).await;
            let request = caller.post(format!("{}/{upstream}/{path}", server.url)).bearer_auth(&token);
            let request = match path {
                "upload" => request.body(reqwest::Body::wrap(in_pieces())),
                _ => request.body("piece"),
            };
            exchanges.spawn(async move {
                let answer = request.send().await.unwrap();
                let status = answer.status();
                let length = answer.bytes().await.map(|body| body.len());
                let expiry = claims(&token)["exp"].as_u64().unwrap();
                let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
                assert!(now >= expiry, "the token is still good");
                (format!("{protocol} to {upstream}: {path}"), status, length.ok(), path)
            });
        }
    }
    while let Some(exchange) = exchanges.join_next().await {
        let (what, status, length, path) = exchange.unwrap();
        let expected = if path == "slow" { 5 } else { 5 * PIECES };
        assert_eq!((status.as_u16(), length), (200, Some(expected)), "{what}");
    }
    assert_eq!(seen.lock().unwrap().len(), 12, "each request reached the service once");
}

/// CASES P2: a long answer that begins within the leeway is whole.
#[tokio::test(flavor = "multi_thread")]
async fn invariant_17_a_long_answer_that_begins_within_the_leeway_is_whole() {
    let (service, _) = service().await;
    let configuration =
        configuration(service).replace("scopes: [items] }", "scopes: [items], lifetime: 1s }");
    let server = Server::start(&configuration);
    let token = token(&server).await;
    let expiry = SystemTime::UNIX_EPOCH + Duration::from_secs(claims(&token)["exp"].as_u64().unwrap());
    let left = expiry.duration_since(SystemTime::now()).unwrap_or_default();
    tokio::time::sleep(left + Duration::from_secs(1)).await;
    for (protocol, caller) in callers() {
        for upstream in UPSTREAMS {
            let request = caller.get(format!("{}/{upstream}/large", origin(&server))).bearer_auth(&token);
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 200, "{protocol} to {upstream}");
            assert_eq!(answer.bytes().await.unwrap().len(), LARGE, "{protocol} to {upstream}");
        }
    }
}

/// The program with its log in a file.
struct Logged {
    written: Written,
    origin: String,
}

impl Logged {
    async fn start(configuration: &str) -> Self {
        let written = Written::start(configuration);
        let url = written.url().await;
        let origin = url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
        Self { written, origin }
    }

    fn address(&self) -> &str {
        self.origin.strip_prefix("http://").unwrap()
    }

    /// Waits until the log has so many lines with this text, and returns them.
    async fn lines(&self, text: &str, count: usize) -> Vec<String> {
        let matching = async || -> Vec<String> {
            let log = self.written.text();
            log.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
        };
        eventually(matching, |lines| lines.len() >= count).await
    }

    fn blames_no_upstream(&self) {
        let log = self.written.text();
        assert!(!log.contains("an upstream sent no response"), "{log}");
    }
}

/// CASES P5: only a single `chunked` is a transfer coding that is accepted.
#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_coding_other_than_chunked_once_is_400_or_501() {
    let (service, seen) = service().await;
    let server = Server::start(&configuration(service));
    let address = origin(&server).strip_prefix("http://").unwrap().to_owned();
    for upstream in UPSTREAMS {
        for coding in [
            "chunked, chunked",
            "gzip, chunked",
            "identity, chunked",
            "chunked\r\nTransfer-Encoding: chunked",
        ] {
            let head = format!("POST /open/{upstream}/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n");
            let answer =
                raw(&address, format!("{head}Transfer-Encoding: {coding}\r\n\r\n0\r\n\r\n").as_bytes());
            let refused = answer.starts_with("HTTP/1.1 400 ") || answer.starts_with("HTTP/1.1 501 ");
            assert!(refused, "{upstream} {coding}: {answer}");
        }
    }
    assert!(seen.lock().unwrap().is_empty(), "the service was reached");
}

/// CASES P6, A20: a malformed chunk is 400, and the upstream is not blamed.
#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_chunk_is_400_and_the_upstream_is_not_blamed() {
    let (service, _) = service().await;
    let server = Logged::start(&configuration(service)).await;
    for upstream in UPSTREAMS {
        for chunk in ["5;a\nhello\r\n", "0x5\r\nhello\r\n", "fffffffffffffffff\r\n", "5\r\nhelloXX", "\r\n"] {
            let head = format!("POST /open/{upstream}/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n");
            let request = format!("{head}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n{chunk}0\r\n\r\n");
            let answer = raw(server.address(), request.as_bytes());
            assert!(answer.starts_with("HTTP/1.1 400 "), "{upstream} {chunk:?}: {answer}");
        }
    }
    server.blames_no_upstream();
}

/// CASES P7: an upload that its caller breaks off, over HTTP/1.1 or HTTP/2, is logged as the caller's fault.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_its_caller_breaks_off_is_the_callers_fault() {
    let (service, _) = service().await;
    let server = Logged::start(&configuration(service)).await;
    for upstream in UPSTREAMS {
        let half =
            format!("POST /open/{upstream}/upload HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\nhalf");
        let stream = TcpStream::connect(server.address()).await.unwrap();
        stream.writable().await.unwrap();
        assert_eq!(stream.try_write(half.as_bytes()).unwrap(), half.len());
        let mut stream = stream.into_std().unwrap();
        stream.set_nonblocking(false).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        // Whatever is answered, the connection ends.
        let _ = std::io::Read::read_to_end(&mut stream, &mut Vec::new());

        let stream = TcpStream::connect(server.address()).await.unwrap();
        let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let request = Request::post(format!("http://a/open/{upstream}/upload")).body(()).unwrap();
        let (answer, mut body) = sender.send_request(request, false).unwrap();
        body.send_data(Bytes::from_static(b"half"), false).unwrap();
        // Both sides have the request before it is broken off.
        tokio::time::sleep(Duration::from_millis(200)).await;
        body.send_reset(h2::Reason::CANCEL);
        drop(answer);
    }
    server.lines("incomplete_body", 2).await;
    server.blames_no_upstream();
}

/// CASES P8: the upstream gets the host and the headers of its settings, and no spelling of them that is the caller's.
#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_gets_its_own_host_and_headers() {
    let (service, _) = service().await;
    let server = Server::start(&configuration(service));
    for (protocol, caller) in callers() {
        for upstream in UPSTREAMS {
            let request = caller.get(format!("{}/open/{upstream}/x", origin(&server)));
            let request = request
                .header("x-api-key", "forged")
                .header("X.Api!Key", "forged")
                .header("X_Api_Key", "forged");
            let head = request.send().await.unwrap().text().await.unwrap();
            assert!(head.contains("orders.internal"), "{protocol} to {upstream}: {head}");
            assert!(
                head.contains("x-api-key: our-key") && !head.contains("forged"),
                "{protocol} to {upstream}: {head}"
            );
        }
    }
}

/// Headers that no caller may send, in any spelling.
const PROTECTED: [&str; 11] = [
    "X-Auth-Subject",
    "X-Auth-Client",
    "X-Original-URL",
    "X-Original-URI",
    "X-Rewrite-URL",
    "X-HTTP-Method-Override",
    "X-HTTP-Method",
    "X-Method-Override",
    "X-Real-IP",
    "X-Forwarded-Prefix",
    "X-Forwarded-Port",
];

/// A4: no spelling of an identity, forwarded or override header reaches an upstream. A22: nor does `Proxy`.
#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_protected_header_reaches_an_upstream() {
    let (service, _) = service().await;
    let server = Server::start(&configuration(service));
    for (protocol, caller) in callers() {
        for upstream in UPSTREAMS {
            for separator in "-_.!~#$%&'*+^`|".chars() {
                let spelt = |name: &str| name.replace('-', &separator.to_string());
                let mut request = caller.get(format!("{}/open/{upstream}/x", origin(&server)));
                for name in PROTECTED {
                    request = request.header(spelt(name), "forged");
                }
                if separator != '-' {
                    for name in ["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Content-Length"]
                    {
                        request = request.header(spelt(name), "forged");
                    }
                }
                let request = request.header("Forwarded", "for=forged").header("Proxy", "http://forged");
                let head = request.send().await.unwrap().text().await.unwrap();
                assert!(head.contains("x-auth-subject: \n"), "{protocol} to {upstream}: {head}");
                assert!(!head.contains("forged"), "{protocol} to {upstream}: {head}");
            }
        }
    }
}

/// CASES F4: the proxy's challenge names the metadata at the host that a trusted proxy says.
#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_names_the_host_that_a_trusted_proxy_says() {
    let (service, _) = service().await;
    let server = Server::start(&configuration(service));
    let client = Client::new(&origin(&server));
    let forwarded = [("x-forwarded-host", "api.acme.example"), ("x-forwarded-proto", "https")];
    let refused = client.send("GET", "/http1/x", &forwarded, "").await;
    let challenge = refused.header("www-authenticate").to_owned();
    let url = "resource_metadata=\"https://api.acme.example/.well-known/oauth-protected-resource/http1/x\"";
    assert!(refused.status == 401 && challenge.contains(url), "{challenge}");
    let direct = client.get("/http1/x").await;
    let own =
        format!("resource_metadata=\"{}/.well-known/oauth-protected-resource/http1/x\"", origin(&server));
    assert!(direct.header("www-authenticate").contains(&own), "{direct:?}");
}

/// CASES P9: a real client of gRPC gets the status and the reason of a denied call.
#[tokio::test(flavor = "multi_thread")]
async fn a_denied_grpc_call_has_the_status_and_the_reason_of_grpc() {
    let (service, _) = service().await;
    let server = Server::start(&configuration(service));
    let token = token(&server).await;
    let channel = Endpoint::from_shared(origin(&server)).unwrap().connect().await.unwrap();
    let call = async |path: &'static str, token: Option<&str>| -> Status {
        let mut client = tonic::client::Grpc::new(channel.clone());
        client.ready().await.unwrap();
        let mut request = tonic::Request::new(HealthCheckRequest::default());
        if let Some(token) = token {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let codec = ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
        client.unary(request, PathAndQuery::from_static(path), codec).await.unwrap_err()
    };
    let unauthenticated = call("/http2/orders.Orders/Get", None).await;
    assert_eq!(unauthenticated.code(), Code::Unauthenticated, "{unauthenticated:?}");
    assert!(unauthenticated.message().starts_with("no_token"), "{unauthenticated:?}");
    assert!(unauthenticated.metadata().contains_key("www-authenticate"), "{unauthenticated:?}");
    let denied = call("/admin/orders.Orders/Get", Some(&token)).await;
    assert_eq!(denied.code(), Code::PermissionDenied, "{denied:?}");
    assert!(denied.message().starts_with("insufficient_scope"), "{denied:?}");
    let unavailable = call("/gone/orders.Orders/Get", None).await;
    assert_eq!(unavailable.code(), Code::Unavailable, "{unavailable:?}");
}

/// CASES P11: six denied requests with small bodies at once over one connection end without a reset.
#[tokio::test(flavor = "multi_thread")]
async fn denied_requests_with_bodies_over_http2_end_whole() {
    let (service, seen) = service().await;
    let server = Server::start(&configuration(service));
    let (_, caller) = callers().into_iter().last().unwrap();
    for _ in 0..5 {
        let mut requests = JoinSet::new();
        for _ in 0..6 {
            let request = caller.post(format!("{}/http2/x", origin(&server))).body(vec![b'a'; 20_000]);
            requests.spawn(async move {
                let answer = request.send().await.unwrap();
                (answer.status().as_u16(), answer.text().await.unwrap())
            });
        }
        while let Some(answer) = requests.join_next().await {
            let (status, text) = answer.unwrap();
            assert!(status == 401 && text.contains("no_token"), "{status}: {text}");
        }
    }
    assert!(seen.lock().unwrap().is_empty(), "the service was reached");
}

/// CASES F2: a refusal through nginx is one line of the log, with the reason, under the id that the caller gets.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_through_nginx_is_logged_once_under_the_callers_id() {
    use crate::forward_auth::{NGINX, Proxy, configuration};
    let (service, _) = service().await;
    let server = Logged::start(&configuration("nginx")).await;
    let proxy = Proxy::start(&NGINX, server.address(), &service.to_string());
    let client = Client::new(&format!("http://{}", proxy.address));
    for (path, status, reason) in [("/items/1", 401, "no_token"), ("/public/a%2Fb", 400, "irregular_path")] {
        let refused = client.get(path).await;
        assert_eq!(refused.status, status, "{refused:?}");
        let lines = server.lines(refused.header("x-request-id"), 1).await;
        assert!(lines.len() == 1 && lines[0].contains(reason), "{path}: {lines:#?}");
    }
}
