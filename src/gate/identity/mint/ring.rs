//! The keys that minted tokens are signed with, and how they are published (RFC 7517, section 5).

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use scopegate_oidc::{Signer, SignerError};
use scopegate_provider::Timestamp;
use serde_json::{Map, Value, json};

/// The keys of a node, replaced as a whole; none until the first are set.
#[derive(Debug, Default)]
pub struct KeyRing(ArcSwapOption<Keys>);

/// Keys that are ready to be put in force.
#[derive(Debug, Clone)]
pub struct PreparedKeys(Arc<Keys>);

#[derive(Debug)]
struct Keys {
    /// In the order of use, each with the moment from which it is used.
    signers: Vec<(Timestamp, Signer)>,
    document: Arc<str>,
}

impl KeyRing {
    /// Signs with these keys from now on, and publishes all of them.
    pub fn activate(&self, keys: &PreparedKeys) {
        self.0.store(Some(keys.0.clone()));
    }

    /// The key set as it is published; none before there are keys.
    pub fn published(&self) -> Option<Arc<str>> {
        self.0.load().as_ref().map(|keys| keys.document.clone())
    }

    /// The id of the key that is used `now`; none before there are keys.
    pub fn key_used(&self, now: Timestamp) -> Option<String> {
        let keys = self.0.load();
        Some(keys.as_ref()?.signer(now)?.kid().to_owned())
    }

    /// Signs with the key that is used `now`; none before there are keys.
    pub(super) fn sign(
        &self,
        claims: &Map<String, Value>,
        now: Timestamp,
    ) -> Option<Result<String, SignerError>> {
        let keys = self.0.load();
        Some(keys.as_ref()?.signer(now)?.sign("at+jwt", claims))
    }
}

impl PreparedKeys {
    /// Prepares keys to sign with, each from its moment on, and `further` ones that are only published.
    pub fn new(signers: Vec<(Timestamp, Signer)>, further: &[Signer]) -> Self {
        let all = signers.iter().map(|(_, signer)| signer).chain(further);
        let mut keys: Vec<&Value> = Vec::new();
        for signer in all {
            if !keys.contains(&signer.jwk()) {
                keys.push(signer.jwk());
            }
        }
        let document = json!({ "keys": keys }).to_string().into();
        Self(Arc::new(Keys { signers, document }))
    }
}

impl Keys {
    /// The last one that is used already; a node whose clock is behind the others' takes the first.
    fn signer(&self, now: Timestamp) -> Option<&Signer> {
        let used = self.signers.iter().rev().find(|(from, _)| *from <= now);
        used.or_else(|| self.signers.first()).map(|(_, signer)| signer)
    }
}
