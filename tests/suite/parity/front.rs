//! What requests are sent through.

use std::{convert::Infallible, net::SocketAddr};

use http::{HeaderMap, Method, Uri, Version};
use http_body_util::BodyExt;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use poem::{
    EndpointExt, Request, Response, handler,
    listener::{Acceptor, Listener, TcpListener},
    web::Data,
};
use scopegate::{Caller, Gate, tower::GateLayer};
use tokio::runtime::Runtime;
use tower_layer::Layer;

use super::{
    Scene,
    case::{Case, Oddity},
    service::{self, Log, Seen},
    wire::{self, Message, Reply},
};
use crate::{
    forward_auth::{Kind, Proxy},
    support::Server,
};

/// Something that stands between callers and a service and lets requests through or not.
pub(super) trait Front: Send + Sync {
    /// A caller's connection to it.
    fn line(&self) -> Box<dyn Line>;

    /// What reached the service behind it.
    fn log(&self) -> &Log;

    /// What it refuses or rewrites by itself, before scopegate is asked: the decision is not compared then.
    fn own_ways(&self) -> &[Oddity];

    /// Whether a path that no route knows is scopegate's to say (404), or another's who serves it (403).
    fn serves(&self) -> bool;
}

/// A caller's connection.
pub(super) trait Line {
    /// Sends a request; what came of it.
    fn ask(&mut self, case: &Case) -> Outcome;
}

/// What came of a request.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    /// It reached the service as this.
    Passed(Box<Message>),
    /// It was refused: with a reason of scopegate's, or by somebody else.
    Refused { status: u16, reason: Option<String> },
    /// The connection was ended.
    Ended,
    /// What must not happen: nothing came, or nonsense.
    Broken(String),
}

impl Outcome {
    /// From an answer, which says where in the log the request is.
    pub(super) fn of(reply: &Reply, log: &Log) -> Self {
        let seen = reply.field("x-seen").and_then(|place| place.parse().ok());
        match seen.and_then(|place| log.at(place)) {
            Some(Seen::Request(message)) => Self::Passed(message.into()),
            Some(Seen::Ambiguous(what)) => Self::Broken(what),
            None => Self::refused(reply.status, &reply.body),
        }
    }

    /// From a refusal's status and body.
    pub(super) fn refused(status: u16, body: &[u8]) -> Self {
        let body: Option<serde_json::Value> = serde_json::from_slice(body).ok();
        let reason = body.and_then(|body| body["reason"].as_str().map(ToOwned::to_owned));
        Self::Refused { status, reason }
    }
}

/// A front that is reached at an address.
pub(super) struct At {
    address: String,
    /// What stands before every path.
    prefix: &'static str,
    log: Log,
    own_ways: &'static [Oddity],
    serves: bool,
    /// What runs as long as it is there.
    _running: Box<dyn Send + Sync>,
}

impl Front for At {
    fn line(&self) -> Box<dyn Line> {
        Box::new(Wire {
            caller: wire::Caller::new(&self.address),
            prefix: self.prefix,
            log: self.log.clone(),
        })
    }

    fn log(&self) -> &Log {
        &self.log
    }

    fn own_ways(&self) -> &[Oddity] {
        self.own_ways
    }

    fn serves(&self) -> bool {
        self.serves
    }
}

struct Wire {
    caller: wire::Caller,
    prefix: &'static str,
    log: Log,
}

impl Line for Wire {
    fn ask(&mut self, case: &Case) -> Outcome {
        match self.caller.ask(&case.behind(self.prefix).bytes(), case.method == "HEAD", case.alone) {
            Ok(Some(reply)) => Outcome::of(&reply, &self.log),
            Ok(None) => Outcome::Ended,
            Err(what) => Outcome::Broken(what),
        }
    }
}

/// scopegate as the proxy; where there is a prefix, it stands before every path and is stripped.
pub(super) fn proxy(scene: &Scene, prefix: &'static str) -> Box<dyn Front> {
    let (service, log) = service::start();
    let strip = if prefix.is_empty() { String::new() } else { format!(", strip_prefix: {prefix}") };
    let server = Server::start(&format!(
        "server: {{ listen: 127.0.0.1:0, base_path: /.scopegate }}\noperations: {{ listen: 127.0.0.1:0 }}\n\
         upstreams: {{ it: {{ url: 'http://{service}' }} }}\n{}",
        scene.configuration(prefix, &format!(", upstream: it{strip}"))
    ));
    let address = server.url.trim_start_matches("http://").split('/').next().unwrap().to_owned();
    Box::new(At { address, prefix, log, own_ways: &[], serves: true, _running: Box::new(server) })
}

/// scopegate as the proxy of an upstream with which it speaks HTTP/2.
pub(super) fn proxy_over_http2(scene: &Scene) -> Box<dyn Front> {
    // The chunks of a `GET` are read, which a proxy that speaks HTTP/1.1 with its upstream leaves out.
    let own_ways = &[Oddity::Head];
    let runtime = Runtime::new().unwrap();
    let log = Log::default();
    let service = runtime.block_on(http2_service(log.clone()));
    let server = Server::start(&format!(
        "server: {{ listen: 127.0.0.1:0, base_path: /.scopegate }}\noperations: {{ listen: 127.0.0.1:0 }}\n\
         upstreams: {{ it: {{ url: 'http://{service}', protocol: http2 }} }}\n{}",
        scene.configuration("", ", upstream: it")
    ));
    let address = server.url.trim_start_matches("http://").split('/').next().unwrap().to_owned();
    Box::new(At { address, prefix: "", log, own_ways, serves: true, _running: Box::new((server, runtime)) })
}

