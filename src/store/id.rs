//! Ids of records: opaque to callers, in the order in which they were made.

use std::fmt;

use serde::Serialize;

use super::ChangeNumber;

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
