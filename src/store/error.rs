//! Errors of the store.

use std::error::Error;

use super::{ChangeNumber, Version};

/// Errors of reading and writing. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No store is configured, so nothing that must last can be written (invariant 14).
    #[error("no store is configured: nothing that must last can be written; set `store.url`")]
    NoStore,
    /// The entry does not exist.
    #[error("there is no {what} `{name}`")]
    NotFound {
        /// The kind of the entry.
        what: &'static str,
        /// Its name or id.
        name: String,
    },
    /// The entry exists already.
    #[error("there is a {what} `{name}` already")]
    Exists {
        /// The kind of the entry.
        what: &'static str,
        /// Its name or id.
        name: String,
    },
    /// The entry has been changed since the caller read it.
    #[error("it is at version {found}, not {expected}")]
    Stale {
        /// The version that the caller knows.
        expected: Version,
        /// The version in the store.
        found: Version,
    },
    /// A name is longer than every database can index.
    #[error("the name of a {what} has at most {limit} bytes, found {found}")]
    TooLong {
        /// The kind of the entry.
        what: &'static str,
        /// The limit in bytes.
        limit: usize,
        /// The length of the name in bytes.
        found: usize,
    },
    /// The policy has been changed since the edit was checked against it. The edit must be checked again.
    #[error("the policy is at change {found}, not {seen}")]
    Moved {
        /// The change that the caller had seen.
        seen: ChangeNumber,
        /// The change in the store.
        found: ChangeNumber,
    },
    /// The store cannot be reached or does not work. A write that was under way may have been kept.
    #[error("the store does not answer as it should")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// The store holds something that scopegate does not write.
    #[error("the store holds {what} that scopegate did not write")]
    Corrupt {
        /// The part that does not parse.
        what: &'static str,
    },
}

impl StoreError {
    /// Wraps the reason why the store failed.
    pub fn unavailable(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable(source.into())
    }

    /// Returns the message of the innermost cause: what the database or the system itself said.
    pub fn cause(&self) -> String {
        let mut innermost: &dyn Error = self;
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        innermost.to_string()
    }
}

/// Errors of opening a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It cannot be reached, created or read.
    #[error("cannot open the store `{url}` (`store.url`): {problem}")]
    Connect {
        /// Its URL, without a password.
        url: String,
        /// The reason, in the words of the database or the system.
        problem: String,
    },
    /// It was migrated by a newer scopegate, whose tables this one does not know.
    #[error(
        "the store `{url}` has migration {found}, but this scopegate knows none after {known}: run the newer scopegate"
    )]
    Newer {
        /// Its URL, without a password.
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
        /// Its URL, without a password.
        url: String,
        /// The missing migrations.
        missing: Vec<i64>,
    },
    /// A migration in the store is not the one of that number that this program holds.
    #[error("migration {version} in the store `{url}` differs from this scopegate's")]
    Altered {
        /// Its URL, without a password.
        url: String,
        /// The migration.
        version: i64,
    },
    /// A migration failed. It was undone; the store is as it was before it.
    #[error("migration {version} of the store `{url}` failed and was undone: {problem}")]
    Migration {
        /// Its URL, without a password.
        url: String,
        /// The migration.
        version: i64,
        /// The reason, in the words of the database.
        problem: String,
    },
    /// The program was built without it.
    #[error(
        "cannot open the store `{url}`: this program was built without the feature `server`; write `memory:`"
    )]
    LeftOut {
        /// Its URL, without a password.
        url: String,
    },
    /// It was opened, but does not answer as it should.
    #[error("cannot read the store `{url}`: {source}: {}", source.cause())]
    Read {
        /// Its URL, without a password.
        url: String,
        /// The error.
        source: StoreError,
    },
}
