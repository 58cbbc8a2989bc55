//! The keys of minted tokens: from the configuration, the store, or made by this process.
//!
//! Keys of the store are shared by all nodes. The first node to see that one is due makes it. It is published at once and
//! used only later, so that services have fetched it by then, and stays published until no token that it signed can be
//! valid any more.

mod seal;

use std::{
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use scopegate_oidc::{Signer, SignerError, SigningAlgorithm};
use scopegate_provider::{Clock, Secret, Timestamp};

use self::seal::SealError;
use super::Node;
use crate::{
    gate::mint::{KeyRing, MintSettings, PreparedKeys},
    runtime::Draft,
    store::{SigningKey, SigningKeys, StoreError},
};

/// Interval at which the node checks whether a key is due.
const EVERY: Duration = Duration::from_mins(1);

/// Time for which a key is published before it is used, unless half of its use is less.
const AHEAD: Duration = Duration::from_hours(24);

/// Time for which a key is published after its use: longer than a token may live, whatever clocks differ by.
const AFTER: Duration = Duration::from_hours(2);

/// The first moment of all.
const ALWAYS: Timestamp = Timestamp::from_millis(i64::MIN);

/// Errors that leave a node without keys to sign with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SigningError {
    /// A key is malformed, or none could be made.
    #[error("a key for minted tokens: {0}")]
    Signer(#[from] SignerError),
    /// A key of the store cannot be read.
    #[error("the signing key {number} of the store: {source}")]
    Sealed {
        /// The key.
        number: i64,
        /// The cause.
        source: SealError,
    },
    /// The store does not answer.
    #[error("the keys for minted tokens: {0}")]
    Store(#[from] StoreError),
}

/// The keys of a node.
#[derive(Debug, Default)]
pub(super) struct Signing {
    pub(super) ring: Arc<KeyRing>,
    /// The key of this process, where there is no other.
    own: OnceLock<Secret>,
}

impl Signing {
    /// Prepares the keys of a generation, if it mints tokens. Keys in force are kept where new ones cannot be prepared: a
    /// policy must not wait for a key.
    ///
    /// # Errors
    /// [`SigningError`]: tokens are to be minted and there is no key.
    pub(super) async fn keys_for(&self, draft: Draft<'_>) -> Result<Option<PreparedKeys>, SigningError> {
        if !draft.config.mints(draft.gate.current().policy()) {
            return Ok(None);
        }
        let runtime = draft.runtime;
        match self.prepare(&draft.config.mint, &runtime.store, runtime.clock.now()).await {
            Err(error) if self.ring.published().is_some() => {
                tracing::warn!(%error, "the keys for minted tokens stay as they are");
                Ok(None)
            }
            prepared => prepared.map(Some),
        }
    }

    /// Prepares the keys that are used now, and stores the next one where it is due.
    ///
    /// # Errors
    /// [`SigningError`].
    async fn prepare(
        &self,
        settings: &MintSettings,
        store: &dyn SigningKeys,
        now: Timestamp,
    ) -> Result<PreparedKeys, SigningError> {
        let further = settings.further_keys.iter().map(Signer::es256_from_pem);
        let further = further.collect::<Result<Vec<_>, _>>()?;
        let signers = match &settings.key {
            Some(key) => vec![(ALWAYS, Signer::es256_from_pem(key)?)],
            None => match stored(settings, store, now).await {
                Err(SigningError::Store(StoreError::NoStore)) => vec![(ALWAYS, self.own()?)],
                signers => signers?,
            },
        };
        Ok(PreparedKeys::new(signers, &further))
    }

    /// Signs with these keys from now on.
    pub(super) fn activate(&self, keys: &PreparedKeys) {
        self.ring.activate(keys);
    }

    fn own(&self) -> Result<Signer, SignerError> {
        if let Some(key) = self.own.get() {
            return Signer::es256_from_pem(key);
        }
        let signer = Signer::generate(SigningAlgorithm::Es256)?;
        Signer::es256_from_pem(self.own.get_or_init(|| signer.to_pem().unwrap_or_else(|_| Secret::new(""))))
    }
}

/// Returns the keys of the store that this node can use, after it has made the one that is due and removed those that
/// are not needed any more.
async fn stored(
    settings: &MintSettings,
    store: &dyn SigningKeys,
    now: Timestamp,
) -> Result<Vec<(Timestamp, Signer)>, SigningError> {
    let all = store.signing_keys().await?;
    let newest = all.last().map_or(0, |key| key.number);
    let mut keys = usable(all, settings);
    if keys.is_empty() && newest > 0 {
        tracing::warn!("none of the store's signing keys can be used; a new one is made");
    }
    if let Some((number, active_from)) = due(&keys, settings.rotation.get(), now) {
        match make(settings, store, number.max(newest.saturating_add(1)), active_from).await {
            Ok(()) => keys = usable(store.signing_keys().await?, settings),
            Err(error) if !keys.is_empty() => tracing::warn!(%error, "cannot make a new signing key"),
            Err(error) => return Err(error),
        }
    }
    if let Some(before) = obsolete_before(&keys, now) {
        if let Err(error) = store.forget_signing_keys(before).await {
            tracing::warn!(%error, "cannot remove an old signing key from the store");
        }
        keys.retain(|key| key.number >= before);
    }
    Ok(keys.into_iter().map(|key| (key.active_from, key.signer)).collect())
}

/// A key of the store that this node can use.
struct UsableKey {
    number: i64,
    active_from: Timestamp,
    signer: Signer,
}

/// Returns the keys of the store that this node can use. Keys that it cannot open are ignored and logged. Where keys are
/// sealed, an unsealed one is ignored too: anyone who could write to the store may have put it there.
fn usable(keys: Vec<SigningKey>, settings: &MintSettings) -> Vec<UsableKey> {
    let sealed_only = settings.seal.is_some();
    let trusted = keys.into_iter().filter(|key| !sealed_only || seal::is_sealed(&key.private_key));
    let mut usable = Vec::new();
    for key in trusted {
        match read(&key, settings) {
            Ok(signer) => usable.push(UsableKey { number: key.number, active_from: key.active_from, signer }),
            Err(error) => tracing::warn!(%error, "ignoring a signing key of the store"),
        }
    }
    usable
}

async fn make(
    settings: &MintSettings,
    store: &dyn SigningKeys,
    number: i64,
    active_from: Timestamp,
) -> Result<(), SigningError> {
    let signer = Signer::generate(SigningAlgorithm::Es256)?;
    let sealed = seal::seal(&signer.to_pem()?, number, settings.seal.as_ref());
    let private_key = sealed.map_err(|source| SigningError::Sealed { number, source })?;
    store.add_signing_key(SigningKey { number, active_from, private_key }).await?;
    tracing::info!(number, "a key for minted tokens was made");
    Ok(())
}

fn read(key: &SigningKey, settings: &MintSettings) -> Result<Signer, SigningError> {
    let opened = seal::open(&key.private_key, key.number, settings.seal.as_ref());
    let opened = opened.map_err(|source| SigningError::Sealed { number: key.number, source })?;
    Ok(Signer::es256_from_pem(&opened)?)
}

/// Returns the number of the key that must be made now, and the moment from which it is used.
fn due(keys: &[UsableKey], rotation: Duration, now: Timestamp) -> Option<(i64, Timestamp)> {
    let Some(newest) = keys.last() else { return Some((1, now)) };
    let ahead = AHEAD.min(rotation / 2);
    let end = newest.active_from + rotation;
    (now + ahead >= end).then(|| (newest.number + 1, end.max(now + ahead)))
}

/// Returns the number of the oldest key that is still needed: no token that an earlier one signed can be valid any more.
fn obsolete_before(keys: &[UsableKey], now: Timestamp) -> Option<i64> {
    let used = keys.iter().skip(1).rev().find(|key| key.active_from + AFTER <= now);
    used.map(|key| key.number)
}

/// Keeps the keys of a node current for as long as it exists.
pub(super) async fn rotate(node: Weak<Node>, clock: Arc<dyn Clock>) {
    loop {
        clock.sleep(EVERY).await;
        let Some(node) = node.upgrade() else { return };
        let config = node.current().config.clone();
        if !config.mints(node.gate().current().policy()) {
            continue;
        }
        let signing = &node.frontend.0.signing;
        match signing.prepare(&config.mint, &node.runtime.store, clock.now()).await {
            Ok(keys) => signing.activate(&keys),
            Err(error) => tracing::warn!(%error, "the keys for minted tokens stay as they are"),
        }
    }
}

#[cfg(test)]
mod tests;
