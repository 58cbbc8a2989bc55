//! `POST /providers/{name}/shared-signals`: security events that are pushed (RFC 8935).

use http::{HeaderValue, StatusCode, header};
use poem::{Body, Endpoint, Request, Response, Result};
use scopegate_provider::{BearerToken, RefusedEvent};
use serde_json::json;

use super::{SignalServices, events::EventOutcome, try_again};
use crate::{problem::Problem, telemetry::metrics::SignalKind};

/// The most bytes of a security event.
const LIMIT: usize = 64 * 1024;

/// The endpoint to which a transmitter pushes security events.
#[derive(Debug, Clone)]
pub struct SharedSignalsPush(pub SignalServices);

impl SharedSignalsPush {
    async fn receive(&self, request: &Request, body: Body) -> Result<Response> {
        let services = &self.0;
        let provider = services.provider.as_str();
        let log = &services.metrics.signals;
        let state = services.gate.current();
        let connected = state.authenticator().provider(provider);
        let Some(signals) = connected.and_then(|connected| connected.provider().signals()) else {
            return Ok(refused(
                StatusCode::BAD_REQUEST,
                "access_denied",
                "this provider takes no security events",
            ));
        };
        let mut authorization = request.headers().get_all(header::AUTHORIZATION).iter();
        let authorization = authorization.next().filter(|_| authorization.next().is_none());
        if !signals.admits_push(authorization.map(HeaderValue::as_bytes)) {
            log.count(provider, SignalKind::SharedSignals, "unauthenticated");
            let problem = "expected the `Authorization` header of the stream's delivery";
            return Ok(refused(StatusCode::UNAUTHORIZED, "authentication_failed", problem));
        }
        let token = match read(request, body).await {
            Ok(token) => token,
            Err(problem) => {
                log.count(provider, SignalKind::SharedSignals, "refused");
                return Ok(refused(StatusCode::BAD_REQUEST, "invalid_request", &problem));
            }
        };
        Ok(match services.take_event(signals, &token, None).await {
            EventOutcome::Handled => accepted(),
            EventOutcome::Refused(RefusedEvent { code, description }) => {
                refused(StatusCode::BAD_REQUEST, code, &description)
            }
            EventOutcome::Unavailable(outage) => return Err(Problem::unavailable(&outage).into()),
            EventOutcome::NotStored(error) => try_again(&error),
        })
    }
}

impl Endpoint for SharedSignalsPush {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        let body = request.take_body();
        self.receive(&request, body).await
    }
}

/// Reads the event: one JWT as the body (section 2.1).
async fn read(request: &Request, body: Body) -> Result<BearerToken, String> {
    let kind = request.content_type().and_then(|kind| kind.split(';').next()).map(str::trim);
    if !kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/secevent+jwt")) {
        return Err("expected a body of the type application/secevent+jwt".to_owned());
    }
    let bytes = body.into_bytes_limit(LIMIT).await;
    let bytes =
        bytes.map_err(|_| format!("the event is longer than {LIMIT} bytes, or the body broke off"))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| "expected a JWT".to_owned())?;
    BearerToken::parse(text.trim_ascii()).map_err(|error| error.to_string())
}

/// Answers 202 (section 2.2).
fn accepted() -> Response {
    Response::builder().status(StatusCode::ACCEPTED).header(header::CACHE_CONTROL, "no-store").finish()
}

/// Answers with an error (sections 2.3 and 2.4).
fn refused(status: StatusCode, code: &str, description: &str) -> Response {
    let body = json!({ "err": code, "description": description });
    let response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONTENT_LANGUAGE, "en")
        .header(header::CACHE_CONTROL, "no-store");
    if status == StatusCode::UNAUTHORIZED {
        return response.header(header::WWW_AUTHENTICATE, "Bearer").body(body.to_string());
    }
    response.body(body.to_string())
}
