//! One address of an upstream: its connections, and whether it is well.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;

use super::{UpstreamSettings, http2, pool::Pool};

/// How long an address that took no connection is left alone while others are well.
const LEFT_ALONE: Duration = Duration::from_secs(5);

/// An address, its connections, and whether it is well.
pub(super) struct Address {
    pub(super) authority: Box<str>,
    pub(super) pool: Pool,
    shared: ArcSwapOption<http2::Sender>,
    /// Milliseconds since `begun` until when it is left alone.
    ill_until: AtomicU64,
    begun: Instant,
}

impl Address {
    pub(super) fn new(authority: &str, settings: &UpstreamSettings) -> Self {
        Self {
            authority: authority.into(),
            pool: Pool::new(settings.idle_connections, settings.idle_timeout.get()),
            shared: ArcSwapOption::empty(),
            ill_until: AtomicU64::new(0),
            begun: Instant::now(),
        }
    }

    /// The HTTP/2 connection, if there is one.
    pub(super) fn shared(&self) -> Option<http2::Sender> {
        let sender = self.shared.load();
        sender.as_ref().filter(|sender| !sender.is_closed()).map(|sender| http2::Sender::clone(sender))
    }

    /// Uses an HTTP/2 connection for all requests from now on.
    pub(super) fn share(&self, sender: http2::Sender) {
        self.shared.store(Some(sender.into()));
    }

    /// Whether it is not known to be ill.
    pub(super) fn is_well(&self) -> bool {
        match self.ill_until.load(Relaxed) {
            0 => true,
            until => self.millis(Duration::ZERO) >= until,
        }
    }

    /// Notes that it took no connection.
    pub(super) fn fell_ill(&self) {
        self.ill_until.fetch_max(self.millis(LEFT_ALONE), Relaxed);
    }

    /// Notes that a health check failed: it is left alone until one succeeds.
    pub(super) fn is_found_ill(&self) {
        self.ill_until.store(u64::MAX, Relaxed);
    }

    /// Notes that a health check succeeded.
    pub(super) fn is_found_well(&self) {
        self.ill_until.store(0, Relaxed);
    }

    fn millis(&self, from_now: Duration) -> u64 {
        u64::try_from((self.begun.elapsed() + from_now).as_millis()).unwrap_or(u64::MAX)
    }
}