/// Starts a service that notes what reaches it over HTTP/2, as a service over HTTP/1.1 would have it.
async fn http2_service(log: Log) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let log = log.clone();
            tokio::spawn(async move {
                let noting = service_fn(move |request| note_of_hyper(request, log.clone()));
                // A front that goes away ends it.
                let http = auto::Builder::new(TokioExecutor::new());
                let _ = http.serve_connection(TokioIo::new(stream), noting).await;
            });
        }
    });
    address
}

async fn note_of_hyper(
    request: http::Request<Incoming>,
    log: Log,
) -> Result<http::Response<String>, Infallible> {
    let (head, body) = request.into_parts();
    let fields = head.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
    let host = head.uri.authority().map(|host| ("host".to_owned(), host.as_str().as_bytes().to_vec()));
    let message = Message {
        method: head.method.to_string(),
        target: head.uri.path_and_query().unwrap().as_str().as_bytes().to_vec(),
        version: format!("{:?}", head.version),
        fields: fields.chain(host).collect(),
    };
    // A body that breaks off has been acted on, as over HTTP/1.1.
    let _ = body.collect().await;
    let place = log.note(Seen::Request(message));
    Ok(http::Response::builder().header("x-seen", place).body("ok".to_owned()).unwrap())
}

/// A real proxy that asks scopegate, configured as the manual shows.
pub(super) fn real(scene: &Scene, kind: &'static Kind, own_ways: &'static [Oddity]) -> Box<dyn Front> {
    let (service, log) = service::start();
    let proxy = Proxy::start(kind, &scene.scopegate(), &service.to_string());
    Box::new(At {
        address: proxy.address.clone(),
        prefix: "",
        log,
        own_ways,
        serves: false,
        _running: Box::new(proxy),
    })
}

/// The gate as middleware of a poem program, on poem's own server.
pub(super) fn middleware(scene: &Scene) -> Box<dyn Front> {
    let runtime = Runtime::new().unwrap();
    let log = Log::default();
    let noted = log.clone();
    let configuration = scene.configuration("", "");
    let address = runtime.block_on(async move {
        let gate = Gate::builder().config_text(configuration).build().await.unwrap();
        let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await.unwrap();
        let address = acceptor.local_addr()[0].as_socket_addr().unwrap().to_string();
        tokio::spawn(poem::Server::new_with_acceptor(acceptor).run(note.data(noted).with(gate)));
        address
    });
    let own_ways = &[Oddity::Head];
    Box::new(At { address, prefix: "", log, own_ways, serves: true, _running: Box::new(runtime) })
}

/// Notes what a handler sees.
#[handler]
fn note(request: &Request, Data(log): Data<&Log>, caller: Caller) -> Response {
    let (method, version) = (request.method(), request.version());
    let place = noted(log, caller, method, request.uri(), version, request.headers());
    Response::builder().header("x-seen", place).body("ok")
}

/// The gate as a tower layer around an axum program, on axum's own server.
pub(super) fn tower(scene: &Scene) -> Box<dyn Front> {
    let runtime = Runtime::new().unwrap();
    let log = Log::default();
    let program = axum::Router::new().fallback(note_of_axum).with_state(log.clone());
    let configuration = scene.configuration("", "");
    let address = runtime.block_on(async move {
        let gate = Gate::builder().config_text(configuration).build().await.unwrap();
        let gated = axum::Router::new().fallback_service(GateLayer::outermost(gate).layer(program));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(axum::serve(listener, gated).into_future());
        address
    });
    let own_ways = &[Oddity::Head];
    Box::new(At { address, prefix: "", log, own_ways, serves: true, _running: Box::new(runtime) })
}

async fn note_of_axum(
    axum::extract::State(log): axum::extract::State<Log>,
    axum::Extension(caller): axum::Extension<Caller>,
    request: axum::extract::Request,
) -> ([(&'static str, String); 1], &'static str) {
    let (method, version) = (request.method(), request.version());
    let place = noted(&log, caller, method, request.uri(), version, request.headers());
    ([("x-seen", place.to_string())], "ok")
}

/// Where in the log it is what a handler sees: the caller is the gate's to say, whatever the headers say.
fn noted(
    log: &Log,
    caller: Caller,
    method: &Method,
    uri: &Uri,
    version: Version,
    headers: &HeaderMap,
) -> usize {
    let (subject, scopes) = match caller {
        Caller::Anonymous => (String::new(), String::new()),
        Caller::Known(principal) => {
            let subject = principal.subject().map(ToString::to_string).unwrap_or_default();
            (subject, principal.scopes().to_string())
        }
    };
    let mut fields = shown(headers);
    fields.push(("X-Auth-Subject".to_owned(), subject.into_bytes()));
    fields.push(("X-Auth-Scopes".to_owned(), scopes.into_bytes()));
    log.note(Seen::Request(Message {
        method: method.to_string(),
        target: uri.path_and_query().unwrap().as_str().as_bytes().to_vec(),
        version: format!("{version:?}"),
        fields,
    }))
}

/// The headers that a handler has no better source for.
fn shown(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    let ours = |name: &str| matches!(name, "host" | "authorization" | "x-case");
    let fields = headers.iter().filter(|(name, _)| ours(name.as_str()));
    fields.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}
