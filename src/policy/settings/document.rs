//! An OpenAPI document in `policy_from`, as it is written there.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use scopegate_provider::ProviderName;
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
    /// A security scheme of the document, and the providers whose tokens it means; left out: any provider's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, OneOrMany<ProviderName>>")]
    pub schemes: BTreeMap<String, shape::Several<ProviderName>>,
    /// Operations without `security` that everybody may call, such as `GET /health`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub public: Vec<String>,
    /// Operations that are left to `routes`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leave_out: Vec<String>,
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
