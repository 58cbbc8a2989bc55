//! `POST /providers/{name}/backchannel-logout` (OpenID Connect Back-Channel Logout 1.0, section 2.5).

use http::{StatusCode, header};
use poem::{Body, Endpoint, Request, Response, Result};
use scopegate_provider::{BearerToken, SignalError};
use serde_json::json;

use super::{SignalServices, try_again};
use crate::{api::form::Form, problem::Problem, telemetry::metrics::SignalKind};

/// The endpoint at which a provider announces that a user has logged out.
#[derive(Debug, Clone)]
pub struct BackchannelLogout(pub SignalServices);

impl BackchannelLogout {
    async fn receive(&self, request: &Request, body: Body) -> Result<Response> {
        let services = &self.0;
        let provider = services.provider.as_str();
        let log = &services.metrics.signals;
        let token = match Form::read(request, body).await {
            Ok(form) => match form.one("logout_token") {
                Ok(Some(token)) => BearerToken::parse(token).map_err(|error| error.to_string()),
                Ok(None) => Err("expected the parameter `logout_token`".to_owned()),
                Err(error) => Err(error.to_string()),
            },
            Err(error) => Err(error.to_string()),
        };
        let token = match token {
            Ok(token) => token,
            Err(problem) => return Ok(refused(&problem)),
        };
        let state = services.gate.current();
        let connected = state.authenticator().provider(provider);
        let Some(signals) = connected.and_then(|connected| connected.provider().signals()) else {
            return Ok(refused("this provider takes no logout tokens"));
        };
        let signal = match signals.logout(&token).await {
            Ok(signal) => signal,
            Err(SignalError::Unavailable(outage)) => {
                log.count(provider, SignalKind::BackchannelLogout, "unavailable");
                return Err(Problem::unavailable(&outage).into());
            }
            Err(error @ (SignalError::Rejected(_) | SignalError::InvalidState)) => {
                log.count(provider, SignalKind::BackchannelLogout, "refused");
                tracing::warn!(provider, %error, "refused a logout token");
                return Ok(refused(&error.to_string()));
            }
        };
        let is_known = services.seen.contains(&services.provider, &signal, services.store.now());
        let is_repeated = match services.is_stored(SignalKind::BackchannelLogout, &signal).await {
            Ok(is_stored) => is_known || is_stored,
            Err(error) => return Ok(try_again(&error)),
        };
        if is_repeated {
            log.count(provider, SignalKind::BackchannelLogout, "repeated");
            return Ok(refused("a logout token with this `jti` was taken before"));
        }
        match services.apply(SignalKind::BackchannelLogout, &signal).await {
            Ok(()) => Ok(Response::builder().header(header::CACHE_CONTROL, "no-store").finish()),
            Err(error) => Ok(try_again(&error)),
        }
    }
}

impl Endpoint for BackchannelLogout {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        let body = request.take_body();
        self.receive(&request, body).await
    }
}

/// Answers 400 (section 2.8).
fn refused(problem: &str) -> Response {
    let body = json!({ "error": "invalid_request", "error_description": problem });
    Response::builder()
        .status(StatusCode::BAD_REQUEST)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CACHE_CONTROL, "no-store")
        .body(body.to_string())
}
