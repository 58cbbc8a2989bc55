//! A budget of time for checks of signatures on I/O threads.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use scopegate_provider::{Busy, Finished, Job, Offload};

/// The time that a thread may be in debt before it passes checks on.
const CREDIT: Duration = Duration::from_millis(5);

/// The debt of a check whose signature is valid, in quarters of its time: callers that become known may take four fifths
/// of a thread's time.
const VALID: u32 = 5;

/// The debt of a check whose signature is not valid, in quarters of its time: forged tokens take a sixteenth of a
/// thread's time, and the rest is left to callers that are known.
const INVALID: u32 = 64;

/// Checks signatures on the calling thread while its budget lasts, and passes checks on to `O` beyond that.
///
/// A check of an RSA signature takes 17 µs, and the change to another thread and back costs nearly as much again. So an
/// I/O thread does it itself, unless that would take the time of callers that are known. Each check makes a debt, which
/// the thread pays off as time passes.
#[derive(Debug)]
pub struct BudgetedOffload<O> {
    beyond: O,
}

thread_local! {
    /// The debt of this thread's checks.
    static DEBT: Cell<Option<Debt>> = const { Cell::new(None) };
}

/// The debt of a thread.
#[derive(Debug, Clone, Copy)]
struct Debt {
    /// The moment at which it is paid off.
    paid_off: Instant,
}

impl Debt {
    /// Returns `true` if the thread may make more debt.
    fn allows_more(self, now: Instant) -> bool {
        self.paid_off.saturating_duration_since(now) < CREDIT
    }

    /// Returns the debt after a check that began at `now` and took `time`.
    fn after(self, now: Instant, time: Duration, is_valid: bool) -> Self {
        let quarters = if is_valid { VALID } else { INVALID };
        Self { paid_off: self.paid_off.max(now) + time.saturating_mul(quarters) / 4 }
    }
}

impl<O: Offload> BudgetedOffload<O> {
    /// Passes what is beyond the budget on to `beyond`.
    pub fn new(beyond: O) -> Self {
        Self { beyond }
    }
}

impl<O: Offload> Offload for BudgetedOffload<O> {
    fn offload(&self, job: Job) -> Result<(), Busy> {
        let now = Instant::now();
        let debt = DEBT.get().unwrap_or(Debt { paid_off: now });
        if !debt.allows_more(now) {
            return self.beyond.offload(job);
        }
        // A job that panics notifies nothing, which the task that waits takes as an outage.
        let finished = catch_unwind(AssertUnwindSafe(job));
        let is_valid = finished.as_ref().is_ok_and(|finished| finished.is_valid);
        DEBT.set(Some(debt.after(now, now.elapsed(), is_valid)));
        if let Ok(Finished { notify, .. }) = finished {
            notify();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECK: Duration = Duration::from_micros(20);

    /// Returns the share of a thread's time that checks take that are all valid or all invalid, in percent.
    fn share(is_valid: bool) -> u128 {
        let start = Instant::now();
        let mut now = start;
        let mut debt = Debt { paid_off: start };
        let mut spent = Duration::ZERO;
        while now < start + Duration::from_secs(1) {
            if debt.allows_more(now) {
                debt = debt.after(now, CHECK, is_valid);
                spent += CHECK;
                now += CHECK;
            } else {
                now += Duration::from_micros(1);
            }
        }
        spent.as_micros() * 100 / (now - start).as_micros()
    }

    #[test]
    fn valid_tokens_take_four_fifths_of_a_thread() {
        assert!((80..=82).contains(&share(true)), "{}", share(true));
    }

    #[test]
    fn forged_tokens_take_a_sixteenth_of_a_thread() {
        assert!((6..=7).contains(&share(false)), "{}", share(false));
    }

    #[test]
    fn a_check_within_the_budget_is_done_on_the_calling_thread() {
        #[derive(Debug)]
        struct Full;
        impl Offload for Full {
            fn offload(&self, _: Job) -> Result<(), Busy> {
                Err(Busy)
            }
        }
        let (done, result) = std::sync::mpsc::channel();
        let job =
            Box::new(move || Finished::new(true, move || done.send(std::thread::current().id()).unwrap()));
        assert_eq!(BudgetedOffload::new(Full).offload(job), Ok(()));
        assert_eq!(result.recv(), Ok(std::thread::current().id()));
    }

    #[test]
    fn a_check_beyond_the_budget_is_passed_on() {
        DEBT.set(Some(Debt { paid_off: Instant::now() + Duration::from_hours(1) }));
        let beyond = crate::Workers::with_threads(std::num::NonZeroUsize::MIN).unwrap();
        let (done, result) = std::sync::mpsc::channel();
        let job = Box::new(move || {
            let thread = std::thread::current().name().map(str::to_owned);
            Finished::new(true, move || done.send(thread).unwrap())
        });
        BudgetedOffload::new(beyond).offload(job).unwrap();
        assert_eq!(result.recv().unwrap().as_deref(), Some("verify-0"));
    }

    #[test]
    fn a_check_that_panics_notifies_nothing() {
        let (done, result) = std::sync::mpsc::channel::<()>();
        let job = Box::new(move || {
            let _kept = done;
            std::panic::resume_unwind(Box::new(()))
        });
        assert_eq!(BudgetedOffload::new(scopegate_provider::Inline).offload(job), Ok(()));
        assert!(result.recv().is_err());
    }
}
