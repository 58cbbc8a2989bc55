//! What Envoy asks over gRPC, put to a whole node: the bytes of a message in, the bytes of its answer out.

use std::sync::LazyLock;

use http::{Method, Version, uri::Scheme as UriScheme};
use poem::{
    Addr, Body, Endpoint, EndpointExt, Request,
    endpoint::BoxEndpoint,
    web::{LocalAddr, RemoteAddr},
};
use prost::Message;
use scopegate::{
    app::{App, PublicEndpoint},
    config::{ConfigSource, Loader},
    gate::forward_auth::grpc::messages::{
        CheckRequest, CheckResponse, HttpRequest, HttpResponse, OkHttpResponse,
    },
    policy::{Decision, RawTarget, Scheme, Target},
    server::Shutdown,
};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::servers::{POLICY, routes, serve_only_what_is_open};

static NODE: LazyLock<Node> = LazyLock::new(Node::start);

/// What the upstream is told of the caller.
const IDENTITY: &str = "x-user";

/// Bytes: a `CheckRequest`.
pub fn envoy_grpc(data: &[u8]) -> bool {
    let Some(told) = permitted(NODE.check(data)) else { return false };
    let check = CheckRequest::decode(data).unwrap_or_else(|error| panic!("permitted unread: {error}"));
    let http = check.attributes.and_then(|attributes| attributes.request).and_then(|request| request.http);
    let http = http.unwrap_or_else(|| panic!("permitted without a request"));
    says_one_thing(&http);
    let method = Method::from_bytes(http.method.as_bytes()).unwrap();
    let secured = ["https", "wss"].iter().any(|scheme| http.scheme.eq_ignore_ascii_case(scheme));
    let target = Target::parse(RawTarget {
        method: &method,
        scheme: if secured { Scheme::Https } else { Scheme::Http },
        authority: None,
        hosts: [http.host.as_bytes()],
        path_and_query: http.path.as_bytes(),
    });
    let target = target.unwrap_or_else(|error| panic!("{:?} is permitted: {error}", http.path));
    assert!(matches!(POLICY.decide(&target, None), Decision::Permit { .. }), "{target} is permitted");
    serve_only_what_is_open(target.path_as_sent().as_bytes());
    tells_of_nobody(&told);
    true
}

/// What is done to the request, if it may pass: Envoy takes a status that is not there for the one that lets it.
fn permitted(answer: Option<CheckResponse>) -> Option<OkHttpResponse> {
    let answer = answer?;
    match (answer.status.map_or(0, |status| status.code), answer.http_response) {
        (0, Some(HttpResponse::OkResponse(told))) => Some(told),
        (1.., Some(HttpResponse::DeniedResponse(denial))) => {
            let status = denial.status.map_or(200, |status| status.code);
            assert!((400..600).contains(&status), "refused as {status}");
            None
        }
        (code, other) => panic!("{code} with {other:?}"),
    }
}

fn says_one_thing(http: &HttpRequest) {
    assert!(http.query.is_empty() && http.fragment.is_empty(), "{http:?} has two queries");
    let apart = http.header_map.iter().flat_map(|map| &map.headers).map(|header| {
        let raw = !header.raw_value.is_empty();
        (&header.key, if raw { &*header.raw_value } else { header.value.as_bytes() })
    });
    let joined = http.headers.iter().map(|(name, value)| (name, value.as_bytes()));
    for (name, value) in apart.chain(joined) {
        let said = match name.as_str() {
            ":method" => &http.method,
            ":path" => &http.path,
            // gRPC's own client sends no scheme; the pseudo header then says it alone.
            ":scheme" if http.scheme.is_empty() => continue,
            ":scheme" => &http.scheme,
            ":authority" | "host" => &http.host,
            _ => continue,
        };
        assert_eq!(value, said.as_bytes(), "{http:?} is permitted though it says {name} in two ways");
    }
    assert!(http.headers.is_empty() || http.header_map.is_none(), "{http:?} has two sets of headers");
}

/// Every route that lets somebody in lets everybody in, so that nobody is known.
fn tells_of_nobody(told: &OkHttpResponse) {
    let headers = told.headers.iter().filter_map(|option| option.header.as_ref());
    let identity: Vec<&str> =
        headers.filter(|header| header.key == IDENTITY).map(|header| header.value.as_str()).collect();
    assert_eq!(identity, [""], "the upstream is told of a caller");
    assert!(!told.headers_to_remove.iter().any(|name| name == IDENTITY), "it is taken off again");
}

/// A node that Envoy asks.
struct Node {
    runtime: Runtime,
    grpc: BoxEndpoint<'static>,
}

impl Node {
    fn start() -> Self {
        let settings = json!({
            "server": { "trusted_proxies": ["10.0.0.1/32"] },
            "forward_auth": { "grpc_listen": "127.0.0.1:0" },
            "identity": { "headers": { IDENTITY: "sub" } },
            "routes": routes(),
        });
        let source = ConfigSource::Text { name: "fuzz.yaml".to_owned(), text: settings.to_string() };
        let loaded = Loader::new().without_environment().load(&source);
        let config = loaded.unwrap_or_else(|errors| panic!("{errors}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let reached = PublicEndpoint { public_url: "https://api.example".to_owned(), is_certain: false };
        let app = runtime.block_on(App::build(config, reached, Shutdown::new())).unwrap();
        Self { runtime, grpc: app.grpc().boxed() }
    }

    /// The answer to a message; none where the call fails, upon which Envoy lets nothing through.
    fn check(&self, message: &[u8]) -> Option<CheckResponse> {
        let answer = self.runtime.block_on(async {
            let answer = self.grpc.get_response(call(message)).await;
            answer.into_body().into_vec().await.unwrap()
        });
        let (_, answer) = answer.split_first_chunk::<5>()?;
        Some(CheckResponse::decode(answer).unwrap())
    }
}

/// The call with this message, in its frame.
fn call(message: &[u8]) -> Request {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let frame = [&[0], length.as_slice(), message].concat();
    let call = http::Request::post("/envoy.service.auth.v3.Authorization/Check").version(Version::HTTP_2);
    let call = call.header("content-type", "application/grpc").header("te", "trailers");
    let (parts, ()) = call.body(()).unwrap().into_parts();
    let remote = RemoteAddr(Addr::SocketAddr(([10, 0, 0, 1], 1).into()));
    Request::from_parts((parts, LocalAddr::default(), remote, UriScheme::HTTP).into(), Body::from_vec(frame))
}
