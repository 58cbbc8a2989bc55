//! The keys that scopegate signs its own tokens with, shared by all nodes.

use async_trait::async_trait;
use scopegate_provider::{Secret, Timestamp};

use super::StoreError;

/// A private key of scopegate, as it is stored.
#[derive(Debug, Clone)]
pub struct SigningKey {
    /// 1, 2, …: the order in which keys are used.
    pub number: i64,
    /// The moment from which it signs. It is published from the moment that it is stored.
    pub active_from: Timestamp,
    /// The private key, in the form in which its owner wants it stored.
    pub private_key: Secret,
}

/// Access to the stored signing keys.
#[async_trait]
pub trait SigningKeys: Send + Sync {
    /// Returns all keys, in their order.
    async fn signing_keys(&self) -> Result<Vec<SigningKey>, StoreError>;

    /// Stores a key unless there is one of this number: if several nodes make one at the same time, the first wins.
    async fn add_signing_key(&self, key: SigningKey) -> Result<(), StoreError>;

    /// Removes the keys before this number.
    async fn forget_signing_keys(&self, before: i64) -> Result<(), StoreError>;

    /// Removes the key of this number.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is none.
    async fn remove_signing_key(&self, number: i64) -> Result<(), StoreError>;
}

pub(crate) fn no_signing_key(number: i64) -> StoreError {
    StoreError::NotFound { what: "signing key", name: number.to_string() }
}
