//! `require` of a route, as it is written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use scopegate_provider::{Audience, ClientId, ProviderName, Role, Scope, Span};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::shape;

/// `require`: a scope, a list of scopes (all of them), or the long form.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum RequireSettings {
    /// This scope.
    One(Scope),
    /// All of these scopes.
    All(Vec<Scope>),
    /// The long form.
    Long(Box<RequireLong>),
}

/// The long form of a requirement: every part that is there must hold, or one of `any_of`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequireLong {
    /// All of these scopes.
    #[serde(default, deserialize_with = "shape::one_or_many", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<OneOrMany<Scope>>")]
    pub all: Option<Vec<Scope>>,
    /// One of these scopes.
    #[serde(default, deserialize_with = "shape::one_or_many", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<OneOrMany<Scope>>")]
    pub any: Option<Vec<Scope>>,
    /// One of these roles.
    #[serde(default, deserialize_with = "shape::one_or_many", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<OneOrMany<Role>>")]
    pub roles: Option<Vec<Role>>,
    /// All of these claims: a name or JSON Pointer, and the value, or values of which one must be there. A value is a
    /// literal, `{ prefix: "acme/" }` for texts that begin so, `{ path: id }` for the segment of the path that the
    /// pattern names `{id}`, or `{ equals: "acme/*" }` for a literal that looks like a pattern.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BTreeMap<String, OneOrMany<ClaimSchema>>>")]
    pub claims: Option<BTreeMap<String, Value>>,
    /// One of these clients.
    #[serde(default, deserialize_with = "shape::one_or_many", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<OneOrMany<ClientId>>")]
    pub clients: Option<Vec<ClientId>>,
    /// One of these providers.
    #[serde(default, deserialize_with = "shape::one_or_many", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<OneOrMany<ProviderName>>")]
    pub providers: Option<Vec<ProviderName>>,
    /// One of these audiences.
    #[serde(default, deserialize_with = "shape::one_or_many", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<OneOrMany<Audience>>")]
    pub audience: Option<Vec<Audience>>,
    /// One of these authentication context classes (`acr`), the preferred one first (RFC 9470).
    #[serde(default, deserialize_with = "shape::one_or_many", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<OneOrMany<String>>")]
    pub acr: Option<Vec<String>>,
    /// The longest time since the caller signed in (`auth_time`, RFC 9470).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Span>,
    /// A token that is bound to a key or certificate, and the proof of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<ProofRequirement>,
    /// The actor of the token (`act`, RFC 8693): `none`, `any`, or these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<ActorSettings>,
    /// All of these authorization details (RFC 9396), each satisfied by one element of the token's alone.
    #[serde(default, deserialize_with = "shape::one_or_many_maps", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<OneOrMany<DetailSettings>>")]
    pub details: Option<Vec<DetailSettings>>,
    /// One of these, instead of all the others. There is one level of alternatives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub any_of: Option<Vec<RequireLong>>,
}

/// The value of a claim, for the JSON schema.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum ClaimSchema {
    /// A text.
    Text(String),
    /// A number.
    Number(f64),
    /// A boolean.
    Boolean(bool),
    /// The long form.
    Form(ClaimForm),
}

/// The long form of a claim's value: exactly one of these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum ClaimForm {
    /// This value, whatever it looks like.
    Equals(Value),
    /// A text that begins with this one.
    Prefix(String),
    /// The segment of the path that the pattern names so.
    Path(String),
}

/// The kind of binding that a token must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProofRequirement {
    /// A key or a certificate.
    Required,
    /// A DPoP key (RFC 9449).
    Dpop,
    /// A client certificate (RFC 8705).
    Certificate,
}

/// `actor`: the party that acts on behalf of the token's subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum ActorSettings {
    /// `none`, `any`, or the id of an actor.
    One(String),
    /// One of these ids.
    Many(Vec<String>),
}

/// An authorization detail that a token must have (RFC 9396, section 2). Lists ask for all of their elements.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DetailSettings {
    /// Its `type`, compared byte for byte.
    #[serde(rename = "type")]
    pub kind: String,
    /// All of these `actions`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<String>,
    /// All of these `datatypes`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub datatypes: Vec<String>,
    /// All of these `privileges`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub privileges: Vec<String>,
    /// This `identifier`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
}

/// One thing, or a list of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMany<T> {
    /// One.
    One(T),
    /// Several.
    Many(Vec<T>),
}
