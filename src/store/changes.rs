//! The numbers of changes, and how a node notices that the store went back in time.

use async_trait::async_trait;
use aws_lc_rs::rand;
use scopegate_provider::Timestamp;

use super::{ChangeNumber, StoreError};

/// A random value that each change writes beside its number. A database that was restored from a backup gives the same
/// numbers again, but never the same stamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamp(pub i64);

impl Stamp {
    /// Returns a new random stamp.
    ///
    /// # Errors
    /// The system's random number generator failed.
    pub(crate) fn random() -> Result<Self, StoreError> {
        let mut bytes = [0; 8];
        rand::fill(&mut bytes).map_err(StoreError::unavailable)?;
        Ok(Self(i64::from_be_bytes(bytes)))
    }
}

/// The numbers of the last changes. A node compares them with those it has seen to know what it must read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Heads {
    /// The last change of any kind.
    pub last: ChangeNumber,
    /// The last change of scopes or routes.
    pub policy: ChangeNumber,
    /// The last change of revocations.
    pub revocations: ChangeNumber,
    /// The last change of a provider's state.
    pub providers: ChangeNumber,
    /// The stamp of the last change.
    pub stamp: Stamp,
    /// The number of times that this node has read everything again because the store went back in time. A backend
    /// leaves it at 0.
    pub rereads: u64,
}

/// The part of the store that a change belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Policy,
    Revocations,
    Providers,
}

impl Heads {
    /// Counts a change.
    pub(crate) fn advance(&mut self, part: Part, stamp: Stamp) -> ChangeNumber {
        self.last.0 += 1;
        self.stamp = stamp;
        match part {
            Part::Policy => self.policy = self.last,
            Part::Revocations => self.revocations = self.last,
            Part::Providers => self.providers = self.last,
        }
        self.last
    }
}

/// Access to the numbers of changes and to the store's clock.
#[async_trait]
pub trait Changes: Send + Sync {
    /// Returns the numbers of the last changes.
    async fn heads(&self) -> Result<Heads, StoreError>;

    /// Returns the stamp that the change of this number wrote, or `None` if the store does not know it (any more).
    async fn stamp_of(&self, change: ChangeNumber) -> Result<Option<Stamp>, StoreError>;

    /// Returns the earlier of this node's and the store's time. Expired entries are removed by it, because a node whose
    /// clock is fast must not remove what is still in force.
    async fn time(&self) -> Result<Timestamp, StoreError>;

    /// Returns the later of this node's and the store's time. Revocations start from it, because a node whose clock is
    /// slow must not miss tokens that were issued before the revocation.
    async fn latest_time(&self) -> Result<Timestamp, StoreError>;

    /// Takes the lock that every change takes, and changes nothing.
    ///
    /// # Errors
    /// The store takes no writes now.
    async fn probe(&self) -> Result<(), StoreError>;

    /// Waits until something may have changed; for ever if the store cannot notify. A caller that relies on it alone
    /// misses changes.
    async fn news(&self) {
        std::future::pending::<()>().await;
    }
}
