//! Opaque tokens: handles to claims that only the issuer knows.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::{Map, Value};

/// The claims behind each opaque token, kept until it has expired.
#[derive(Default)]
pub(crate) struct Handles(Mutex<HashMap<String, Map<String, Value>>>);

impl Handles {
    /// Keeps claims under a token; `now` is in seconds since the epoch.
    pub(crate) fn insert(&self, token: String, claims: Map<String, Value>, now: i64) {
        let mut entries = self.entries();
        entries
            .retain(|_, claims| claims.get("exp").and_then(Value::as_i64).is_some_and(|expiry| expiry > now));
        entries.insert(token, claims);
    }

    pub(crate) fn claims(&self, token: &str) -> Option<Map<String, Value>> {
        self.entries().get(token).cloned()
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<String, Map<String, Value>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
