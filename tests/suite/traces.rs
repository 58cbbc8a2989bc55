//! Traces: the context of a request from proxy to service, and its span at a collector.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, StatusCode},
    routing::post,
};
use futures_util::StreamExt;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_client::TraceServiceClient,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message;
use tokio::net::TcpListener;

use scopegate::gate::forward_auth::grpc::messages::HttpRequest;

use crate::{
    forward_auth::{Kind, Proxy},
    grpc::Envoy,
    proxy::service,
    secrecy::Written,
    support::{Chance, Client, Server, eventually, with_issuer},
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

fn bytes(hexadecimal: &str) -> Vec<u8> {
    (0..hexadecimal.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hexadecimal[at..at + 2], 16).unwrap())
        .collect()
}

/// Exports a span as the service that got a request with this head does: the child of the span that called it.
async fn export_as_the_service(collector: &str, head: &str) {
    let fields: Vec<&str> = header(head, "traceparent").split('-').collect();
    let span = Span {
        trace_id: bytes(fields[1]),
        parent_span_id: bytes(fields[2]),
        span_id: vec![7; 8],
        name: "service".to_owned(),
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    let mut client = TraceServiceClient::connect(collector.to_owned()).await.unwrap();
    client.export(ExportTraceServiceRequest { resource_spans }).await.unwrap();
}

/// The spans of a request through nginx, scopegate and a service are one trace: the service's span is the child of
/// scopegate's call, which is the child of scopegate's request, which is the child of the caller's span. Names are those of the semantic conventions; no query, token or secret is in a span.
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

    let spans = eventually(async || collector.spans(), |spans| spans.len() >= 3).await;
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
    let call = spans.iter().find(|span| span.kind == 3).unwrap();
    assert_eq!((&call.trace_id, &call.parent_span_id), (&span.trace_id, &span.span_id));
    let (host, port) = service.split_once(':').unwrap();
    let full = format!("http://{service}/items/42");
    for (name, value) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("server.address", host),
        ("server.port", port),
        ("url.full", full.as_str()),
        ("scopegate.upstream", "live"),
    ] {
        assert_eq!(attribute(call, name), value, "{name}");
    }
    let expected = format!("00-{TRACE}-{}-01", hexadecimal(&call.span_id));
    assert_eq!((header(&seen, "traceparent"), header(&seen, "tracestate")), (expected.as_str(), "vendor=1"));
    export_as_the_service(&endpoint, &seen).await;
    let service_span = collector.spans().into_iter().find(|span| span.name == "service").unwrap();
    assert_eq!((&service_span.trace_id, &service_span.parent_span_id), (&call.trace_id, &call.span_id));
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

/// An upstream that cannot be reached leaves a span with an error.
#[tokio::test]
async fn a_call_to_an_upstream_that_is_down_is_a_span_with_an_error() {
    let collector = Collector::default();
    let endpoint = collector.start_grpc().await;
    let server = Server::start(&configuration(
        "127.0.0.1:9",
        "192.0.2.1/32",
        &format!("{{ endpoint: \"{endpoint}\" }}"),
    ));
    let client = Client::new(&server.url);
    let token = client.token("", "demo", "demo-secret", "items").await;
    assert_eq!(client.get_with("/items/1", &token).await.status, 502);
    let is_call = |span: &Span| span.kind == 3;
    let spans = eventually(async || collector.spans(), |spans| spans.iter().any(is_call)).await;
    let call = spans.iter().find(|span| is_call(span)).unwrap();
    assert_eq!(attribute(call, "error.type"), "upstream_unreachable");
    assert_eq!(call.status.as_ref().map(|status| status.code), Some(2));
}

