//! A realm of Keycloak: its paths, its tokens with roles and a `typ` of their own, an encryption key among the keys, its
//! errors.

use std::time::Duration;

use http::StatusCode;
use scopegate_oidc::Signer;
use serde_json::{Map, Value, json};

use super::{Dialect, Document, Minting, Operation, Paths};
use crate::{refusal::Refusal, settings::Tenant};

/// A recorded document, with this issuer's address in place of the recorded one.
const METADATA: &str = include_str!("../../data/keycloak-discovery.json");

/// The realm that the issuer emulates.
const REALM: &str = "/realms/acme";

pub(crate) struct Keycloak;

impl Dialect for Keycloak {
    fn name(&self) -> &'static str {
        "keycloak"
    }

    fn issuer(&self, base: &str) -> String {
        format!("{base}{REALM}")
    }

    fn operation(&self, path: &str) -> Option<Operation> {
        Some(match path.strip_prefix(REALM)? {
            "/.well-known/openid-configuration" => Operation::Metadata(Document::OpenId),
            "/protocol/openid-connect/certs" => Operation::Jwks,
            "/protocol/openid-connect/auth" => Operation::Authorize,
            "/protocol/openid-connect/token" => Operation::Token,
            "/protocol/openid-connect/token/introspect" => Operation::Introspect,
            "/protocol/openid-connect/revoke" => Operation::Revoke,
            _ => return None,
        })
    }

    fn paths(&self) -> Paths {
        let endpoint = |name: &str| format!("{REALM}/protocol/openid-connect/{name}");
        Paths {
            discovery: format!("{REALM}/.well-known/openid-configuration"),
            jwks: endpoint("certs"),
            authorize: endpoint("auth"),
            token: endpoint("token"),
            introspect: Some(endpoint("token/introspect")),
            revoke: endpoint("revoke"),
        }
    }

    fn metadata(&self, _: &Tenant, base: &str, _: Document) -> Value {
        // The recorded document parses; a test checks that.
        let recorded: Value = serde_json::from_str(METADATA).unwrap_or_default();
        let issuer = recorded.get("issuer").and_then(Value::as_str).unwrap_or_default();
        serde_json::from_str(&METADATA.replace(issuer, &self.issuer(base))).unwrap_or_default()
    }

    /// An encryption key stands beside the keys that sign.
    fn key_set(&self, _: &str, mut keys: Value) -> Value {
        let encryption = keys.pointer("/keys/0").cloned();
        let list = keys.get_mut("keys").and_then(Value::as_array_mut);
        if let (Some(mut key), Some(list)) = (encryption, list) {
            if let Some(members) = key.as_object_mut() {
                members.insert("use".to_owned(), json!("enc"));
                members.insert("alg".to_owned(), json!("RSA-OAEP"));
                members.insert("kid".to_owned(), json!("encryption"));
            }
            list.push(key);
        }
        keys
    }

    fn nothing_at(&self, _: &str) -> Value {
        json!({ "error": "Unable to find matching target resource method" })
    }

    fn default_lifetime(&self) -> Duration {
        Duration::from_mins(5)
    }

    fn header(&self, signer: &Signer) -> Value {
        json!({ "alg": signer.algorithm().as_str(), "typ": "JWT", "kid": signer.kid() })
    }

    fn claims(&self, minting: &Minting<'_>) -> Map<String, Value> {
        let client = minting.client.id.as_str();
        let mut claims = Map::new();
        for (name, value) in [
            ("exp", json!(minting.expiry())),
            ("iat", json!(minting.now.seconds())),
            ("jti", json!(format!("trrtcc:{}", minting.id))),
            ("iss", json!(minting.issuer)),
            ("aud", minting.audience_claim()),
            ("sub", json!(format!("service-account-{client}"))),
            ("typ", json!("Bearer")),
            ("azp", json!(client)),
            ("realm_access", json!({ "roles": ["default-roles-acme"] })),
            ("scope", json!(minting.scopes.to_string())),
            ("client_id", json!(client)),
            ("preferred_username", json!(format!("service-account-{client}"))),
        ] {
            claims.insert(name.to_owned(), value);
        }
        claims
    }

    fn introspection(&self, mut claims: Map<String, Value>) -> Map<String, Value> {
        let user = claims.get("preferred_username").cloned().unwrap_or_default();
        claims.insert("username".to_owned(), user);
        claims.insert("token_type".to_owned(), json!("Bearer"));
        claims
    }

    fn refusal(&self, refusal: &Refusal) -> (StatusCode, Value) {
        let (status, code, description) = match refusal {
            Refusal::NoCredentials | Refusal::WrongCredentials => {
                let description = "Invalid client or Invalid client credentials";
                (StatusCode::UNAUTHORIZED, "unauthorized_client", description.to_owned())
            }
            Refusal::UnknownScope { scopes } | Refusal::UngrantedScope { scopes } => {
                (StatusCode::BAD_REQUEST, "invalid_scope", format!("Invalid scopes: {scopes}"))
            }
            other => (other.status(), other.code(), other.description()),
        };
        (status, json!({ "error": code, "error_description": description }))
    }
}
