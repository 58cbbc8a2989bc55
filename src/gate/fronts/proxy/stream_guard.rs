//! The end of a stream whose token is no longer accepted (invariant 17).

use std::{fmt, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use scopegate_provider::{Clock, Timestamp};

use crate::upstream::{AbortSignal, Aborted};

/// The time between two checks of an open stream's token.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// Ends a stream when the token that opened it expires or is no longer accepted.
#[derive(Clone)]
pub struct StreamGuard {
    clock: Arc<dyn Clock>,
    ends_at: Timestamp,
    is_accepted: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// Reasons for which a stream ends before its upstream ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamEnd {
    /// The token has expired.
    #[error("the token that opened the stream has expired")]
    Expired,
    /// The token is no longer accepted.
    #[error("the token that opened the stream is no longer accepted")]
    Withdrawn,
}

impl StreamGuard {
    /// Returns a guard for a token that is valid until `valid_until`; the stream may go on for `grace` after that.
    /// `is_accepted` is called twice a second while a stream is open, and must not block.
    pub fn new(
        clock: Arc<dyn Clock>,
        valid_until: Timestamp,
        grace: Duration,
        is_accepted: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        Self { clock, ends_at: valid_until + grace, is_accepted: Arc::new(is_accepted) }
    }

    /// Completes when the stream has to end.
    pub async fn ended(&self) -> StreamEnd {
        loop {
            let now = self.clock.now();
            if now >= self.ends_at {
                return StreamEnd::Expired;
            }
            if !(self.is_accepted)() {
                return StreamEnd::Withdrawn;
            }
            self.clock.sleep(CHECK_INTERVAL.min(self.ends_at.since(now))).await;
        }
    }
}

impl AbortSignal for StreamGuard {
    fn aborted(&self) -> BoxFuture<'static, Aborted> {
        let guard = self.clone();
        async move { guard.ended().await.into() }.boxed()
    }
}

impl fmt::Debug for StreamGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamGuard").field("ends_at", &self.ends_at).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use scopegate_provider::SystemClock;
    use tokio::time::timeout;

    use super::*;

    fn guard(valid_for: Duration, grace: Duration, accepted: &Arc<AtomicBool>) -> StreamGuard {
        let clock = SystemClock::new();
        let accepted = Arc::clone(accepted);
        let is_accepted = move || accepted.load(Ordering::SeqCst);
        StreamGuard::new(Arc::new(clock), clock.now() + valid_for, grace, is_accepted)
    }

    #[tokio::test]
    async fn invariant_17_a_stream_ends_when_its_token_expires() {
        let accepted = Arc::new(AtomicBool::new(true));
        let guard = guard(Duration::from_millis(20), Duration::from_millis(20), &accepted);
        assert_eq!(guard.ended().await, StreamEnd::Expired);
    }

    #[tokio::test]
    async fn invariant_17_a_stream_ends_within_a_second_of_the_withdrawal_of_its_token() {
        let accepted = Arc::new(AtomicBool::new(true));
        let guard = guard(Duration::from_mins(1), Duration::ZERO, &accepted);
        let mut aborted = guard.aborted();
        assert!(timeout(Duration::from_millis(20), &mut aborted).await.is_err());
        accepted.store(false, Ordering::SeqCst);
        let reason = timeout(Duration::from_secs(1), aborted).await.expect("the stream goes on");
        assert_eq!(reason.to_string(), StreamEnd::Withdrawn.to_string());
    }
}
