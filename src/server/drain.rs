//! The end of a server, in phases.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

/// The phases of a server's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The end has not begun.
    Serving,
    /// Requests are served, but the server is not ready: load balancers shall choose another one. HTTP/1.1 connections
    /// are closed after their next response.
    Leaving,
    /// No connection is accepted; requests in flight are finished.
    Draining,
    /// Requests that are not finished are cut.
    Cut,
}

/// Ends servers, phase by phase. Clones are the same end.
#[derive(Debug, Clone)]
pub struct Shutdown(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Read on every request, where the channel's lock would be felt.
    reached: AtomicU8,
    phase: watch::Sender<Phase>,
}

impl Shutdown {
    /// Creates an end that has not begun.
    pub fn new() -> Self {
        let reached = AtomicU8::new(Phase::Serving as u8);
        Self(Arc::new(Inner { reached, phase: watch::Sender::new(Phase::Serving) }))
    }

    /// Goes through all phases: [`Phase::Leaving`] for `delay`, [`Phase::Draining`] for at most `grace`, then
    /// [`Phase::Cut`]. The caller waits for the servers beside it, and drops the future when they have ended.
    pub async fn run(&self, delay: Duration, grace: Duration) {
        self.leave();
        tokio::time::sleep(delay).await;
        self.drain();
        tokio::time::sleep(grace).await;
        self.cut();
    }

    /// Announces the end: from now on [`Shutdown::is_leaving`] returns `true`.
    pub fn leave(&self) {
        self.advance(Phase::Leaving);
    }

    /// Ends accepting.
    pub fn drain(&self) {
        self.advance(Phase::Draining);
    }

    /// Cuts the requests that are left.
    pub fn cut(&self) {
        self.advance(Phase::Cut);
    }

    /// Returns `true` if the end has been announced. Lock-free.
    pub fn is_leaving(&self) -> bool {
        self.0.reached.load(Ordering::Relaxed) >= Phase::Leaving as u8
    }

    /// Waits until `phase` is reached.
    pub async fn reached(&self, phase: Phase) {
        let mut phases = self.0.phase.subscribe();
        // The sender lives as long as `self`, so that the channel cannot close.
        let _ = phases.wait_for(|reached| *reached >= phase).await;
    }

    fn advance(&self, phase: Phase) {
        self.0.reached.fetch_max(phase as u8, Ordering::Relaxed);
        self.0.phase.send_if_modified(|reached| {
            let later = phase > *reached;
            *reached = phase.max(*reached);
            later
        });
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_phases_are_reached_one_after_the_other() {
        let shutdown = Shutdown::new();
        let delay = Duration::from_secs(5);
        let grace = Duration::from_secs(20);
        let runs = shutdown.clone();
        let begun = tokio::time::Instant::now();
        tokio::spawn(async move { runs.run(delay, grace).await });
        shutdown.reached(Phase::Leaving).await;
        assert!(shutdown.is_leaving() && begun.elapsed() < delay);
        shutdown.reached(Phase::Draining).await;
        assert_eq!(begun.elapsed().as_secs(), 5);
        shutdown.reached(Phase::Cut).await;
        assert_eq!(begun.elapsed().as_secs(), 25);
    }

    #[tokio::test]
    async fn a_later_phase_stays() {
        let shutdown = Shutdown::new();
        shutdown.cut();
        shutdown.leave();
        shutdown.reached(Phase::Cut).await;
    }
}
