//! Where work that would hold up an I/O thread is done.

use std::fmt;

/// Work to be done beside the I/O threads. What comes of it is told by what it returns, as several are best told at once:
/// each call may wake an I/O thread.
pub type Job = Box<dyn FnOnce() -> Tell + Send>;

/// Tells whoever waits what came of a [`Job`]; quick.
pub type Tell = Box<dyn FnOnce() + Send>;

/// A bounded place for checks of signatures, beside the threads that serve callers who are already known.
pub trait Offload: Send + Sync + fmt::Debug {
    /// Does `job` soon, or refuses it at once when too much waits already.
    ///
    /// # Errors
    /// [`Busy`]; the job is dropped.
    fn offload(&self, job: Job) -> Result<(), Busy>;
}

/// More work waits than is taken on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too much work waits")]
pub struct Busy;

/// Does each job at once, on the caller's thread: for tests and small programs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Inline;

impl Offload for Inline {
    fn offload(&self, job: Job) -> Result<(), Busy> {
        job()();
        Ok(())
    }
}
