//! Connections that wait for their next request.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::http1::Http1;

/// The idle HTTP/1.1 connections to one address. The one used last is used next, so that few stay in use.
pub(super) struct Pool {
    idle: Mutex<Vec<(Instant, Box<Http1>)>>,
    most: usize,
    longest: Duration,
}

impl Pool {
    pub(super) fn new(most: usize, longest: Duration) -> Self {
        Self { idle: Mutex::new(Vec::new()), most, longest }
    }

    /// Takes a connection that has not waited too long `now`.
    pub(super) fn take(&self, now: Instant) -> Option<Box<Http1>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, connection) = idle.pop()?;
        if now.duration_since(since) < self.longest {
            return Some(connection);
        }
        // All others have waited longer.
        let _expired = std::mem::take(&mut *idle);
        None
    }

    /// Keeps a connection for the next request, usable or not: that is found out when it is taken.
    pub(super) fn put(&self, connection: Box<Http1>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.most {
            idle.push((Instant::now(), connection));
        }
    }

    /// Closes what has waited too long.
    pub(super) fn sweep(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let expired = idle.partition_point(|(since, _)| since.elapsed() >= self.longest);
        let _expired = idle.drain(..expired);
    }
}
