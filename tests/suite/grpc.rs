//! The running program, asked over gRPC by a real client as Envoy asks.

use std::collections::HashMap;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::uri::PathAndQuery;
use scopegate::{
    api::grpc_health::{HealthCheckRequest, HealthCheckResponse, ServingStatus},
    gate::forward_auth::grpc::messages::{
        AttributeContext, CheckRequest, CheckResponse, HeaderValueOption, HttpRequest, HttpResponse,
        RequestAttributes,
    },
};
use serde_json::Value;
use tonic::{
    Code, Status,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};
use tonic_prost::ProstCodec;

use crate::{
    forward_auth::TRICKS,
    support::{Client, Server, eventually, with_issuer},
};

const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";
const HEALTH: &str = "/grpc.health.v1.Health/Check";

fn configuration(forward_auth: &str, trusted: &str) -> String {
    let rest = format!(
        r"
forward_auth: {{ grpc_listen: 127.0.0.1:0{forward_auth} }}
identity: {{ headers: {{ X-Auth-Subject: sub, X-Auth-Scopes: scope }} }}
scopes: {{ items: Read items, admin: Administer }}
routes:
  - {{ match: GET /public/**, allow: anonymous }}
  - {{ match: GET /items/**, require: items }}
  - {{ match: /admin/**, require: admin }}
"
    );
    with_issuer(&format!("trusted_proxies: [{trusted}], shutdown_grace: 20s"), "items", &rest)
}

fn start() -> Server {
    Server::start(&configuration("", "127.0.0.1/32"))
}

/// Asks as Envoy does.
pub(crate) struct Envoy(tonic::client::Grpc<Channel>);

impl Envoy {
    pub(crate) async fn of(server: &Server) -> Self {
        Self::over(Endpoint::from_shared(server.grpc.clone()).unwrap()).await
    }

    async fn over(endpoint: Endpoint) -> Self {
        Self(tonic::client::Grpc::new(endpoint.connect().await.unwrap()))
    }

    async fn call<I, O>(&mut self, path: &'static str, message: I) -> Result<O, Status>
    where
        I: prost::Message + 'static,
        O: prost::Message + Default + 'static,
    {
        self.0.ready().await.unwrap();
        let (request, path) = (tonic::Request::new(message), PathAndQuery::from_static(path));
        self.0.unary(request, path, ProstCodec::default()).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let http = HttpRequest {
            method: method.to_owned(),
            path: path.to_owned(),
            host: "api.example".to_owned(),
            scheme: "https".to_owned(),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            ..HttpRequest::default()
        };
        self.check(http).await
    }

    /// Asks as Envoy does where it traces: its own span is in the metadata of the call.
    pub(crate) async fn ask_within(&mut self, traceparent: &str, http: HttpRequest) -> Answer {
        self.0.ready().await.unwrap();
        let request = Some(RequestAttributes { http: Some(http) });
        let check = CheckRequest { attributes: Some(AttributeContext { request }) };
        let mut request = tonic::Request::new(check);
        request.metadata_mut().insert("traceparent", traceparent.parse().unwrap());
        let (path, codec) = (PathAndQuery::from_static(CHECK), ProstCodec::default());
        let answer = self.0.unary(request, path, codec).await;
        Answer::of(answer.unwrap().into_inner())
    }

    async fn check(&mut self, http: HttpRequest) -> Answer {
        let request = Some(RequestAttributes { http: Some(http) });
        let check = CheckRequest { attributes: Some(AttributeContext { request }) };
        Answer::of(self.call(CHECK, check).await.unwrap())
    }

    async fn health(&mut self, service: &str) -> Result<ServingStatus, Status> {
        let request = HealthCheckRequest { service: service.to_owned() };
        self.call(HEALTH, request).await.map(|answer: HealthCheckResponse| answer.status())
    }
}

/// What Envoy does upon an answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// 200 where the request goes on.
    pub(crate) status: i32,
    headers: HashMap<String, String>,
    pub(crate) taken_off: Vec<String>,
    body: String,
}

impl Answer {
    fn of(answer: CheckResponse) -> Self {
        let fields = |headers: Vec<HeaderValueOption>| {
            headers
                .into_iter()
                .filter_map(|option| option.header)
                .map(|header| (header.key, header.value))
                .collect()
        };
        let code = answer.status.expect("a status").code;
        match answer.http_response {
            Some(HttpResponse::OkResponse(permit)) if code == 0 => {
                let (headers, taken_off) = (fields(permit.headers), permit.headers_to_remove);
                Self { status: 200, headers, taken_off, body: String::new() }
            }
            Some(HttpResponse::DeniedResponse(denial)) if code != 0 => {
                let (status, headers) = (denial.status.unwrap().code, fields(denial.headers));
                Self { status, headers, taken_off: Vec::new(), body: denial.body }
            }
            other => panic!("{code} with {other:?}"),
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

#[tokio::test]
async fn envoy_passes_over_grpc_what_is_permitted_and_relays_what_is_refused() {
    let server = start();
    let token = Client::new(&server.url).token("", "demo", "demo-secret", "items").await;
    let bearer = format!("Bearer {token}");
    let mut envoy = Envoy::of(&server).await;
    let permitted =
        envoy.ask("GET", "/items/1?q=2", &[("authorization", &bearer), ("x-request-id", "0af7")]).await;
    assert_eq!((permitted.status, permitted.header("x-auth-subject")), (200, "demo"), "{permitted:?}");
    assert_eq!((permitted.header("x-auth-scopes"), permitted.header("x-request-id")), ("items", "0af7"));

    let forged = [("x-auth-subject", "root"), ("x_auth_subject", "root")];
    let anonymous = envoy.ask("GET", "/public/x", &forged).await;
    assert_eq!((anonymous.status, anonymous.header("x-auth-subject")), (200, ""), "{anonymous:?}");
    assert!(anonymous.taken_off.contains(&"x_auth_subject".to_owned()), "{anonymous:?}");

    let without = envoy.ask("GET", "/items/1", &[]).await;
    assert_eq!((without.status, &without.json()["reason"]), (401, &"no_token".into()), "{without:?}");
    assert!(without.header("www-authenticate").contains("scope=\"items\""), "{without:?}");
    assert_eq!(without.header("content-type"), "application/problem+json");
    let lacking = envoy.ask("GET", "/admin/x", &[("authorization", &bearer)]).await;
    assert_eq!(
        (lacking.status, &lacking.json()["missing_scopes"]),
        (403, &vec!["admin"].into()),
        "{lacking:?}"
    );
    let method = envoy.ask("POST", "/public/x", &[]).await;
    assert_eq!((method.status, method.header("allow")), (405, "GET, HEAD"), "{method:?}");

    let operations = Client::new(&server.operations);
    let page = operations.get("/metrics").await.text;
    let counted = r#"route="GET /items/**",decision="deny",reason="no_token",provider="",status="4xx"} 1"#;
    assert!(page.contains(counted), "{page}");
}

#[tokio::test]
async fn over_grpc_a_service_is_given_the_token_that_is_minted_for_it() {
    let minting = configuration("", "127.0.0.1/32").replace("identity: {", "identity: { forward: mint,");
    let server = Server::start(&minting);
    let token = Client::new(&server.url).token("", "demo", "demo-secret", "items").await;
    let mut envoy = Envoy::of(&server).await;
    let permitted = envoy.ask("GET", "/items/1", &[("authorization", &format!("Bearer {token}"))]).await;
    assert_eq!(permitted.status, 200, "{permitted:?}");
    let minted = permitted.header("authorization").strip_prefix("Bearer ").unwrap();
    let claims: Value = {
        let payload = minted.split('.').nth(1).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
    };
    assert_eq!((&claims["iss"], &claims["sub"]), (&server.url.clone().into(), &"demo".into()), "{claims}");
}

#[tokio::test]
async fn over_grpc_no_trick_is_let_through() {
    let server = start();
    let mut envoy = Envoy::of(&server).await;
    for trick in TRICKS {
        let answer = envoy.ask("GET", trick, &[]).await;
        assert!((400..500).contains(&answer.status), "{trick} was let through: {answer:?}");
    }
}

#[tokio::test]
async fn invariant_7_over_grpc_a_stranger_is_denied_whatever_it_says() {
    let server = Server::start(&configuration("", "10.42.0.0/16"));
    let mut stranger = Envoy::of(&server).await;
    let answer = stranger.ask("GET", "/public/x", &[]).await;
    assert_eq!((answer.status, &answer.json()["reason"]), (403, &"untrusted_proxy".into()), "{answer:?}");
}

fn file(name: &str) -> String {
    format!("{}/tests/data/tls/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn secured(server: &Server, own: Option<&str>) -> Endpoint {
    let read = |name: &str| std::fs::read(file(name)).unwrap();
    let tls = ClientTlsConfig::new()
        .domain_name("localhost")
        .ca_certificate(Certificate::from_pem(read("authority.pem")));
    let tls = match own {
        Some(own) => {
            tls.identity(Identity::from_pem(read(&format!("{own}.pem")), read(&format!("{own}.key"))))
        }
        None => tls,
    };
    Endpoint::from_shared(server.grpc.clone()).unwrap().tls_config(tls).unwrap()
}

#[tokio::test]
async fn invariant_7_over_grpc_a_client_s_certificate_is_trusted_if_it_is_vouched_for() {
    let tls = format!(
        ", grpc_tls: {{ certificate: {}, key: {}, client_ca: {} }}",
        file("server.pem"),
        file("server.key"),
        file("clients.pem")
    );
    let server = Server::start(&configuration(&tls, ""));
    assert!(server.grpc.starts_with("https://"), "{}", server.grpc);
    let mut certified = Envoy::over(secured(&server, Some("client"))).await;
    assert_eq!(certified.ask("GET", "/public/x", &[]).await.status, 200);
    let mut nobody = Envoy::over(secured(&server, None)).await;
    assert_eq!(nobody.ask("GET", "/public/x", &[]).await.json()["reason"], "untrusted_proxy");
    assert_eq!(nobody.health("").await.unwrap(), ServingStatus::Serving);
    // Told after the handshake, so that it is the first call that fails.
    if let Ok(channel) = secured(&server, Some("other")).connect().await {
        let mut forged = Envoy(tonic::client::Grpc::new(channel));
        if forged.0.ready().await.is_ok() {
            let path = PathAndQuery::from_static(HEALTH);
            let request = tonic::Request::new(HealthCheckRequest::default());
            let codec = ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
            assert!(forged.0.unary(request, path, codec).await.is_err());
        }
    }
}

/// A4: Envoy is told to remove every spelling of a protected header that it shows.
#[tokio::test]
async fn envoy_removes_every_spelling_of_a_protected_header() {
    let server = start();
    let mut envoy = Envoy::of(&server).await;
    let spellings =
        ["x.forwarded.for", "x!original!url", "x.http.method.override", "x~auth~subject", "x_auth_scopes"];
    let answer = envoy.ask("GET", "/public/x", &spellings.map(|name| (name, "forged"))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    for spelling in spellings {
        assert!(answer.taken_off.iter().any(|name| name == spelling), "{spelling}: {answer:?}");
    }
}

/// CASES F5: gRPC's own client of the protocol sends no scheme.
#[tokio::test]
async fn a_check_without_a_scheme_is_decided() {
    let server = start();
    let mut envoy = Envoy::of(&server).await;
    let method = "GET".to_owned();
    for (path, status) in [("/public/x", 200), ("/items/1", 401)] {
        let (path, host) = (path.to_owned(), "api.example".to_owned());
        let answer =
            envoy.check(HttpRequest { method: method.clone(), path, host, ..HttpRequest::default() }).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
}

#[tokio::test]
async fn health_is_told_over_grpc_and_a_watcher_hears_of_the_end() {
    let mut server = start();
    let mut envoy = Envoy::of(&server).await;
    for service in ["", "envoy.service.auth.v3.Authorization"] {
        assert_eq!(envoy.health(service).await.unwrap(), ServingStatus::Serving);
    }
    assert_eq!(envoy.health("other").await.unwrap_err().code(), Code::NotFound);
    let unknown: Result<HealthCheckResponse, _> =
        envoy.call("/other.Service/Call", HealthCheckRequest::default()).await;
    assert_eq!(unknown.unwrap_err().code(), Code::Unimplemented);

    envoy.0.ready().await.unwrap();
    let path = PathAndQuery::from_static("/grpc.health.v1.Health/Watch");
    let codec = ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
    let request = tonic::Request::new(HealthCheckRequest::default());
    let mut watch = envoy.0.server_streaming(request, path, codec).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    server.signal("TERM");
    let mut last = watch.message().await;
    while let Ok(Some(_)) = last {
        last = watch.message().await;
    }
    assert_eq!(last.unwrap_err().code(), Code::Unavailable);
    let begun = std::time::Instant::now();
    assert!(server.wait().await.success());
    assert!(begun.elapsed().as_secs() < 15, "the watcher held it up");
}

#[tokio::test]
async fn what_is_no_grpc_is_refused_on_the_grpc_listener() {
    let server = start();
    let client = Client::new(&server.grpc);
    assert_eq!(client.get(CHECK).await.status, 505);
    let http2 = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
    let answer = http2.post(format!("{}{CHECK}", server.grpc)).body("{}").send().await.unwrap();
    assert_eq!(answer.status(), 415);
}

#[tokio::test]
async fn a_reload_reaches_who_asks_over_grpc() {
    let server = start();
    let mut envoy = Envoy::of(&server).await;
    assert_eq!(envoy.ask("GET", "/public/x", &[]).await.status, 200);
    let file = server.folder().join("scopegate.yaml");
    let closed = std::fs::read_to_string(&file).unwrap().replace("allow: anonymous", "allow: nobody");
    std::fs::write(&file, closed).unwrap();
    eventually(async || envoy.ask("GET", "/public/x", &[]).await.status, |status| *status == 403).await;
}
