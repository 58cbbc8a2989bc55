//! `POST /token`: asks the provider for a client-credentials token with the caller's own client (RFC 6749, 4.4).

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, StatusCode, header};
use poem::{Body, Endpoint, Request, Response, Result};
use scopegate_provider::{ClientId, ScopeSet, TokenRequest, TokenRequestError, TokenResponse};
use serde_json::{Map, Value, json};

use super::{
    form::{ClientError, Form, FormError},
    tries::Tries,
};
use crate::{gate::Gate, problem::Problem, reason::Reason, telemetry::Outcome};

/// The endpoint.
#[derive(Debug, Clone)]
pub struct TokenEndpoint {
    gate: Gate,
    tries: Tries,
    label: Arc<str>,
}

impl TokenEndpoint {
    /// Creates an endpoint that requests tokens of the providers behind this gate. `label` names it in logs and metrics.
    pub fn new(gate: Gate, tries: Tries, label: &str) -> Self {
        Self { gate, tries, label: label.into() }
    }

    /// Requests a token for the client of the form, which is left in `named` for the log.
    async fn ask(
        &self,
        request: &Request,
        body: Body,
        named: &mut Option<ClientId>,
    ) -> Result<TokenResponse, TokenError> {
        let form = Form::read(request, body).await?;
        match form.one("grant_type")? {
            None | Some("client_credentials") => {}
            Some(_) => return Err(TokenError::GrantType),
        }
        let client = form.client(request.headers())?.ok_or(TokenError::NoClient)?;
        *named = Some(client.id.clone());
        let caller = self.tries.caller(request, Some(client.id.as_str()));
        self.tries.check(caller).map_err(TokenError::TooManyTries)?;
        let scopes = form.one("scope")?.map(ScopeSet::parse).transpose().map_err(|_| TokenError::Scope)?;
        let state = self.gate.current();
        let name = provider_name(request)?;
        let connected = match (name.as_deref(), state.authenticator().providers()) {
            (Some(name), _) => state.authenticator().provider(name).ok_or(TokenError::UnknownProvider)?,
            (None, [only]) => only,
            (None, _) => return Err(TokenError::WhichProvider),
        };
        let asker = connected.provider().request_token().ok_or(TokenError::NoTokenRequests)?;
        let resources = form.all("resource");
        let answer = asker.request_token(TokenRequest { client: Some(client), scopes, resources }).await;
        match &answer {
            Ok(_) => self.tries.succeeded(caller),
            Err(TokenRequestError::Refused { error, .. }) if error == "invalid_client" => {
                self.tries.failed(caller);
            }
            Err(_) => {}
        }
        Ok(answer?)
    }
}

impl Endpoint for TokenEndpoint {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        let body = request.take_body();
        let mut client = None;
        let response = match self.ask(&request, body, &mut client).await {
            Ok(token) => respond(StatusCode::OK, &granted(&token)),
            // The listener's own answer: the client did not send what the endpoint would judge.
            Err(TokenError::Form(FormError::Body(error))) => return Err(error.problem().into()),
            Err(error) => {
                let mut response = refused(&error);
                if let Some(reason) = error.denial() {
                    let detail = Some(error.to_string().into());
                    let outcome = Outcome::denied(self.label.clone(), reason);
                    response.set_data(Outcome { client, detail, ..outcome });
                }
                response
            }
        };
        Ok(response)
    }
}

