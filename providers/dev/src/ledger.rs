//! Which tokens were revoked.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Ids of revoked tokens, each kept until its token has expired.
#[derive(Default)]
pub(crate) struct Ledger(Mutex<HashMap<String, i64>>);

impl Ledger {
    /// Enters a token that expires at `expiry`; times are seconds since the epoch.
    pub(crate) fn insert(&self, id: &str, expiry: i64, now: i64) {
        let mut entries = self.entries();
        entries.retain(|_, expiry| *expiry > now);
        entries.insert(id.to_owned(), expiry);
    }

    pub(crate) fn contains(&self, id: &str) -> bool {
        self.entries().contains_key(id)
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<String, i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_dropped_once_its_token_has_expired() {
        let ledger = Ledger::default();
        ledger.insert("old", 10, 0);
        ledger.insert("new", 30, 20);
        assert!(ledger.contains("new") && !ledger.contains("old"));
    }
}
