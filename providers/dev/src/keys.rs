//! The issuer's keys: one signs, the next is already published, earlier ones still verify.

use std::sync::Arc;

use scopegate_oidc::{Signer, SignerError, SigningAlgorithm};
use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};

/// The number of earlier signing keys that are kept.
const EARLIER_KEYS: usize = 16;

/// The keys at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    pub(crate) current: Arc<Signer>,
    next: Arc<Signer>,
    earlier: Vec<Arc<Signer>>,
}

impl Keys {
    /// The key of this id.
    pub(crate) fn find(&self, kid: &str) -> Option<&Signer> {
        self.all().find(|signer| signer.kid() == kid)
    }

    /// The key set (RFC 7517, section 5). The next key is in it before it signs, so that rotation surprises nobody.
    /// Without the signing key it is of no use to who verifies, as with Okta's org server.
    pub(crate) fn jwks(&self, with_signing: bool) -> Value {
        let published = self.all().skip(usize::from(!with_signing));
        json!({ "keys": published.map(Signer::jwk).collect::<Vec<_>>() })
    }

    /// The ids of all keys, the signing one first.
    pub(crate) fn kids(&self) -> impl Iterator<Item = &str> {
        self.all().map(Signer::kid)
    }

    fn all(&self) -> impl Iterator<Item = &Signer> {
        [&self.current, &self.next].into_iter().chain(&self.earlier).map(AsRef::as_ref)
    }
}

/// Keys that are being made, or are there, and that can be rotated.
pub(crate) struct KeyRing {
    algorithm: SigningAlgorithm,
    keys: watch::Sender<Option<Result<Arc<Keys>, SignerError>>>,
    turn: Mutex<()>,
}

impl KeyRing {
    /// Begins to make keys; who needs one waits for it.
    pub(crate) fn start(algorithm: SigningAlgorithm) -> Arc<Self> {
        let ring = Arc::new(Self { algorithm, keys: watch::Sender::new(None), turn: Mutex::new(()) });
        tokio::spawn({
            let ring = ring.clone();
            async move { ring.keys.send_replace(Some(first_keys(algorithm).await)) }
        });
        ring
    }

    pub(crate) fn algorithm(&self) -> SigningAlgorithm {
        self.algorithm
    }

    /// The keys, once they are made.
    pub(crate) async fn keys(&self) -> Result<Arc<Keys>, SignerError> {
        let mut made = self.keys.subscribe();
        let failed = SignerError::Generate { algorithm: self.algorithm };
        let keys = made.wait_for(Option::is_some).await.map_err(|_| failed)?;
        keys.clone().ok_or(failed)?
    }

    /// Lets the next key sign and makes a new next one. What signed until now goes on verifying.
    pub(crate) async fn rotate(&self) -> Result<Arc<Keys>, SignerError> {
        let _turn = self.turn.lock().await;
        let old = self.keys().await?;
        let next = Arc::new(Signer::generate_beside(self.algorithm).await?);
        let earlier = [&old.current].into_iter().chain(&old.earlier).take(EARLIER_KEYS).cloned().collect();
        Ok(self.publish(Keys { current: old.next.clone(), next, earlier }))
    }

    /// Withdraws every key that signed earlier: their tokens are dead.
    pub(crate) async fn forget(&self) -> Result<Arc<Keys>, SignerError> {
        let _turn = self.turn.lock().await;
        let old = self.keys().await?;
        let keys = Keys { earlier: Vec::new(), ..Keys::clone(&old) };
        Ok(self.publish(keys))
    }

    fn publish(&self, keys: Keys) -> Arc<Keys> {
        let keys = Arc::new(keys);
        self.keys.send_replace(Some(Ok(keys.clone())));
        keys
    }
}

async fn first_keys(algorithm: SigningAlgorithm) -> Result<Arc<Keys>, SignerError> {
    let made = tokio::try_join!(Signer::generate_beside(algorithm), Signer::generate_beside(algorithm));
    let (current, next) = made?;
    Ok(Arc::new(Keys { current: Arc::new(current), next: Arc::new(next), earlier: Vec::new() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_key_that_signs_after_a_rotation_was_published_before_it() {
        let ring = KeyRing::start(SigningAlgorithm::Es256);
        let before = ring.keys().await.unwrap();
        let after = ring.rotate().await.unwrap();
        assert_eq!(after.current.kid(), before.next.kid());
        assert!(after.kids().any(|kid| kid == before.current.kid()));
    }

    #[tokio::test]
    async fn forgetting_withdraws_earlier_keys_and_leaves_the_signing_one() {
        let ring = KeyRing::start(SigningAlgorithm::EdDsa);
        let first = ring.keys().await.unwrap().current.kid().to_owned();
        let rotated = ring.rotate().await.unwrap();
        let forgotten = ring.forget().await.unwrap();
        assert!(forgotten.kids().all(|kid| kid != first));
        assert_eq!(forgotten.current.kid(), rotated.current.kid());
    }

    #[tokio::test]
    async fn rotations_at_one_time_lose_no_key() {
        let ring = KeyRing::start(SigningAlgorithm::Es256);
        let (a, b, c) = tokio::join!(ring.rotate(), ring.rotate(), ring.rotate());
        assert!(a.is_ok() && b.is_ok() && c.is_ok());
        assert_eq!(ring.keys().await.unwrap().kids().count(), 5);
    }
}
