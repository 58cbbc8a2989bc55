//! The revocations and provider states that could not be read.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use scopegate_provider::Timestamp;

use crate::store::{EntryKind, UnreadableEntry, Version};

/// The entries that could not be read, each until it expires, is read again or is deleted.
#[derive(Debug, Default)]
pub(super) struct Unreadable(Mutex<BTreeMap<(EntryKind, String), (UnreadableEntry, Timestamp)>>);

impl Unreadable {
    /// Adds an entry, and logs it if it is new.
    pub(super) fn add(&self, kind: EntryKind, name: &str, reason: &str, expires_at: Timestamp) {
        let entry =
            UnreadableEntry { kind, name: name.to_owned(), version: Version(0), reason: reason.to_owned() };
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = entries.insert((kind, entry.name.clone()), (entry.clone(), expires_at));
        if known.is_none_or(|(known, _)| known != entry) {
            tracing::warn!("ignoring an entry that cannot be read: {entry}");
        }
    }

    /// Removes an entry that is readable now, or deleted.
    pub(super) fn remove(&self, kind: EntryKind, name: &str) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !entries.is_empty() {
            entries.remove(&(kind, name.to_owned()));
        }
    }

    /// Removes all entries of a kind, which is read anew.
    pub(super) fn clear(&self, kind: EntryKind) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|(known, _), _| *known != kind);
    }

    /// Removes the entries of a kind whose names are not among these.
    pub(super) fn keep_only(&self, kind: EntryKind, names: &[String]) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|(known, name), _| *known != kind || names.contains(name));
    }

    /// Returns the entries that have not expired.
    pub(super) fn list(&self, now: Timestamp) -> Vec<UnreadableEntry> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let current = entries.values().filter(|(_, expires_at)| now < *expires_at);
        current.map(|(entry, _)| entry.clone()).collect()
    }
}
