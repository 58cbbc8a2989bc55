//! Writes: one after the other, many in one transaction.
//!
//! A commit waits for the disk. Whatever is waiting when a commit begins goes into it together, so that ten thousand
//! concurrent writes need some dozens of commits, not ten thousand; and none of them has to fight for a lock. A write
//! is answered after its commit. It runs to its end even if its caller has gone away.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use sqlx::{AnyConnection, AnyPool, Connection};
use tokio::sync::{mpsc, oneshot};

use super::{Dialect, PATIENCE, Place, TooSlow};
use crate::store::StoreError;

/// A write. It may be run several times, each time as if the runs before had not been.
#[async_trait]
pub(super) trait Write: Send + Sync + 'static {
    /// The result of the write.
    type Output: Send;

    /// `true` if it takes the number of a change, so that other nodes must hear of it.
    const NUMBERED: bool;

    /// Writes. A refusal must come before anything is written.
    async fn run(&self, connection: &mut AnyConnection) -> Result<Self::Output, Failure>;
}

/// Errors of a single write.
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

/// The queue of the task that writes.
#[derive(Debug)]
pub(super) struct Writer {
    queue: mpsc::Sender<Box<dyn Job>>,
}

/// The most writes in one transaction.
const TOGETHER: usize = 256;

/// The most writes that wait in the queue; more wait before it.
const QUEUE: usize = 1024;

/// The number of attempts for a transaction that the database has undone for the sake of another.
const TRIES: u32 = 5;

/// The writer has ended.
#[derive(Debug, thiserror::Error)]
#[error("the store is closed")]
struct Closed;

impl Writer {
    /// Starts a writer, which ends when it is dropped and everything is written.
    pub(super) fn start(pool: AnyPool, dialect: &'static Dialect, place: Option<Arc<dyn Place>>) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE);
        tokio::spawn(Worker { pool, dialect, place }.work(jobs));
        Self { queue }
    }

    /// Writes, and returns once it is committed.
    pub(super) async fn write<W: Write>(&self, write: W) -> Result<W::Output, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Task { write, result: None, reply });
        self.queue.send(job).await.map_err(|_| StoreError::unavailable(Closed))?;
        answer.await.unwrap_or_else(|_| Err(StoreError::unavailable(Closed)))
    }
}

/// A write and its waiting caller.
#[async_trait]
trait Job: Send {
    /// Runs it; a refusal is a result, too. Returns `true` if other nodes must hear of it.
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
        // A caller that has gone away needs no answer.
        let _ = self.reply.send(self.result.unwrap_or_else(|| Err(StoreError::unavailable(Closed))));
    }

    fn failed(self: Box<Self>, error: StoreError) {
        let _ = self.reply.send(Err(error));
    }
}

type Jobs = Vec<Box<dyn Job>>;

/// Errors of a transaction.
enum Undone {
    /// A statement was refused: the transaction is undone.
    Statement(sqlx::Error),
    /// The database is away, or it is not known whether it has committed.
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

/// The task that writes.
struct Worker {
    pool: AnyPool,
    dialect: &'static Dialect,
    place: Option<Arc<dyn Place>>,
}

impl Worker {
    async fn work(self, mut queue: mpsc::Receiver<Box<dyn Job>>) {
        let mut jobs = Jobs::with_capacity(TOGETHER);
        while queue.recv_many(&mut jobs, TOGETHER).await > 0 {
            let outcome = self.commit(&mut jobs).await;
            let Some(jobs) = answer(std::mem::take(&mut jobs), outcome) else { continue };
            // One of them made the database undo them all: each on its own, so that only that one fails.
            for job in jobs {
                let mut alone = vec![job];
                let outcome = self.commit(&mut alone).await;
                answer(alone, outcome);
            }
        }
    }

    async fn commit(&self, jobs: &mut Jobs) -> Result<(), Undone> {
        for attempt in 1.. {
            match self.try_commit(jobs).await {
                Err(Undone::Statement(error)) if attempt < TRIES && is_conflict(&error) => {
                    tokio::time::sleep(Duration::from_millis(10 * u64::from(attempt))).await;
                }
                outcome => return outcome,
            }
        }
        Ok(())
    }

    /// Runs all jobs in one transaction. After an error the connection is closed: SQLite undoes a transaction by itself
    /// when the disk is full, of which sqlx does not know, and the peer of a slow one may be cut off.
    async fn try_commit(&self, jobs: &mut Jobs) -> Result<(), Undone> {
        self.check_place()?;
        let mut connection = self.pool.acquire().await.map_err(Undone::at_edge)?;
        let run = tokio::time::timeout(PATIENCE, transact(&mut connection, self.dialect, jobs)).await;
        let outcome = run.unwrap_or_else(|_| Err(Undone::Lost(StoreError::unavailable(TooSlow(PATIENCE)))));
        if outcome.is_err() {
            connection.close_on_drop();
            return outcome;
        }
        // It may have been deleted meanwhile: nothing is acknowledged that the next start does not find.
        self.check_place()
    }

    fn check_place(&self) -> Result<(), Undone> {
        self.place.as_ref().map_or(Ok(()), |place| place.check()).map_err(Undone::Lost)
    }
}

async fn transact(connection: &mut AnyConnection, dialect: &Dialect, jobs: &mut Jobs) -> Result<(), Undone> {
    let mut transaction = connection.begin_with(dialect.begin_write).await.map_err(Undone::at_edge)?;
    let mut news = false;
    for job in jobs {
        news |= job.run(&mut transaction).await.map_err(Undone::at_statement)?;
    }
    if let Some(notify) = dialect.notify.filter(|_| news) {
        sqlx::query(notify).execute(&mut *transaction).await.map_err(Undone::at_statement)?;
    }
    transaction.commit().await.map_err(Undone::at_edge)
}

/// Answers the callers. Returns the jobs that are worth being tried each on its own.
fn answer(jobs: Jobs, outcome: Result<(), Undone>) -> Option<Jobs> {
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

/// Returns `true` if the database has undone a transaction only because of another one: PostgreSQL's serialization
/// failures and deadlocks, SQLite's busy.
fn is_conflict(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("40001" | "40P01" | "5" | "517"))
}
