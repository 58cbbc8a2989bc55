use http::StatusCode;
use poem::Addr;
use prost::Message;
use serde_json::{Value, json};

use super::{
    super::{
        Traefik,
        tests::{APP, PROXY, ask, endpoint, reason},
    },
    messages::{
        AttributeContext, DeniedHttpResponse, HeaderMap as Apart, HeaderValue, HeaderValueOption,
        HttpRequest, HttpResponse, HttpStatus, OkHttpResponse, RequestAttributes, Status,
    },
    *,
};
use crate::policy::settings::IdentitySettings;

fn http(method: &str, path: &str) -> HttpRequest {
    HttpRequest {
        method: method.to_owned(),
        path: path.to_owned(),
        host: "api.example".to_owned(),
        scheme: "https".to_owned(),
        ..HttpRequest::default()
    }
}

fn with(headers: &[(&str, &str)], http: HttpRequest) -> HttpRequest {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    HttpRequest { headers, ..http }
}

fn apart(headers: &[(&str, &[u8])], http: HttpRequest) -> HttpRequest {
    let header = |(name, value): &(&str, &[u8])| HeaderValue {
        key: (*name).to_owned(),
        raw_value: Bytes::copy_from_slice(value),
        ..HeaderValue::default()
    };
    HttpRequest { header_map: Some(Apart { headers: headers.iter().map(header).collect() }), ..http }
}

fn about(http: HttpRequest) -> CheckRequest {
    let request = Some(RequestAttributes { http: Some(http) });
    CheckRequest { attributes: Some(AttributeContext { request }) }
}

fn sender(peer: &str) -> Sender {
    Sender {
        local: LocalAddr::default(),
        remote: RemoteAddr(Addr::SocketAddr(peer.parse().unwrap())),
        scheme: Scheme::HTTP,
        certified: None,
    }
}

fn authorization() -> Authorization<impl Endpoint<Output = Response>> {
    let headers = [("X-User".to_owned(), "sub".to_owned())].into();
    let settings = IdentitySettings { headers, ..Default::default() };
    let identities = Identities::of_policy(&settings, &crate::policy::Policy::default()).unwrap();
    let trusted = serde_json::from_value(json!(["10.42.0.0/16"])).unwrap();
    Authorization::new(endpoint(EnvoyGrpc), trusted, &identities)
}

async fn answer(http: HttpRequest) -> CheckResponse {
    authorization().check(&sender(PROXY), Ok(about(http))).await
}

fn permit(answer: CheckResponse) -> OkHttpResponse {
    match (answer.status, answer.http_response) {
        (Some(Status { code: 0, .. }), Some(HttpResponse::OkResponse(permit))) => permit,
        other => panic!("expected a permit, found {other:?}"),
    }
}

fn denial(answer: CheckResponse) -> DeniedHttpResponse {
    match (answer.status, answer.http_response) {
        (Some(Status { code: 1.., .. }), Some(HttpResponse::DeniedResponse(denial))) => denial,
        other => panic!("expected a denial, found {other:?}"),
    }
}

fn told(denial: &DeniedHttpResponse) -> (i32, String) {
    let body: Value = serde_json::from_str(&denial.body).unwrap();
    (denial.status.as_ref().unwrap().code, body["reason"].as_str().unwrap().to_owned())
}

async fn refused(http: HttpRequest) -> (i32, String) {
    told(&denial(answer(http).await))
}

fn fields(headers: &[HeaderValueOption]) -> Vec<(String, String)> {
    let field = |option: &HeaderValueOption| {
        let header = option.header.clone().unwrap();
        (header.key, header.value)
    };
    headers.iter().map(field).collect()
}

#[tokio::test]
async fn invariant_8_every_identity_header_is_set_over_grpc_and_other_spellings_are_taken_off() {
    let forged =
        [("x-user", "root"), ("x_user", "root"), ("x_http-method_override", "DELETE"), ("accept", "*/*")];
    let permit = permit(answer(with(&forged, http("GET", "/public/x"))).await);
    assert_eq!(fields(&permit.headers), [("x-user".to_owned(), String::new())]);
    let set = &permit.headers[0];
    assert_eq!((set.append_action, set.keep_empty_value), (2, true));
    for name in ["x_user", "x_http-method_override", "x-http-method-override", "x-original-url"] {
        assert!(permit.headers_to_remove.iter().any(|taken| taken == name), "{name}");
    }
    // Envoy takes off after it has set.
    assert!(!permit.headers_to_remove.iter().any(|taken| taken == "x-user" || taken == "accept"));
}

#[tokio::test]
async fn invariant_7_over_grpc_each_missing_part_is_a_denial() {
    let whole = || http("GET", "/public/x");
    let parts = [
        HttpRequest { method: String::new(), ..whole() },
        HttpRequest { method: "GET /".to_owned(), ..whole() },
        HttpRequest { path: String::new(), ..whole() },
        HttpRequest { host: String::new(), ..whole() },
        HttpRequest { scheme: String::new(), ..whole() },
        HttpRequest { scheme: "ftp".to_owned(), ..whole() },
    ];
    for part in parts {
        assert_eq!(refused(part.clone()).await, (403, "incomplete_metadata".to_owned()), "{part:?}");
    }
    let nothing = [CheckRequest::default(), CheckRequest { attributes: Some(AttributeContext::default()) }];
    for check in nothing {
        let answer = authorization().check(&sender(PROXY), Ok(check)).await;
        assert_eq!(told(&denial(answer)), (403, "incomplete_metadata".to_owned()));
    }
}

