//! nginx's `auth_request`: `X-Original-Method`, and either `X-Original-URL` or `X-Original-URI` with `X-Original-Host`.
//! ingress-nginx sends `X-Original-URL` and `X-Original-URI`, which have to agree.
//!
//! nginx lets 2xx, 401 and 403 pass and makes 500 of all else. So 400, 404 and 405 become 403 here, 503 stays what nginx
//! turns into a 500 (closed all the same), and the whole refusal goes along in `X-Scopegate-Problem`, from which
//! [`NginxProblem`] restores it behind an `error_page`. A refusal has no body: nginx does not read the body of a
//! subrequest, and closes the connection on which one is left.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderName, HeaderValue, StatusCode, header};
use poem::{Endpoint, Request, Response, Result};
use scopegate_provider::Scope;
use serde::{Deserialize, Serialize};

use super::{
    Dialect,
    original_request::{MetadataError, OriginalRequest, method, one, optional, scheme},
};
use crate::{
    gate::TrustedProxies,
    policy::Scheme,
    problem::{DPOP_NONCE, Problem},
    reason::Reason,
    telemetry::Restored,
};

const URL: &str = "x-original-url";
const URI: &str = "x-original-uri";
const HOST: &str = "x-original-host";
const STATUS: HeaderName = HeaderName::from_static("x-scopegate-status");
const PROBLEM: HeaderName = HeaderName::from_static("x-scopegate-problem");

/// nginx.
#[derive(Debug, Clone, Copy)]
pub struct Nginx;

impl Dialect for Nginx {
    fn original_request(&self, request: &Request) -> Result<OriginalRequest, MetadataError> {
        let headers = request.headers();
        let method = method(headers, "x-original-method")?;
        match optional(headers, URL)? {
            Some(value) => {
                let original = whole_url(value, method)?;
                for (second, said) in [(URI, &original.path_and_query), (HOST, &original.host)] {
                    if optional(headers, second)?.is_some_and(|value| value != said) {
                        return Err(MetadataError::Contradicted { first: URL, second });
                    }
                }
                Ok(original)
            }
            None => Ok(OriginalRequest {
                method,
                scheme: optional(headers, "x-forwarded-proto")?
                    .map_or(Ok(Scheme::Http), |value| scheme(value, "x-forwarded-proto"))?,
                host: one(headers, HOST)?.to_vec(),
                path_and_query: one(headers, URI)?.to_vec(),
            }),
        }
    }

    fn relay(&self, problem: &Problem) -> Response {
        let whole = problem.head();
        let status = match problem.status() {
            passed @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => passed,
            refused if refused.is_client_error() => StatusCode::FORBIDDEN,
            other => other,
        };
        let mut response = Response::builder().status(status).finish();
        let headers = response.headers_mut();
        for name in [header::WWW_AUTHENTICATE, DPOP_NONCE, header::CACHE_CONTROL, header::RETRY_AFTER] {
            headers.extend(whole.headers().get(&name).cloned().map(|value| (name, value)));
        }
        headers.insert(STATUS, HeaderValue::from(problem.status().as_u16()));
        if let Ok(value) = HeaderValue::from_str(&RelayedProblem::of(&whole, problem).encode()) {
            headers.insert(PROBLEM, value);
        }
        response
    }
}

/// `https://host/path?query`, taken apart without changing a byte.
fn whole_url(value: &[u8], method: http::Method) -> Result<OriginalRequest, MetadataError> {
    let malformed = MetadataError::Malformed { header: "x-original-url", expected: "a whole URL" };
    let name = value.iter().position(|byte| *byte == b':').ok_or(malformed)?;
    let (name, rest) = value.split_at_checked(name).ok_or(malformed)?;
    let rest = rest.strip_prefix(b"://").ok_or(malformed)?;
    let path = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let (host, path) = rest.split_at_checked(path).ok_or(malformed)?;
    Ok(OriginalRequest {
        method,
        scheme: scheme(name, "x-original-url")?,
        host: host.to_vec(),
        path_and_query: if path.is_empty() { b"/".to_vec() } else { path.to_vec() },
    })
}

