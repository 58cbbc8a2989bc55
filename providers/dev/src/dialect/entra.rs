//! A tenant of Microsoft Entra ID: its paths, its tokens of version 2.0, keys without `alg`, its errors.

use std::time::Duration;

use http::StatusCode;
use scopegate_oidc::Signer;
use scopegate_provider::Scope;
use serde_json::{Map, Value, json};

use super::{Dialect, Document, Grant, Minting, Operation, Paths};
use crate::{client::Client, form::Form, refusal::Refusal, settings::Tenant};

/// A recorded document, with this issuer's address and tenant in place of the recorded ones.
const METADATA: &str = include_str!("../../data/entra-discovery.json");
const RECORDED_AT: &str = "https://login.microsoftonline.com";

/// The tenant that the issuer emulates: the one of the recorded documents.
const TENANT: &str = "3f0c1a52-7e7b-4f1e-9a55-0d2b6c8e1f90";

/// The metadata of tokens of version 1.0.
const VERSION_1: &str = "/3f0c1a52-7e7b-4f1e-9a55-0d2b6c8e1f90/.well-known/openid-configuration";

pub(crate) struct Entra;

impl Dialect for Entra {
    fn name(&self) -> &'static str {
        "entra"
    }

    fn issuer(&self, base: &str) -> String {
        format!("{base}/{TENANT}/v2.0")
    }

    fn operation(&self, path: &str) -> Option<Operation> {
        let paths = self.paths();
        Some(match path {
            path if path == paths.discovery => Operation::Metadata(Document::OpenId),
            path if path == paths.jwks => Operation::Jwks,
            path if path == VERSION_1 => Operation::Metadata(Document::AuthorizationServer),
            "/common/v2.0/.well-known/openid-configuration" => Operation::Metadata(Document::AllTenants),
            path if path == paths.authorize => Operation::Authorize,
            path if path == paths.token => Operation::Token,
            path if path == paths.revoke => Operation::Revoke,
            _ => return None,
        })
    }

    fn paths(&self) -> Paths {
        Paths {
            discovery: format!("/{TENANT}/v2.0/.well-known/openid-configuration"),
            jwks: format!("/{TENANT}/discovery/v2.0/keys"),
            authorize: format!("/{TENANT}/oauth2/v2.0/authorize"),
            token: format!("/{TENANT}/oauth2/v2.0/token"),
            introspect: None,
            revoke: format!("/{TENANT}/oauth2/v2.0/revoke"),
        }
    }

    fn metadata(&self, _: &Tenant, base: &str, document: Document) -> Value {
        // The recorded document parses; a test checks that.
        let mut metadata: Map<String, Value> =
            serde_json::from_str(&METADATA.replace(RECORDED_AT, base)).unwrap_or_default();
        let issuer = match document {
            Document::OpenId => self.issuer(base),
            Document::AuthorizationServer => format!("{base}/{TENANT}/"),
            Document::AllTenants => format!("{base}/{{tenantid}}/v2.0"),
        };
        metadata.insert("issuer".to_owned(), json!(issuer));
        metadata.into()
    }

    /// Keys have no `alg`; each names its certificate and the tenants that it signs for.
    fn key_set(&self, base: &str, mut keys: Value) -> Value {
        for key in keys.get_mut("keys").and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(members) = key.as_object_mut() else { continue };
            members.remove("alg");
            members.insert("issuer".to_owned(), json!(format!("{base}/{{tenantid}}/v2.0")));
            if let Some(kid) = members.get("kid").cloned() {
                members.insert("x5t".to_owned(), kid);
            }
        }
        keys
    }

    fn default_lifetime(&self) -> Duration {
        Duration::from_mins(65)
    }

    /// Accepts `scope=AUDIENCE/.default` only, and grants the application permissions of the client as roles.
    fn grant<'a>(&self, tenant: &Tenant, client: &'a Client, form: &Form) -> Result<Grant<'a>, Refusal> {
        let asked = form.value("scope").ok_or(Refusal::MissingScope)?;
        let resource = asked.strip_suffix("/.default");
        let resource = resource.ok_or_else(|| Refusal::UnknownScope { scopes: asked.to_owned() })?;
        let bare = resource.strip_prefix("api://").unwrap_or(resource);
        let mut audiences = tenant.audiences.iter();
        let audience = audiences.find(|known| [resource, bare].contains(&known.as_str())).cloned();
        let audience = audience.ok_or_else(|| Refusal::UnknownAudience { found: resource.to_owned() })?;
        Ok(Grant { client, audience: Some(vec![audience]), scopes: client.scopes.clone() })
    }

    fn header(&self, signer: &Signer) -> Value {
        json!({ "typ": "JWT", "alg": signer.algorithm().as_str(), "kid": signer.kid() })
    }

    fn claims(&self, minting: &Minting<'_>) -> Map<String, Value> {
        let client = minting.client.id.as_str();
        let roles: Vec<&str> = minting.scopes.iter().map(Scope::as_str).collect();
        let mut claims = Map::new();
        for (name, value) in [
            ("aud", minting.audience_claim()),
            ("iss", json!(minting.issuer)),
            ("iat", json!(minting.now.seconds())),
            ("nbf", json!(minting.now.seconds())),
            ("exp", json!(minting.expiry())),
            ("azp", json!(client)),
            ("azpacr", json!("1")),
            ("oid", json!(client)),
            ("sub", json!(client)),
            ("tid", json!(TENANT)),
            ("uti", json!(minting.id)),
            ("ver", json!("2.0")),
        ] {
            claims.insert(name.to_owned(), value);
        }
        if !roles.is_empty() {
            claims.insert("roles".to_owned(), json!(roles));
        }
        claims
    }

    fn token_response(&self, token: &str, grant: &Grant<'_>) -> Value {
        let lifetime = grant.client.lifetime.as_secs();
        json!({ "token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime, "access_token": token })
    }

    fn refusal(&self, refusal: &Refusal) -> (StatusCode, Value) {
        let (status, code, number, text) = match refusal {
            Refusal::NoCredentials | Refusal::WrongCredentials => (
                StatusCode::UNAUTHORIZED,
                "invalid_client",
                7_000_215,
                "Invalid client secret provided.".to_owned(),
            ),
            Refusal::UnknownScope { scopes } | Refusal::UngrantedScope { scopes } => {
                let text =
                    format!("The provided value for the input parameter 'scope' is not valid: {scopes}");
                (StatusCode::BAD_REQUEST, "invalid_scope", 70_011, text)
            }
            Refusal::UnknownAudience { found } => {
                let text = format!("The resource principal named {found} was not found in the tenant.");
                (StatusCode::BAD_REQUEST, "invalid_resource", 500_011, text)
            }
            other => (other.status(), other.code(), 900_144, other.description()),
        };
        let body = json!({ "error": code, "error_codes": [number],
            "error_description": format!("AADSTS{number}: {text}\r\nTrace ID: 0\r\nCorrelation ID: 0") });
        (status, body)
    }
}
