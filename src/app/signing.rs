//! Where the keys of minted tokens come from: the configuration, the store, or this process.
//!
//! Keys of the store are shared by all nodes. Whichever node sees first that one is due makes it; it is published at once
//! and used only later, so that who has fetched the key set before has it by then, and stays published until no token
//! that it signed is good any more.

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
    config::Config,
    gate::mint::{KeyRing, MintSettings},
    policy::{Policy, settings::Forward},
    store::{SigningKey, SigningKeys, StoreError},
};

/// How often it is looked whether a key is due.
const EVERY: Duration = Duration::from_mins(1);

/// How long a key is published before it is used, unless half of its use is less.
const AHEAD: Duration = Duration::from_hours(24);

/// How long a key is published after its use: longer than a token may live, whatever clocks differ by.
const AFTER: Duration = Duration::from_hours(2);

/// The first moment of all.
const ALWAYS: Timestamp = Timestamp::from_millis(i64::MIN);

/// Why there are no keys to sign with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SigningError {
    /// A key of the configuration or the store is none, or none could be made.
    #[error("a key for minted tokens: {0}")]
    Signer(#[from] SignerError),
    /// A key of the store cannot be read.
    #[error("the signing key {number} of the store: {source}")]
    Sealed {
        /// The key.
        number: i64,
        /// Why not.
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

/// Whether any token is minted under this configuration and policy.
pub(super) fn mints(config: &Config, policy: &Policy) -> bool {
    let by_route =
        |identity: &crate::policy::settings::IdentitySettings| identity.forward == Some(Forward::Mint);
    let mut routes = policy.routes().iter().filter_map(|route| route.options().identity.as_ref());
    by_route(&config.identity) || routes.any(by_route)
}

impl Signing {
    /// Sees to it that there are keys, and that the next one is there in time.
    ///
    /// # Errors
    /// [`SigningError`]; the keys are what they were.
    pub(super) async fn prepare(
        &self,
        settings: &MintSettings,
        store: &dyn SigningKeys,
        now: Timestamp,
    ) -> Result<(), SigningError> {
        let further = settings.further_keys.iter().map(Signer::es256_from_pem);
        let further = further.collect::<Result<Vec<_>, _>>()?;
        let signers = match &settings.key {
            Some(key) => vec![(ALWAYS, Signer::es256_from_pem(key)?)],
            None => match stored(settings, store, now).await {
                Err(SigningError::Store(StoreError::NoStore)) => vec![(ALWAYS, self.own()?)],
                signers => signers?,
            },
        };
        self.ring.set(signers, &further);
        Ok(())
    }

    fn own(&self) -> Result<Signer, SignerError> {
        if let Some(key) = self.own.get() {
            return Signer::es256_from_pem(key);
        }
        let signer = Signer::generate(SigningAlgorithm::Es256)?;
        Signer::es256_from_pem(self.own.get_or_init(|| signer.to_pem().unwrap_or_else(|_| Secret::new(""))))
    }
}

/// The keys of the store, once those that are due were made and those that nobody needs any more forgotten.
async fn stored(
    settings: &MintSettings,
    store: &dyn SigningKeys,
    now: Timestamp,
) -> Result<Vec<(Timestamp, Signer)>, SigningError> {
    let all = store.signing_keys().await?;
    let newest = all.last().map_or(0, |key| key.number);
    let mut keys = trusted(all, settings);
    if keys.is_empty() && newest > 0 {
        tracing::warn!("the signing keys of the store are not sealed, and not used; another one is made");
    }
    if let Some((number, active_from)) = due(&keys, settings.rotation.get(), now) {
        match make(settings, store, number.max(newest.saturating_add(1)), active_from).await {
            Ok(()) => keys = trusted(store.signing_keys().await?, settings),
            // Those that there are go on.
            Err(error) if !keys.is_empty() => tracing::warn!(%error, "no new signing key could be made"),
            Err(error) => return Err(error),
        }
    }
    if let Some(before) = needless(&keys, now) {
        if let Err(error) = store.forget_signing_keys(before).await {
            tracing::warn!(%error, "an old signing key could not be removed from the store");
        }
        keys.retain(|key| key.number >= before);
    }
    keys.iter().map(|key| Ok((key.active_from, read(key, settings)?))).collect()
}

/// Those keys of the store that are taken. Where keys are sealed, one that is not was written by somebody else, or read by
/// who knows whom before.
fn trusted(mut keys: Vec<SigningKey>, settings: &MintSettings) -> Vec<SigningKey> {
    keys.retain(|key| settings.seal.is_none() || seal::is_sealed(&key.private_key));
    keys
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

/// The number of the key that must be made now, and from when on it is used.
fn due(keys: &[SigningKey], rotation: Duration, now: Timestamp) -> Option<(i64, Timestamp)> {
    let Some(newest) = keys.last() else { return Some((1, now)) };
    let (ahead, end) = (AHEAD.min(rotation / 2), newest.active_from + rotation);
    (now + ahead >= end).then(|| (newest.number + 1, end.max(now + ahead)))
}

/// The key before which none is needed: the last one that has been used for so long that nothing of those before it is
/// good any more.
fn needless(keys: &[SigningKey], now: Timestamp) -> Option<i64> {
    let used = keys.iter().skip(1).rev().find(|key| key.active_from + AFTER <= now);
    used.map(|key| key.number)
}

/// Looks after the keys of a node for as long as there is one.
pub(super) async fn tend(node: Weak<Node>, clock: Arc<dyn Clock>) {
    loop {
        clock.sleep(EVERY).await;
        let Some(node) = node.upgrade() else { return };
        let config = node.current.load().config.clone();
        if !mints(&config, node.gate.current().policy()) {
            continue;
        }
        let fixed = &node.fixed;
        if let Err(error) = fixed.signing.prepare(&config.mint, &fixed.store, clock.now()).await {
            tracing::warn!(%error, "the keys for minted tokens stay as they are");
        }
    }
}

#[cfg(test)]
mod tests;
