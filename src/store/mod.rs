//! What lasts: items, scopes, routes, revocations, the state of providers, and who changed them.
//!
//! Each is behind a small trait. Memory, SQLite and PostgreSQL implement them all, and one suite, `conformance`, holds
//! all three to the same behaviour. [`Store`] joins an implementation with what is asked on every request and so must
//! be in memory: the [`RevocationIndex`] and the [`StoredPolicy`].

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

use std::fmt;

pub use self::{
    audit::{Action, Actor, Audit, AuditRecord, DenialCount, Period},
    changes::{ChangeNumber, Changes, Heads},
    error::{OpenError, StoreError},
    id::RecordId,
    items::{Item, ItemId, ItemName, ItemNameError, Items, Version},
    memory::MemoryStore,
    policy::{Edit, Edited, Expected, Policies, StoredPolicy, StoredRoute, StoredScope},
    provider_states::{ProviderState, ProviderStates, StateChange},
    revocation::{NewRevocation, Revocation, RevocationKey, Revocations, TokenHash},
    revocation_index::RevocationIndex,
    settings::{MaxStaleness, StoreSettings, StoreUrl, StoreUrlError, Tolerance},
    shared::Store,
    signing_keys::{SigningKey, SigningKeys},
};

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// What is on it, in order.
    pub items: Vec<T>,
    /// Whether something comes after it.
    pub more: bool,
}

impl<T> Page<T> {
    /// A page of at most `limit` things, from one more than that where there are more.
    pub(crate) fn cut(mut items: Vec<T>, limit: usize) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        Self { items, more }
    }
}

/// Everything that an implementation of the store does.
pub trait Backend:
    Items
    + Policies
    + Revocations
    + ProviderStates
    + SigningKeys
    + Audit
    + Changes
    + fmt::Debug
    + Send
    + Sync
    + 'static
{
}
