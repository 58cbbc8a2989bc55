//! Threads beside the I/O threads, on which signatures are checked.

use std::{
    fmt, io,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
};

use scopegate_provider::{Busy, Finished, Job, Offload};

/// The number of jobs that may wait for each thread. A check of a signature takes 17 to 64 µs, so that the last of them
/// begins after some 65 ms; further jobs are refused at once.
pub const QUEUE_PER_THREAD: usize = 1024;

/// The number of tasks that are notified of their results at once. Where I/O shares a core with these threads, each
/// notification takes two changes of threads, half as much again as a check of a signature.
const NOTIFIED_AT_ONCE: usize = 8;

/// The priority of these threads below that of I/O threads (`nice`).
const NICENESS: i32 = 10;

/// A bounded pool of threads with lower priority than those that do I/O: a flood of forged tokens then takes its own time
/// and not that of callers who are already known. Jobs are done in the order in which they came. The threads end with
/// the pool.
pub struct Workers {
    queue: SyncSender<Job>,
    threads: NonZeroUsize,
}

impl Workers {
    /// Starts a pool with a thread for each core.
    ///
    /// # Errors
    /// The system gives no threads.
    pub fn start() -> io::Result<Self> {
        Self::with_threads(thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }

    /// Starts a pool with so many threads, and room for [`QUEUE_PER_THREAD`] waiting jobs for each.
    ///
    /// # Errors
    /// The system gives no threads.
    pub fn with_threads(threads: NonZeroUsize) -> io::Result<Self> {
        let (queue, jobs) = sync_channel(threads.get().saturating_mul(QUEUE_PER_THREAD));
        let jobs = Arc::new(Mutex::new(jobs));
        for number in 0..threads.get() {
            let jobs = jobs.clone();
            thread::Builder::new().name(format!("verify-{number}")).spawn(move || work(&jobs))?;
        }
        Ok(Self { queue, threads })
    }
}

impl Offload for Workers {
    fn offload(&self, job: Job) -> Result<(), Busy> {
        self.queue.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => Busy,
        })
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").field("threads", &self.threads).finish_non_exhaustive()
    }
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    lower_priority();
    let mut done = Vec::with_capacity(NOTIFIED_AT_ONCE);
    while let Some(job) = next(jobs) {
        // A job that panics notifies nothing, which its task takes as an outage; the thread goes on with the others.
        done.extend(catch_unwind(AssertUnwindSafe(job)));
        while done.len() < NOTIFIED_AT_ONCE
            && let Some(job) = waiting(jobs)
        {
            done.extend(catch_unwind(AssertUnwindSafe(job)));
        }
        for Finished { notify, .. } in done.drain(..) {
            let _ = catch_unwind(AssertUnwindSafe(notify));
        }
    }
}

/// Returns the next job, or nothing once the pool is dropped. Only the workers hold this lock.
fn next(jobs: &Mutex<Receiver<Job>>) -> Option<Job> {
    jobs.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

/// Returns a job that waits already. If another worker holds the lock, that one takes it.
fn waiting(jobs: &Mutex<Receiver<Job>>) -> Option<Job> {
    jobs.try_lock().ok()?.try_recv().ok()
}

/// Lowers the priority of this thread. On Linux priorities belong to threads, though POSIX says processes; elsewhere the
/// system shares out the time.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS) {
        tracing::debug!(%error, "cannot lower the priority of a verification thread");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn one() -> Workers {
        Workers::with_threads(NonZeroUsize::MIN).unwrap()
    }

    /// Returns a job that notifies nothing.
    fn job(work: impl FnOnce() + Send + 'static) -> Job {
        Box::new(|| {
            work();
            Finished::new(true, || {})
        })
    }

    #[test]
    fn a_job_is_done_beside_the_caller() {
        let (done, result) = channel();
        one().offload(job(move || done.send(thread::current().name().map(str::to_owned)).unwrap())).unwrap();
        assert_eq!(result.recv().unwrap().as_deref(), Some("verify-0"));
    }

    #[test]
    fn a_full_queue_turns_jobs_away_at_once() {
        let workers = one();
        let (release, blocked) = channel::<()>();
        let (started, running) = channel();
        workers
            .offload(job(move || {
                started.send(()).unwrap();
                let _ = blocked.recv();
            }))
            .unwrap();
        running.recv().unwrap();
        for _ in 0..QUEUE_PER_THREAD {
            workers.offload(job(|| {})).unwrap();
        }
        assert_eq!(workers.offload(job(|| {})), Err(Busy));
        drop(release);
    }

    #[test]
    fn a_worker_that_waits_for_work_keeps_no_other_from_notifying() {
        let workers = Workers::with_threads(NonZeroUsize::MIN.saturating_add(3)).unwrap();
        let (done, results) = channel();
        for number in 0..100 {
            let done = done.clone();
            let job = Box::new(move || Finished::new(true, move || done.send(number).unwrap()));
            workers.offload(job).unwrap();
        }
        let mut notified: Vec<i32> = results.iter().take(100).collect();
        notified.sort_unstable();
        assert_eq!(notified, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_job_that_panics_does_not_take_its_thread_along() {
        let workers = one();
        workers.offload(job(|| std::panic::resume_unwind(Box::new(())))).unwrap();
        let (done, result) = channel();
        workers.offload(job(move || done.send(1).unwrap())).unwrap();
        assert_eq!(result.recv().unwrap(), 1);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_threads_run_with_lower_priority() {
        let (done, result) = channel();
        let own = || rustix::process::getpriority_process(Some(rustix::thread::gettid())).unwrap();
        one().offload(job(move || done.send(own()).unwrap())).unwrap();
        assert!(result.recv().unwrap() > own());
    }
}
