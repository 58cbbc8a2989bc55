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

/// A bounded place for checks of signatures, beside the threads that serve callers whose tokens are cached.
///
/// ```
/// use scopegate_provider::{Busy, Finished, Job, Offload};
///
/// /// Runs each job on a thread of its own.
/// #[derive(Debug)]
/// struct Threads;
///
/// impl Offload for Threads {
///     fn offload(&self, job: Job) -> Result<(), Busy> {
///         std::thread::spawn(move || (job().notify)());
///         Ok(())
///     }
/// }
///
/// let (sender, receiver) = std::sync::mpsc::channel();
/// Threads.offload(Box::new(|| Finished::new(true, move || sender.send("verified").unwrap())))?;
/// assert_eq!(receiver.recv(), Ok("verified"));
/// # Ok::<(), Busy>(())
/// ```
pub trait Offload: Send + Sync + fmt::Debug {
    /// Runs `job` soon, or refuses it at once if too much work waits already.
    ///
    /// # Errors
    /// [`Busy`]; the job is dropped.
    fn offload(&self, job: Job) -> Result<(), Busy>;
}

/// The error of a job that is refused because too much work waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too much work waits")]
pub struct Busy;

/// Runs each job at once, on the caller's thread: for tests and small programs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Inline;

impl Offload for Inline {
    fn offload(&self, job: Job) -> Result<(), Busy> {
        (job().notify)();
        Ok(())
    }
}
