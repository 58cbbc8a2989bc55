//! The differences between the issuer as itself and the providers that it emulates.

mod auth0;
mod cognito;
mod entra;
mod keycloak;
mod okta;
mod standard;

use std::time::Duration;

use http::StatusCode;
use scopegate_oidc::Signer;
use scopegate_provider::{Audience, ScopeSet, Timestamp};
use serde_json::{Map, Value, json};

pub(crate) use self::{
    auth0::Auth0,
    cognito::Cognito,
    entra::Entra,
    keycloak::Keycloak,
    okta::{ORG, Okta},
    standard::Standard,
};
use crate::{client::Client, form::Form, refusal::Refusal, settings::Tenant};

/// The result of a token request.
pub(crate) struct Grant<'a> {
    pub(crate) client: &'a Client,
    /// None if the emulated provider issues an opaque token, which is good for no API.
    pub(crate) audience: Option<Vec<Audience>>,
    pub(crate) scopes: ScopeSet,
}

/// The source of the claims of a token.
pub(crate) struct Minting<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) client: &'a Client,
    pub(crate) audience: &'a [Audience],
    pub(crate) scopes: &'a ScopeSet,
    pub(crate) now: Timestamp,
    /// Random, and never given twice.
    pub(crate) id: &'a str,
}

impl Minting<'_> {
    pub(crate) fn audience_claim(&self) -> Value {
        match self.audience {
            [one] => json!(one),
            several => json!(several),
        }
    }

    pub(crate) fn expiry(&self) -> i64 {
        (self.now + self.client.lifetime).seconds()
    }
}

/// An operation of the issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Metadata(Document),
    Jwks,
    Authorize,
    Token,
    Introspect,
    Revoke,
}

/// A document of metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Document {
    /// OpenID Connect Discovery 1.0, section 4.
    OpenId,
    /// RFC 8414, section 3.
    AuthorizationServer,
    /// The document that all tenants of Entra ID share.
    AllTenants,
}

/// The behaviour of an issuer. The defaults are those of the issuer as itself. `base` is the listener's URL without a final
/// slash.
pub(crate) trait Dialect: Send + Sync {
    /// Its name for people.
    fn name(&self) -> &'static str;

    /// The issuer, exactly as in tokens.
    fn issuer(&self, base: &str) -> String {
        base.to_owned()
    }

    /// Returns the operation at a path.
    fn operation(&self, path: &str) -> Option<Operation>;

    /// The paths of the endpoints.
    fn paths(&self) -> Paths;

    /// A document of metadata.
    fn metadata(&self, tenant: &Tenant, base: &str, document: Document) -> Value;

    /// The response for an unknown path.
    fn nothing_at(&self, path: &str) -> Value {
        json!({ "error": "not_found", "error_description": format!("there is nothing at {path}") })
    }

    /// `Cache-Control` of the key set.
    fn keys_cache_control(&self) -> &'static str {
        "public, max-age=300"
    }

    /// Changes the key set into the provider's own form.
    fn key_set(&self, _base: &str, keys: Value) -> Value {
        keys
    }

    /// Returns `true` if the key that signs is in the key set.
    fn publishes_the_signing_key(&self) -> bool {
        true
    }

    /// Returns `true` if requests may be JSON instead of a form.
    fn takes_json(&self) -> bool {
        false
    }

    fn default_lifetime(&self) -> Duration {
        Duration::from_hours(1)
    }

    /// Decides on a token request.
    fn grant<'a>(&self, tenant: &Tenant, client: &'a Client, form: &Form) -> Result<Grant<'a>, Refusal> {
        let scopes = match asked_scopes(form)? {
            None => client.scopes.clone(),
            Some(scopes) if client.scopes.is_superset(&scopes) => scopes,
            Some(scopes) => {
                return Err(Refusal::UngrantedScope { scopes: without(&scopes, &client.scopes).to_string() });
            }
        };
        let audience = match form.value("audience").or_else(|| form.value("resource")) {
            None => tenant.audiences.to_vec(),
            Some(asked) => vec![known_audience(tenant, asked)?],
        };
        Ok(Grant { client, audience: Some(audience), scopes })
    }

    /// The header of a token.
    fn header(&self, signer: &Signer) -> Value {
        json!({ "alg": signer.algorithm().as_str(), "typ": "at+jwt", "kid": signer.kid() })
    }

    /// The claims of a token, before the client's own.
    fn claims(&self, minting: &Minting<'_>) -> Map<String, Value>;

    /// The answer of the token endpoint (RFC 6749, section 5.1).
    fn token_response(&self, token: &str, grant: &Grant<'_>) -> Value {
        json!({
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": grant.client.lifetime.as_secs(),
            "scope": grant.scopes.to_string(),
        })
    }

    /// Returns the introspection answer about a live token with these claims (RFC 7662, section 2.2).
    fn introspection(&self, claims: Map<String, Value>) -> Map<String, Value> {
        claims
    }

    /// Returns `true` if a client learns that the token it wants revoked is another's.
    fn admits_foreign_revocations(&self) -> bool {
        false
    }

    /// Status and body of a refusal.
    fn refusal(&self, refusal: &Refusal) -> (StatusCode, Value) {
        let body = json!({ "error": refusal.code(), "error_description": refusal.description() });
        (refusal.status(), body)
    }
}

/// The paths of the endpoints that every dialect has.
pub(crate) struct Paths {
    pub(crate) discovery: String,
    pub(crate) jwks: String,
    pub(crate) authorize: String,
    pub(crate) token: String,
    pub(crate) introspect: Option<String>,
    pub(crate) revoke: String,
}

fn asked_scopes(form: &Form) -> Result<Option<ScopeSet>, Refusal> {
    form.value("scope").map(|text| ScopeSet::parse(text).map_err(|_| Refusal::MalformedScope)).transpose()
}

fn known_audience(tenant: &Tenant, asked: &str) -> Result<Audience, Refusal> {
    let known = tenant.audiences.iter().find(|audience| audience.as_str() == asked);
    known.cloned().ok_or_else(|| Refusal::UnknownAudience { found: asked.to_owned() })
}

/// The scopes of `set` that are not in `other`.
fn without(set: &ScopeSet, other: &ScopeSet) -> ScopeSet {
    set.iter().filter(|scope| !other.contains(scope)).cloned().collect()
}
