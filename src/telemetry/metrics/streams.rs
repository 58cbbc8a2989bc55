//! The open streams of a node, with the tokens that they depend on.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use scopegate_provider::{Credentials, Principal};

/// The open streams. A stream enters once it has been open for some time, so that short answers take no lock.
#[derive(Debug, Default)]
pub struct OpenStreams {
    next: AtomicU64,
    open: Mutex<HashMap<u64, Option<Arc<Holder>>>>,
}

/// The caller of an open stream.
#[derive(Debug)]
pub struct Holder {
    /// The verified caller.
    pub principal: Principal,
    /// The token and its proof.
    pub credentials: Credentials,
}

/// A stream among the open ones until it is dropped.
#[derive(Debug)]
pub struct OpenStream {
    number: u64,
    streams: Arc<OpenStreams>,
}

impl OpenStreams {
    /// Adds a stream; an anonymous caller's has no holder.
    pub fn enter(self: &Arc<Self>, holder: Option<Holder>) -> OpenStream {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(number, holder.map(Arc::new));
        OpenStream { number, streams: self.clone() }
    }

    /// Returns the number of open streams.
    pub fn count(&self) -> u64 {
        u64::try_from(self.lock().len()).unwrap_or(u64::MAX)
    }

    /// Returns the callers of the open streams, anonymous ones aside.
    pub fn holders(&self) -> Vec<Arc<Holder>> {
        self.lock().values().flatten().cloned().collect()
    }

    /// A poisoned lock holds the streams that were open.
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Option<Arc<Holder>>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.streams.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_counts_until_it_is_dropped() {
        let streams = Arc::<OpenStreams>::default();
        let first = streams.enter(None);
        let second = streams.enter(None);
        assert_eq!((streams.count(), streams.holders().len()), (2, 0));
        drop(first);
        assert_eq!(streams.count(), 1);
        drop(second);
        assert_eq!(streams.count(), 0);
    }
}
