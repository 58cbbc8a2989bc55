//! A custom authorization server of Okta: its paths, token shape, errors of both families.

use http::StatusCode;
use scopegate_oidc::Signer;
use scopegate_provider::ScopeSet;
use serde_json::{Map, Value, json};

use super::{Dialect, Document, Grant, Minting, Operation, Paths, asked_scopes, without};
use crate::{client::Client, form::Form, refusal::Refusal, settings::Tenant};

/// Recorded documents, with this issuer's address in place of the organisation's.
const OPENID: &str = include_str!("../../data/okta-discovery.json");
const AUTHORIZATION_SERVER: &str = include_str!("../../data/okta-oauth-authorization-server.json");
const RECORDED_ORGANISATION: &str = "https://acme.okta.com";
const RECORDED_SERVER: &str = "aus1acmeORDERSas15d7";

pub(crate) struct Okta {
    server: String,
}

impl Okta {
    pub(crate) fn new(server: &str) -> Self {
        Self { server: server.to_owned() }
    }

    fn root(&self) -> String {
        format!("/oauth2/{}", self.server)
    }
}

impl Dialect for Okta {
    fn name(&self) -> &'static str {
        "okta"
    }

    fn issuer(&self, base: &str) -> String {
        format!("{base}{}", self.root())
    }

    fn operation(&self, path: &str) -> Option<Operation> {
        let root = self.root();
        if path.strip_prefix("/.well-known/oauth-authorization-server") == Some(&root) {
            return Some(Operation::Metadata(Document::AuthorizationServer));
        }
        Some(match path.strip_prefix(&root)? {
            "/.well-known/openid-configuration" => Operation::Metadata(Document::OpenId),
            "/.well-known/oauth-authorization-server" => Operation::Metadata(Document::AuthorizationServer),
            "/v1/keys" => Operation::Jwks,
            "/v1/token" => Operation::Token,
            "/v1/introspect" => Operation::Introspect,
            "/v1/revoke" => Operation::Revoke,
            _ => return None,
        })
    }

    fn paths(&self) -> Paths {
        let at = |rest: &str| format!("{}{rest}", self.root());
        Paths {
            discovery: at("/.well-known/openid-configuration"),
            jwks: at("/v1/keys"),
            token: at("/v1/token"),
            introspect: Some(at("/v1/introspect")),
            revoke: at("/v1/revoke"),
        }
    }

    fn metadata(&self, _: &Tenant, base: &str, document: Document) -> Value {
        let recorded = match document {
            Document::OpenId => OPENID,
            Document::AuthorizationServer => AUTHORIZATION_SERVER,
        };
        let ours = recorded.replace(RECORDED_ORGANISATION, base).replace(RECORDED_SERVER, &self.server);
        // The recorded documents parse; a test sees to it.
        serde_json::from_str(&ours).unwrap_or_default()
    }

    /// An authorization server that is not there is answered with Okta's error object, not with OAuth's.
    fn nothing_at(&self, path: &str) -> Value {
        let what = match unknown_server(path) {
            Some(id) if id != self.server => format!("{id} (AuthorizationServer)"),
            _ => path.to_owned(),
        };
        json!({
            "errorCode": "E0000007",
            "errorSummary": format!("Not found: Resource not found: {what}"),
            "errorLink": "E0000007",
            "errorId": "oaeScopegateEmulation",
            "errorCauses": [],
        })
    }

    /// The documented example: 44 days.
    fn keys_cache_control(&self) -> &'static str {
        "max-age=3832304, must-revalidate"
    }

    /// The audience is the server's; `scope` must be there, since no default scope is configured.
    fn grant<'a>(&self, tenant: &Tenant, client: &'a Client, form: &Form) -> Result<Grant<'a>, Refusal> {
        let scopes = asked_scopes(form)?.ok_or(Refusal::MissingScope)?;
        let configured: ScopeSet =
            tenant.clients.iter().flat_map(|client| client.scopes.iter()).cloned().collect();
        if !configured.is_superset(&scopes) {
            return Err(Refusal::UnknownScope { scopes: without(&scopes, &configured).to_string() });
        }
        if !client.scopes.is_superset(&scopes) {
            return Err(Refusal::UngrantedScope { scopes: without(&scopes, &client.scopes).to_string() });
        }
        Ok(Grant { client, audience: Some(tenant.audiences.to_vec()), scopes })
    }

    /// No `typ`.
    fn header(&self, signer: &Signer) -> Value {
        json!({ "kid": signer.kid(), "alg": signer.algorithm().as_str() })
    }

    fn claims(&self, minting: &Minting<'_>) -> Map<String, Value> {
        let client = &minting.client.id;
        let mut claims = Map::new();
        claims.insert("ver".to_owned(), json!(1));
        claims.insert("jti".to_owned(), json!(format!("AT.{}", minting.id)));
        claims.insert("iss".to_owned(), json!(minting.issuer));
        claims.insert("aud".to_owned(), minting.audience_claim());
        claims.insert("iat".to_owned(), json!(minting.now.seconds()));
        claims.insert("exp".to_owned(), json!(minting.expiry()));
        claims.insert("cid".to_owned(), json!(client));
        claims.insert("scp".to_owned(), json!(minting.scopes));
        claims.insert("sub".to_owned(), json!(client));
        claims
    }

    /// `scope` is a string here and the client is `client_id`, unlike in the token.
    fn introspection(&self, mut claims: Map<String, Value>) -> Map<String, Value> {
        claims.remove("ver");
        if let Some(client) = claims.remove("cid") {
            claims.insert("client_id".to_owned(), client);
        }
        if let Some(Value::Array(scopes)) = claims.remove("scp") {
            let scopes: Vec<&str> = scopes.iter().filter_map(Value::as_str).collect();
            claims.insert("scope".to_owned(), json!(scopes.join(" ")));
        }
        claims
    }

    fn refusal(&self, refusal: &Refusal) -> (StatusCode, Value) {
        let description = match refusal {
            Refusal::NoCredentials => "No client credentials found.".to_owned(),
            Refusal::WrongCredentials => {
                "The client secret supplied for a confidential client is invalid.".to_owned()
            }
            Refusal::UnknownScope { .. } => {
                "One or more scopes are not configured for the authorization server resource.".to_owned()
            }
            Refusal::MissingScope => {
                "The authorization server resource does not have any configured default \
                                      scopes, 'scope' must be provided."
                    .to_owned()
            }
            Refusal::UngrantedScope { .. } => {
                "Policy evaluation failed for this request, please check the policy configurations."
                    .to_owned()
            }
            other => other.description(),
        };
        let code = match refusal {
            Refusal::UngrantedScope { .. } => "access_denied",
            other => other.code(),
        };
        (refusal.status(), json!({ "error": code, "error_description": description }))
    }
}

/// The id of the authorization server that a path asks for.
fn unknown_server(path: &str) -> Option<&str> {
    let path = path.strip_prefix("/.well-known/oauth-authorization-server").unwrap_or(path);
    path.strip_prefix("/oauth2/")?.split('/').next()
}
