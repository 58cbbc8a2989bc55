//! `POST /introspect` (RFC 7662): whether a token would pass now, in one shape for all providers.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::{HeaderValue, header};
use poem::{Body, Endpoint, Request, Response, Result};
use scopegate_provider::{
    AuthnError, BearerToken, ClientCredentials, ClientId, Credentials, Freshness, Principal, Secret,
};
use serde_json::{Value, json};

use super::{form::Form, tries::Tries};
use crate::{
    gate::{Gate, Guard, Refusal},
    problem::Problem,
    reason::Reason,
    telemetry::Outcome,
};

/// The endpoint.
#[derive(Debug, Clone)]
pub struct IntrospectEndpoint {
    gate: Gate,
    guard: Option<Guard>,
    clients: Vec<(ClientId, Secret)>,
    tries: Tries,
    label: Arc<str>,
}

impl IntrospectEndpoint {
    /// Creates an endpoint for callers that `guard` admits, and for these clients. `label` names it in logs and metrics.
    pub fn new(
        gate: Gate,
        guard: Option<Guard>,
        clients: Vec<(ClientId, Secret)>,
        tries: Tries,
        label: &str,
    ) -> Self {
        Self { gate, guard, clients, tries, label: label.into() }
    }

    async fn introspect(&self, request: &Request, body: Body) -> Result<Value, Refusal> {
        let form = Form::read(request, body).await.map_err(|error| Refusal::unrouted(error.into()))?;
        self.admit(request, &form).await?;
        let token = form.one("token").map_err(|error| malformed(&error.to_string()))?;
        let token = token.ok_or_else(|| malformed("expected the parameter `token`"))?;
        let state = self.gate.current();
        let Ok(token) = BearerToken::parse(token) else { return Ok(inactive()) };
        if token.as_bytes().len() > state.settings().token_limit {
            return Ok(inactive());
        }
        match state.authenticator().authenticate(&Credentials::bearer(token), Freshness::Cached).await {
            Ok(principal) => Ok(active(&principal)),
            Err(AuthnError::Rejected(_)) => Ok(inactive()),
            Err(AuthnError::Unavailable(outage)) => Err(Refusal::unrouted(Problem::unavailable(&outage))),
        }
    }

    /// Lets a caller ask: one of the clients, or one with a token that satisfies the rule.
    async fn admit(&self, request: &Request, form: &Form) -> Result<(), Refusal> {
        let scheme = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer = scheme
            .is_some_and(|value| value.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer ")));
        if let (Some(guard), true) = (&self.guard, bearer) {
            return guard.admit(request).await.map(drop);
        }
        let client = form.client(request.headers()).ok().flatten();
        let caller = self.tries.caller(request, client.as_ref().map(|client| client.id.as_str()));
        let id = client.as_ref().map(|client| client.id.clone());
        self.tries.check(caller).map_err(|problem| Refusal::unrouted(problem).of_client(id.clone()))?;
        match client {
            Some(client) if self.knows(&client) => {
                self.tries.succeeded(caller);
                Ok(())
            }
            Some(_) => {
                self.tries.failed(caller);
                Err(no_client().of_client(id))
            }
            None => Err(no_client()),
        }
    }

    fn knows(&self, client: &ClientCredentials) -> bool {
        self.clients.iter().any(|(id, secret)| {
            let ours = secret.reveal().as_bytes();
            let theirs = client.secret.reveal().as_bytes();
            *id == client.id && verify_slices_are_equal(ours, theirs).is_ok()
        })
    }
}

impl Endpoint for IntrospectEndpoint {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        let body = request.take_body();
        let answer = match self.introspect(&request, body).await {
            Ok(answer) => answer,
            Err(refusal) => {
                let mut response = challenged(&refusal.problem);
                response.set_data(Outcome { route: Some(self.label.clone()), ..refusal.outcome() });
                return Ok(response);
            }
        };
        Ok(Response::builder()
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CACHE_CONTROL, "no-store")
            .body(answer.to_string()))
    }
}

fn no_client() -> Refusal {
    let description = "expected a client of `introspection.clients`, or a bearer token that may introspect";
    Refusal::unrouted(Problem::new(Reason::NoClient, description))
}

fn malformed(description: &str) -> Refusal {
    Refusal::unrouted(Problem::new(Reason::MalformedForm, description))
}

/// RFC 7662, section 2.3, and RFC 6749, section 5.2: the challenge of the scheme that is expected.
fn challenged(problem: &Problem) -> Response {
    let mut response = problem.response();
    if problem.reason() == Reason::NoClient {
        let challenge = HeaderValue::from_static("Basic realm=\"scopegate\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// Nothing else is said of a token that is not good (RFC 7662, section 2.2).
fn inactive() -> Value {
    json!({ "active": false })
}

fn active(principal: &Principal) -> Value {
    let members = [
        ("active", Some(json!(true))),
        ("iss", Some(json!(principal.issuer()))),
        ("scope", Some(json!(principal.scopes().to_string()))),
        ("token_type", Some(json!("Bearer"))),
        ("exp", Some(json!(principal.expires_at().seconds()))),
        ("iat", principal.issued_at().map(|at| json!(at.seconds()))),
        ("sub", principal.subject().map(|subject| json!(subject))),
        ("client_id", principal.client().map(|client| json!(client))),
        ("aud", (!principal.audience().is_empty()).then(|| json!(principal.audience()))),
        ("jti", principal.token_id().map(|id| json!(id))),
        ("sid", principal.session().map(|session| json!(session))),
        ("provider", Some(json!(principal.provider()))),
        ("roles", (!principal.roles().is_empty()).then(|| json!(principal.roles()))),
    ];
    let members = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(members.collect())
}
