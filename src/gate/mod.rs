//! What enforces: `authorize(target, credentials)` and its fronts.
