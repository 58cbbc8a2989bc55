//! Stored entries that this scopegate cannot read.

use std::fmt;

use serde::Serialize;

use super::Version;

/// The kind of a stored entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// A scope.
    Scope,
    /// A route.
    Route,
    /// A revocation.
    Revocation,
    /// The state of a provider.
    Provider,
}

impl EntryKind {
    /// Returns the name of the kind, such as `scope`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scope => "scope",
            Self::Route => "route",
            Self::Revocation => "revocation",
            Self::Provider => "provider",
        }
    }
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A stored entry that this scopegate cannot read. It is ignored until it is repaired or deleted; other entries are not
/// affected (invariant 14).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnreadableEntry {
    /// The kind of the entry.
    pub kind: EntryKind,
    /// The name of a scope or provider, or the id of a route or revocation, as the store holds it.
    pub name: String,
    /// The version of a scope or route; 0 for other kinds.
    pub version: Version,
    /// The reason why it cannot be read.
    pub reason: String,
}

impl fmt::Display for UnreadableEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stored {} `{}`: {}", self.kind, self.name.escape_debug(), self.reason)
    }
}
