//! Refusals and failures as HTTP responses: the only place that knows status, body and challenge.

mod challenge;
mod grpc;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use poem::Response;
use scopegate_provider::{AuthnError, Outage, Rejection, Scope, ScopeSet};
use serde::Serialize;

use crate::{
    policy::{Denial, TargetError},
    store::StoreError,
};

/// An error code of RFC 6750, section 3.1, or of RFC 6749 where that has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The request is malformed: 400.
    InvalidRequest,
    /// The token is bad: 401.
    InvalidToken,
    /// The token is good and not enough: 403.
    InsufficientScope,
    /// Nobody can tell now: 503 (RFC 6749, section 4.1.2.1).
    TemporarilyUnavailable,
}

impl ErrorCode {
    /// The code as it stands in bodies and challenges.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
        }
    }
}

/// A refusal or failure, ready to become a response (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {description}")]
pub struct Problem {
    status: StatusCode,
    code: Option<ErrorCode>,
    reason: &'static str,
    description: String,
    missing_scopes: Box<[Scope]>,
    challenge: Option<Box<Challenge>>,
    retry_after: Option<Duration>,
    allow: Box<[Method]>,
    pages: Option<Box<HeaderMap>>,
}

/// What would satisfy the rule (RFC 6750, section 3).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Challenge {
    scope: Option<ScopeSet>,
    resource_metadata: Option<String>,
}

/// The body. Only `reason` and what OAuth names may be relied on.
#[derive(Serialize)]
struct Body<'a> {
    title: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorCode>,
    error_description: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "<[Scope]>::is_empty")]
    missing_scopes: &'a [Scope],
}

impl Problem {
    /// A problem that is neither a refusal of a token nor an outage, such as 404.
    pub fn new(status: StatusCode, reason: &'static str, description: impl Into<String>) -> Self {
        Self {
            status,
            code: None,
            reason,
            description: description.into(),
            missing_scopes: Box::default(),
            challenge: None,
            retry_after: None,
            allow: Box::default(),
            pages: None,
        }
    }

    /// The request cannot be read one way only: 400 `invalid_request`.
    pub fn invalid_request(reason: &'static str, description: impl Into<String>) -> Self {
        Self {
            code: Some(ErrorCode::InvalidRequest),
            ..Self::new(StatusCode::BAD_REQUEST, reason, description)
        }
    }