#[tokio::test]
async fn invariant_7_over_grpc_what_is_said_twice_must_be_the_same_both_times() {
    let whole = || http("GET", "/public/x");
    let twice = [
        with(&[(":path", "/items/1")], whole()),
        with(&[(":method", "POST")], whole()),
        with(&[(":authority", "other.example")], whole()),
        with(&[(":scheme", "http")], whole()),
        with(&[("host", "other.example")], whole()),
        apart(&[(":path", b"/items/1")], whole()),
        apart(&[("accept", b"*/*")], with(&[("accept", "*/*")], whole())),
        HttpRequest { query: "a=b".to_owned(), ..whole() },
        HttpRequest { fragment: "a".to_owned(), ..whole() },
    ];
    for said in twice {
        assert_eq!(refused(said.clone()).await, (403, "incomplete_metadata".to_owned()), "{said:?}");
    }
    let same =
        [(":path", "/public/x"), (":method", "GET"), (":authority", "api.example"), (":scheme", "https")];
    permit(answer(with(&same, whole())).await);
}

#[tokio::test]
async fn invariant_7_over_grpc_a_peer_that_is_not_trusted_is_denied_unless_its_certificate_is_verified() {
    let check = || Ok(about(http("GET", "/public/x")));
    let stranger = sender("192.0.2.1:4711");
    let refused = authorization().check(&stranger, check()).await;
    assert_eq!(told(&denial(refused)), (403, "untrusted_proxy".to_owned()));
    let certified = Sender { certified: Some(Certified), ..stranger };
    permit(authorization().check(&certified, check()).await);
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_a_denial() {
    let unread = CheckRequest::decode(&b"\x0a\xff"[..]);
    let answer = authorization().check(&sender(PROXY), unread).await;
    assert_eq!(told(&denial(answer)), (403, "incomplete_metadata".to_owned()));
}

#[tokio::test]
async fn several_tokens_are_refused_in_whichever_way_envoy_tells_of_them() {
    let bearers = with(&[("authorization", "Bearer a.b.c,Bearer d.e.f")], http("GET", "/items/1"));
    assert_eq!(refused(bearers).await, (400, "malformed_authorization".to_owned()));
    let behind_another = with(&[("authorization", "Basic YTpi,Bearer a.b.c")], http("GET", "/items/1"));
    assert_eq!(refused(behind_another).await, (400, "several_tokens".to_owned()));
    let both: [(&str, &[u8]); 2] = [("authorization", b"Basic YTpi"), ("authorization", b"Bearer a.b.c")];
    assert_eq!(refused(apart(&both, http("GET", "/items/1"))).await, (400, "several_tokens".to_owned()));
    let another = with(&[("authorization", "Basic YTpi")], http("GET", "/items/1"));
    assert_eq!(refused(another).await, (401, "no_token".to_owned()));
}

/// Whatever the request, gRPC and an HTTP dialect say the same of it.
#[tokio::test]
async fn grpc_refuses_and_permits_as_the_http_dialects_do() {
    let authorizations =
        [None, Some("Basic YTpi"), Some("Bearer"), Some("Bearer not.a.token"), Some("Bearer a b")];
    let paths = [
        "/public/x",
        "/public/x?y=1",
        "/public/",
        "/items/1",
        "/elsewhere",
        "/public/../items/1",
        "/public/%2e%2e/items",
        "/public/a%2Fb",
        "/public//x",
        "/public/x;y",
        "/public/%00",
        "/public/x#y",
        "public",
        "*",
        "//items/1",
        "/%70ublic/x",
    ];
    for (method, path) in
        ["GET", "HEAD", "POST", "CONNECT"].iter().flat_map(|method| paths.map(|path| (*method, path)))
    {
        for authorization in authorizations {
            let headers: Vec<_> = authorization.iter().map(|value| ("authorization", *value)).collect();
            let over_grpc = answer(with(&headers, http(method, path))).await;
            let metadata = [
                ("x-forwarded-method", method),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "api.example"),
                ("x-forwarded-uri", path),
            ];
            let over_http =
                ask(Traefik, PROXY, Method::GET, "/", &[&metadata, headers.as_slice()].concat()).await;
            same(over_grpc, over_http).await;
        }
    }
}

