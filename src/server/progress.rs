//! The time that a peer may take to send or receive a body.
//!
//! A limit on each pause alone lets a peer send one byte just before every deadline, for ever. So the pauses of one body
//! are added up too, and their sum may grow only as the body does: a peer has to move `limits.minimum_rate` bytes for
//! each second that it is waited for, beyond the first pause. (Kestrel and Apache's `mod_reqtimeout` do the same.) Time
//! that the endpoint takes is not counted.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;

use super::timer::Timer;

/// The longest pause, and how fast a body has to move on average.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProgressLimit {
    /// The longest pause.
    pub(super) pause: Duration,
    /// Bytes for each second that the peer is waited for; zero means that only the single pause is limited.
    pub(super) minimum_rate: usize,
}

/// The time that a peer has been waited for, and the bytes that it has moved.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    limit: ProgressLimit,
    waited: Duration,
    bytes: u64,
}

/// The reason why a peer is not waited for any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stalled {
    /// A single pause was too long.
    Pause,
    /// The pauses in all were too long for what was moved.
    Rate,
}

impl Progress {
    pub(super) fn new(limit: ProgressLimit) -> Self {
        Self { limit, waited: Duration::ZERO, bytes: 0 }
    }

    /// Counts bytes that moved.
    pub(super) fn moved(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Counts time that the peer was waited for.
    pub(super) fn waited(&mut self, time: Duration) {
        self.waited = self.waited.saturating_add(time);
    }

    /// Returns how long the next pause may be.
    pub(super) fn left(&self) -> Duration {
        self.left_in_all().min(self.limit.pause)
    }

    /// Returns how long the next pause may be if bytes that moved earn no time.
    pub(super) fn left_without_credit(&self) -> Duration {
        self.limit.pause.saturating_sub(self.waited)
    }

    /// Returns which limit ends a pause that has lasted for [`Progress::left`].
    pub(super) fn cause(&self) -> Stalled {
        if self.left_in_all() < self.limit.pause { Stalled::Rate } else { Stalled::Pause }
    }

    fn left_in_all(&self) -> Duration {
        let Some(rate) = u64::try_from(self.limit.minimum_rate).ok().filter(|rate| *rate > 0) else {
            return Duration::MAX;
        };
        let credit = Duration::from_millis(self.bytes.saturating_mul(1000) / rate);
        self.limit.pause.saturating_add(credit).saturating_sub(self.waited)
    }
}

/// [`Progress`] with a timer that fires when the peer has been waited for too long.
pub(super) struct ProgressTimer {
    pub(super) progress: Progress,
    /// The beginning of the present pause.
    since: Option<Instant>,
    /// Created for the first pause: most bodies have none.
    timer: Option<Timer>,
}

impl ProgressTimer {
    pub(super) fn new(limit: ProgressLimit) -> Self {
        Self { progress: Progress::new(limit), since: None, timer: None }
    }

    /// Ends a pause, with so many bytes moved.
    pub(super) fn moved(&mut self, bytes: u64) {
        if let Some(since) = self.since.take() {
            self.progress.waited(since.elapsed());
        }
        self.progress.moved(bytes);
    }

    /// Begins a pause, or continues it, and returns ready once it is too long. Of a brief body all pauses together may
    /// be as long as one.
    pub(super) fn poll_stalled(&mut self, cx: &mut Context<'_>, is_brief: bool) -> Poll<Stalled> {
        let left = if is_brief { self.progress.left_without_credit() } else { self.progress.left() };
        let deadline = *self.since.get_or_insert_with(Instant::now) + left;
        let timer = self.timer.get_or_insert_with(|| Timer::at(deadline));
        timer.poll(deadline, cx).map(|()| self.progress.cause())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: ProgressLimit = ProgressLimit { pause: Duration::from_secs(30), minimum_rate: 240 };

    /// Returns the seconds after which a body ends that moves `bytes` every `pause` seconds.
    fn ends_after(limit: ProgressLimit, bytes: u64, pause: u64) -> Option<u64> {
        let pause = Duration::from_secs(pause);
        let mut progress = Progress::new(limit);
        for _ in 0..100_000 {
            if progress.left() <= pause {
                return Some((progress.waited + progress.left()).as_secs());
            }
            progress.waited(pause);
            progress.moved(bytes);
        }
        None
    }

    #[test]
    fn a_byte_every_29_seconds_ends_with_the_first_pause() {
        assert_eq!(ends_after(LIMIT, 1, 29), Some(30));
    }

    #[test]
    fn a_body_at_the_minimum_rate_does_not_end() {
        assert_eq!(ends_after(LIMIT, 240, 1), None);
        assert_eq!(ends_after(LIMIT, 240 * 29, 29), None);
    }

    #[test]
    fn a_body_below_the_minimum_rate_ends_however_short_its_pauses_are() {
        assert_eq!(ends_after(LIMIT, 120, 1), Some(59));
    }

    #[test]
    fn without_a_minimum_rate_only_a_single_pause_counts() {
        let limit = ProgressLimit { minimum_rate: 0, ..LIMIT };
        assert_eq!(ends_after(limit, 1, 29), None);
        assert_eq!(ends_after(limit, 1, 30), Some(30));
    }

    #[test]
    fn a_long_body_earns_no_longer_pause() {
        let mut progress = Progress::new(LIMIT);
        progress.moved(1 << 30);
        assert_eq!((progress.left(), progress.cause()), (LIMIT.pause, Stalled::Pause));
    }
}
