//! A user pool of Amazon Cognito: tokens without an audience, scopes with the resource server's prefix, its errors.

use http::StatusCode;
use scopegate_oidc::Signer;
use serde_json::{Map, Value, json};

use super::{Dialect, Document, Grant, Minting, Operation, Paths, asked_scopes, without};
use crate::{client::Client, form::Form, refusal::Refusal, settings::Tenant};

/// The user pool that the issuer emulates.
const POOL: &str = "eu-central-1_AcmePool1";

pub(crate) struct Cognito;

impl Dialect for Cognito {
    fn name(&self) -> &'static str {
        "cognito"
    }

    fn issuer(&self, base: &str) -> String {
        format!("{base}/{POOL}")
    }

    fn operation(&self, path: &str) -> Option<Operation> {
        let paths = self.paths();
        Some(match path {
            path if path == paths.discovery => Operation::Metadata(Document::OpenId),
            path if path == paths.jwks => Operation::Jwks,
            path if path == paths.authorize => Operation::Authorize,
            path if path == paths.token => Operation::Token,
            path if path == paths.revoke => Operation::Revoke,
            _ => return None,
        })
    }

    fn paths(&self) -> Paths {
        Paths {
            discovery: format!("/{POOL}/.well-known/openid-configuration"),
            jwks: format!("/{POOL}/.well-known/jwks.json"),
            authorize: "/oauth2/authorize".to_owned(),
            token: "/oauth2/token".to_owned(),
            introspect: None,
            revoke: "/oauth2/revoke".to_owned(),
        }
    }

    fn metadata(&self, _: &Tenant, base: &str, _: Document) -> Value {
        let paths = self.paths();
        json!({
            "issuer": self.issuer(base),
            "jwks_uri": format!("{base}{}", paths.jwks),
            "authorization_endpoint": format!("{base}/oauth2/authorize"),
            "token_endpoint": format!("{base}{}", paths.token),
            "revocation_endpoint": format!("{base}{}", paths.revoke),
            "userinfo_endpoint": format!("{base}/oauth2/userInfo"),
            "id_token_signing_alg_values_supported": ["RS256"],
            "response_types_supported": ["code", "token"],
            "scopes_supported": ["openid", "email", "phone", "profile"],
            "subject_types_supported": ["public"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        })
    }

    /// Ignores a requested audience: tokens carry none.
    fn grant<'a>(&self, tenant: &Tenant, client: &'a Client, form: &Form) -> Result<Grant<'a>, Refusal> {
        let scopes = asked_scopes(form)?.unwrap_or_else(|| client.scopes.clone());
        if !client.scopes.is_superset(&scopes) {
            return Err(Refusal::UngrantedScope { scopes: without(&scopes, &client.scopes).to_string() });
        }
        Ok(Grant { client, audience: Some(tenant.audiences.to_vec()), scopes })
    }

    fn header(&self, signer: &Signer) -> Value {
        json!({ "kid": signer.kid(), "alg": signer.algorithm().as_str() })
    }

    fn claims(&self, minting: &Minting<'_>) -> Map<String, Value> {
        let client = minting.client.id.as_str();
        let mut claims = Map::new();
        for (name, value) in [
            ("sub", json!(client)),
            ("token_use", json!("access")),
            ("scope", json!(minting.scopes.to_string())),
            ("auth_time", json!(minting.now.seconds())),
            ("iss", json!(minting.issuer)),
            ("exp", json!(minting.expiry())),
            ("iat", json!(minting.now.seconds())),
            ("version", json!(2)),
            ("jti", json!(minting.id)),
            ("client_id", json!(client)),
        ] {
            claims.insert(name.to_owned(), value);
        }
        claims
    }

    fn token_response(&self, token: &str, grant: &Grant<'_>) -> Value {
        json!({ "access_token": token, "expires_in": grant.client.lifetime.as_secs(), "token_type": "Bearer" })
    }

    /// Errors have no description.
    fn refusal(&self, refusal: &Refusal) -> (StatusCode, Value) {
        let code = match refusal {
            Refusal::NoCredentials | Refusal::WrongCredentials => "invalid_client",
            Refusal::UnknownScope { .. } | Refusal::UngrantedScope { .. } => "invalid_scope",
            other => other.code(),
        };
        (StatusCode::BAD_REQUEST, json!({ "error": code }))
    }
}
