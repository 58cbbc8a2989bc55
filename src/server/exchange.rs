//! One request and its response: the limits at the door, the endpoint, and the limits of both bodies.

use std::{convert::Infallible, future::ready, io, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::Either;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode, Version,
    header::{CONNECTION, EXPECT, HOST, UPGRADE},
};
use http_body_util::{BodyExt, combinators::BoxBody};
use hyper::{
    Request, Response,
    body::{Body, Incoming},
};
use poem::{Endpoint, IntoResponse};

use super::{
    Limits,
    activity::{InFlight, TooManyBodies},
    listening::{ConnectInfo, Listening},
    media_type::is_stream,
    peer::UnfinishedBody,
    request_body::{RequestBody, RequestBodyHandle, RequestBodyState, SMALL},
    response_body::ResponseBody,
    sending::Sending,
    settings::ClientCertVerified,
};
use crate::{problem::Problem, reason::Reason};

/// The time after which a peer that holds too much may try again.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Answers a request.
// Not an `async fn`, which would hold the request twice.
pub(super) fn answer<E: Endpoint + 'static>(
    listening: Arc<Listening<E>>,
    request: Request<Incoming>,
    info: &ConnectInfo,
    mut in_flight: InFlight,
) -> impl Future<Output = Result<Response<ResponseBody>, Infallible>> + use<E> {
    let is_http2 = request.version() == Version::HTTP_2;
    Sending::set_brief(false);
    let place = match admit(&request, &listening.limits, &mut in_flight) {
        Ok(place) => place,
        Err(refused) => {
            tracing::info!(
                peer = %info.remote.0,
                method = %request.method(),
                host = request.headers().get(HOST).and_then(|host| host.to_str().ok()),
                path = request.uri().path(),
                status = refused.status().as_u16(),
                reason = refused.reason().as_str(),
                "refused a request: {refused}"
            );
            let mut response: Response<BoxBody<Bytes, io::Error>> = refused.response().into();
            if !is_http2 {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            return Either::Left(ready(Ok(response.map(|body| ResponseBody::new(body, in_flight, None)))));
        }
    };
    let changes_protocol = !is_http2 && changes_protocol(request.method(), request.headers());
    let (request, body) = into_poem(request, info, &listening.limits, place);
    Either::Right(async move {
        let answer = listening.endpoint.call(request).await;
        let mut response = answer.map_or_else(poem::Error::into_response, IntoResponse::into_response);
        if let Some(body) = &body {
            settle(body, &mut response);
        }
        let mut response: Response<BoxBody<Bytes, io::Error>> = response.into();
        let closes = changes_protocol || (!is_http2 && listening.closes_connections());
        if closes && !response.status().is_informational() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let is_refusal = response.status().is_client_error() || response.status().is_server_error();
        let body = body.filter(|_| is_http2 && is_refusal);
        Ok(response.map(|sent| ResponseBody::new(sent, in_flight, body)))
    })
}

/// Counts a request towards the limits of its connection and peer.
///
/// # Errors
/// 431 for a head with too many fields, 429 where the peer holds too much.
fn admit(
    request: &Request<Incoming>,
    limits: &Limits,
    in_flight: &mut InFlight,
) -> Result<Option<UnfinishedBody>, Problem> {
    let headers = request.headers();
    if headers.len() > limits.header_fields.get() as usize {
        let description = format!(
            "the request has {} header fields; {} are accepted (`server.limits.header_fields`)",
            headers.len(),
            limits.header_fields
        );
        return Err(Problem::new(Reason::TooManyHeaderFields, description));
    }
    if request.version() == Version::HTTP_2 && !in_flight.hold_head(decoded_size(request), limits) {
        return Err(too_much("too many bytes of request headers are in flight"));
    }
    if request.body().is_end_stream() {
        return Ok(None);
    }
    in_flight.begin_body(limits).map_err(|TooManyBodies| too_much("too many request bodies are unfinished"))
}

fn too_much(description: &str) -> Problem {
    Problem::new(Reason::TooMuchInFlight, description).with_retry_after(TRY_AGAIN)
}

/// Returns the size of a request's head as HTTP/2 counts it (RFC 9113, section 10.5.1).
fn decoded_size(request: &Request<Incoming>) -> usize {
    const OVERHEAD: usize = 32;
    let fields = request.headers().iter();
    let fields: usize = fields.map(|(name, value)| name.as_str().len() + value.len() + OVERHEAD).sum();
    let path = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    fields + path + OVERHEAD
}

/// Returns the request as poem has it, and the state of its body if it has one.
fn into_poem(
    request: Request<Incoming>,
    info: &ConnectInfo,
    limits: &Limits,
    place: Option<UnfinishedBody>,
) -> (poem::Request, Option<Arc<RequestBodyState>>) {
    let has_body = !request.body().is_end_stream();
    let is_small = has_body
        && request.version() == Version::HTTP_2
        && !request.headers().contains_key(EXPECT)
        && request.body().size_hint().upper().is_none_or(|length| length <= SMALL);
    let mut request: poem::Request =
        (request, info.local.clone(), info.remote.clone(), info.scheme.clone()).into();
    if info.client_certificate.as_ref().is_some_and(|certificate| certificate.is_verified()) {
        request.set_data(ClientCertVerified);
    }
    if let Some(thumbprint) = info.client_thumbprint {
        request.set_data(thumbprint);
    }
    if !has_body {
        return (request, None);
    }
    let body = RequestBody::new(request.take_body().into(), limits.receiving(), place, is_small);
    let state = body.state();
    request.set_body(poem::Body::from(body.boxed()));
    request.set_data(RequestBodyHandle(Arc::clone(&state)));
    (request, Some(state))
}

/// Makes the caller's fault the caller's, and lifts the time limit of a body that belongs to a stream.
fn settle(body: &RequestBodyState, response: &mut poem::Response) {
    match body.failure() {
        // The endpoint answered as if the body were there and wrong, or as if something else had failed.
        Some(failure)
            if response.status() == StatusCode::BAD_REQUEST || response.status().is_server_error() =>
        {
            *response = failure.problem().response();
        }
        _ if response.status().is_success() && is_stream(response.headers()) => body.set_stream(),
        _ => {}
    }
}

/// Returns `true` if the bytes that follow need not be HTTP: the connection is not used again if it turns out to be.
fn changes_protocol(method: &Method, headers: &HeaderMap) -> bool {
    let mut protocols = headers.get_all(UPGRADE).iter();
    *method == Method::CONNECT || protocols.any(|protocol| !protocol.as_bytes().eq_ignore_ascii_case(b"h2c"))
}
