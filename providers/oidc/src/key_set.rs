//! A key set: the public keys of one issuer, found by id, certificate and algorithm.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use schemars::JsonSchema;
use scopegate_provider::Rejection;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    algorithm::Algorithm,
    issuers::key_serves_tenant,
    jwk::{KeyPrint, KeyProblem, PublicKey},
};

/// The usable public keys of one issuer (RFC 7517, section 5).
#[derive(Debug)]
pub struct KeySet {
    keys: Vec<Arc<PublicKey>>,
    by_id: HashMap<Box<str>, Vec<Arc<PublicKey>>>,
    skipped: Vec<SkippedKey>,
}

/// The largest number of keys that are tried for one token, so that a forged one costs a bounded number of checks.
const MOST_CANDIDATES: usize = 4;

/// A header parameter by which a key is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum KeyParameter {
    /// `kid` (RFC 7515, section 4.1.4).
    #[serde(rename = "kid")]
    Kid,
    /// `x5t#S256`: the SHA-256 thumbprint of the certificate (section 4.1.8).
    #[serde(rename = "x5t#S256")]
    X5tS256,
    /// `x5t`: the SHA-1 thumbprint of the certificate (section 4.1.7), as AD FS writes it.
    #[serde(rename = "x5t")]
    X5t,
}

impl KeyParameter {
    /// All parameters, in the order in which they are tried.
    pub const ALL: [KeyParameter; 3] = [Self::Kid, Self::X5tS256, Self::X5t];
}

/// The header parameters of a token that name its key. They only select among the issuer's keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyReference<'a> {
    /// `kid`.
    pub kid: Option<&'a str>,
    /// `x5t`.
    pub x5t: Option<&'a str>,
    /// `x5t#S256`.
    pub x5t_s256: Option<&'a str>,
}

impl<'a> KeyReference<'a> {
    /// A reference by `kid` alone.
    pub fn by_id(kid: Option<&'a str>) -> Self {
        Self { kid, ..Self::default() }
    }

    fn value(self, parameter: KeyParameter) -> Option<&'a str> {
        match parameter {
            KeyParameter::Kid => self.kid,
            KeyParameter::X5tS256 => self.x5t_s256,
            KeyParameter::X5t => self.x5t,
        }
    }
}

/// The keys that may have signed a token: usually one.
#[derive(Debug, Clone)]
pub struct Candidates {
    keys: Vec<Arc<PublicKey>>,
}

/// A key that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedKey {
    /// Its `kid`.
    pub id: Option<String>,
    /// The reason.
    pub problem: KeyProblem,
}

/// An error of a document that is not a usable key set.
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
    /// Parses a key set. Keys that are not understood, not public, too weak, meant for encryption, or without an
    /// `allowed` algorithm are left out (RFC 7517, section 5).
    ///
    /// # Errors
    /// [`KeySetError`] if it is no key set, or holds no usable key.
    pub fn parse(json: &[u8], allowed: &[Algorithm]) -> Result<Self, KeySetError> {
        let document: Value = serde_json::from_slice(json)
            .map_err(|error| KeySetError::NotJson { line: error.line(), column: error.column() })?;
        let jwks = match (&document, document.get("keys")) {
            (_, Some(Value::Array(jwks))) => jwks.as_slice(),
            // The answer of Authentik while its provider has no signing key.
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

    /// Finds the keys with this `kid` for an algorithm; without a `kid`, all keys that fit.
    ///
    /// # Errors
    /// As [`KeySet::find_by`].
    pub fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Candidates, Rejection> {
        self.find_by(KeyReference::by_id(id), &[KeyParameter::Kid], algorithm)
    }

    /// Finds the keys that may have signed a token (RFC 7515, section 4.1.4 and appendix D): those that the first of the
    /// token's parameters in `order` finds, or all that fit if the token has none of these parameters. Each of them is
    /// tried.
    ///
    /// # Errors
    /// [`Rejection::UnknownKey`] if there is none, [`Rejection::AmbiguousKey`] if there are too many to try.
    pub fn find_by(
        &self,
        reference: KeyReference<'_>,
        order: &[KeyParameter],
        algorithm: Algorithm,
    ) -> Result<Candidates, Rejection> {
        let mut is_named = false;
        for parameter in order {
            let Some(value) = reference.value(*parameter) else { continue };
            is_named = true;
            let named = match parameter {
                KeyParameter::Kid => self.by_id.get(value).map(Vec::as_slice).unwrap_or_default(),
                KeyParameter::X5tS256 | KeyParameter::X5t => &self.keys,
            };
            let keys: Vec<_> = named
                .iter()
                .filter(|key| key.fits(algorithm) && has_parameter(key, *parameter, value))
                .cloned()
                .collect();
            if !keys.is_empty() {
                return Candidates::bounded(keys);
            }
        }
        if is_named {
            return Err(Rejection::UnknownKey);
        }
        Candidates::bounded(self.keys.iter().filter(|key| key.fits(algorithm)).cloned().collect())
    }

    /// The usable keys, in the issuer's order.
    pub fn keys(&self) -> impl Iterator<Item = &PublicKey> {
        self.keys.iter().map(|key| &**key)
    }

    /// The keys that were left out.
    pub fn skipped(&self) -> &[SkippedKey] {
        &self.skipped
    }

    /// Returns `true` if every key of `earlier` is still here, under its id and for its algorithms. If not, a key was
    /// withdrawn, and answers that rested on it must not be used any more.
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

fn has_parameter(key: &PublicKey, parameter: KeyParameter, value: &str) -> bool {
    match parameter {
        KeyParameter::Kid => true,
        KeyParameter::X5tS256 => key.x5t_s256() == Some(value),
        KeyParameter::X5t => key.x5t() == Some(value),
    }
}

/// Returns the identity of a key. Two keys with the same identity are one key that is listed twice.
fn identity(key: &PublicKey) -> (Option<Box<str>>, KeyPrint, Vec<Algorithm>) {
    (key.id().map(Box::from), key.print(), key.algorithms().collect())
}

impl Candidates {
    fn bounded(keys: Vec<Arc<PublicKey>>) -> Result<Self, Rejection> {
        match keys.len() {
            0 => Err(Rejection::UnknownKey),
            1..=MOST_CANDIDATES => Ok(Self { keys }),
            _ => Err(Rejection::AmbiguousKey),
        }
    }

    /// Joins the keys of several key sets of one issuer, as far as they are tried.
    pub(crate) fn join(mut self, other: Self) -> Self {
        self.keys.extend(other.keys);
        self.keys.truncate(2 * MOST_CANDIDATES);
        self
    }

    /// Keeps the keys that may sign for `tenant`.
    pub(crate) fn of_tenant(mut self, tenant: &str) -> Result<Self, Rejection> {
        self.keys.retain(|key| key.issuer().is_none_or(|issuer| key_serves_tenant(issuer, tenant)));
        if self.keys.is_empty() { Err(Rejection::UnknownKey) } else { Ok(self) }
    }

    /// The keys.
    pub fn keys(&self) -> impl Iterator<Item = &PublicKey> {
        self.keys.iter().map(|key| &**key)
    }

    /// Finds the key that made a signature.
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
