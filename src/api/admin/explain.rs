//! `/admin/explain`: which route decides a request, and why; nothing is consumed.

use std::{sync::Arc, time::Duration};

use http::Method;
use poem_openapi::{Object, OpenApi, payload::Json};
use scopegate_provider::{
    AuthnError, BearerToken, Claims, ClientId, Credentials, Freshness, Issuer, Principal, Role, Scope,
    Verified,
};
use serde_json::{Value, json};

use super::{Admin, unprocessable};
use crate::{
    authenticator::Connected,
    policy::{RawTarget, Scheme, Target, TokenUse},
    problem::Problem,
};

/// The endpoint.
#[derive(Clone, Debug)]
pub struct ExplainApi(pub(super) Admin);

/// A request, and who sends it: a token, or what a token of a provider would say; neither is an anonymous caller.
#[derive(Object)]
struct Question {
    /// The method; GET unless said.
    method: Option<String>,
    /// What is asked for: `https://host/path`, or a path.
    url: String,
    /// A token. It is verified, not kept and not repeated.
    token: Option<String>,
    /// The provider of a token that is only supposed.
    provider: Option<String>,
    /// Its scopes.
    #[oai(default)]
    scopes: Vec<String>,
    /// Its roles.
    #[oai(default)]
    roles: Vec<String>,
    /// Its client.
    client: Option<String>,
}

#[OpenApi]
impl ExplainApi {
    /// Explain what is decided about a request, and every route that is considered.
    #[oai(path = "/admin/explain", method = "post", operation_id = "explain")]
    async fn explain(&self, Json(question): Json<Question>) -> poem::Result<Json<Value>> {
        let state = self.0.gate.current();
        let target = match target(&question)? {
            Ok(target) => target,
            Err(error) => {
                let message = error.to_string();
                return Ok(Json(json!({ "permitted": false, "reason": error.reason(), "message": message })));
            }
        };
        let caller = self.caller(&question).await?;
        let explanation = state.policy().explain(&target, caller.as_ref().ok().and_then(Option::as_ref));
        let mut answer = json!(explanation);
        let resolved = state.policy().resolve(&target).ok();
        let Some(members) = answer.as_object_mut() else { return Ok(Json(answer)) };
        if let Some(resolved) = &resolved {
            members.insert("place".to_owned(), json!(self.0.node.place(resolved.route().source())));
        }
        let looked_at = resolved.is_some_and(|resolved| resolved.token_use() != TokenUse::Ignored);
        if let (Err(error), true) = (caller, looked_at) {
            members.insert("permitted".to_owned(), json!(false));
            let told = json!({ "reason": error.reason(), "message": error.to_string() });
            members.insert("token".to_owned(), told);
        }
        Ok(Json(answer))
    }
}

impl ExplainApi {
    async fn caller(&self, question: &Question) -> Result<Result<Option<Principal>, AuthnError>, Problem> {
        match (&question.token, &question.provider) {
            (Some(_), Some(_)) => {
                Err(unprocessable("invalid_question", "expected `token` or `provider`, found both"))
            }
            (None, None) => Ok(Ok(None)),
            (None, Some(provider)) => {
                Ok(Ok(Some(supposed(&self.0.provider(provider)?, question, self.0.now())?)))
            }
            (Some(token), None) => {
                let token = BearerToken::parse(token)
                    .map_err(|error| unprocessable("invalid_question", error.to_string()))?;
                let (state, credentials) = (self.0.gate.current(), Credentials::bearer(token));
                let answer = state.authenticator().authenticate(&credentials, Freshness::Cached).await;
                Ok(answer.map(Some))
            }
        }
    }
}

/// Supposed, not verified: it lives for this explanation only.
fn supposed(
    connected: &Connected,
    question: &Question,
    now: scopegate_provider::Timestamp,
) -> Result<Principal, Problem> {
    let invalid = |error: &dyn std::error::Error| unprocessable("invalid_question", error.to_string());
    let issuer = match connected.provider().issuers() {
        [first, ..] => first.clone(),
        [] => Issuer::parse("unknown:").map_err(|error| invalid(&error))?,
    };
    let scopes = question.scopes.iter().map(|scope| Scope::parse(scope));
    let roles = question.roles.iter().map(|role| Role::parse(role));
    let client = question.client.as_deref().map(ClientId::parse).transpose();
    Ok(Principal::assert_verified(Verified {
        provider: connected.name().clone(),
        issuer,
        subject: None,
        client: client.map_err(|error| invalid(&error))?,
        audience: Arc::default(),
        scopes: scopes.collect::<Result<_, _>>().map_err(|error| invalid(&error))?,
        roles: roles.collect::<Result<_, _>>().map_err(|error| invalid(&error))?,
        token_id: None,
        session: None,
        issued_at: Some(now),
        expires_at: now + Duration::from_mins(1),
        leeway: Duration::ZERO,
        cache_until: now,
        claims: Claims::from_json(*b"{}"),
    }))
}

fn target(question: &Question) -> Result<Result<Target, crate::policy::TargetError>, Problem> {
    let method = question.method.as_deref().unwrap_or("GET");
    let method = Method::from_bytes(method.as_bytes())
        .map_err(|_| unprocessable("invalid_question", "expected a method such as GET"))?;
    // By hand: a URL library would tidy up what is to be judged as it was sent.
    let (scheme, rest) = match question.url.split_once("://") {
        Some(("http", rest)) => (Scheme::Http, rest),
        Some(("https", rest)) => (Scheme::Https, rest),
        _ if question.url.starts_with('/') => (Scheme::Https, question.url.as_str()),
        _ => return Err(unprocessable("invalid_question", "expected `url` as https://host/path, or a path")),
    };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = if host.is_empty() { "localhost" } else { host };
    let path = if path.is_empty() { "/" } else { path };
    let path_and_query = path.as_bytes();
    Ok(Target::parse(RawTarget { method: &method, scheme, authority: None, hosts: [host], path_and_query }))
}
