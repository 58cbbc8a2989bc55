//! The keys that every kind of provider takes.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use scopegate_provider::{Audience, ClientId, Issuer, Scope, Secret, Span};
use serde::Deserialize;
use serde_json::Value;

use super::text::{AlgorithmName, ClaimName, Endpoint, List, ScopeText};
use crate::http::HttpSettings;

/// The keys that every kind of provider takes, as they are written. A preset fills in what its provider fixes, then has
/// the whole proven by [`Settings::check`](super::Settings::check).
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Common {
    /// The issuer, byte for byte as it stands in `iss` of the tokens.
    pub issuer: Option<Issuer>,
    /// Further issuers of the same tenant, such as a custom domain; each is discovered on its own.
    pub issuers: Vec<Issuer>,
    /// The audience of this API, or several: a token must name one of them in `aud`.
    pub audience: List<Audience>,
    /// Clients whose tokens are taken, others' are not. Alone, without `audience`, only where tokens carry no audience.
    pub allowed_clients: Vec<ClientId>,
    /// How tokens are validated: `jwt` unless said.
    pub validate: Option<Validate>,
    /// What is done with tokens that are no JWTs: left out, they are refused.
    pub opaque_tokens: Option<OpaqueTokens>,
    /// The signature algorithms that are taken: RS256, PS256, ES256 and `EdDSA` unless said.
    pub algorithms: Option<Vec<AlgorithmName>>,
    /// The values of the header's `typ` that are taken, `none` for tokens without one: `[at+jwt, JWT]` unless said.
    pub token_types: Option<Vec<String>>,
    /// Whether tokens are access tokens or, from issuers that give machines nothing else, ID tokens.
    pub token_use: TokenUseSetting,
    /// How far clocks may differ: 30s unless said, 5m at most.
    pub leeway: Option<Span>,
    /// Where scopes stand, the union of those present: `[scope, scp]` unless said.
    pub scope_claims: Option<Vec<ClaimName>>,
    /// Where roles stand, the union of those present: nowhere unless said.
    pub role_claims: Option<Vec<ClaimName>>,
    /// Where the client's id stands, the first that is present: `[client_id, azp]` unless said.
    pub client_claims: Option<Vec<ClaimName>>,
    /// The provider's name of a scope, and ours.
    pub map_scopes: BTreeMap<String, Scope>,
    /// What a token request asks for when its caller names no scope; it grants nothing.
    pub token_request_scope: Option<ScopeText>,
    /// The client as which scopegate introspects, requests and revokes tokens.
    pub client_id: Option<ClientId>,
    /// Its secret.
    pub client_secret: Option<Secret>,
    /// Its private key in PEM (RSA, P-256, P-384 or Ed25519), for `private_key_jwt`.
    pub private_key: Option<Secret>,
    /// The `kid` under which the provider knows the public half of `private_key`.
    pub private_key_id: Option<String>,
    /// How the client authenticates: `client_secret_basic` with a secret, `private_key_jwt` with a key unless said.
    pub client_authentication: Option<ClientAuthenticationMethod>,
    /// How keys are kept.
    pub jwks: JwksSettings,
    /// How introspection is done.
    pub introspection: Option<IntrospectionSettings>,
    /// Where the discovery document is, if not where it should be.
    pub discovery_url: Option<Endpoint>,
    /// Where the key set is, whatever discovery says; without it nothing but keys then needs discovery.
    pub jwks_uri: Option<Endpoint>,
    /// Where tokens are requested, whatever discovery says.
    pub token_endpoint: Option<Endpoint>,
    /// Where tokens are introspected, whatever discovery says.
    pub introspection_endpoint: Option<Endpoint>,
    /// Where tokens are revoked, whatever discovery says.
    pub revocation_endpoint: Option<Endpoint>,
    /// Claims that a token must have: a value, or a list of which it must have one.
    pub required_claims: BTreeMap<ClaimName, Value>,
    /// The longest that a token may be valid: 31d unless said.
    pub max_token_lifetime: Option<Span>,
    /// How the provider is reached.
    pub http: HttpSettings,
}

/// How tokens are validated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Validate {
    /// By signature, with the issuer's keys.
    #[default]
    Jwt,
    /// By asking the provider (RFC 7662).
    Introspect,
    /// Both must pass, the signature first.
    JwtThenIntrospect,
}

/// What is done with tokens that are no JWTs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OpaqueTokens {
    /// The provider is asked. One provider at most may take them.
    Introspect,
}

/// Whether tokens speak to an API, or about a user to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenUseSetting {
    /// Access tokens; ID tokens are refused.
    #[default]
    Access,
    /// ID tokens: service accounts of Google, workloads of GitHub or Kubernetes.
    Id,
}

/// How a client authenticates (OIDC Core 1.0, section 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuthenticationMethod {
    /// Id and secret in the `Authorization` header (RFC 6749, section 2.3.1).
    ClientSecretBasic,
    /// Id and secret in the form.
    ClientSecretPost,
    /// A JWT signed by the client's key (RFC 7523, section 2.2).
    PrivateKeyJwt,
    /// The id alone, or nothing at all.
    None,
}

/// `jwks`: how keys are kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JwksSettings {
    /// The longest between two fetches: 1h unless said, 30s to 24h. The answer's `Cache-Control: max-age` may make it
    /// shorter, down to 5m.
    pub refresh: Span,
    /// How long keys are used while new ones cannot be had: 24h unless said.
    pub stale_if_error: Span,
    /// The least between two fetches that unknown key ids ask for: 30s unless said.
    pub cool_down: Span,
}

impl Default for JwksSettings {
    fn default() -> Self {
        Self {
            refresh: Span::from_secs(3600),
            stale_if_error: Span::from_secs(24 * 3600),
            cool_down: Span::from_secs(30),
        }
    }
}

/// `introspection`: how introspection is done.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IntrospectionSettings {
    /// How long an answer is used: 10s unless said, `0s` asks at every call. A token that the provider revokes is taken
    /// until then.
    pub cache: Span,
    /// How long an answer may take: 3s unless said.
    pub timeout: Span,
}

impl Default for IntrospectionSettings {
    fn default() -> Self {
        Self { cache: Span::from_secs(10), timeout: Span::from_secs(3) }
    }
}

impl Common {
    /// The first key that asks for introspection, if any does.
    pub fn introspection_key(&self) -> Option<&'static str> {
        let keys = [
            ("validate", !matches!(self.validate, None | Some(Validate::Jwt))),
            ("opaque_tokens", self.opaque_tokens.is_some()),
            ("introspection", self.introspection.is_some()),
            ("introspection_endpoint", self.introspection_endpoint.is_some()),
        ];
        keys.into_iter().find(|(_, asks)| *asks).map(|(key, _)| key)
    }

    /// Whether the settings ask for introspection in any way.
    pub fn wants_introspection(&self) -> bool {
        self.introspection_key().is_some()
    }

    /// Whether they say that the introspection endpoint wants no client, as Hydra's on its admin port.
    pub(super) fn introspects_without_client(&self) -> bool {
        self.client_authentication == Some(ClientAuthenticationMethod::None)
    }

    /// The URLs that override discovery, with their keys.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = (&'static str, &Endpoint)> {
        let all = [
            ("discovery_url", &self.discovery_url),
            ("jwks_uri", &self.jwks_uri),
            ("token_endpoint", &self.token_endpoint),
            ("introspection_endpoint", &self.introspection_endpoint),
            ("revocation_endpoint", &self.revocation_endpoint),
        ];
        all.into_iter().filter_map(|(key, endpoint)| endpoint.as_ref().map(|endpoint| (key, endpoint)))
    }
}
