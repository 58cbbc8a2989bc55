//! `/admin/explain`: which route decides a request, and why; nothing is consumed.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::Method;
use poem_openapi::{Object, OpenApi, payload::Json};
use scopegate_provider::{
    AuthnError, BearerToken, Claims, ClientId, Credentials, Freshness, Issuer, Principal, Rejection, Role,
    Scope, Verified,
};
use serde_json::{Value, json};

use super::{Admin, NodeStatus, bodies::set, nodes, rfc3339, unprocessable};
use crate::{
    authenticator::{Connected, TokenScheme},
    gate::Called,
    policy::{
        AlternativeFacts, CallerAt, Decision, Explanation, RawTarget, Scheme, Target, TermFacts, TokenUse,
    },
    problem::Problem,
    reason::Reason,
    store::RevocationKey,
    telemetry::DecisionOutcome,
};

/// The endpoint.
#[derive(Clone, Debug)]
pub struct ExplainApi(pub(super) Admin);

/// A request and its caller: a token, or what a token of a provider would say; neither is an anonymous caller. Or the id of
/// a remembered request.
#[derive(Object, Default)]
#[oai(deny_unknown_fields)]
struct Question {
    /// The id of a request whose decision this node remembers.
    request_id: Option<String>,
    /// The method; GET unless said.
    method: Option<String>,
    /// The target: `https://host/path`, or a path.
    url: Option<String>,
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
    /// Its claims.
    claims: Option<Value>,
}

#[OpenApi]
impl ExplainApi {
    /// Explain what is decided about a request, and every route that is considered.
    #[oai(path = "/admin/explain", method = "post", operation_id = "explain")]
    async fn explain(&self, Json(question): Json<Question>) -> poem::Result<Json<Value>> {
        match &question.request_id {
            Some(id) => Ok(Json(self.remembered(id).await?)),
            None => Ok(Json(self.answer(&question).await?)),
        }
    }
}

impl ExplainApi {
    /// Explains a request whose decision is remembered, as it would be decided now.
    async fn remembered(&self, id: &str) -> Result<Value, Problem> {
        let status = self.0.node.status();
        let Some(record) = status.metrics.live.find(id) else {
            let others = nodes::others(&self.0, &status).await;
            let description = match others.iter().find(|node| node.remembers(id)) {
                Some(node) => {
                    format!("the request `{id}` was decided by the node `{}`: ask there", node.id())
                }
                None => format!("no decision about the request `{id}` is remembered on this node"),
            };
            return Err(Problem::new(Reason::UnknownRequest, description));
        };
        let held = record.held.as_deref();
        let question = Question {
            method: Some(record.method.to_string()),
            url: Some(format!("https://{}{}", record.host, record.path)),
            provider: record.provider.as_ref().map(ToString::to_string),
            client: record.client.as_ref().map(ToString::to_string),
            scopes: held.iter().flat_map(|held| held.scopes.iter()).map(ToString::to_string).collect(),
            roles: held.iter().flat_map(|held| &held.roles).map(ToString::to_string).collect(),
            ..Question::default()
        };
        let mut answer = self.answer(&question).await?;
        if let Some(members) = answer.as_object_mut() {
            members.insert("request_id".to_owned(), json!(id));
            members.insert("decided_at".to_owned(), json!(rfc3339(record.at)));
            members.insert("node".to_owned(), json!(status.id));
            members.insert("outcome".to_owned(), json!(record.outcome.as_str()));
            let then = json!({ "outcome": record.outcome.as_str(), "status": record.status, "reason": record.reason });
            members.insert("then".to_owned(), then);
            let changed = status.since.is_some_and(|since| since > record.at);
            members.insert("changed_since".to_owned(), json!(changed));
            if record.outcome != DecisionOutcome::Permitted {
                members.insert("permitted".to_owned(), json!(false));
                members.insert("reason".to_owned(), json!(record.reason));
            }
        }
        Ok(answer)
    }

