//! An OpenAPI document in `policy_from`, as it is written there.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use scopegate_provider::{ByteSize, ProviderName};
use serde::{Deserialize, Serialize};

use super::{OneOrMany, shape};

/// An OpenAPI document: its file or URL, or the long form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum DocumentSettings {
    /// Where it is: a file, or an `https` URL.
    Name(String),
    /// The long form.
    Long(DocumentLong),
}

/// The long form of an OpenAPI document.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DocumentLong {
    /// Where it is: a file, or an `https` URL; `http` on loopback and on the hosts of `upstreams`.
    pub document: String,
    /// The upstream to which its operations are proxied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// The path in front of its operations, instead of what its `servers` say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_path: Option<String>,
    /// The host of its operations; left out: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What is taken off the front of the path before it is proxied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strip_prefix: Option<String>,
    /// A security scheme of the document, of any type, and the providers whose tokens take its place; left out: a scheme of
    /// bearer tokens stands for the tokens of every provider, and no token takes the place of another scheme.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, OneOrMany<ProviderName>>")]
    pub schemes: BTreeMap<String, shape::Several<ProviderName>>,
    /// Operations without `security` that need no token: `GET /health`, or patterns such as `/status/**`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub public: Vec<String>,
    /// Operations that are left to `routes`: `POST /items`, or patterns such as `/internal/**`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leave_out: Vec<String>,
    /// The rule of operations that declare no `security` and that `public` does not name; left out: none, with a warning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undeclared: Option<Undeclared>,
    /// The longest document that is fetched by its URL; left out: 8 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size: Option<ByteSize>,
}

/// `undeclared`: the rule of operations that declare no `security`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Undeclared {
    /// Every request is denied.
    Nobody,
    /// Any good token is enough.
    Authenticated,
    /// They are left to `routes`.
    LeaveOut,
}

impl DocumentSettings {
    /// The long form of either.
    pub fn into_long(self) -> DocumentLong {
        match self {
            Self::Name(document) => DocumentLong { document, ..DocumentLong::default() },
            Self::Long(long) => long,
        }
    }
}