/// T11.3: the trace id in the body of a problem and in the log is that of the exported span.
#[tokio::test]
async fn a_problem_its_line_in_the_log_and_its_span_name_the_same_trace() {
    let collector = Collector::default();
    let endpoint = collector.start_http().await;
    let traces = format!("{{ endpoint: \"{endpoint}\", protocol: http }}, log: {{ format: json }}");
    let written = Written::start(&configuration("127.0.0.1:9", "192.0.2.1/32", &traces));
    let client = written.client().await;
    let answer = client.get("/items/1").await;
    assert_eq!(answer.status, 401, "{answer:?}");
    let trace_id = answer.json()["trace_id"].as_str().unwrap().to_owned();
    let spans = eventually(async || collector.spans(), |spans| !spans.is_empty()).await;
    assert_eq!(hexadecimal(&spans[0].trace_id), trace_id);
    let log = written.text();
    let line = log.lines().find(|line| line.contains("\"no_token\"")).unwrap();
    assert!(line.contains(&format!("\"trace_id\":\"{trace_id}\"")), "{line}");
}

/// T11.3: without an exporter, the trace is the one that a trusted proxy has named.
#[tokio::test]
async fn a_problem_names_the_trace_of_the_proxy() {
    let server = Server::start(&configuration("127.0.0.1:9", "127.0.0.1/32", "{}"));
    let forwarded = [
        ("x-forwarded-for", "192.0.2.7"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "api.example"),
        ("traceparent", PARENT),
    ];
    let answer = Client::new(&server.url).send("GET", "/items/1", &forwarded, "").await;
    assert_eq!(answer.json()["trace_id"], TRACE, "{answer:?}");
}

/// A check over gRPC is a span of Envoy's trace: that of the call's metadata, not of the caller's header.
#[tokio::test]
async fn a_check_over_grpc_is_a_span_of_envoys_trace() {
    let collector = Collector::default();
    let endpoint = collector.start_grpc().await;
    let config = configuration("127.0.0.1:9", "127.0.0.1/32", &format!("{{ endpoint: \"{endpoint}\" }}"));
    let server = Server::start(&format!("{config}forward_auth: {{ grpc_listen: 127.0.0.1:0 }}\n"));
    let of_the_caller = "00-11111111111111111111111111111111-2222222222222222-01";
    let http = HttpRequest {
        method: "GET".to_owned(),
        path: "/items/9?secret=in-the-query".to_owned(),
        host: "api.example".to_owned(),
        scheme: "https".to_owned(),
        headers: [("traceparent".to_owned(), of_the_caller.to_owned())].into(),
        ..HttpRequest::default()
    };
    let answer = Envoy::of(&server).await.ask_within(PARENT, http).await;
    assert_eq!((answer.status, answer.json()["trace_id"].as_str()), (401, Some(TRACE)), "{answer:?}");
    assert_eq!(answer.json()["request_id"], answer.header("x-request-id"));
    let spans = eventually(async || collector.spans(), |spans| !spans.is_empty()).await;
    let span = &spans[0];
    assert_eq!((hexadecimal(&span.trace_id).as_str(), span.name.as_str()), (TRACE, "GET /items/**"));
    assert_eq!(hexadecimal(&span.parent_span_id), "00f067aa0ba902b7");
    assert_eq!((attribute(span, "url.path").as_str(), spans.len()), ("/items/9", 1));
    assert!(!format!("{spans:?}").contains("in-the-query"));
}