/// Errors of a token request.
#[derive(Debug, thiserror::Error)]
enum TokenError {
    #[error(transparent)]
    Form(#[from] FormError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("expected the grant type `client_credentials`")]
    GrantType,
    #[error("expected a client id and secret, by HTTP Basic or in the form")]
    NoClient,
    #[error("the provider gives no tokens")]
    NoTokenRequests,
    #[error("a scope may hold only what RFC 6749, section 3.3, allows")]
    Scope,
    #[error("no provider has the name that `provider` gives")]
    UnknownProvider,
    #[error("there are several providers: say which one by `?provider=NAME`")]
    WhichProvider,
    #[error("{}", .0.description())]
    TooManyTries(Problem),
    #[error(transparent)]
    Provider(#[from] TokenRequestError),
}

impl TokenError {
    /// Returns the reason for log, metrics and audit if the client was denied, as opposed to having sent a bad request.
    fn denial(&self) -> Option<Reason> {
        match self {
            Self::TooManyTries(problem) => Some(problem.reason()),
            Self::NoClient | Self::Client(_) | Self::Provider(TokenRequestError::NoClient) => {
                Some(Reason::NoClient)
            }
            Self::Provider(TokenRequestError::Refused { status: 401, .. }) => Some(Reason::InvalidClient),
            Self::Provider(TokenRequestError::Refused { error, .. }) if error == "invalid_client" => {
                Some(Reason::InvalidClient)
            }
            _ => None,
        }
    }

    fn code(&self) -> (StatusCode, &str) {
        match self {
            Self::Form(_) | Self::NoTokenRequests | Self::UnknownProvider | Self::WhichProvider => {
                (StatusCode::BAD_REQUEST, "invalid_request")
            }
            Self::Client(ClientError::Twice) => (StatusCode::BAD_REQUEST, "invalid_request"),
            Self::Client(ClientError::Malformed) | Self::NoClient => {
                (StatusCode::UNAUTHORIZED, "invalid_client")
            }
            Self::TooManyTries(problem) => (problem.status(), "temporarily_unavailable"),
            Self::GrantType => (StatusCode::BAD_REQUEST, "unsupported_grant_type"),
            Self::Scope => (StatusCode::BAD_REQUEST, "invalid_scope"),
            Self::Provider(TokenRequestError::NoClient) => (StatusCode::UNAUTHORIZED, "invalid_client"),
            Self::Provider(TokenRequestError::Refused { status, error, .. }) => {
                (StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_REQUEST), error)
            }
            Self::Provider(TokenRequestError::IdToken(_)) => (StatusCode::BAD_REQUEST, "invalid_grant"),
            Self::Provider(TokenRequestError::Unavailable(_)) => {
                (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable")
            }
        }
    }

    fn description(&self) -> Option<String> {
        match self {
            Self::Provider(TokenRequestError::Refused { description, .. }) => description.clone(),
            _ => Some(self.to_string()),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooManyTries(problem) => problem.retry_after(),
            Self::Provider(TokenRequestError::Refused { retry_after, .. }) => *retry_after,
            Self::Provider(TokenRequestError::Unavailable(outage)) => Some(outage.retry_after),
            _ => None,
        }
    }
}

fn provider_name(request: &Request) -> Result<Option<String>, TokenError> {
    let query = request.uri().query().unwrap_or_default();
    let mut names = url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "provider");
    match (names.next(), names.next()) {
        (first, None) => Ok(first.map(|(_, value)| value.into_owned())),
        (_, Some(_)) => Err(FormError::Twice { name: "provider" }.into()),
    }
}

fn granted(token: &TokenResponse) -> Value {
    let mut members = Map::new();
    members.insert("access_token".into(), token.access_token.reveal().into());
    members.insert("token_type".into(), token.token_type.as_str().into());
    if let Some(expires_in) = token.expires_in {
        members.insert("expires_in".into(), expires_in.as_secs().into());
    }
    if let Some(scope) = &token.scope {
        members.insert("scope".into(), scope.as_str().into());
    }
    Value::Object(members)
}

fn refused(error: &TokenError) -> Response {
    let (status, code) = error.code();
    let mut body = json!({ "error": code });
    if let (Some(members), Some(description)) = (body.as_object_mut(), error.description()) {
        members.insert("error_description".into(), description.into());
    }
    let mut response = respond(status, &body);
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Basic realm=\"scopegate\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    if let Some(after) = error.retry_after() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
    }
    response
}

/// RFC 6749, section 5.1: JSON that nobody keeps.
fn respond(status: StatusCode, body: &Value) -> Response {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CACHE_CONTROL, "no-store")
        .header(header::PRAGMA, "no-cache")
        .body(body.to_string())
}
