//! The keys that every kind of provider takes.

use std::{collections::BTreeMap, path::Path};

use schemars::JsonSchema;
use scopegate_provider::{Audience, ClientId, Issuer, Scope, Secret, Span};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    proof::ProofSettings,
    signals::{SharedSignals, StatusListSettings},
    text::{AlgorithmName, ClaimName, Endpoint, List, ScopeText},
};
use crate::{http::HttpSettings, key_set::KeyParameter, validate::RequiredMembers};

/// The keys that every kind of provider takes, as they are written. A preset fills in the values that its provider fixes,
/// then passes the whole to [`Settings::check`](super::Settings::check).
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Common {
    /// The issuer, byte for byte as in `iss` of the tokens.
    pub issuer: Option<Issuer>,
    /// Further issuers of the same tenant, such as a custom domain; each is discovered on its own.
    pub issuers: Vec<Issuer>,
    /// The audience of this API, or several: a token must name one of them in `aud`.
    pub audience: List<Audience>,
    /// The clients whose tokens are accepted. Alone, without `audience`, only where tokens carry no audience.
    pub allowed_clients: Vec<ClientId>,
    /// The way in which tokens are validated: `jwt` by default.
    pub validate: Option<Validate>,
    /// The treatment of tokens that are not JWTs. Without this key they are refused.
    pub opaque_tokens: Option<OpaqueTokens>,
    /// The accepted signature algorithms: RS256, PS256, ES256 and `EdDSA` by default; also RS384, RS512, PS384, PS512,
    /// ES384, ES512 and `Ed25519`.
    pub algorithms: Option<Vec<AlgorithmName>>,
    /// The accepted values of the header's `typ`, `none` for tokens without it: `[at+jwt, JWT]` by default.
    pub token_types: Option<Vec<String>>,
    /// The use of the tokens: access tokens or, from issuers that issue nothing else to machines, ID tokens.
    pub token_use: TokenUseSetting,
    /// The tolerated difference of clocks: 30s by default, 5m at most.
    pub leeway: Option<Span>,
    /// The claims with scopes, the union of those present: `[scope, scp]` by default.
    pub scope_claims: Option<Vec<ClaimName>>,
    /// The claims with roles, the union of those present: none by default.
    pub role_claims: Option<Vec<ClaimName>>,
    /// The claims with the client's id, of which the first that is present counts: `[client_id, azp]` by default.
    pub client_claims: Option<Vec<ClaimName>>,
    /// The claim with the id of the session at the provider, by which a logout is matched: `sid` by default.
    pub session_claim: Option<ClaimName>,
    /// `true` if the provider's logout tokens are taken (OpenID Connect Back-Channel Logout 1.0), at
    /// `/providers/NAME/backchannel-logout`. Needs `client_id`.
    pub backchannel_logout: bool,
    /// The security events that are taken at `/providers/NAME/shared-signals`.
    pub shared_signals: Option<SharedSignals>,
    /// The status lists of tokens (Token Status List, draft 20).
    pub status_list: Option<StatusListSettings>,
    /// The provider's names of scopes, with ours.
    pub map_scopes: BTreeMap<String, Scope>,
    /// The scope of a token request whose caller names none. It grants nothing.
    pub token_request_scope: Option<ScopeText>,
    /// The `resource` (RFC 8707) of a token request whose caller names none, for providers that issue tokens for this API
    /// only then: one or a list.
    pub token_request_resource: List<String>,
    /// Further parameters of every token request, as the provider needs them.
    pub token_request_parameters: BTreeMap<String, String>,
    /// The client as which scopegate introspects, requests and revokes tokens.
    pub client_id: Option<ClientId>,
    /// Its secret.
    pub client_secret: Option<Secret>,
    /// Its private key in PEM (RSA, P-256, P-384 or Ed25519), for `private_key_jwt`.
    pub private_key: Option<Secret>,
    /// The `kid` under which the provider knows the public half of `private_key`.
    pub private_key_id: Option<String>,
    /// The client's way to authenticate: by default `client_secret_basic` with a secret, `private_key_jwt` with a key.
    pub client_authentication: Option<ClientAuthenticationMethod>,
    /// The source of the keys, and their refreshes.
    pub jwks: JwksSettings,
    /// The header parameters by which a token's key is found, in order: `[kid, "x5t#S256", x5t]` by default. A token with
    /// none of them is tried with every key that fits, up to four.
    pub key_by: Option<Vec<KeyParameter>>,
    /// The use of introspection.
    pub introspection: Option<IntrospectionSettings>,
    /// The URL of the discovery document, if it is not at a standard place.
    pub discovery_url: Option<Endpoint>,
    /// The URL of the key set, in place of the one that discovery names.
    pub jwks_uri: Option<Endpoint>,
    /// The token endpoint, in place of the one that discovery names.
    pub token_endpoint: Option<Endpoint>,
    /// The introspection endpoint, in place of the one that discovery names.
    pub introspection_endpoint: Option<Endpoint>,
    /// The revocation endpoint, in place of the one that discovery names.
    pub revocation_endpoint: Option<Endpoint>,
    /// Claims that a token must have: a value, or a list of which it must have one.
    pub required_claims: BTreeMap<ClaimName, Value>,
    /// The proofs of possession of tokens that are bound to a key or certificate.
    pub proof: ProofSettings,
    /// The longest time for which a token may be valid: 31d by default.
    pub max_token_lifetime: Option<Span>,
    /// The HTTP client.
    pub http: HttpSettings,
}

