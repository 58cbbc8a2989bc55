//! The idle HTTP/1.1 connections of an address.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::http1::Http1;

/// The idle HTTP/1.1 connections to one address. The one used last is used next, so that few stay in use.
pub(super) struct Pool {
    idle: Mutex<Vec<(Instant, Box<Http1>)>>,
    max_idle: usize,
    idle_timeout: Duration,
}

impl Pool {
    pub(super) fn new(max_idle: usize, idle_timeout: Duration) -> Self {
        Self { idle: Mutex::new(Vec::new()), max_idle, idle_timeout }
    }

    /// Takes the connection that was used last, unless it has been idle for too long.
    pub(super) fn take(&self, now: Instant) -> Option<Box<Http1>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, connection) = idle.pop()?;
        if now.duration_since(since) < self.idle_timeout {
            return Some(connection);
        }
        // All others have waited longer.
        let _expired = std::mem::take(&mut *idle);
        None
    }

    /// Keeps a connection for the next request. Its state is checked when it is used.
    pub(super) fn put(&self, connection: Box<Http1>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.max_idle {
            idle.push((Instant::now(), connection));
        }
    }

    /// Closes connections that have been idle for too long.
    pub(super) fn sweep(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let expired = idle.partition_point(|(since, _)| since.elapsed() >= self.idle_timeout);
        let _expired = idle.drain(..expired);
    }
}
