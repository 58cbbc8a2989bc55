//! Ids of records, versions of entries, and numbers of changes.

use std::fmt;

use serde::Serialize;

/// The number of a change to policy, revocations or providers. Each change takes its number from one locked row in its
/// own transaction, so that the order of numbers is the order of commits, and a reader that has read up to a number has
/// missed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize)]
#[serde(transparent)]
pub struct ChangeNumber(pub i64);

impl fmt::Display for ChangeNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The number of changes of an entry: its `ETag`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Version(pub i64);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The id of a revocation, a stored route or an audit record: opaque, and later ones sort after earlier ones.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct RecordId(Box<str>);

impl RecordId {
    /// The id of what a change made as its `index`th thing. No two changes have the same number.
    pub(crate) fn of(change: ChangeNumber, index: usize) -> Self {
        Self(format!("{:012x}{index:06x}", change.0).into())
    }

    /// An id that a caller names. What is no id finds nothing.
    pub fn from_text(text: &str) -> Self {
        Self(text.into())
    }

    /// The id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_in_the_order_of_their_changes() {
        let ids = [(1, 0), (1, 1), (1, 100_000), (16, 0), (i64::from(u32::MAX), 0)];
        let ids = ids.map(|(change, index)| RecordId::of(ChangeNumber(change), index));
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    }
}
