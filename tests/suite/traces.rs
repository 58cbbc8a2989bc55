//! Traces: the context of a request from proxy to service, and its span at a collector.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Bytes, http::HeaderMap, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value,
    trace::v1::Span,
};
use prost::Message;
use tokio::net::TcpListener;

use crate::{
    forward_auth::{Kind, Proxy},
    proxy::service,
    support::{Client, Server, eventually, with_issuer},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// nginx as the only way in: it passes the context on as it came.
const NGINX: &str = "worker_processes 1;\nevents { worker_connections 64; }\n\
    http {\n server { listen 127.0.0.1:8000; location / { proxy_pass http://127.0.0.1:8080; \
    proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr; \
    proxy_set_header X-Forwarded-Proto http; proxy_set_header X-Forwarded-Host $http_host; } }\n}\n";

/// A collector that keeps what it gets, over both protocols.
#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
    headers: Arc<Mutex<Vec<String>>>,
}

impl Collector {
    fn take(&self, request: ExportTraceServiceRequest) {
        let spans = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        self.spans.lock().unwrap().extend(spans.flat_map(|scope| scope.spans));
    }

    fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }

    /// Starts the collector over gRPC, and returns its URL.
    async fn start_grpc(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        let service = TraceServiceServer::new(self.clone());
        tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
        url
    }

    /// Starts the collector over HTTP, and returns its URL.
    async fn start_http(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let collector = self.clone();
        let traces = async move |headers: HeaderMap, body: Bytes| {
            assert_eq!(headers["content-type"], "application/x-protobuf");
            let token = headers.get("x-collector-token").map_or("", |value| value.to_str().unwrap());
            collector.headers.lock().unwrap().push(token.to_owned());
            collector.take(ExportTraceServiceRequest::decode(body).unwrap());
            ExportTraceServiceResponse::default().encode_to_vec()
        };
        let router = Router::new().route("/v1/traces", post(traces));
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        self.take(request.into_inner());
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

fn configuration(service: &str, trusted: &str, traces: &str) -> String {
    let rest = format!(
        r#"
scopes: {{ items: Items, "items:write": Write }}
upstreams: {{ live: {{ url: "http://{service}" }} }}
telemetry: {{ traces: {traces} }}
routes:
  - {{ match: GET /items/**, require: items, upstream: live }}
  - {{ match: POST /items, require: "items:write", upstream: live }}
"#
    );
    with_issuer(&format!("trusted_proxies: [{trusted}]"), "items, \"items:write\"", &rest)
}

fn attribute(span: &Span, name: &str) -> String {
    let found = span.attributes.iter().find(|attribute| attribute.key == name);
    match found.and_then(|found| found.value.clone()?.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{name}: {other:?}"),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(name));
    line.and_then(|line| line.split_once(": ")).map_or("", |(_, value)| value)
}

/// T11.1: the span of a request through nginx and scopegate to a service belongs to the caller's trace, and the service
/// continues it. Names are those of the semantic conventions; no query, token or secret is in a span.
#[tokio::test]
async fn a_request_through_nginx_and_scopegate_is_one_trace_at_a_collector() {
    let collector = Collector::default();
    let endpoint = collector.start_grpc().await;
    let (service, mut heads) = service().await;
    let traces = format!("{{ endpoint: \"{endpoint}\", sample: 0 }}");
    let server = Server::start(&configuration(&service, "127.0.0.1/32", &traces));
    let kind = Kind { configuration: NGINX, ..crate::forward_auth::NGINX };
    let nginx = Proxy::start(&kind, server.url.trim_start_matches("http://"), &service);
    let token = Client::new(&server.url).token("", "demo", "demo-secret", "items").await;
    let client = Client::new(&format!("http://{}", nginx.address));
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("traceparent", PARENT), ("tracestate", "vendor=1")];
    let answer = client.send("GET", "/items/42?secret=in-the-query", &headers, "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    client.send("POST", "/items", &headers, "").await;

    let spans = eventually(async || collector.spans(), |spans| spans.len() >= 2).await;
    let span = spans.iter().find(|span| span.name == "GET /items/**").unwrap();
    assert_eq!(hexadecimal(&span.trace_id), TRACE);
    assert_eq!((hexadecimal(&span.parent_span_id).as_str(), span.kind), ("00f067aa0ba902b7", 2));
    assert!(span.start_time_unix_nano <= span.end_time_unix_nano && span.status.is_none());
    for (name, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/items/**"),
        ("url.path", "/items/42"),
        ("http.response.status_code", "200"),
        ("client.address", "127.0.0.1"),
        ("scopegate.decision", "permitted"),
        ("scopegate.client", "demo"),
        ("scopegate.request_id", answer.header("x-request-id")),
    ] {
        assert_eq!(attribute(span, name), value, "{name}");
    }
    let seen = heads.recv().await.unwrap();
    let expected = format!("00-{TRACE}-{}-01", hexadecimal(&span.span_id));
    assert_eq!((header(&seen, "traceparent"), header(&seen, "tracestate")), (expected.as_str(), "vendor=1"));
    let denied = spans.iter().find(|span| span.name == "POST /items").unwrap();
    assert_eq!(attribute(denied, "scopegate.reason"), "insufficient_scope");
    let everything = format!("{spans:?}");
    for secret in [token.as_str(), "demo-secret", "in-the-query"] {
        assert!(!everything.contains(secret), "{secret}");
    }
}

/// A caller that is no trusted proxy can neither choose the trace nor force its export.
#[tokio::test]
async fn an_untrusted_caller_gets_a_trace_of_its_own_that_only_links_to_its_context() {
    let collector = Collector::default();
    let endpoint = collector.start_http().await;
    let (service, mut heads) = service().await;
    let traces = |sample: &str| {
        format!(
            "{{ endpoint: \"{endpoint}\", protocol: http, sample: {sample}, headers: {{ x-collector-token: collector-secret }} }}"
        )
    };
    let server = Server::start(&configuration(&service, "192.0.2.1/32", &traces("1")));
    let client = Client::new(&server.url);
    let bearer = format!("Bearer {}", client.token("", "demo", "demo-secret", "items").await);
    let headers = [("authorization", bearer.as_str()), ("traceparent", PARENT), ("tracestate", "vendor=1")];
    assert_eq!(client.send("GET", "/items/1", &headers, "").await.status, 200);
    let spans =
        eventually(async || collector.spans(), |spans| spans.iter().any(|span| span.name == "GET /items/**"))
            .await;
    let span = spans.iter().find(|span| span.name == "GET /items/**").unwrap();
    assert!(hexadecimal(&span.trace_id) != TRACE && span.parent_span_id.is_empty());
    assert_eq!(hexadecimal(&span.links[0].trace_id), TRACE);
    assert_eq!(collector.headers.lock().unwrap()[0], "collector-secret");
    let seen = heads.recv().await.unwrap();
    assert!(header(&seen, "traceparent").contains(&hexadecimal(&span.trace_id)), "{seen}");
    assert_eq!(header(&seen, "tracestate"), "");

    let server = Server::start(&configuration(&service, "192.0.2.1/32", &traces("0")));
    let client = Client::new(&server.url);
    let bearer = format!("Bearer {}", client.token("", "demo", "demo-secret", "items").await);
    let headers = [("authorization", bearer.as_str()), ("traceparent", PARENT)];
    assert_eq!(client.send("GET", "/items/1", &headers, "").await.status, 200);
    let seen = heads.recv().await.unwrap();
    assert!(header(&seen, "traceparent").ends_with("-00"), "nobody behind is asked to record: {seen}");
}

/// Without an endpoint nothing is exported, and the context is validated and passed on.
#[tokio::test]
async fn without_an_endpoint_a_context_is_passed_on_and_a_malformed_one_is_not() {
    let (service, mut heads) = service().await;
    let server = Server::start(&configuration(&service, "127.0.0.1/32", "{}"));
    let client = Client::new(&server.url);
    let bearer = format!("Bearer {}", client.token("", "demo", "demo-secret", "items").await);
    let forwarded = [
        ("x-forwarded-for", "192.0.2.7"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "api.example"),
    ];
    for (given, expected) in [(PARENT, PARENT), ("00-zero", "")] {
        let mut headers = vec![("authorization", bearer.as_str()), ("traceparent", given)];
        headers.extend(forwarded);
        assert_eq!(client.send("GET", "/items/1", &headers, "").await.status, 200);
        assert_eq!(header(&heads.recv().await.unwrap(), "traceparent"), expected, "{given}");
    }
}

/// T11.1: with the collector down or silent, requests are answered and spans are dropped and counted.
#[tokio::test]
async fn a_collector_that_is_down_or_silent_changes_no_answer() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_url = format!("http://{}", silent.local_addr().unwrap());
    let (service, _heads) = service().await;
    for (endpoint, protocol) in
        [("http://127.0.0.1:9", "grpc"), ("http://127.0.0.1:9", "http"), (&silent_url, "http")]
    {
        let traces = format!("{{ endpoint: \"{endpoint}\", protocol: {protocol} }}");
        let server = Server::start(&configuration(&service, "192.0.2.1/32", &traces));
        let client = Client::http2(&server.url);
        let token = client.token("", "demo", "demo-secret", "items").await;
        let requests = (0..3_000).map(|_| client.get_with("/items/1", &token));
        let answers = futures_util::future::join_all(requests).await;
        assert!(answers.iter().all(|answer| answer.status == 200), "{protocol} to {endpoint}");
        let page = Client::new(&server.operations);
        let lost = async || page.get("/metrics").await.text;
        let is_counted = |text: &String| {
            text.lines().any(|line| {
                line.starts_with("scopegate_spans_total{outcome=\"")
                    && !line.contains("exported")
                    && !line.ends_with(" 0")
            })
        };
        eventually(lost, is_counted).await;
    }
    drop(silent);
}

/// T11.2: a secret of the collector is not shown.
#[tokio::test]
async fn the_secret_of_the_collector_is_not_shown_by_check() {
    let config = configuration(
        "127.0.0.1:1",
        "192.0.2.1/32",
        "{ endpoint: \"http://127.0.0.1:9\", headers: { authorization: \"not a header\\nvalue-that-is-secret\" } }",
    );
    let run = crate::support::run(&[("scopegate.yaml", &config)], &["check"]);
    assert!(!format!("{run:?}").contains("value-that-is-secret"), "{run:?}");
}
