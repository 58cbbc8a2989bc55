//! The place where work that would hold up an I/O thread is done.

use std::fmt;

/// Work to be done beside the I/O threads, such as the check of a signature.
pub type Job = Box<dyn FnOnce() -> Finished + Send>;

/// Notifies the task that waits for the result of a [`Job`]; quick.
pub type Notify = Box<dyn FnOnce() + Send>;

/// The end of a [`Job`]. Its task is notified separately, because several are best notified at once: each notification
/// may wake an I/O thread.
#[non_exhaustive]
pub struct Finished {
    /// `true` if the signature is valid.
    pub is_valid: bool,
    /// Notifies the task that waits.
    pub notify: Notify,
}

impl Finished {
    /// Returns the end of a check.
    pub fn new(is_valid: bool, notify: impl FnOnce() + Send + 'static) -> Self {
        Self { is_valid, notify: Box::new(notify) }
    }
}

impl fmt::Debug for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finished").field("is_valid", &self.is_valid).finish_non_exhaustive()
    }
}

/// A bounded place for checks of signatures, beside the threads that serve callers who are already known.
pub trait Offload: Send + Sync + fmt::Debug {
    /// Does `job` soon, or refuses it at once if too many jobs wait already.
    ///
    /// # Errors
    /// [`Busy`]; the job is dropped.
    fn offload(&self, job: Job) -> Result<(), Busy>;
}

/// More work waits than is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too much work waits")]
pub struct Busy;

/// Does each job at once, on the caller's thread: for tests and small programs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Inline;

impl Offload for Inline {
    fn offload(&self, job: Job) -> Result<(), Busy> {
        (job().notify)();
        Ok(())
    }
}
