//! Refusals and failures as HTTP responses: the only place that knows status, body and challenge.

mod challenge;
mod grpc;
#[cfg(feature = "server")]
mod page;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use poem::Response;
use scopegate_provider::{AuthnError, Outage, Rejection, Scope, ScopeSet, Span};
use serde::Serialize;

use self::challenge::{Challenge, DpopChallenge};
#[cfg(feature = "server")]
pub use self::page::{ProblemPage, accepts_html};
use crate::{
    policy::{Denial, TargetError},
    reason::Reason,
    store::StoreError,
};

/// The header that holds a nonce for the next DPoP proof (RFC 9449, section 8).
pub(crate) const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// An error code of RFC 6750, section 3.1, RFC 9470, section 3, or RFC 6749 where those have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The request is malformed: 400.
    InvalidRequest,
    /// The token is bad: 401.
    InvalidToken,
    /// The token is good and not enough: 403.
    InsufficientScope,
    /// The DPoP proof is missing or does not hold: 401 (RFC 9449).
    InvalidDpopProof,
    /// The DPoP proof needs a nonce: 401 (RFC 9449).
    UseDpopNonce,
    /// The user has to sign in again, or by stronger means: 401 (RFC 9470).
    InsufficientUserAuthentication,
    /// The server cannot decide now: 503 (RFC 6749, section 4.1.2.1).
    TemporarilyUnavailable,
}

impl ErrorCode {
    /// Returns the code as bodies and challenges carry it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
            Self::InvalidDpopProof => "invalid_dpop_proof",
            Self::UseDpopNonce => "use_dpop_nonce",
            Self::InsufficientUserAuthentication => "insufficient_user_authentication",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
        }
    }

    /// Returns the code of a reason, if OAuth has one for it.
    fn of(reason: Reason) -> Option<Self> {
        match reason {
            Reason::NoToken | Reason::NoClient => None,
            Reason::InvalidDpopProof => Some(Self::InvalidDpopProof),
            Reason::UseDpopNonce => Some(Self::UseDpopNonce),
            Reason::InsufficientUserAuthentication => Some(Self::InsufficientUserAuthentication),
            Reason::InsufficientScope
            | Reason::RoleMissing
            | Reason::ClaimMismatch
            | Reason::GroupsOmitted
            | Reason::ActorNotAllowed
            | Reason::DetailsMissing
            | Reason::UserRequired
            | Reason::ClientNotAllowedByRule
            | Reason::ProviderNotAllowed
            | Reason::FreshnessUnavailable => Some(Self::InsufficientScope),
            reason => match reason.status() {
                StatusCode::BAD_REQUEST => Some(Self::InvalidRequest),
                StatusCode::UNAUTHORIZED => Some(Self::InvalidToken),
                StatusCode::SERVICE_UNAVAILABLE => Some(Self::TemporarilyUnavailable),
                _ => None,
            },
        }
    }
}

/// A refusal or failure, ready to become a response (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {description}")]
pub struct Problem {
    status: StatusCode,
    reason: Reason,
    description: String,
    missing_scopes: Box<[Scope]>,
    challenge: Option<Box<Challenge>>,
    retry_after: Option<Duration>,
    dpop_nonce: Option<Box<str>>,
    allow: Box<[Method]>,
    pages: Option<Box<HeaderMap>>,
}

/// The body. Only `reason` and what OAuth names may be relied on.
#[derive(Serialize)]
struct Body<'a> {
    title: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorCode>,
    error_description: &'a str,
    reason: Reason,
    #[serde(skip_serializing_if = "<[Scope]>::is_empty")]
    missing_scopes: &'a [Scope],
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
}

/// The ids by which operators find a request again.
#[derive(Debug, Clone, Copy, Default)]
pub struct RequestIdentifiers<'a> {
    /// The id of the request.
    pub request_id: Option<&'a str>,
    /// The id of its trace, if it belongs to one.
    pub trace_id: Option<&'a str>,
}

impl Problem {
    /// Creates a problem with the status of its reason. One with the status 401, or with OAuth's code for a token that is
    /// not enough, carries a challenge.
    pub fn new(reason: Reason, description: impl Into<String>) -> Self {
        let is_challenged = match reason.status() {
            StatusCode::UNAUTHORIZED => reason != Reason::NoClient,
            _ => ErrorCode::of(reason) == Some(ErrorCode::InsufficientScope),
        };
        Self {
            status: reason.status(),
            reason,
            description: description.into(),
            missing_scopes: Box::default(),
            challenge: is_challenged.then(Box::default),
            retry_after: None,
            dpop_nonce: None,
            allow: Box::default(),
            pages: None,
        }
    }

