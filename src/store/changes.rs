//! The numbers of changes.

use std::fmt;

use async_trait::async_trait;
use scopegate_provider::Timestamp;
use serde::Serialize;

use super::StoreError;

/// The number of a change to policy, revocations or providers. Each change takes its number from one locked row in its
/// own transaction, so that the order of numbers is the order of commits and who reads up to a number misses nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize)]
#[serde(transparent)]
pub struct ChangeNumber(pub i64);

impl fmt::Display for ChangeNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The numbers of the last changes. What a node has seen is compared with them to know what it must read.
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
}

/// What is numbered by a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Policy,
    Revocations,
    Providers,
}

impl Heads {
    /// Counts a change.
    pub(crate) fn advance(&mut self, part: Part) -> ChangeNumber {
        self.last.0 += 1;
        match part {
            Part::Policy => self.policy = self.last,
            Part::Revocations => self.revocations = self.last,
            Part::Providers => self.providers = self.last,
        }
        self.last
    }
}

/// Tells whether something has changed.
#[async_trait]
pub trait Changes: Send + Sync {
    /// The numbers of the last changes.
    async fn heads(&self) -> Result<Heads, StoreError>;

    /// The time by which is told what has ended for good: this node's or the store's own, whichever is earlier. What a
    /// node took for ended while its clock was fast would be gone for all of them, and for itself afterwards.
    async fn time(&self) -> Result<Timestamp, StoreError>;

    /// Waits until something may have changed, where the store can tell; for ever where it can't. Who relies on it alone
    /// misses changes.
    async fn news(&self) {
        std::future::pending::<()>().await;
    }
}
