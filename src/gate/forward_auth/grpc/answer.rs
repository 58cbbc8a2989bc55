//! An endpoint's answer in Envoy's words.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use poem::Response;
use tonic::Code;

use super::messages::{
    CheckResponse, DeniedHttpResponse, HeaderAppendAction, HeaderValue as Field, HeaderValueOption,
    HttpResponse, HttpStatus, OkHttpResponse, Status,
};
use crate::telemetry::Outcome;

/// What speaks of the answer itself, and not of the request that was asked about.
const OWN: [HeaderName; 3] = [header::CACHE_CONTROL, header::CONTENT_LENGTH, header::CONTENT_TYPE];

/// Where a token may be; told empty, the header is taken off.
static TOKEN: [HeaderName; 2] = [header::AUTHORIZATION, header::SEC_WEBSOCKET_PROTOCOL];

/// The request may pass, with the headers of `response` and without those of `taken_off` that are not among them.
pub(super) fn permitted<'n>(
    response: &Response,
    taken_off: impl Iterator<Item = &'n String>,
) -> CheckResponse {
    let headers = response.headers();
    let empty = |name: &&HeaderName| headers.get(*name).is_some_and(HeaderValue::is_empty);
    let none = || TOKEN.iter().filter(empty);
    // Several are the caller's own: joined, they would be something else.
    let several = headers.get_all(header::AUTHORIZATION).iter().nth(1).is_some();
    let stays = |name: &HeaderName| several && *name == header::AUTHORIZATION;
    let set = headers
        .keys()
        .filter(|name| !OWN.contains(name) && !stays(name) && !none().any(|none| none == *name));
    // Envoy takes off after it has set.
    let taken_off = taken_off.filter(|name| !headers.contains_key(name.as_str())).cloned();
    let taken_off = taken_off.chain(none().filter(|name| !stays(name)).map(HeaderName::to_string));
    let (to_caller, to_upstream): (Vec<_>, Vec<_>) = set.partition(|name| is_callers(name));
    let told = OkHttpResponse {
        headers: to_upstream.into_iter().map(|name| overwrite(headers, name)).collect(),
        headers_to_remove: taken_off.collect(),
        response_headers_to_add: to_caller.into_iter().map(|name| overwrite(headers, name)).collect(),
    };
    CheckResponse { status: Some(Status::default()), http_response: Some(HttpResponse::OkResponse(told)) }
}

/// What is told to the caller's browser, about whose pages may read the upstream's answer.
fn is_callers(name: &HeaderName) -> bool {
    *name == header::VARY || name.as_str().starts_with("access-control-")
}

/// The request may not pass; the caller gets this response.
pub(super) async fn denied(mut response: Response) -> CheckResponse {
    let body = response.take_body().into_string().await.unwrap_or_default();
    let (status, headers) = (response.status(), response.headers());
    let reason = response.data::<Outcome>().map_or("", |outcome| outcome.reason);
    let set = headers.keys().filter(|name| *name != header::CONTENT_LENGTH);
    let told = DeniedHttpResponse {
        status: Some(HttpStatus { code: status.as_u16().into() }),
        headers: set.map(|name| overwrite(headers, name)).collect(),
        body,
    };
    CheckResponse {
        status: Some(Status { code: code(status).into(), message: reason.to_owned() }),
        http_response: Some(HttpResponse::DeniedResponse(told)),
    }
}

/// Never [`Code::Ok`], which lets the request pass.
fn code(status: StatusCode) -> Code {
    match status {
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        _ => Code::PermissionDenied,
    }
}

/// A header in place of whatever is there; several of one name as one, as Envoy would join them.
fn overwrite(headers: &HeaderMap, name: &HeaderName) -> HeaderValueOption {
    let values: Vec<&str> = headers.get_all(name).iter().map(text).collect();
    let header = Field { key: name.as_str().to_owned(), value: values.join(", "), ..Field::default() };
    HeaderValueOption {
        header: Some(header),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        keep_empty_value: true,
    }
}

/// What is set here is ASCII.
fn text(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or_default()
}