/// T11.4: random paths and methods give a bounded number of span names and label sets.
#[tokio::test]
async fn ten_thousand_random_paths_and_methods_give_few_span_names_and_label_sets() {
    let collector = Collector::default();
    let endpoint = collector.start_grpc().await;
    let traces = format!("{{ endpoint: \"{endpoint}\" }}");
    let server = Server::start(&configuration("127.0.0.1:9", "192.0.2.1/32", &traces));
    let client = Client::http2(&server.url);
    let page = Client::new(&server.operations);
    let mut chance = Chance::new(11);
    for _ in 0..20 {
        let targets: Vec<_> = (0..500)
            .map(|_| {
                let method = match chance.of(0..4) {
                    0 => format!("M{}", chance.number()),
                    1 => "POST".to_owned(),
                    _ => "GET".to_owned(),
                };
                let folder = ["items", "other", "items/a"][chance.of(0..3)];
                (method, format!("/{folder}/{}", chance.number()))
            })
            .collect();
        let requests = targets.iter().map(|(method, path)| client.send(method, path, &[], ""));
        futures_util::future::join_all(requests).await;
    }
    let is_empty = |text: &String| {
        let count = |outcome: &str| {
            let start = format!("scopegate_spans_total{{outcome=\"{outcome}\"}} ");
            text.lines().find_map(|line| line.strip_prefix(&start)?.parse::<u64>().ok()).unwrap_or(0)
        };
        count("exported") + count("dropped") >= 10_000
    };
    let metrics = eventually(async || page.get("/metrics").await.text, is_empty).await;
    let names: std::collections::BTreeSet<_> = collector.spans().into_iter().map(|span| span.name).collect();
    let known = ["GET", "GET /items/**", "HTTP", "HTTP /items/**", "POST", "POST /items", "POST /items/**"];
    assert!(names.iter().all(|name| known.contains(&name.as_str())), "{names:?}");
    let requests = metrics.lines().filter(|line| line.starts_with("scopegate_requests_total{"));
    assert!((1..40).contains(&requests.count()), "{metrics}");
    assert!(metrics.lines().count() < 3_000, "{} lines", metrics.lines().count());
}

/// Returns the median time of an answer of each server, asked in turn.
async fn medians(clients: &[(Client, String)]) -> Vec<std::time::Duration> {
    let mut times = vec![Vec::new(); clients.len()];
    for _ in 0..200 {
        for ((client, token), times) in clients.iter().zip(&mut times) {
            let start = std::time::Instant::now();
            assert_eq!(client.get_with("/items/1", token).await.status, 200);
            times.push(start.elapsed());
        }
    }
    for times in &mut times {
        times.sort();
    }
    times.iter().map(|times| times[times.len() / 2]).collect()
}

/// T11.1: with the collector down, silent, refusing or answering without end, latency and memory do not change, and the
/// spans are dropped and counted.
#[tokio::test]
async fn a_collector_that_is_down_slow_or_refuses_changes_neither_latency_nor_memory() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_url = format!("http://{}", silent.local_addr().unwrap());
    let refusing = post(async || StatusCode::SERVICE_UNAVAILABLE);
    let endless = post(async || {
        let parts = futures_util::stream::repeat(Bytes::from(vec![0; 65_536]));
        Body::from_stream(parts.map(Ok::<_, std::io::Error>))
    });
    let mut urls = Vec::new();
    for answer in [refusing, endless] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        urls.push(format!("http://{}", listener.local_addr().unwrap()));
        let router = Router::new().route("/v1/traces", answer);
        tokio::spawn(async move { axum::serve(listener, router).await });
    }
    let (service, _heads) = service().await;
    let plain = Server::start(&configuration(&service, "192.0.2.1/32", "{}"));
    for (endpoint, protocol) in [
        ("http://127.0.0.1:9", "grpc"),
        ("http://127.0.0.1:9", "http"),
        (&silent_url, "http"),
        (&urls[0], "http"),
        (&urls[1], "http"),
    ] {
        let what = format!("{protocol} to {endpoint}");
        let traces = format!("{{ endpoint: \"{endpoint}\", protocol: {protocol} }}");
        let server = Server::start(&configuration(&service, "192.0.2.1/32", &traces));
        let mut clients = Vec::new();
        for server in [&plain, &server] {
            let client = Client::http2(&server.url);
            let token = client.token("", "demo", "demo-secret", "items").await;
            clients.push((client, token));
        }
        let mut memory = Vec::new();
        for _ in 0..2 {
            let requests = (0..1_500).map(|_| clients[1].0.get_with("/items/1", &clients[1].1));
            let answers = futures_util::future::join_all(requests).await;
            assert!(answers.iter().all(|answer| answer.status == 200), "{what}");
            memory.push(server.memory());
        }
        assert!(memory[1] < memory[0] + (16 << 20), "{what}: {memory:?}");
        let times = medians(&clients).await;
        assert!(times[1] < 2 * times[0] + std::time::Duration::from_millis(1), "{what}: {times:?}");
        if *endpoint == urls[1] {
            continue;
        }
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
