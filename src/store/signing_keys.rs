//! The keys that tokens of our own are signed with, shared by all nodes.

use async_trait::async_trait;
use scopegate_provider::{Secret, Timestamp};

use super::{Store, StoreError};

/// A private key of ours, as it is kept.
#[derive(Debug, Clone)]
pub struct SigningKey {
    /// 1, 2, …: the order in which keys are used.
    pub number: i64,
    /// From when on it signs. It is published from the moment that it is kept.
    pub active_from: Timestamp,
    /// The private key, in whatever form its owner wants it kept.
    pub private_key: Secret,
}

/// Keeps signing keys.
#[async_trait]
pub trait SigningKeys: Send + Sync {
    /// All keys, in their order.
    async fn signing_keys(&self) -> Result<Vec<SigningKey>, StoreError>;

    /// Keeps a key unless there is one of this number: of nodes that make one at the same time, the first has made it.
    async fn add_signing_key(&self, key: SigningKey) -> Result<(), StoreError>;

    /// Forgets the keys before this number.
    async fn forget_signing_keys(&self, before: i64) -> Result<(), StoreError>;
}

#[async_trait]
impl SigningKeys for Store {
    async fn signing_keys(&self) -> Result<Vec<SigningKey>, StoreError> {
        self.backend().signing_keys().await
    }

    async fn add_signing_key(&self, key: SigningKey) -> Result<(), StoreError> {
        self.backend().add_signing_key(key).await
    }

    async fn forget_signing_keys(&self, before: i64) -> Result<(), StoreError> {
        self.backend().forget_signing_keys(before).await
    }
}
