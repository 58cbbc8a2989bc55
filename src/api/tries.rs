//! A limit of failed tries: a peer that keeps presenting wrong credentials has to wait, longer after each failure.
//!
//! A peer cannot lock out a client for others: what is counted is the peer, and the client as that peer names it.

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use poem::Request;
use scopegate_provider::Clock;

use crate::{gate::TrustedProxies, problem::Problem, reason::Reason};

/// The failures that a peer may make for one client before it has to wait.
const CLIENT_FAILURES: u32 = 5;

/// The failures that a peer may make for all clients together before it has to wait.
const PEER_FAILURES: u32 = 20;

/// The longest wait.
const LONGEST: Duration = Duration::from_mins(1);

/// The time after which failures are forgotten.
const MEMORY: Duration = Duration::from_mins(10);

/// The number of peers and clients that are counted apart.
const ROOM: usize = 10_000;

/// Counts failed tries. Clones share their counts.
#[derive(Clone)]
pub struct Tries {
    clock: Arc<dyn Clock>,
    trusted: TrustedProxies,
    hasher: ahash::RandomState,
    failures: Arc<Mutex<HashMap<u64, Failures>>>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Duration,
}

/// The peer of a request, and the client that it names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller {
    peer: u64,
    client: u64,
}

impl Tries {
    /// Creates an empty count.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let trusted = TrustedProxies::default();
        Self { clock, trusted, hasher: ahash::RandomState::new(), failures: Arc::default() }
    }

    /// Lets these proxies name the peers behind them.
    #[must_use]
    pub fn trusting(self, trusted: TrustedProxies) -> Self {
        Self { trusted, ..self }
    }

    /// Returns the caller of a request, which may name a client.
    pub(super) fn caller(&self, request: &Request, client: Option<&str>) -> Caller {
        let scheme = crate::policy::Scheme::Http;
        let origin = self.trusted.origin(request.remote_addr(), scheme, request.headers());
        let peer: Option<IpAddr> = origin.ok().and_then(|origin| origin.client);
        Caller { peer: self.hasher.hash_one(peer), client: self.hasher.hash_one((peer, client)) }
    }

    /// Refuses a caller that has to wait.
    ///
    /// # Errors
    /// 429 with the time to wait.
    pub(super) fn check(&self, caller: Caller) -> Result<(), Problem> {
        let now = self.clock.uptime();
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = [(caller.client, CLIENT_FAILURES), (caller.peer, PEER_FAILURES)].map(|(key, most)| {
            failures.get(&key).map_or(Duration::ZERO, |failures| failures.wait(most, now))
        });
        let wait = waits.into_iter().max().unwrap_or_default();
        if wait.is_zero() {
            return Ok(());
        }
        let description = format!("too many failed tries: try again in {} s", wait.as_secs() + 1);
        Err(Problem::new(Reason::TooManyTries, description).with_retry_after(wait + Duration::from_secs(1)))
    }

    /// Counts a failure.
    pub(super) fn failed(&self, caller: Caller) {
        let now = self.clock.uptime();
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= ROOM {
            failures.retain(|_, failures| now.saturating_sub(failures.last) < MEMORY);
        }
        for key in [caller.client, caller.peer] {
            if failures.len() < ROOM || failures.contains_key(&key) {
                let failures = failures.entry(key).or_insert(Failures { count: 0, last: now });
                *failures = Failures { count: failures.fresh(now) + 1, last: now };
            }
        }
    }

    /// Forgets the failures of a caller that has succeeded.
    pub(super) fn succeeded(&self, caller: Caller) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(&caller.client);
    }
}

impl Failures {
    /// Returns the number of failures that still count.
    fn fresh(self, now: Duration) -> u32 {
        if now.saturating_sub(self.last) < MEMORY { self.count } else { 0 }
    }

    /// Returns the time to wait: a second after the last failure that is free, and twice as long after each further one.
    fn wait(self, most: u32, now: Duration) -> Duration {
        let Some(over) = self.fresh(now).checked_sub(most) else { return Duration::ZERO };
        let wait = Duration::from_secs(1 << over.min(6)).min(LONGEST);
        wait.saturating_sub(now.saturating_sub(self.last))
    }
}

impl fmt::Debug for Tries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tries").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use scopegate_provider::SystemClock;

    use super::*;

    fn tries() -> Tries {
        Tries::new(Arc::new(SystemClock::new()))
    }

    fn request() -> Request {
        Request::builder().finish()
    }

    /// A14: repeated failures are slowed down.
    #[test]
    fn a_peer_that_keeps_failing_for_a_client_has_to_wait() {
        let tries = tries();
        let caller = tries.caller(&request(), Some("demo"));
        for _ in 0..CLIENT_FAILURES {
            assert_eq!(tries.check(caller), Ok(()));
            tries.failed(caller);
        }
        let refused = tries.check(caller).unwrap_err();
        assert_eq!(
            (refused.status(), refused.reason()),
            (StatusCode::TOO_MANY_REQUESTS, Reason::TooManyTries)
        );
        let other = tries.caller(&request(), Some("other"));
        assert_eq!(tries.check(other), Ok(()), "another client is not affected");
    }

    #[test]
    fn a_success_ends_the_wait() {
        let tries = tries();
        let caller = tries.caller(&request(), Some("demo"));
        (0..=CLIENT_FAILURES).for_each(|_| tries.failed(caller));
        assert!(tries.check(caller).is_err());
        tries.succeeded(caller);
        assert_eq!(tries.check(caller), Ok(()));
    }

    #[test]
    fn the_wait_doubles_and_ends() {
        let failures = |count| Failures { count, last: Duration::ZERO };
        let waits =
            [5, 6, 7, 20].map(|count| failures(count).wait(CLIENT_FAILURES, Duration::ZERO).as_secs());
        assert_eq!(waits, [1, 2, 4, 60]);
        assert_eq!(failures(20).wait(CLIENT_FAILURES, LONGEST), Duration::ZERO);
        assert_eq!(failures(20).wait(CLIENT_FAILURES, MEMORY), Duration::ZERO);
    }
}
