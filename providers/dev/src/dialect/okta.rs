//! An authorization server of Okta, a custom one or the organisation's own: paths, token shape, errors of both families.

use http::StatusCode;
use scopegate_oidc::Signer;
use scopegate_provider::ScopeSet;
use serde_json::{Map, Value, json};

use super::{Dialect, Document, Grant, Minting, Operation, Paths, asked_scopes, without};
use crate::{client::Client, form::Form, refusal::Refusal, settings::Tenant};

/// Recorded documents, with this issuer's address in place of the organisation's.
const OPENID: &str = include_str!("../../data/okta-discovery.json");
const AUTHORIZATION_SERVER: &str = include_str!("../../data/okta-oauth-authorization-server.json");
const OPENID_OF_ORG: &str = include_str!("../../data/okta-discovery-org.json");
const RECORDED_ORGANISATION: &str = "https://acme.okta.com";
const RECORDED_SERVER: &str = "aus1acmeORDERSas15d7";

/// The setting that stands for the organisation's own server.
pub(crate) const ORG: &str = "org";

pub(crate) struct Okta(Server);

enum Server {
    /// Its tokens are JWTs for everybody, its endpoints below the issuer.
    Custom(String),
    /// Its tokens are for Okta alone to read: of a type of their own, signed by a key that is not published.
    Org,
}

impl Okta {
    pub(crate) fn new(server: &str) -> Self {
        Self(if server == ORG { Server::Org } else { Server::Custom(server.to_owned()) })
    }

    fn is(&self, id: &str) -> bool {
        match &self.0 {
            Server::Custom(ours) => ours == id,
            Server::Org => id == "v1",
        }
    }

    /// The path below which the endpoints are, without `/v1`.
    fn root(&self) -> String {
        match &self.0 {
            Server::Custom(id) => format!("/oauth2/{id}"),
            Server::Org => "/oauth2".to_owned(),
        }
    }

    fn discovery(&self, document: Document) -> String {
        let name = match document {
            Document::OpenId => "openid-configuration",
            Document::AuthorizationServer | Document::AllTenants => "oauth-authorization-server",
        };
        match &self.0 {
            Server::Custom(id) => format!("/oauth2/{id}/.well-known/{name}"),
            Server::Org => format!("/.well-known/{name}"),
        }
    }
}

impl Dialect for Okta {
    fn name(&self) -> &'static str {
        "okta"
    }

    fn issuer(&self, base: &str) -> String {
        match &self.0 {
            Server::Custom(_) => format!("{base}{}", self.root()),
            Server::Org => base.to_owned(),
        }
    }

    fn operation(&self, path: &str) -> Option<Operation> {
        for document in [Document::OpenId, Document::AuthorizationServer] {
            if path == self.discovery(document) {
                return Some(Operation::Metadata(document));
            }
        }
        let root = self.root();
        if path.strip_prefix("/.well-known/oauth-authorization-server") == Some(&root) {
            return Some(Operation::Metadata(Document::AuthorizationServer));
        }
        Some(match path.strip_prefix(&root)? {
            "/v1/keys" => Operation::Jwks,
            "/v1/authorize" => Operation::Authorize,
            "/v1/token" => Operation::Token,
            "/v1/introspect" => Operation::Introspect,
            "/v1/revoke" => Operation::Revoke,
            _ => return None,
        })
    }

    fn paths(&self) -> Paths {
        let root = self.root();
        Paths {
            discovery: self.discovery(Document::OpenId),
            jwks: format!("{root}/v1/keys"),
            authorize: format!("{root}/v1/authorize"),
            token: format!("{root}/v1/token"),
            introspect: Some(format!("{root}/v1/introspect")),
            revoke: format!("{root}/v1/revoke"),
        }
    }

    fn metadata(&self, _: &Tenant, base: &str, document: Document) -> Value {
        let (recorded, server) = match (&self.0, document) {
            (Server::Custom(id), Document::OpenId) => (OPENID, id.as_str()),
            (Server::Custom(id), Document::AuthorizationServer | Document::AllTenants) => {
                (AUTHORIZATION_SERVER, id.as_str())
            }
            (Server::Org, _) => (OPENID_OF_ORG, ORG),
        };
        let ours = recorded.replace(RECORDED_ORGANISATION, base).replace(RECORDED_SERVER, server);
        // The recorded documents parse; a test sees to it.
        serde_json::from_str(&ours).unwrap_or_default()
    }

    /// An authorization server that is not there is answered with Okta's error object, not with OAuth's.
    fn nothing_at(&self, path: &str) -> Value {
        let what = match unknown_server(path) {
            Some(id) if !self.is(id) => format!("{id} (AuthorizationServer)"),
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

    fn publishes_the_signing_key(&self) -> bool {
        match &self.0 {
            Server::Custom(_) => true,
            Server::Org => false,
        }
    }

    /// No `typ` where tokens are for everybody.
    fn header(&self, signer: &Signer) -> Value {
        let kid = signer.kid();
        let alg = signer.algorithm().as_str();
        match &self.0 {
            Server::Custom(_) => json!({ "kid": kid, "alg": alg }),
            Server::Org => json!({ "kid": kid, "typ": "application/okta-internal-at+jwt", "alg": alg }),
        }
    }

    fn claims(&self, minting: &Minting<'_>) -> Map<String, Value> {
        let client = &minting.client.id;
        let mut claims = Map::new();
        claims.insert("ver".to_owned(), json!(1));
        claims.insert("jti".to_owned(), json!(format!("AT.{}", minting.id)));
        claims.insert("iss".to_owned(), json!(minting.issuer));
        let audience = match &self.0 {
            Server::Custom(_) => minting.audience_claim(),
            Server::Org => json!(minting.issuer),
        };
        claims.insert("aud".to_owned(), audience);
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