/// The way in which tokens are validated.
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

/// The treatment of tokens that are not JWTs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OpaqueTokens {
    /// The provider is asked about them. At most one provider may take them.
    Introspect,
}

/// The use of tokens: to call an API, or to tell a client about a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenUseSetting {
    /// Access tokens; ID tokens are refused.
    #[default]
    Access,
    /// ID tokens: service accounts of Google, workloads of GitHub or Kubernetes.
    Id,
}

/// The way in which a client authenticates (OIDC Core 1.0, section 9).
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

/// `jwks`: the source of the keys, and their refreshes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JwksSettings {
    /// A file with the key set, read anew when it changes; nothing is fetched for keys then.
    #[schemars(extend("format" = "path"))]
    pub file: Option<Box<Path>>,
    /// The keys themselves, as in the member `keys` of a key set.
    pub keys: Option<Vec<Map<String, Value>>>,
    /// The longest interval between two fetches: 1h by default, 30s to 24h. The answer's `Cache-Control: max-age` may make it
    /// shorter, down to 5m.
    pub refresh: Span,
    /// The time for which keys are used while new ones cannot be fetched: 24h by default.
    pub stale_if_error: Span,
    /// The shortest interval between two fetches for unknown keys: 30s by default.
    pub cool_down: Span,
}

impl Default for JwksSettings {
    fn default() -> Self {
        Self {
            file: None,
            keys: None,
            refresh: Span::from_secs(3600),
            stale_if_error: Span::from_secs(24 * 3600),
            cool_down: Span::from_secs(30),
        }
    }
}

/// `introspection`: the use of introspection.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IntrospectionSettings {
    /// The time for which an answer is used: 10s by default; `0s` asks at every call. A token that the provider revokes is
    /// accepted until then.
    pub cache: Span,
    /// The time limit of an answer: 3s by default.
    pub timeout: Span,
    /// The members that an answer must hold, of those that RFC 7662 leaves optional: `[iss, aud, exp]` by default. Members
    /// that are present are checked in any case.
    pub required_members: Option<Vec<AnswerMember>>,
    /// `true` if answers must be signed by the issuer (RFC 9701) for the client that asks.
    pub signed: bool,
}

impl Default for IntrospectionSettings {
    fn default() -> Self {
        Self {
            cache: Span::from_secs(10),
            timeout: Span::from_secs(3),
            required_members: None,
            signed: false,
        }
    }
}

/// A member of an introspection answer that RFC 7662, section 2.2, leaves optional.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnswerMember {
    /// The issuer.
    Iss,
    /// The audience.
    Aud,
    /// The expiry.
    Exp,
}

impl IntrospectionSettings {
    /// Returns the members that an answer must hold.
    pub(crate) fn required_members(&self) -> RequiredMembers {
        let Some(members) = &self.required_members else { return RequiredMembers::ALL };
        RequiredMembers {
            issuer: members.contains(&AnswerMember::Iss),
            audience: members.contains(&AnswerMember::Aud),
            expiry: members.contains(&AnswerMember::Exp),
        }
    }
}

impl JwksSettings {
    /// Returns `true` if the settings bring the keys, so that none are fetched.
    pub fn brings_keys(&self) -> bool {
        self.file.is_some() || self.keys.is_some()
    }
}

impl Common {
    /// Returns the first key that asks for introspection.
    pub fn introspection_key(&self) -> Option<&'static str> {
        let keys = [
            ("validate", !matches!(self.validate, None | Some(Validate::Jwt))),
            ("opaque_tokens", self.opaque_tokens.is_some()),
            ("introspection", self.introspection.is_some()),
            ("introspection_endpoint", self.introspection_endpoint.is_some()),
        ];
        keys.into_iter().find(|(_, asks)| *asks).map(|(key, _)| key)
    }

    /// Returns `true` if the settings ask for introspection in any way.
    pub fn wants_introspection(&self) -> bool {
        self.introspection_key().is_some()
    }

    /// Returns `true` if the introspection endpoint needs no client, as Hydra's on its admin port.
    pub(super) fn introspects_without_client(&self) -> bool {
        self.client_authentication == Some(ClientAuthenticationMethod::None)
    }

    /// Returns the URLs that override discovery, with their keys.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = (&'static str, &Endpoint)> {
        let all = [
            ("discovery_url", &self.discovery_url),
            ("jwks_uri", &self.jwks_uri),
            ("token_endpoint", &self.token_endpoint),
            ("introspection_endpoint", &self.introspection_endpoint),
            ("revocation_endpoint", &self.revocation_endpoint),
        ];
        let signals = self.shared_signals.as_ref();
        let keys = signals.and_then(|signals| signals.jwks_uri.as_ref());
        let keys = keys.map(|endpoint| ("shared_signals.jwks_uri", endpoint));
        let poll = signals.and_then(|signals| signals.poll.as_ref());
        let signals = keys.into_iter().chain(poll.map(|poll| ("shared_signals.poll.url", &poll.url)));
        all.into_iter()
            .filter_map(|(key, endpoint)| endpoint.as_ref().map(|endpoint| (key, endpoint)))
            .chain(signals)
    }
}
