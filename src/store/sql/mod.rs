//! The parts that SQLite and PostgreSQL share: the statements, and how they are run.
//!
//! Both understand `$1`, `RETURNING` and `ON CONFLICT`, so that most statements are written once. The others are in a
//! [`Dialect`].

mod audit;
mod changes;
mod items;
pub(super) mod migrations;
mod nodes;
mod policies;
mod provider_states;
mod revocations;
mod signing_keys;
pub(super) mod transfer;
mod unreadable;
mod writer;

use std::{
    fmt::{self, Write},
    future::Future,
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::digest;
use futures_util::future::BoxFuture;
use scopegate_provider::Clock;
use sqlx::{AnyConnection, AnyPool};
use tokio::{sync::Notify, task::JoinSet};

use self::{migrations::Migration, unreadable::Unreadable, writer::Writer};
use super::{Backend, EntryKind, StoreError, UnreadableEntry};

/// The statements in which the databases differ.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dialect {
    /// Begins a transaction that writes.
    pub begin_write: &'static str,
    /// Begins a transaction that reads everything as it was at one moment.
    pub begin_read: &'static str,
    /// Lifts the time limits of statements for the transaction of a migration or a copy.
    pub unlimited: Option<&'static str>,
    /// Reads the database's own time, in milliseconds since 1970.
    pub now: &'static str,
    /// Notifies other nodes of a change, once the transaction is committed.
    pub notify: Option<&'static str>,
    /// Take the next change number, with the stamp `$1`.
    pub advance: Advance,
    /// Reads the number of the last policy change, and all scopes and routes as JSON arrays in bytes.
    pub policy: &'static str,
    /// As `policy`, with only name or id and version of each.
    pub policy_versions: &'static str,
    /// Inserts the revocations of the JSON array `$1`.
    pub insert_revocations: &'static str,
    /// Reads many revocations as one JSON array in bytes: those after change `$1` and id `$2` that end after `$3`, at
    /// most `$4`.
    pub revocations_since: &'static str,
    /// Reads all provider states as one JSON array in bytes.
    pub provider_states: &'static str,
    /// Reads the highest number that an item ever had.
    pub last_item: &'static str,
    /// Makes new items get numbers above `$1`.
    pub set_last_item: &'static str,
    /// Aggregates rows to a JSON array in bytes: what comes before and after the columns, and after the rows.
    pub aggregate: [&'static str; 3],
    /// Reads the elements of the JSON array `$1`, each as `value`.
    pub elements: &'static str,
    /// Converts an element's text to an integer: what comes before and after it.
    pub integer: [&'static str; 2],
    /// The migrations, in their order.
    pub migrations: &'static [Migration],
}

/// Statements that take the next change number, by the part of the store that changes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Advance {
    /// For scopes and routes, unless their last change is not `$2`.
    pub policy: &'static str,
    /// For revocations.
    pub revocations: &'static str,
    /// For provider states.
    pub providers: &'static str,
}

/// A check of the place where a database is stored.
pub(super) trait Place: fmt::Debug + Send + Sync {
    /// Checks that what is written reaches the place that the configuration names.
    ///
    /// # Errors
    /// It does not.
    fn check(&self) -> Result<(), StoreError>;
}

/// A store in a database.
pub(super) struct SqlStore {
    reads: AnyPool,
    writer: Writer,
    dialect: &'static Dialect,
    clock: Arc<dyn Clock>,
    news: Arc<Notify>,
    unreadable: Unreadable,
    /// Ends with the store.
    background: JoinSet<()>,
}

/// The time limit of an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The time limit of the answer to whether anything changed: one row, read once a second. A connection that hangs must not
/// keep a node from hearing of revocations for longer.
const POLL_PATIENCE: Duration = Duration::from_secs(3);

/// The database has not answered in time.
#[derive(Debug, thiserror::Error)]
#[error("the database did not answer within {} s", .0.as_secs())]
struct TooSlow(Duration);

impl SqlStore {
    /// Creates a store over migrated databases: `reads` and `writes` may be the same pool.
    pub(super) fn new(
        reads: AnyPool,
        writes: AnyPool,
        dialect: &'static Dialect,
        clock: Arc<dyn Clock>,
        place: Option<Arc<dyn Place>>,
    ) -> Self {
        Self {
            reads,
            writer: Writer::start(writes, dialect, place),
            dialect,
            clock,
            news: Arc::default(),
            unreadable: Unreadable::default(),
            background: JoinSet::new(),
        }
    }

    /// Returns the notifier of possible changes.
    pub(super) fn news(&self) -> Arc<Notify> {
        self.news.clone()
    }

    /// Runs a task that ends with the store.
    pub(super) fn run(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.background.spawn(task);
    }

    /// Runs a query on a connection of its own. A connection that fails or is too slow is closed, because it may hang
    /// for ever: its peer may be frozen or cut off.
    async fn read<T, Q>(&self, query: Q) -> Result<T, StoreError>
    where
        Q: for<'c> FnOnce(&'c mut AnyConnection) -> BoxFuture<'c, sqlx::Result<T>> + Send,
        T: Send,
    {
        self.read_within(PATIENCE, query).await
    }

    async fn read_within<T, Q>(&self, limit: Duration, query: Q) -> Result<T, StoreError>
    where
        Q: for<'c> FnOnce(&'c mut AnyConnection) -> BoxFuture<'c, sqlx::Result<T>> + Send,
        T: Send,
    {
        let mut connection = self.reads.acquire().await.map_err(StoreError::unavailable)?;
        let error = match tokio::time::timeout(limit, query(&mut connection)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => StoreError::unavailable(error),
            Err(_) => StoreError::unavailable(TooSlow(limit)),
        };
        connection.close_on_drop();
        Err(error)
    }
}

impl Backend for SqlStore {
    fn unreadable(&self) -> Vec<UnreadableEntry> {
        self.unreadable.list(self.clock.now())
    }

    fn forget_unreadable(&self, kind: EntryKind) {
        self.unreadable.clear(kind);
    }
}

impl fmt::Debug for SqlStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlStore").finish_non_exhaustive()
    }
}

/// Installs the drivers of [`sqlx::any`]. In a program that has installed its own, those stay.
pub(super) fn install_drivers() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let _ = sqlx::any::install_drivers(&[sqlx::postgres::any::DRIVER, sqlx::sqlite::any::DRIVER]);
    });
}

/// Returns the first `bytes` bytes of the SHA-256 of `input`, in hexadecimal digits.
fn hash(input: &str, bytes: usize) -> String {
    let hash = digest::digest(&digest::SHA256, input.as_bytes());
    hash.as_ref().iter().take(bytes).fold(String::new(), |mut hex, byte| {
        // Writing into a string does not fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Returns a text that every text column takes: PostgreSQL has no NUL.
fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Returns a limit increased by one, to see whether there is more.
fn one_more(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1)
}

fn corrupt<E>(what: &'static str) -> impl FnOnce(E) -> StoreError {
    move |_| StoreError::Corrupt { what }
}

/// Parses a JSON array that the database has made of its rows. A file of SQLite may hold text that is not UTF-8.
fn parse_rows<T: serde::de::DeserializeOwned>(json: &[u8]) -> Result<Vec<T>, StoreError> {
    serde_json::from_str(&String::from_utf8_lossy(json)).map_err(StoreError::unavailable)
}
