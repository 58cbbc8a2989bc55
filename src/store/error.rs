//! Why the store refuses or fails.

use super::{ChangeNumber, Version};

/// Why something was not read or written. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No store is configured, so nothing that must last can be written (invariant 14).
    #[error("no store is configured: nothing that must last can be written; set `store.url`")]
    NoStore,
    /// There is no such thing.
    #[error("there is no {what} `{name}`")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// Its name or id.
        name: String,
    },
    /// There is one already.
    #[error("there is a {what} `{name}` already")]
    Exists {
        /// What is there.
        what: &'static str,
        /// Its name or id.
        name: String,
    },
    /// It has been changed since the caller read it.
    #[error("it is at version {found}, not {expected}")]
    Stale {
        /// The version that the caller knows.
        expected: Version,
        /// The version there is.
        found: Version,
    },
    /// The policy has been changed since the edit was judged against it. Judge again.
    #[error("the policy is at change {found}, not {seen}")]
    Moved {
        /// The change that the caller had seen.
        seen: ChangeNumber,
        /// The change there is.
        found: ChangeNumber,
    },
    /// The store cannot be reached or does not work. Whether a write that was under way has been kept is not known.
    #[error("the store does not answer as it should")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What the store holds is not what scopegate writes.
    #[error("the store holds {what} that scopegate did not write")]
    Corrupt {
        /// What does not parse.
        what: &'static str,
    },
}

impl StoreError {
    /// The store failed for this reason.
    pub fn unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unavailable(source.into())
    }
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It cannot be reached, created or read.
    #[error("cannot open the store `{url}`: {problem}")]
    Connect {
        /// Where it is, without a password.
        url: String,
        /// What the database said.
        problem: String,
    },
    /// It was migrated by a newer scopegate, whose tables this one does not know.
    #[error(
        "the store `{url}` has migration {found}, but this scopegate knows none after {known}: run the newer scopegate"
    )]
    Newer {
        /// Where it is, without a password.
        url: String,
        /// The newest migration in the store.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// Migrations are missing, and `store.migrate` forbids to run them.
    #[error(
        "the store `{url}` lacks the migrations {missing:?}: run `scopegate migrate`, or set `store.migrate: true`"
    )]
    Unmigrated {
        /// Where it is, without a password.
        url: String,
        /// The missing migrations.
        missing: Vec<i64>,
    },
    /// A migration in the store is not the one of that number that this program holds.
    #[error("migration {version} in the store `{url}` differs from this scopegate's")]
    Altered {
        /// Where it is, without a password.
        url: String,
        /// The migration.
        version: i64,
    },
    /// A migration failed. It was undone; the store is as it was before it.
    #[error("migration {version} of the store `{url}` failed and was undone: {problem}")]
    Migration {
        /// Where it is, without a password.
        url: String,
        /// The migration.
        version: i64,
        /// What the database said.
        problem: String,
    },
    /// The program was built without it.
    #[error(
        "cannot open the store `{url}`: this program was built without the feature `server`; write `memory:`"
    )]
    LeftOut {
        /// Where it is, without a password.
        url: String,
    },
    /// It was opened, but does not answer as it should.
    #[error("cannot read the store `{url}`: {source}")]
    Read {
        /// Where it is, without a password.
        url: String,
        /// What happened.
        source: StoreError,
    },
}
