//! An endpoint's answer in Envoy's words.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use poem::Response;
use tonic::Code;

use super::messages::{
    CheckResponse, DeniedHttpResponse, HeaderAppendAction, HeaderValue as Field, HeaderValueOption,
    HttpResponse, HttpStatus, OkHttpResponse, Status,
};
use crate::telemetry::Outcome;

/// Headers of the response itself, which do not concern the request that was checked.
const OWN: [HeaderName; 3] = [header::CACHE_CONTROL, header::CONTENT_LENGTH, header::CONTENT_TYPE];

/// The request may pass, with the headers of `response` and without those of `taken_off` that are not among them.
pub(super) fn permitted<'n>(
    response: &Response,
    taken_off: impl Iterator<Item = &'n String>,
) -> CheckResponse {
    let headers = response.headers();
    // Envoy takes off after it has set.
    let taken_off = taken_off.filter(|name| !headers.contains_key(name.as_str())).cloned();
    let mut told = OkHttpResponse { headers_to_remove: taken_off.collect(), ..OkHttpResponse::default() };
    for name in headers.keys() {
        match Use::of(name, headers) {
            Use::ToUpstream => told.headers.push(overwrite(headers, name)),
            Use::ToCaller => told.response_headers_to_add.push(overwrite(headers, name)),
            Use::TakenOff => told.headers_to_remove.push(name.to_string()),
            Use::Nothing => {}
        }
    }
    CheckResponse { status: Some(Status::default()), http_response: Some(HttpResponse::OkResponse(told)) }
}

/// The use that Envoy makes of a header of the response.
enum Use {
    /// It is set on the request.
    ToUpstream,
    /// It is set on the response: it tells the caller's browser whose pages may read that.
    ToCaller,
    /// The caller's header of this name is removed.
    TakenOff,
    /// The request stays as it came.
    Nothing,
}

impl Use {
    fn of(name: &HeaderName, headers: &HeaderMap) -> Self {
        let values = headers.get_all(name);
        let several = values.iter().nth(1).is_some();
        let empty = values.iter().all(HeaderValue::is_empty);
        match *name {
            _ if OWN.contains(name) => Self::Nothing,
            _ if name.as_str().starts_with("access-control-") => Self::ToCaller,
            header::VARY => Self::ToCaller,
            // They are the caller's own: joined, they would be something else.
            header::AUTHORIZATION if several => Self::Nothing,
            // Set, it would still be there.
            header::AUTHORIZATION | header::COOKIE | header::SEC_WEBSOCKET_PROTOCOL if empty => {
                Self::TakenOff
            }
            _ => Self::ToUpstream,
        }
    }
}

/// The request may not pass; the caller gets this response.
pub(super) async fn denied(mut response: Response) -> CheckResponse {
    let body = response.take_body().into_string().await.unwrap_or_default();
    let status = response.status();
    let headers = response.headers();
    let reason = response.data::<Outcome>().map_or("", |outcome| outcome.reason.as_str());
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

/// Returns the text of a value. Values that are set here are ASCII.
fn text(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or_default()
}
