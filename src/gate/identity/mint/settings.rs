//! What may be said about minted tokens (`identity.mint`).

use schemars::JsonSchema;
use scopegate_provider::{Secret, Span};
use serde::Deserialize;

/// Tokens of our own for services behind.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MintSettings {
    /// The lifetime of a token, at most that of its caller's token: 1 second to 1 hour.
    pub lifetime: Span,
    /// The audience of tokens on routes that name no upstream; by default the public URL.
    pub audience: Option<String>,
    /// The private key, PEM, for ES256; left out, keys are made and kept in the store.
    pub key: Option<Secret>,
    /// Further private keys that are published and sign nothing: the next one, and the one before.
    pub further_keys: Vec<Secret>,
    /// The time for which a key of the store is used; at least 1 hour.
    pub rotation: Span,
    /// The secret that seals keys in the store, so that a reader of the store cannot sign; at least 32 characters.
    pub seal: Option<Secret>,
}

impl Default for MintSettings {
    fn default() -> Self {
        Self {
            lifetime: Span::from_secs(60),
            audience: None,
            key: None,
            further_keys: Vec::new(),
            rotation: Span::from_secs(30 * 24 * 60 * 60),
            seal: None,
        }
    }
}