#[test]
fn the_token_goes_on_as_it_is_told() {
    let answer = |values: &[&str]| {
        let answer =
            values.iter().fold(Response::builder(), |answer, value| answer.header("authorization", *value));
        let permit = permit(permitted(&answer.finish(), std::iter::empty()));
        (fields(&permit.headers), permit.headers_to_remove)
    };
    let ours = ("authorization".to_owned(), "Bearer ours".to_owned());
    assert_eq!(answer(&["Bearer ours"]), (vec![ours], vec![]));
    assert_eq!(answer(&[""]), (vec![], vec!["authorization".to_owned()]));
    for kept in [&[][..], &["Basic YTpi", "Bearer a"], &["", "Bearer a"]] {
        assert_eq!(answer(kept), (vec![], vec![]));
    }
    let answer = Response::builder().header("sec-websocket-protocol", "").finish();
    let permit = permit(permitted(&answer, std::iter::empty()));
    assert_eq!(
        (fields(&permit.headers), permit.headers_to_remove),
        (vec![], vec!["sec-websocket-protocol".to_owned()])
    );
}

#[tokio::test]
async fn whose_pages_may_read_the_answer_is_told_to_the_caller_and_not_to_the_upstream() {
    let permit = permit(answer(with(&[("origin", APP)], http("GET", "/public/x"))).await);
    assert_eq!(fields(&permit.headers), [("x-user".to_owned(), String::new())]);
    let told = fields(&permit.response_headers_to_add);
    assert!(told.contains(&("access-control-allow-origin".to_owned(), APP.to_owned())), "{told:?}");
}

async fn same(over_grpc: CheckResponse, over_http: Response) {
    if over_http.status() == StatusCode::OK {
        // What is told beside speaks of the answer, or to the caller.
        let told = over_http
            .headers()
            .iter()
            .filter(|(name, _)| !["cache-control", "vary"].contains(&name.as_str()));
        let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
        let mut expected: Vec<_> = told.map(|(name, value)| (name.to_string(), text(value))).collect();
        let mut found = fields(&permit(over_grpc).headers);
        expected.sort();
        found.sort();
        assert_eq!(found, expected);
        return;
    }
    let denial = denial(over_grpc);
    let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
    let mut expected: Vec<_> =
        over_http.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let mut found = fields(&denial.headers);
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
    let (status, said) = reason(over_http).await;
    assert_eq!(told(&denial), (status.as_u16().into(), said));
}

#[test]
fn invariant_11_no_message_prints_what_a_header_or_a_query_holds() {
    let joined = with(&[("authorization", "Bearer hidden")], http("GET", "/x?hidden"));
    let apart = apart(&[("authorization", b"Bearer hidden")], http("GET", "/x"));
    for request in [about(joined), about(apart)] {
        assert!(!format!("{request:?}").contains("hidden"));
    }
    let answer = Response::builder().header("authorization", "Bearer hidden").finish();
    assert!(!format!("{:?}", permitted(&answer, std::iter::empty())).contains("hidden"));
}

fn bytes(hexadecimal: &str) -> Vec<u8> {
    let digits = hexadecimal.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// The messages as code that was generated from Envoy's own protocol buffers writes them, with fields that are skipped here.
fn generated(name: &str) -> Vec<u8> {
    let line =
        include_str!("../../../../tests/data/ext_authz.txt").lines().find_map(|line| line.strip_prefix(name));
    bytes(line.unwrap().trim())
}

#[test]
fn what_envoy_writes_is_read() {
    let joined = Told::read(CheckRequest::decode(&*generated("request_joined")).unwrap()).unwrap();
    assert_eq!((joined.asked.method, joined.asked.host), (Method::GET, b"api.example".to_vec()));
    assert_eq!(joined.asked.path_and_query, b"/items/1?q=2");
    assert_eq!(joined.headers["authorization"], "Bearer a.b.c");
    let raw = Told::read(CheckRequest::decode(&*generated("request_raw")).unwrap()).unwrap();
    assert_eq!(
        (&raw.headers["authorization"], &raw.headers["x-request-id"]),
        (&"Bearer a.b.c".parse().unwrap(), &"0af7".parse().unwrap())
    );
    assert_eq!(raw.headers.len(), 2);
}

#[test]
fn what_is_written_envoy_reads() {
    let set = |key: &str, value: &str| HeaderValueOption {
        header: Some(HeaderValue { key: key.to_owned(), value: value.to_owned(), ..HeaderValue::default() }),
        append_action: 2,
        keep_empty_value: true,
    };
    let permitted = OkHttpResponse {
        headers: vec![set("x-user", "demo")],
        headers_to_remove: vec!["x_user".to_owned()],
        response_headers_to_add: Vec::new(),
    };
    let permitted = CheckResponse {
        status: Some(Status::default()),
        http_response: Some(HttpResponse::OkResponse(permitted)),
    };
    assert_eq!(permitted.encode_to_vec(), generated("permitted"));
    let denied = DeniedHttpResponse {
        status: Some(HttpStatus { code: 401 }),
        headers: vec![set("retry-after", "1")],
        body: "{}".to_owned(),
    };
    let status = Some(Status { code: 7, message: "no_token".to_owned() });
    let denied = CheckResponse { status, http_response: Some(HttpResponse::DeniedResponse(denied)) };
    assert_eq!(denied.encode_to_vec(), generated("denied"));
}
