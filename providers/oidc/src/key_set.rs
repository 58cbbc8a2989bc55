//! A key set: the public keys of one issuer, found by id and algorithm.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use scopegate_provider::Rejection;
use serde_json::Value;

use crate::{
    algorithm::Algorithm,
    jwk::{KeyPrint, KeyProblem, PublicKey},
};

/// The usable public keys of one issuer (RFC 7517, section 5).
#[derive(Debug)]
pub struct KeySet {
    keys: Vec<Arc<PublicKey>>,
    by_id: HashMap<Box<str>, Vec<Arc<PublicKey>>>,
    skipped: Vec<SkippedKey>,
}

/// The keys that may have signed a token: usually one.
#[derive(Debug, Clone)]
pub struct Candidates {
    keys: Vec<Arc<PublicKey>>,
}

/// A key that was left out, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedKey {
    /// Its `kid`.
    pub id: Option<String>,
    /// Why it was left out.
    pub problem: KeyProblem,
}

/// Why a document is not a key set that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeySetError {
    /// It is not JSON.
    #[error("expected a key set (RFC 7517), found something that is not JSON (line {line}, column {column})")]
    NotJson {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// There is no array `keys`.
    #[error("expected a key set (RFC 7517): an object with an array `keys`")]
    NotAKeySet,
    /// There is no key that could check a signature.
    #[error("the key set holds no usable key{}", reasons(skipped))]
    NoUsableKey {
        /// The keys that it holds.
        skipped: Vec<SkippedKey>,
    },
}

fn reasons(skipped: &[SkippedKey]) -> String {
    let Some(first) = skipped.first() else { return " (it is empty)".to_owned() };
    let id = first.id.as_deref().map(|id| format!(", `{id}`")).unwrap_or_default();
    format!(" ({} left out; the first{id}: {})", skipped.len(), first.problem)
}

impl KeySet {
    /// Reads a key set. Keys that are not understood, not public, too weak, meant for encryption, or without an
    /// `allowed` algorithm are left out (RFC 7517, section 5).
    ///
    /// # Errors
    /// [`KeySetError`] if it is no key set, or holds no usable key.
    pub fn parse(json: &[u8], allowed: &[Algorithm]) -> Result<Self, KeySetError> {
        let document: Value = serde_json::from_slice(json)
            .map_err(|error| KeySetError::NotJson { line: error.line(), column: error.column() })?;
        let jwks = match (&document, document.get("keys")) {
            (_, Some(Value::Array(jwks))) => jwks.as_slice(),
            // What Authentik answers while a provider of it has no signing key.
            (Value::Object(_), None) => &[],
            _ => return Err(KeySetError::NotAKeySet),
        };
        let mut set = Self { keys: Vec::new(), by_id: HashMap::new(), skipped: Vec::new() };
        let mut seen = HashSet::new();
        for jwk in jwks {
            match PublicKey::parse(jwk, allowed) {
                Ok(key) if seen.insert(identity(&key)) => set.add(key),
                Ok(_) => {}
                Err(problem) => set.skip(jwk, problem),
            }
        }
        if set.keys.is_empty() { Err(KeySetError::NoUsableKey { skipped: set.skipped }) } else { Ok(set) }
    }

    /// The keys that may have signed a token with this `kid` and `alg`: those that are called so and fit; without a
    /// `kid`, the only key that fits (RFC 7515, section 4.1.4 and appendix D).
    ///
    /// # Errors
    /// [`Rejection::UnknownKey`], and [`Rejection::AmbiguousKey`] if there is no `kid` and more than one key fits.
    pub fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Candidates, Rejection> {
        let named = match id {
            Some(id) => self.by_id.get(id).ok_or(Rejection::UnknownKey)?,
            None => &self.keys,
        };
        let keys: Vec<_> = named.iter().filter(|key| key.fits(algorithm)).cloned().collect();
        match keys.len() {
            0 => Err(Rejection::UnknownKey),
            1 => Ok(Candidates { keys }),
            _ if id.is_none() => Err(Rejection::AmbiguousKey),
            _ => Ok(Candidates { keys }),
        }
    }

    /// The usable keys, in the issuer's order.
    pub fn keys(&self) -> impl Iterator<Item = &PublicKey> {
        self.keys.iter().map(|key| &**key)
    }

    /// The keys that were left out.
    pub fn skipped(&self) -> &[SkippedKey] {
        &self.skipped
    }

    /// Whether every key of `earlier` is still here, under its id and for its algorithms. If not, a key was withdrawn
    /// and answers that rested on it must not be used any more.
    pub fn keeps_all_of(&self, earlier: &KeySet) -> bool {
        let here: HashSet<_> = self.identities().collect();
        earlier.identities().all(|identity| here.contains(&identity))
    }

    fn identities(&self) -> impl Iterator<Item = (Option<&str>, KeyPrint, Algorithm)> {
        self.keys().flat_map(|key| key.algorithms().map(|algorithm| (key.id(), key.print(), algorithm)))
    }

    fn add(&mut self, key: PublicKey) {
        let key = Arc::new(key);
        if let Some(id) = key.id() {
            self.by_id.entry(id.into()).or_default().push(Arc::clone(&key));
        }
        self.keys.push(key);
    }

    fn skip(&mut self, jwk: &Value, problem: KeyProblem) {
        let id = jwk.get("kid").and_then(Value::as_str).map(str::to_owned);
        self.skipped.push(SkippedKey { id, problem });
    }
}

/// Two keys that agree in this are one key that is listed twice.
fn identity(key: &PublicKey) -> (Option<Box<str>>, KeyPrint, Vec<Algorithm>) {
    (key.id().map(Box::from), key.print(), key.algorithms().collect())
}

impl Candidates {
    /// The keys.
    pub fn keys(&self) -> impl Iterator<Item = &PublicKey> {
        self.keys.iter().map(|key| &**key)
    }

    /// The key whose signature it is.
    pub(crate) fn signer(
        &self,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Option<&Arc<PublicKey>> {
        self.keys.iter().find(|key| key.verifies(algorithm, message, signature))
    }
}

#[cfg(test)]
mod tests;
