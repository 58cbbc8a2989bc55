//! What SQLite and PostgreSQL have in common: the statements, and how they are run.
//!
//! Both understand `$1`, `RETURNING` and `ON CONFLICT`, so that each statement is written once. What differs is a
//! [`Dialect`].

mod audit;
mod changes;
mod items;
pub(super) mod migrations;
mod policies;
mod provider_states;
mod revocations;
mod signing_keys;
mod writer;

use std::{
    fmt::{self, Write},
    future::Future,
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::digest;
use scopegate_provider::Clock;
use sqlx::AnyPool;
use tokio::{sync::Notify, task::JoinSet};

use self::{migrations::Migration, writer::Writer};
use super::{Backend, StoreError};

/// What differs between the databases.
#[derive(Debug)]
pub(super) struct Dialect {
    /// Begins a transaction that writes.
    pub begin_write: &'static str,
    /// Begins a transaction that reads everything as it was at one moment.
    pub begin_read: &'static str,
    /// The database's own time, in milliseconds since 1970.
    pub now: &'static str,
    /// Tells other nodes of a change, once the transaction is committed.
    pub notify: Option<&'static str>,
    /// Inserts the revocations of the JSON array `$1`.
    pub insert_revocations: &'static str,
    /// Reads many revocations as one JSON array: those after change `$1` and id `$2` that end after `$3`, at most `$4`.
    pub revocations_since: &'static str,
    /// The migrations, in their order.
    pub migrations: &'static [Migration],
}

/// A store in a database.
pub(super) struct SqlStore {
    reads: AnyPool,
    writer: Writer,
    dialect: &'static Dialect,
    clock: Arc<dyn Clock>,
    news: Arc<Notify>,
    /// Ends with the store.
    background: JoinSet<()>,
}

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// The database has not answered in time.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {} s", PATIENCE.as_secs())]
struct TooSlow;

impl SqlStore {
    /// A store over migrated databases: `reads` and `writes` may be the same pool.
    pub(super) fn new(
        reads: AnyPool,
        writes: AnyPool,
        dialect: &'static Dialect,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            reads,
            writer: Writer::start(writes, dialect),
            dialect,
            clock,
            news: Arc::default(),
            background: JoinSet::new(),
        }
    }

    /// Rings when something may have changed.
    pub(super) fn news(&self) -> Arc<Notify> {
        self.news.clone()
    }

    /// Runs a task that ends with the store.
    pub(super) fn run(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.background.spawn(task);
    }

    async fn read<T>(&self, query: impl Future<Output = sqlx::Result<T>>) -> Result<T, StoreError> {
        match tokio::time::timeout(PATIENCE, query).await {
            Ok(answer) => answer.map_err(StoreError::unavailable),
            Err(_) => Err(StoreError::unavailable(TooSlow)),
        }
    }
}

impl Backend for SqlStore {}

impl fmt::Debug for SqlStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlStore").finish_non_exhaustive()
    }
}

/// Tells [`sqlx::any`] of the drivers. In a program that has told it of its own, those stay.
pub(super) fn install_drivers() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let _ = sqlx::any::install_drivers(&[sqlx::postgres::any::DRIVER, sqlx::sqlite::any::DRIVER]);
    });
}

/// The first `bytes` bytes of the SHA-256 of `input`, in hexadecimal digits.
fn hash(input: &str, bytes: usize) -> String {
    let hash = digest::digest(&digest::SHA256, input.as_bytes());
    hash.as_ref().iter().take(bytes).fold(String::new(), |mut hex, byte| {
        // Writing into a string does not fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// What a text column takes: PostgreSQL knows no NUL.
fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// A limit, and one more to see whether there is more.
fn one_more(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1)
}

fn corrupt<E>(what: &'static str) -> impl FnOnce(E) -> StoreError {
    move |_| StoreError::Corrupt { what }
}
