//! A caller that is supposed for an example, a test or a question. No token of it was verified.

use std::time::Duration;

use schemars::JsonSchema;
use scopegate_provider::{
    Actor, Audience, Binding, Claims, ClientId, Facts, Issuer, NameError, Principal, ProviderName, Role,
    Scope, Span, Subject, Thumbprint, Timestamp, Verified,
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::settings::{ProofRequirement, Several};

/// A supposed caller: what its token would state. Everything may be left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SupposedCaller {
    /// The provider; left out: one that no rule names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderName>,
    /// The subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientId>,
    /// The scopes.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "several")]
    #[schemars(with = "super::settings::OneOrMany<Scope>")]
    pub scopes: Vec<Scope>,
    /// The roles.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "several")]
    #[schemars(with = "super::settings::OneOrMany<Role>")]
    pub roles: Vec<Role>,
    /// The audience.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "several")]
    #[schemars(with = "super::settings::OneOrMany<Audience>")]
    pub audience: Vec<Audience>,
    /// The claims.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub claims: Map<String, Value>,
    /// The authentication context class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// The time since the sign-in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_in: Option<Span>,
    /// The kinds of keys that the token is bound to.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "several")]
    #[schemars(with = "super::settings::OneOrMany<ProofRequirement>")]
    pub proof: Vec<ProofRequirement>,
    /// The actor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The authorization details (RFC 9396).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<Map<String, Value>>,
}

impl SupposedCaller {
    /// Returns the principal of such a token at `now`.
    ///
    /// # Errors
    /// The subject is not one.
    pub fn principal(&self, now: Timestamp) -> Result<Principal, NameError> {
        let provider = self.provider.clone().map_or_else(|| ProviderName::parse("unnamed"), Ok)?;
        let facts = Facts {
            acr: self.acr.as_deref().map(Into::into),
            auth_time: self.signed_in.map(|age| now - age.get()),
            actor: self.actor.as_deref().map(|id| Actor { id: id.into(), issuer: None }),
            authorization_details: self.details.as_slice().into(),
            binding: Binding {
                key: self.key_of(ProofRequirement::Dpop).or_else(|| self.key_of(ProofRequirement::Required)),
                certificate: self.key_of(ProofRequirement::Certificate),
            },
            groups_omitted: false,
            aliases: Box::default(),
        };
        // Supposed, not verified: it lives for this question only.
        let verified = Verified {
            provider,
            issuer: Issuer::parse("https://supposed.example")?,
            subject: self.subject.as_deref().map(Subject::parse).transpose()?,
            client: self.client.clone(),
            audience: self.audience.as_slice().into(),
            scopes: self.scopes.iter().cloned().collect(),
            roles: self.roles.as_slice().into(),
            token_id: None,
            session: None,
            issued_at: Some(now),
            expires_at: now + Duration::from_mins(1),
            leeway: Duration::ZERO,
            cache_until: now,
            claims: Claims::from_map(self.claims.clone()),
        };
        Ok(Principal::assert_verified_with(verified, facts))
    }

    /// Returns a thumbprint, if the token is bound to this kind of key.
    fn key_of(&self, kind: ProofRequirement) -> Option<Thumbprint> {
        self.proof.contains(&kind).then(|| Thumbprint::new([0; 32]))
    }
}

fn several<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Several::deserialize(deserializer).map(|several| several.0)
}
