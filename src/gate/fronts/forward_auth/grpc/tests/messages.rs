//! The messages on the wire and in print.

use prost::Message;

use super::*;

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
    let line = include_str!("../../../../../../tests/data/ext_authz.txt")
        .lines()
        .find_map(|line| line.strip_prefix(name));
    bytes(line.unwrap().trim())
}

#[test]
fn what_envoy_writes_is_read() {
    let joined = CheckedRequest::read(CheckRequest::decode(&*generated("request_joined")).unwrap()).unwrap();
    assert_eq!((joined.original.method, joined.original.host), (Method::GET, b"api.example".to_vec()));
    assert_eq!(joined.original.path_and_query, b"/items/1?q=2");
    assert_eq!(joined.headers["authorization"], "Bearer a.b.c");
    let raw = CheckedRequest::read(CheckRequest::decode(&*generated("request_raw")).unwrap()).unwrap();
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