    async fn answer(&self, question: &Question) -> Result<Value, Problem> {
        let state = self.0.gate.current();
        let url = question.url.as_deref().ok_or_else(|| {
            unprocessable(Reason::InvalidQuestion, "expected `url`, or `request_id` of a remembered request")
        })?;
        let target = match target(question.method.as_deref(), url)? {
            Ok(target) => target,
            Err(error) => {
                let message = error.to_string();
                return Ok(json!({ "permitted": false, "reason": error.reason(), "message": message }));
            }
        };
        let status = self.0.node.status();
        let path = target.normal_path();
        if let Some(own) = self.0.node.own_endpoint(path) {
            return Ok(json!({
                "permitted": true,
                "target": explained_target(&target),
                "own_endpoint": own.path,
                "message": format!("scopegate's own endpoint `{}` answers before the policy: for {}", own.path, own.endpoint.access),
            }));
        }
        let caller = self.caller(question).await?;
        let principal = caller.as_ref().ok().and_then(Option::as_ref);
        let explanation = state.policy().explain(
            &target,
            principal.map(|principal| CallerAt::new(principal, state.authenticator().now())),
        );
        let resolved = state.policy().resolve(&target).ok();
        let uses_token = resolved.as_ref().is_some_and(|resolved| resolved.token_use() != TokenUse::Ignored);
        let mut answer = json!(explanation);
        let Some(members) = answer.as_object_mut() else { return Ok(answer) };
        members.insert("sent".to_owned(), json!(url));
        if let Some(shown) = members.get_mut("target").and_then(Value::as_object_mut) {
            shown.insert("sent".to_owned(), json!(url));
            shown.insert("notes".to_owned(), json!(explanation.target.irregularities));
        }
        if let Some(resolved) = &resolved {
            let route = resolved.route();
            members.insert("place".to_owned(), json!(self.0.node.place(route.source())));
            members.insert("clients_with".to_owned(), json!(clients_with(&status, route.label())));
        }
        if !explanation.permitted {
            members.insert("least".to_owned(), least(&explanation));
            members.insert("challenge".to_owned(), json!(self.challenge(&target, principal)));
            let curl = format!(
                "curl -X {} '{}{}' \\\n  -H \"Authorization: Bearer $TOKEN\"",
                target.method(),
                status.site,
                target.normal_path()
            );
            members.insert("curl".to_owned(), json!(curl));
        }
        if let Some(principal) = principal {
            let mut facts = token(principal, question.token.is_some());
            if let Some((key, algorithm)) = question.token.as_deref().and_then(signature) {
                set(&mut facts, "key", json!(key));
                set(&mut facts, "algorithm", json!(algorithm));
            }
            members.insert("token".to_owned(), facts);
        }
        if let (Err(error), true) = (&caller, uses_token) {
            // The token is at fault, so that its reason is the headline.
            members.insert("permitted".to_owned(), json!(false));
            members.insert("reason".to_owned(), json!(error.reason()));
            members.insert("message".to_owned(), json!(error.to_string()));
            let facts = json!({ "verified": false, "reason": error.reason(), "message": error.to_string(),
                                "revoked": matches!(error, AuthnError::Rejected(Rejection::Revoked)) });
            members.insert("token".to_owned(), facts);
        }
        Ok(answer)
    }
}

impl ExplainApi {
    /// Returns the challenge of the response that the policy gives now.
    fn challenge(&self, target: &Target, principal: Option<&Principal>) -> Option<String> {
        let state = self.0.gate.current();
        let caller = principal.map(|principal| CallerAt::new(principal, state.authenticator().now()));
        let Decision::Deny(refused) = state.policy().decide(target, caller) else { return None };
        let problem = Problem::from(&refused.denial);
        let problem = state.with_challenge(
            problem,
            &Called { target, own_route: None, scheme: TokenScheme::Bearer, forwarded: None },
        );
        problem.response().header(http::header::WWW_AUTHENTICATE).map(str::to_owned)
    }
}

/// Returns the smallest addition with which the caller would pass: scopes where they would do, else the terms that are
/// missing from the alternative that lacks the fewest.
fn least(explanation: &Explanation) -> Value {
    if let Some(scopes) = &explanation.missing_scopes {
        return json!({ "scopes": scopes });
    }
    let unmet =
        |alternative: &&AlternativeFacts| alternative.requirements.iter().filter(|term| !term.met).count();
    let Some(nearest) = explanation.alternatives.iter().min_by_key(unmet) else { return json!({}) };
    let missing = || nearest.requirements.iter().filter(|term| !term.met);
    let scopes: Vec<_> = missing().filter(|term| term.kind == "all_scopes").flat_map(needed).collect();
    let roles: Vec<_> = missing().filter(|term| term.kind == "roles").flat_map(needed).collect();
    let conditions: Vec<_> = missing()
        .filter(|term| !matches!(term.kind, "all_scopes" | "roles"))
        .map(|term| term.term.as_str())
        .collect();
    json!({ "scopes": scopes, "roles": roles, "conditions": conditions })
}

