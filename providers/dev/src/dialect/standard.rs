//! The issuer as itself: by the standards, token profile of RFC 9068.

use scopegate_provider::Scope;
use serde_json::{Map, Value, json};

use super::{Dialect, Document, Minting, Operation, Paths};
use crate::settings::Tenant;

pub(crate) struct Standard;

const DISCOVERY: &str = "/.well-known/openid-configuration";
const AUTHORIZATION_SERVER: &str = "/.well-known/oauth-authorization-server";
const JWKS: &str = "/.well-known/jwks.json";

impl Dialect for Standard {
    fn name(&self) -> &'static str {
        "standard"
    }

    fn operation(&self, path: &str) -> Option<Operation> {
        Some(match path {
            DISCOVERY => Operation::Metadata(Document::OpenId),
            AUTHORIZATION_SERVER => Operation::Metadata(Document::AuthorizationServer),
            JWKS => Operation::Jwks,
            "/authorize" => Operation::Authorize,
            "/token" => Operation::Token,
            "/introspect" => Operation::Introspect,
            "/revoke" => Operation::Revoke,
            _ => return None,
        })
    }

    fn paths(&self) -> Paths {
        Paths {
            discovery: DISCOVERY.to_owned(),
            jwks: JWKS.to_owned(),
            authorize: "/authorize".to_owned(),
            token: "/token".to_owned(),
            introspect: Some("/introspect".to_owned()),
            revoke: "/revoke".to_owned(),
        }
    }

    fn metadata(&self, tenant: &Tenant, base: &str, _: Document) -> Value {
        let methods = ["client_secret_basic", "client_secret_post"];
        let mut scopes: Vec<&str> =
            tenant.clients.iter().flat_map(|client| client.scopes.iter()).map(Scope::as_str).collect();
        scopes.sort_unstable();
        scopes.dedup();
        json!({
            "issuer": self.issuer(base),
            "jwks_uri": format!("{base}{JWKS}"),
            "authorization_endpoint": format!("{base}/authorize"),
            "token_endpoint": format!("{base}/token"),
            "introspection_endpoint": format!("{base}/introspect"),
            "revocation_endpoint": format!("{base}/revoke"),
            "scopes_supported": scopes,
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "client_credentials"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": true,
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [tenant.algorithm],
            "token_endpoint_auth_methods_supported": methods,
            "introspection_endpoint_auth_methods_supported": methods,
            "revocation_endpoint_auth_methods_supported": methods,
        })
    }

    /// RFC 9068, section 2.2.
    fn claims(&self, minting: &Minting<'_>) -> Map<String, Value> {
        let client = &minting.client.id;
        let mut claims = Map::new();
        claims.insert("iss".to_owned(), json!(minting.issuer));
        claims.insert("sub".to_owned(), json!(client));
        claims.insert("aud".to_owned(), minting.audience_claim());
        claims.insert("client_id".to_owned(), json!(client));
        claims.insert("iat".to_owned(), json!(minting.now.seconds()));
        claims.insert("exp".to_owned(), json!(minting.expiry()));
        claims.insert("jti".to_owned(), json!(minting.id));
        claims.insert("scope".to_owned(), json!(minting.scopes.to_string()));
        claims
    }

    fn admits_foreign_revocations(&self) -> bool {
        true
    }
}