/// A refusal on its way through nginx's variables.
#[derive(Debug, Serialize, Deserialize)]
struct RelayedProblem {
    status: u16,
    headers: Vec<(String, String)>,
    reason: String,
    description: String,
    missing: Vec<Scope>,
}

impl RelayedProblem {
    fn of(response: &http::Response<()>, problem: &Problem) -> Self {
        let carried = [
            header::WWW_AUTHENTICATE,
            DPOP_NONCE,
            header::RETRY_AFTER,
            header::ALLOW,
            header::ACCESS_CONTROL_ALLOW_ORIGIN,
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            header::VARY,
        ];
        let headers = carried.iter().filter_map(|name| {
            let value = response.headers().get(name)?.to_str().ok()?;
            Some((name.to_string(), value.to_owned()))
        });
        Self {
            status: response.status().as_u16(),
            headers: headers.collect(),
            reason: problem.reason().as_str().to_owned(),
            description: problem.description().to_owned(),
            missing: problem.missing_scopes().to_vec(),
        }
    }

    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    fn decode(value: &HeaderValue) -> Option<Self> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(value.as_bytes()).ok()?).ok()
    }

    fn response(&self) -> Option<Response> {
        let status = StatusCode::from_u16(self.status).ok().filter(|status| status.as_u16() >= 400)?;
        let builder = Response::builder()
            .status(status)
            .header(header::CONTENT_TYPE, "application/problem+json")
            .header(header::CACHE_CONTROL, "no-store");
        // nginx has the challenge of a 401 from the answer to its subrequest.
        let is_401 = status == StatusCode::UNAUTHORIZED;
        let carried = self.headers.iter().filter(|(name, _)| !is_401 || **name != header::WWW_AUTHENTICATE);
        let builder = carried.fold(builder, |builder, (name, value)| builder.header(name, value));
        let problem = Problem::new(Reason::parse(&self.reason)?, self.description.as_str());
        let mut problem = problem.with_status(status).with_missing_scopes(self.missing.clone());
        let retry_after = self.headers.iter().find(|(name, _)| *name == header::RETRY_AFTER.as_str());
        if let Some(seconds) = retry_after.and_then(|(_, value)| value.parse().ok()) {
            problem = problem.with_retry_after(Duration::from_secs(seconds));
        }
        let mut response = builder.body(problem.body());
        // The body gets the ids of the request, or becomes a page for a browser.
        response.set_data(problem);
        Some(response)
    }
}

/// `/auth/nginx/problem`: restores the status, challenge and body of a refusal. It answers nothing but refusals.
#[derive(Debug, Clone)]
pub struct NginxProblem {
    trusted: TrustedProxies,
}

impl NginxProblem {
    /// Returns the endpoint for proxies of `trusted`.
    pub fn new(trusted: TrustedProxies) -> Self {
        Self { trusted }
    }
}

impl Endpoint for NginxProblem {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let relayed = request.headers().get(PROBLEM).filter(|value| !value.is_empty());
        let Some(relayed) = relayed else { return Ok(no_answer().response()) };
        let is_trusted = self.trusted.trusts(request.remote_addr());
        let restored = is_trusted.then(|| RelayedProblem::decode(relayed)?.response()).flatten();
        let mut response = restored.unwrap_or_else(|| unknown().response());
        // The refusal itself was logged and counted.
        response.set_data(Restored);
        Ok(response)
    }
}

fn unknown() -> Problem {
    Problem::new(Reason::Refused, "the request was refused")
}

/// Returns the problem of a request about which nginx got no answer.
fn no_answer() -> Problem {
    let description = "the request could not be decided";
    let problem = Problem::new(Reason::NoAnswer, description);
    problem.with_retry_after(Duration::from_secs(1))
}
