//! The store: items, scopes, routes, revocations, the states of providers, and the audit of changes.
//!
//! Each part has a small trait. Memory, SQLite and PostgreSQL implement them all, and one suite, `conformance`, checks
//! that all three behave alike. [`Store`] joins an implementation with what every request needs and so must be in memory:
//! the [`RevocationIndex`] and the [`StoredPolicy`].

mod audit;
mod changes;
#[cfg(test)]
mod conformance;
#[cfg(feature = "server")]
mod durable;
#[cfg(not(feature = "server"))]
#[path = "not_durable.rs"]
mod durable;
mod error;
mod id;
mod items;
mod memory;
mod nodes;
mod policy;
#[cfg(feature = "server")]
mod postgres;
mod provider_states;
mod revocation;
mod revocation_index;
mod settings;
mod shared;
mod signing_keys;
#[cfg(feature = "server")]
mod sql;
#[cfg(feature = "server")]
mod sqlite;
#[cfg(feature = "server")]
mod transfer;
mod unreadable;

use std::fmt;

#[cfg(feature = "server")]
pub use self::transfer::{TransferError, Transferred, backup, copy, restore};
pub use self::{
    audit::{Action, Actor, Audit, AuditRecord, DenialCount, Period},
    changes::{Changes, Heads, Stamp},
    error::{OpenError, StoreError},
    id::{ChangeNumber, RecordId, Version},
    items::{Item, ItemId, ItemName, ItemNameError, Items},
    memory::MemoryStore,
    nodes::{NodeRecord, Nodes},
    policy::{Edit, Edited, Expected, MAX_SCOPE_NAME, Policies, StoredPolicy, StoredRoute, StoredScope},
    provider_states::{ProviderState, ProviderStates, StateChange},
    revocation::{BlockCount, NewRevocation, Revocation, RevocationKey, Revocations, TokenHash},
    revocation_index::RevocationIndex,
    settings::{MaxStaleness, StoreSettings, StoreUrl, StoreUrlError, Tolerance},
    shared::Store,
    signing_keys::{SigningKey, SigningKeys},
    unreadable::{EntryKind, UnreadableEntry},
};

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries, in order.
    pub items: Vec<T>,
    /// `true` if more entries follow.
    pub more: bool,
}

impl<T> Page<T> {
    /// Creates a page of at most `limit` entries, from one more than that if there are more.
    pub(crate) fn cut(mut items: Vec<T>, limit: usize) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        Self { items, more }
    }
}

/// An implementation of the store.
pub trait Backend:
    Items
    + Policies
    + Revocations
    + ProviderStates
    + SigningKeys
    + Nodes
    + Audit
    + Changes
    + fmt::Debug
    + Send
    + Sync
    + 'static
{
    /// Returns the revocations and provider states that could not be read. Scopes and routes that cannot be read are in
    /// the [`StoredPolicy`].
    fn unreadable(&self) -> Vec<UnreadableEntry> {
        Vec::new()
    }

    /// Forgets which entries of a kind could not be read, because they are read anew.
    fn forget_unreadable(&self, kind: EntryKind) {
        let _ = kind;
    }
}
