//! Refusals and failures as responses to gRPC calls.
//!
//! A gRPC client reads `grpc-status`, and takes any HTTP status but 200 for a fault of a proxy (gRPC over HTTP2,
//! "Responses"; gRPC's HTTP status code mapping). The response has no body, so that its one block of header fields is
//! the trailers too ("Trailers-Only"). The challenge and `Retry-After` are metadata of the call.

use std::fmt::Write;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::Problem;

/// Returns the media type of a gRPC call.
pub(super) fn content_type(request: &HeaderMap) -> Option<&HeaderValue> {
    let value = request.get(header::CONTENT_TYPE)?;
    let rest = value.to_str().ok()?.strip_prefix("application/grpc")?;
    (rest.is_empty() || rest.starts_with(['+', ';', '-'])).then_some(value)
}

/// Returns the response to a gRPC call of this media type.
pub(super) fn response(problem: &Problem, content_type: &HeaderValue) -> http::Response<Bytes> {
    let (parts, _) = problem.http_response().into_parts();
    let mut response = http::Response::new(Bytes::new());
    let headers = response.headers_mut();
    *headers = parts.headers;
    headers.insert(header::CONTENT_TYPE, content_type.clone());
    headers.insert("grpc-status", HeaderValue::from(code(problem.status())));
    let message = percent_encoded(&format!("{}: {}", problem.reason(), problem.description()));
    if let Ok(message) = HeaderValue::from_str(&message) {
        headers.insert("grpc-message", message);
    }
    response
}

/// Returns the code of `google.rpc.Code` for a status.
fn code(status: StatusCode) -> u16 {
    match status.as_u16() {
        400 | 413 | 431 => 3,
        401 => 16,
        404 | 405 => 12,
        408 | 504 => 4,
        429 | 502 | 503 => 14,
        status if status < 500 => 7,
        _ => 13,
    }
}

/// Encodes a message as `grpc-message` requires: every byte but visible ASCII, and `%`, is percent-encoded.
fn percent_encoded(message: &str) -> String {
    let mut encoded = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(char::from(byte)),
            _ => {
                // A String takes every write.
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use scopegate_provider::Rejection;

    use super::*;
    use crate::reason::Reason;

    fn called_with(content_type: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))])
    }

    /// P9: a denied gRPC call gets a status of gRPC, with the reason and the challenge.
    #[test]
    fn a_denied_call_gets_a_status_of_grpc_without_a_body() {
        let outage = Problem::new(Reason::ProviderUnavailable, "try again");
        let denials = [
            (Problem::no_token(None), "16", true),
            (Problem::rejected(&Rejection::Ended, None), "16", true),
            (Problem::new(Reason::RoleMissing, "the caller lacks a role"), "7", true),
            (Problem::new(Reason::Nobody, "no caller may do this"), "7", false),
            (outage, "14", false),
        ];
        for (problem, code, is_challenged) in denials {
            let response = problem.http_response_to(&called_with("application/grpc+proto"));
            let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap());
            assert_eq!(response.status(), StatusCode::OK);
            assert!(response.body().is_empty());
            assert_eq!(header("grpc-status"), Some(code), "{problem}");
            assert!(header("grpc-message").unwrap().starts_with(problem.reason().as_str()));
            assert_eq!(header("content-type"), Some("application/grpc+proto"));
            assert_eq!(header("www-authenticate").is_some(), is_challenged, "{problem}");
        }
    }

    #[test]
    fn other_requests_get_problem_details() {
        for content_type in ["application/json", "application/grpcfoo"] {
            let response = Problem::no_token(None).http_response_to(&called_with(content_type));
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{content_type}");
        }
    }

    #[test]
    fn a_message_is_percent_encoded() {
        assert_eq!(percent_encoded("100 % ü\n"), "100 %25 %C3%BC%0A");
    }
}