    /// Creates the answer to a request without a token: 401 without a code (RFC 6750, section 3.1).
    pub fn no_token(scope: Option<ScopeSet>) -> Self {
        Self::new(Reason::NoToken, "this needs a bearer token").with_scope(scope)
    }

    /// Creates the answer to a bad token: 401 `invalid_token`, or 403 where only a fresh answer about it cannot be had.
    pub fn rejected(rejection: &Rejection, scope: Option<ScopeSet>) -> Self {
        let scope = scope.filter(|_| *rejection != Rejection::FreshnessUnavailable);
        let problem = Self::new(rejection.into(), rejection.to_string()).with_scope(scope);
        match rejection {
            Rejection::NonceRequired { nonce } => Self { dpop_nonce: Some(nonce.clone()), ..problem },
            _ => problem,
        }
    }

    /// Creates the answer to an outage: 503 with `Retry-After` (invariant 9).
    pub fn unavailable(outage: &Outage) -> Self {
        let retry_after = outage.retry_after.max(Duration::from_secs(1));
        Self::new(outage.into(), outage.to_string()).with_retry_after(retry_after)
    }

    /// Creates the answer to a token that could not be authenticated.
    pub fn authentication(error: &AuthnError, scope: Option<ScopeSet>) -> Self {
        match error {
            AuthnError::Rejected(rejection) => Self::rejected(rejection, scope),
            AuthnError::Unavailable(outage) => Self::unavailable(outage),
        }
    }

    /// Adds the scopes that would satisfy the rule to the challenge, if there is one.
    #[must_use]
    pub fn with_scope(mut self, scope: Option<ScopeSet>) -> Self {
        if let Some(challenge) = &mut self.challenge {
            challenge.scope = scope.filter(|scope| !scope.is_empty());
        }
        self
    }

    /// Adds the URL of the protected resource's metadata to the challenge, if there is one (RFC 9728, section 5.1).
    #[must_use]
    pub fn with_resource_metadata(mut self, url: &str) -> Self {
        if let Some(challenge) = &mut self.challenge {
            challenge.resource_metadata = Some(url.to_owned());
        }
        self
    }

    /// Adds the authentication that would satisfy the rule to the challenge, if there is one (RFC 9470, section 3).
    #[must_use]
    pub fn with_step_up(mut self, acr_values: &[Box<str>], max_age: Option<Duration>) -> Self {
        if let Some(challenge) = &mut self.challenge {
            challenge.acr_values = (!acr_values.is_empty()).then(|| acr_values.join(" "));
            challenge.max_age = max_age;
        }
        self
    }

    /// Adds a challenge of the scheme `DPoP` with these algorithms, behind the one of `Bearer` (RFC 9449, section 7.1). The
    /// error belongs to the scheme with which the token was sent: `was_used` if that was `DPoP`.
    #[must_use]
    pub fn with_dpop(mut self, algorithms: &str, was_used: bool) -> Self {
        if let Some(challenge) = &mut self.challenge {
            challenge.dpop = Some(DpopChallenge { algorithms: algorithms.to_owned(), was_used });
        }
        self
    }

    /// Returns `true` if the response tells the client how to authenticate.
    pub(crate) fn is_challenge(&self) -> bool {
        self.challenge.is_some()
    }

    /// Adds the CORS headers of the response (the Fetch standard, CORS protocol).
    #[must_use]
    pub fn with_pages(self, headers: HeaderMap) -> Self {
        Self { pages: (!headers.is_empty()).then(|| Box::new(headers)), ..self }
    }

    /// Adds `Retry-After`.
    #[must_use]
    pub fn with_retry_after(self, after: Duration) -> Self {
        Self { retry_after: Some(after), ..self }
    }

    /// Replaces the status, for a dialect whose proxy relays only some (RFC 9110 keeps a challenge on 403 legal).
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the reason.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// Sets the scopes that the token lacks.
    #[cfg(feature = "server")]
    #[must_use]
    pub(crate) fn with_missing_scopes(self, missing: Vec<Scope>) -> Self {
        Self { missing_scopes: missing.into(), ..self }
    }