    /// No token came, or the header holds none: 401 without a code (RFC 6750, section 3.1).
    pub fn no_token(scope: Option<ScopeSet>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "no_token", "this needs a bearer token").challenged(scope)
    }

    /// The token is bad: 401 `invalid_token`; one that only cannot be asked about freshly is good and not enough.
    pub fn rejected(rejection: &Rejection, scope: Option<ScopeSet>) -> Self {
        let (status, code, scope) = match rejection {
            Rejection::FreshnessUnavailable => (StatusCode::FORBIDDEN, ErrorCode::InsufficientScope, None),
            _ => (StatusCode::UNAUTHORIZED, ErrorCode::InvalidToken, scope),
        };
        let problem = Self::new(status, rejection.reason(), rejection.to_string());
        Self { code: Some(code), ..problem }.challenged(scope)
    }

    /// Nobody can tell: 503 with `Retry-After` (invariant 9).
    pub fn unavailable(outage: &Outage) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, outage.cause.reason(), outage.to_string());
        let retry_after = Some(outage.retry_after.max(Duration::from_secs(1)));
        Self { code: Some(ErrorCode::TemporarilyUnavailable), retry_after, ..problem }
    }

    /// What authentication said, as a response.
    pub fn authentication(error: &AuthnError, scope: Option<ScopeSet>) -> Self {
        match error {
            AuthnError::Rejected(rejection) => Self::rejected(rejection, scope),
            AuthnError::Unavailable(outage) => Self::unavailable(outage),
        }
    }

    /// The token is good and not enough: 403 `insufficient_scope`, naming `scope` where scopes would do.
    pub fn forbidden(
        reason: &'static str,
        description: impl Into<String>,
        missing_scopes: Vec<Scope>,
        scope: Option<ScopeSet>,
    ) -> Self {
        let problem = Self::new(StatusCode::FORBIDDEN, reason, description);
        let missing_scopes = missing_scopes.into();
        Self { code: Some(ErrorCode::InsufficientScope), missing_scopes, ..problem }.challenged(scope)
    }

    /// No route names the method: 405 with `Allow` (RFC 9110, section 15.5.6).
    pub fn method_not_allowed(
        reason: &'static str,
        description: impl Into<String>,
        allow: Vec<Method>,
    ) -> Self {
        Self { allow: allow.into(), ..Self::new(StatusCode::METHOD_NOT_ALLOWED, reason, description) }
    }

    /// Nothing is there: 404.
    pub fn not_found(reason: &'static str, description: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, reason, description)
    }

    fn challenged(self, scope: Option<ScopeSet>) -> Self {
        Self {
            challenge: Some(Box::new(Challenge {
                scope: scope.filter(|scope| !scope.is_empty()),
                resource_metadata: None,
            })),
            ..self
        }
    }

    /// Where the challenge points for the metadata of the protected resource (RFC 9728, section 5.1).
    #[must_use]
    pub fn with_resource_metadata(mut self, url: &str) -> Self {
        if let Some(challenge) = &mut self.challenge {
            challenge.resource_metadata = Some(url.to_owned());
        }
        self
    }

    /// With headers that say whose pages may read it (the Fetch standard, CORS protocol).
    #[must_use]
    pub fn with_pages(self, headers: HeaderMap) -> Self {
        Self { pages: (!headers.is_empty()).then(|| Box::new(headers)), ..self }
    }

    /// Worth another try after this time.
    pub(crate) fn with_retry_after(self, after: Duration) -> Self {
        Self { retry_after: Some(after), ..self }
    }

    /// The same refusal under another status, for a dialect whose proxy passes on only some (RFC 9110 keeps a
    /// challenge on 403 legal).
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The reason in the one vocabulary of bodies, logs, metrics and audit.
    pub fn reason(&self) -> &'static str {
        self.reason
    }

    /// Returns the scopes that the token lacks, where scopes would do.
    pub fn missing_scopes(&self) -> &[Scope] {
        &self.missing_scopes
    }

    /// What is told to the caller.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// `WWW-Authenticate`, if there is a challenge.
    pub fn www_authenticate(&self) -> Option<HeaderValue> {
        self.challenge.as_ref().map(|challenge| challenge::header(challenge, self.code, &self.description))
    }

    /// The body: problem details (RFC 9457) with OAuth's members.
    pub fn body(&self) -> Vec<u8> {
        let body = Body {
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            error: self.code,
            error_description: &self.description,
            reason: self.reason,
            missing_scopes: &self.missing_scopes,
        };
        serde_json::to_vec(&body).unwrap_or_default()
    }

    /// The response.
    pub fn response(&self) -> Response {
        let (parts, body) = self.http_response().into_parts();
        let mut response = Response::builder().status(parts.status).body(body);
        *response.headers_mut() = parts.headers;
        response
    }

    /// Returns the response to a request with these header fields: a status of gRPC to a gRPC call.
    pub fn response_to(&self, request: &HeaderMap) -> Response {
        let (parts, body) = self.http_response_to(request).into_parts();
        let mut response = Response::builder().status(parts.status).body(body);
        *response.headers_mut() = parts.headers;
        response
    }

    /// Returns the response to a request with these header fields, without poem's types.
    pub fn http_response_to(&self, request: &HeaderMap) -> http::Response<Bytes> {
        match grpc::content_type(request) {
            Some(content_type) => grpc::response(self, content_type),
            None => self.http_response(),
        }
    }

    /// The response, for whatever is no poem.
    pub fn http_response(&self) -> http::Response<Bytes> {
        let mut response = http::Response::new(Bytes::from(self.body()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, const { HeaderValue::from_static("application/problem+json") });
        headers.insert(header::CACHE_CONTROL, const { HeaderValue::from_static("no-store") });
        if let Some(challenge) = self.www_authenticate() {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(after) = self.retry_after {
            headers.insert(
                header::RETRY_AFTER,
                HeaderValue::from(u64::try_from(after.as_millis().div_ceil(1000)).unwrap_or(u64::MAX)),
            );
        }
        let allow = self.allow.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
        if let Some(allow) = HeaderValue::from_str(&allow).ok().filter(|_| !self.allow.is_empty()) {
            headers.insert(header::ALLOW, allow);
        }
        headers.extend(self.pages.iter().flat_map(|pages| (**pages).clone()));
        response
    }
}

impl From<&Denial> for Problem {
    fn from(denial: &Denial) -> Self {
        let (reason, description) = (denial.reason().as_str(), denial.to_string());
        match denial {
            Denial::NoRoute => Self::not_found(reason, description),
            Denial::MethodNotAllowed { allowed } => {
                Self::method_not_allowed(reason, description, allowed.to_vec())
            }
            Denial::IrregularPath(_) | Denial::Interpretation(_) => {
                Self::invalid_request(reason, description)
            }
            Denial::Nobody => Self::new(StatusCode::FORBIDDEN, reason, description),
            Denial::NoToken { scopes } => Self::no_token(scopes.clone()),
            Denial::InsufficientScope { missing, required } => Self::forbidden(
                reason,
                description,
                missing.iter().cloned().collect(),
                Some(required.clone()),
            ),
            Denial::RoleMissing
            | Denial::ClaimMismatch
            | Denial::ClientNotAllowed
            | Denial::ProviderNotAllowed
            | Denial::AudienceNotAllowed => Self::forbidden(reason, description, Vec::new(), None),
        }
    }
}

impl From<TargetError> for Problem {
    fn from(error: TargetError) -> Self {
        Self::invalid_request(error.reason().as_str(), error.to_string())
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let description = error.to_string();
        match error {
            StoreError::NoStore => Self::new(StatusCode::SERVICE_UNAVAILABLE, "no_store", description),
            StoreError::NotFound { .. } => Self::not_found("not_found", description),
            StoreError::Exists { .. } => Self::new(StatusCode::CONFLICT, "exists", description),
            StoreError::Stale { .. } => {
                Self::new(StatusCode::PRECONDITION_FAILED, "stale_version", description)
            }
            StoreError::Moved { .. } => Self::new(StatusCode::CONFLICT, "policy_moved", description),
            StoreError::TooLong { .. } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "too_long", description)
            }
            error @ StoreError::Unavailable(_) => {
                tracing::warn!(cause = error.cause(), "the store does not answer as it should");
                let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", description);
                Self { retry_after: Some(Duration::from_secs(1)), ..problem }
            }
            StoreError::Corrupt { .. } => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "store_corrupt", description)
            }
        }
    }
}

impl poem::error::ResponseError for Problem {
    fn status(&self) -> StatusCode {
        self.status
    }

    fn as_response(&self) -> Response {
        self.response()
    }
}

#[cfg(test)]
mod tests;
