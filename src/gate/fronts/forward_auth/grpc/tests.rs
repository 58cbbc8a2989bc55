mod check_request;
mod messages;
mod parity;

use poem::Addr;
use serde_json::{Value, json};

use super::{
    super::tests::{APP, PROXY, endpoint},
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
        trace: HeaderMap::new(),
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