    /// Returns the time after which another try is worth it.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Returns the description for the caller.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Returns the scopes that the token lacks.
    pub fn missing_scopes(&self) -> &[Scope] {
        &self.missing_scopes
    }

    /// Returns `WWW-Authenticate`, if there is a challenge.
    pub fn www_authenticate(&self) -> Option<HeaderValue> {
        let challenge = self.challenge.as_ref()?;
        Some(challenge.header(ErrorCode::of(self.reason), &self.description))
    }

    /// Returns the body: problem details (RFC 9457) with OAuth's members.
    pub fn body(&self) -> Vec<u8> {
        self.body_for(RequestIdentifiers::default())
    }

    /// Returns the body with the ids of the request, where they are known.
    pub fn body_for(&self, ids: RequestIdentifiers<'_>) -> Vec<u8> {
        let body = Body {
            title: self.reason.title(),
            status: self.status.as_u16(),
            error: ErrorCode::of(self.reason),
            error_description: &self.description,
            reason: self.reason,
            missing_scopes: &self.missing_scopes,
            request_id: ids.request_id,
            trace_id: ids.trace_id,
        };
        serde_json::to_vec(&body).unwrap_or_default()
    }

    /// Returns the response, for poem, with the problem as its data.
    pub fn response(&self) -> Response {
        let (parts, body) = self.http_response().into_parts();
        let mut response = Response::builder().status(parts.status).body(body);
        *response.headers_mut() = parts.headers;
        response.set_data(self.clone());
        response
    }

    /// Returns the response for an error of poem. That of a problem has the problem as its data, which poem drops.
    pub fn error_response(error: poem::Error) -> Response {
        match error.downcast_ref::<Self>() {
            Some(problem) => problem.response(),
            None => error.into_response(),
        }
    }

    /// Returns the response to a request with these header fields: a status of gRPC to a gRPC call.
    pub fn response_to(&self, request: &HeaderMap) -> Response {
        let Some(content_type) = grpc::content_type(request) else { return self.response() };
        let (parts, body) = grpc::response(self, content_type).into_parts();
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

    /// Returns the response, for other frameworks than poem.
    pub fn http_response(&self) -> http::Response<Bytes> {
        self.head().map(|()| Bytes::from(self.body()))
    }

    /// Returns the response without its body.
    pub(crate) fn head(&self) -> http::Response<()> {
        let mut response = http::Response::new(());
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
        let nonce = self.dpop_nonce.as_deref().and_then(|nonce| HeaderValue::from_str(nonce).ok());
        if let Some(nonce) = nonce {
            headers.insert(DPOP_NONCE, nonce);
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
        let problem = Self::new(denial.reason(), denial.to_string());
        match denial {
            Denial::NoToken { scopes } => Self::no_token(scopes.clone()),
            Denial::MethodNotAllowed { allowed } => Self { allow: allowed.clone(), ..problem },
            Denial::InsufficientScope { missing, required } => {
                let missing_scopes = missing.iter().cloned().collect();
                Self { missing_scopes, ..problem }.with_scope(Some(required.clone()))
            }
            Denial::InsufficientUserAuthentication { acr_values, max_age, missing, required } => {
                let missing_scopes = missing.iter().cloned().collect();
                let problem = Self { missing_scopes, ..problem }.with_scope(Some(required.clone()));
                problem.with_step_up(acr_values, max_age.map(Span::get))
            }
            _ => problem,
        }
    }
}

impl From<TargetError> for Problem {
    fn from(error: TargetError) -> Self {
        Self::new(error.reason(), error.to_string())
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let reason = match &error {
            StoreError::NoStore => Reason::NoStore,
            StoreError::NotFound { .. } => Reason::NotFound,
            StoreError::Exists { .. } => Reason::Exists,
            StoreError::Stale { .. } => Reason::StaleVersion,
            StoreError::Moved { .. } => Reason::PolicyMoved,
            StoreError::Unavailable(_) => Reason::StoreUnavailable,
            StoreError::Corrupt { .. } => Reason::StoreCorrupt,
            StoreError::TooLong { .. } => Reason::TooLong,
        };
        let problem = Self::new(reason, error.to_string());
        match error {
            error @ StoreError::Unavailable(_) => {
                tracing::warn!(cause = error.cause(), "the store does not answer");
                problem.with_retry_after(Duration::from_secs(1))
            }
            _ => problem,
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