fn needed(term: &TermFacts) -> Vec<Value> {
    term.needs.as_array().cloned().unwrap_or_default()
}

/// Returns key id and algorithm in the header of a verified JWT.
fn signature(token: &str) -> Option<(Value, Value)> {
    let (header, _) = token.split_once('.')?;
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    Some((header.get("kid").cloned().unwrap_or_default(), header.get("alg").cloned().unwrap_or_default()))
}

fn explained_target(target: &Target) -> Value {
    json!({ "method": target.method().as_str(), "host": target.host(), "path": target.normal_path() })
}

/// Returns the facts of a caller. `verified` is `false` if the token is only supposed.
fn token(principal: &Principal, verified: bool) -> Value {
    json!({
        "verified": verified,
        "provider": principal.provider(),
        "issuer": principal.issuer(),
        "client": principal.client(),
        "subject": principal.subject(),
        "issued_at": principal.issued_at().map(rfc3339),
        "expires_at": rfc3339(principal.expires_at()),
        "scopes": principal.scopes(),
        "roles": principal.roles(),
        "revoked": false,
        "revocable_by": RevocationKey::of_principal(principal).iter().map(|key| {
            json!({ "kind": key.kind(), "value": key.value() })
        }).collect::<Vec<_>>(),
    })
}

/// Returns clients that recently passed on a route.
fn clients_with(status: &NodeStatus, label: &Arc<str>) -> Vec<ClientId> {
    const MOST: usize = 5;
    let recent = status.metrics.live.recent();
    let passed = recent.iter().filter(|record| record.outcome == DecisionOutcome::Permitted);
    let mut clients: Vec<ClientId> = Vec::new();
    for client in passed
        .filter(|record| record.route.as_ref() == Some(label))
        .filter_map(|record| record.client.as_ref())
    {
        if clients.len() < MOST && !clients.contains(client) {
            clients.push(client.clone());
        }
    }
    clients
}

impl ExplainApi {
    async fn caller(&self, question: &Question) -> Result<Result<Option<Principal>, AuthnError>, Problem> {
        match (&question.token, &question.provider) {
            (Some(_), Some(_)) => {
                Err(unprocessable(Reason::InvalidQuestion, "expected `token` or `provider`, found both"))
            }
            (None, None) => Ok(Ok(None)),
            (None, Some(provider)) => {
                Ok(Ok(Some(supposed(&self.0.provider(provider)?, question, self.0.now())?)))
            }
            (Some(token), None) => {
                let token = BearerToken::parse(token)
                    .map_err(|error| unprocessable(Reason::InvalidQuestion, error.to_string()))?;
                let state = self.0.gate.current();
                let credentials = Credentials::bearer(token);
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
    let invalid = |error: &dyn std::error::Error| unprocessable(Reason::InvalidQuestion, error.to_string());
    let issuer = match connected.provider().issuers() {
        [first, ..] => first.clone(),
        [] => Issuer::parse("unknown:").map_err(|error| invalid(&error))?,
    };
    let claims = question.claims.clone().filter(Value::is_object).unwrap_or_else(|| json!({}));
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
        claims: Claims::from_json(claims.to_string().into_bytes()),
    }))
}

fn target(method: Option<&str>, url: &str) -> Result<Result<Target, crate::policy::TargetError>, Problem> {
    let method = method.unwrap_or("GET");
    let method = Method::from_bytes(method.as_bytes())
        .map_err(|_| unprocessable(Reason::InvalidQuestion, "expected a method such as GET"))?;
    // By hand: a URL library would tidy up what is to be judged as it was sent.
    let (scheme, rest) = match url.split_once("://") {
        Some(("http", rest)) => (Scheme::Http, rest),
        Some(("https", rest)) => (Scheme::Https, rest),
        _ if url.starts_with('/') => (Scheme::Https, url),
        _ => {
            return Err(unprocessable(
                Reason::InvalidQuestion,
                "expected `url` as https://host/path, or a path",
            ));
        }
    };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = if host.is_empty() { "localhost" } else { host };
    let path = if path.is_empty() { "/" } else { path };
    let path_and_query = path.as_bytes();
    Ok(Target::parse(RawTarget { method: &method, scheme, authority: None, hosts: [host], path_and_query }))
}
