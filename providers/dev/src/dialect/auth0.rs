//! An Auth0 tenant: its paths, both of its token profiles, its errors.

use std::time::Duration;

use http::StatusCode;
use scopegate_oidc::Signer;
use serde_json::{Map, Value, json};

use super::{Dialect, Document, Grant, Minting, Operation, Paths, asked_scopes, known_audience, without};
use crate::{
    client::Client,
    form::Form,
    refusal::Refusal,
    settings::{Tenant, TokenDialect},
};

/// A recorded document, with this issuer's address in place of the tenant's.
const METADATA: &str = include_str!("../../data/auth0-discovery.json");
const RECORDED_AT: &str = "https://acme.us.auth0.com/";

pub(crate) struct Auth0 {
    profile: TokenDialect,
}

impl Auth0 {
    pub(crate) fn new(profile: TokenDialect) -> Self {
        Self { profile }
    }
}

impl Dialect for Auth0 {
    fn name(&self) -> &'static str {
        "auth0"
    }

    /// The final slash is part of it.
    fn issuer(&self, base: &str) -> String {
        format!("{base}/")
    }

    fn operation(&self, path: &str) -> Option<Operation> {
        Some(match path {
            "/.well-known/openid-configuration" => Operation::Metadata(Document::OpenId),
            "/.well-known/oauth-authorization-server" => Operation::Metadata(Document::AuthorizationServer),
            "/.well-known/jwks.json" => Operation::Jwks,
            "/authorize" => Operation::Authorize,
            "/oauth/token" => Operation::Token,
            "/oauth/revoke" => Operation::Revoke,
            _ => return None,
        })
    }

    fn paths(&self) -> Paths {
        Paths {
            discovery: "/.well-known/openid-configuration".to_owned(),
            jwks: "/.well-known/jwks.json".to_owned(),
            authorize: "/authorize".to_owned(),
            token: "/oauth/token".to_owned(),
            introspect: None,
            revoke: "/oauth/revoke".to_owned(),
        }
    }

    fn metadata(&self, _: &Tenant, base: &str, _: Document) -> Value {
        // The recorded document parses; a test sees to it.
        serde_json::from_str(&METADATA.replace(RECORDED_AT, &self.issuer(base))).unwrap_or_default()
    }

    fn nothing_at(&self, _: &str) -> Value {
        json!({ "statusCode": 404, "error": "Not Found", "message": "Not Found" })
    }

    fn keys_cache_control(&self) -> &'static str {
        "public, max-age=15, stale-while-revalidate=15, stale-if-error=86400"
    }

    fn takes_json(&self) -> bool {
        true
    }

    fn default_lifetime(&self) -> Duration {
        Duration::from_hours(24)
    }

    /// `audience` decides what kind of token it is.
    fn grant<'a>(&self, tenant: &Tenant, client: &'a Client, form: &Form) -> Result<Grant<'a>, Refusal> {
        let audience = form.value("audience").map(|asked| known_audience(tenant, asked)).transpose()?;
        let asked = asked_scopes(form)?.unwrap_or_else(|| client.scopes.clone());
        if !client.scopes.is_superset(&asked) {
            return Err(Refusal::UngrantedScope { scopes: without(&asked, &client.scopes).to_string() });
        }
        Ok(Grant { client, audience: audience.map(|audience| vec![audience]), scopes: asked })
    }

    fn header(&self, signer: &Signer) -> Value {
        let typ = match self.profile {
            TokenDialect::AccessToken => "JWT",
            TokenDialect::Rfc9068Profile => "at+jwt",
        };
        json!({ "alg": signer.algorithm().as_str(), "typ": typ, "kid": signer.kid() })
    }

    fn claims(&self, minting: &Minting<'_>) -> Map<String, Value> {
        let client = &minting.client.id;
        let mut claims = Map::new();
        claims.insert("iss".to_owned(), json!(minting.issuer));
        claims.insert("sub".to_owned(), json!(format!("{client}@clients")));
        claims.insert("aud".to_owned(), minting.audience_claim());
        claims.insert("iat".to_owned(), json!(minting.now.seconds()));
        claims.insert("exp".to_owned(), json!(minting.expiry()));
        if !minting.scopes.is_empty() {
            claims.insert("scope".to_owned(), json!(minting.scopes.to_string()));
        }
        match self.profile {
            TokenDialect::AccessToken => {
                claims.insert("gty".to_owned(), json!("client-credentials"));
                claims.insert("azp".to_owned(), json!(client));
            }
            TokenDialect::Rfc9068Profile => {
                claims.insert("jti".to_owned(), json!(minting.id));
                claims.insert("client_id".to_owned(), json!(client));
            }
        }
        claims
    }

    /// Without `scope`, which is there only where it differs from the request.
    fn token_response(&self, token: &str, grant: &Grant<'_>) -> Value {
        json!({ "access_token": token, "expires_in": grant.client.lifetime.as_secs(), "token_type": "Bearer" })
    }

    fn refusal(&self, refusal: &Refusal) -> (StatusCode, Value) {
        let (status, code, description) = match refusal {
            Refusal::NoCredentials | Refusal::WrongCredentials => {
                (StatusCode::UNAUTHORIZED, "invalid_client", "Client authentication failed".to_owned())
            }
            Refusal::UnknownAudience { found } => (
                StatusCode::FORBIDDEN,
                "access_denied",
                format!(
                    "Client is not authorized to access \"{found}\". You need to create a \"client-grant\" \
                     associated to this API. See: https://auth0.com/docs/api/v2#!/Client_Grants/post_client_grants"
                ),
            ),
            Refusal::UngrantedScope { scopes } | Refusal::UnknownScope { scopes } => (
                StatusCode::FORBIDDEN,
                "access_denied",
                format!("Client has not been granted scopes: {}", scopes.replace(' ', ", ")),
            ),
            other => (other.status(), other.code(), other.description()),
        };
        (status, json!({ "error": code, "error_description": description }))
    }
}
