//! Writes: one after the other, many in one transaction.
//!
//! A commit waits for the disk. Whatever is waiting when a commit begins goes into it together, so that ten thousand
//! concurrent writes need some dozens of commits, not ten thousand; and none of them has to fight for a lock. A write
//! is answered after its commit. It runs to its end even if its caller has gone away.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use sqlx::{AnyConnection, AnyPool};
use tokio::sync::{mpsc, oneshot};

use super::{Dialect, PATIENCE, TooSlow};
use crate::store::StoreError;

/// Something to be written. It may be run several times, each time as if the runs before had not been.
#[async_trait]
pub(super) trait Write: Send + Sync + 'static {
    /// What was written.
    type Output: Send;

    /// Whether it takes the number of a change, so that other nodes must hear of it.
    const NUMBERED: bool;

    /// Writes. What it refuses it must refuse before it has written anything.
    async fn run(&self, connection: &mut AnyConnection) -> Result<Self::Output, Failure>;
}

/// Why a write was not made.
#[derive(Debug)]
pub(super) enum Failure {
    /// It was refused; the others of its transaction are good.
    Refused(StoreError),
    /// The database failed; the transaction is undone.
    Database(sqlx::Error),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

/// The one who writes.
#[derive(Debug)]
pub(super) struct Writer {
    queue: mpsc::Sender<Box<dyn Job>>,
}

/// The most writes in one transaction.
const TOGETHER: usize = 256;

/// The most writes that wait in the queue; more wait before it.
const QUEUE: usize = 1024;

/// How often a transaction that the database has undone for the sake of another is tried again.
const TRIES: u32 = 5;

/// The writer has ended.
#[derive(Debug, thiserror::Error)]
#[error("the store is closed")]
struct Closed;

impl Writer {
    /// Starts a writer, which ends when it is dropped and everything is written.
    pub(super) fn start(pool: AnyPool, dialect: &'static Dialect) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE);
        tokio::spawn(work(pool, dialect, jobs));
        Self { queue }
    }

    /// Writes, and answers once it is committed.
    pub(super) async fn write<W: Write>(&self, write: W) -> Result<W::Output, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Task { write, result: None, reply });
        self.queue.send(job).await.map_err(|_| StoreError::unavailable(Closed))?;
        answer.await.unwrap_or_else(|_| Err(StoreError::unavailable(Closed)))
    }
}

/// A write and who waits for it.
#[async_trait]
trait Job: Send {
    /// Runs it; a refusal is a result, too. Says whether other nodes must hear of it.
    async fn run(&mut self, connection: &mut AnyConnection) -> sqlx::Result<bool>;

    /// Answers with the result of the last run.
    fn committed(self: Box<Self>);

    /// Answers that it failed.
    fn failed(self: Box<Self>, error: StoreError);
}

struct Task<W: Write> {
    write: W,
    result: Option<Result<W::Output, StoreError>>,
    reply: oneshot::Sender<Result<W::Output, StoreError>>,
}

#[async_trait]
impl<W: Write> Job for Task<W> {
    async fn run(&mut self, connection: &mut AnyConnection) -> sqlx::Result<bool> {
        let result = match self.write.run(connection).await {
            Ok(output) => Ok(output),
            Err(Failure::Refused(refusal)) => Err(refusal),
            Err(Failure::Database(error)) => return Err(error),
        };
        let news = W::NUMBERED && result.is_ok();
        self.result = Some(result);
        Ok(news)
    }

    fn committed(self: Box<Self>) {
        // Who has gone away needs no answer.
        let _ = self.reply.send(self.result.unwrap_or_else(|| Err(StoreError::unavailable(Closed))));
    }

    fn failed(self: Box<Self>, error: StoreError) {
        let _ = self.reply.send(Err(error));
    }
}

type Jobs = Vec<Box<dyn Job>>;

async fn work(pool: AnyPool, dialect: &'static Dialect, mut queue: mpsc::Receiver<Box<dyn Job>>) {
    let mut jobs = Jobs::with_capacity(TOGETHER);
    while queue.recv_many(&mut jobs, TOGETHER).await > 0 {
        let outcome = commit(&pool, dialect, &mut jobs).await;
        if let Some(jobs) = settle(std::mem::take(&mut jobs), outcome) {
            one_by_one(&pool, dialect, jobs).await;
        }
    }
}

/// One of them made the database undo them all: each on its own, so that only that one fails.
async fn one_by_one(pool: &AnyPool, dialect: &Dialect, jobs: Jobs) {
    for job in jobs {
        let mut alone = vec![job];
        let outcome = commit(pool, dialect, &mut alone).await;
        settle(alone, outcome);
    }
}

/// Why a transaction was not committed.
enum Undone {
    /// A statement was refused: the transaction is undone.
    Statement(sqlx::Error),
    /// The database is not there, or it is not known whether it has committed.
    Lost(StoreError),
}

impl Undone {
    fn at_statement(error: sqlx::Error) -> Self {
        match error {
            error @ sqlx::Error::Database(_) => Self::Statement(error),
            error => Self::Lost(StoreError::unavailable(error)),
        }
    }

    fn at_edge(error: sqlx::Error) -> Self {
        if is_conflict(&error) { Self::Statement(error) } else { Self::Lost(StoreError::unavailable(error)) }
    }
}

/// Answers; gives back the jobs that are worth being tried each on its own.
fn settle(jobs: Jobs, outcome: Result<(), Undone>) -> Option<Jobs> {
    match outcome {
        Ok(()) => jobs.into_iter().for_each(Job::committed),
        Err(Undone::Statement(_)) if jobs.len() > 1 => return Some(jobs),
        Err(Undone::Statement(error)) => fail(jobs, error),
        Err(Undone::Lost(error)) => fail(jobs, error),
    }
    None
}

fn fail(jobs: Jobs, error: impl std::error::Error + Send + Sync + 'static) {
    let error = Arc::new(error);
    for job in jobs {
        job.failed(StoreError::unavailable(error.clone()));
    }
}

async fn commit(pool: &AnyPool, dialect: &Dialect, jobs: &mut Jobs) -> Result<(), Undone> {
    for attempt in 1.. {
        let outcome = tokio::time::timeout(PATIENCE, try_commit(pool, dialect, jobs)).await;
        match outcome.unwrap_or_else(|_| Err(Undone::Lost(StoreError::unavailable(TooSlow)))) {
            Err(Undone::Statement(error)) if attempt < TRIES && is_conflict(&error) => {
                tokio::time::sleep(Duration::from_millis(10 * u64::from(attempt))).await;
            }
            outcome => return outcome,
        }
    }
    Ok(())
}

async fn try_commit(pool: &AnyPool, dialect: &Dialect, jobs: &mut Jobs) -> Result<(), Undone> {
    let mut transaction = pool.begin_with(dialect.begin_write).await.map_err(Undone::at_edge)?;
    let mut news = false;
    for job in jobs {
        news |= job.run(&mut transaction).await.map_err(Undone::at_statement)?;
    }
    if let Some(notify) = dialect.notify.filter(|_| news) {
        sqlx::query(notify).execute(&mut *transaction).await.map_err(Undone::at_statement)?;
    }
    transaction.commit().await.map_err(Undone::at_edge)
}

/// Whether the database has undone a transaction only because of another one: PostgreSQL's serialization failures and
/// deadlocks, SQLite's busy.
fn is_conflict(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("40001" | "40P01" | "5" | "517"))
}
