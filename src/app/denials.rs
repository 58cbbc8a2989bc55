//! What was denied, counted by route, reason and minute for the audit. Bounded under a flood: what is too much is counted
//! together, without its route.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use poem::{Endpoint, IntoResponse, Middleware, Request, Response, Result};
use tokio::sync::mpsc;

use crate::{
    store::{Audit, DenialCount, Store, StoreError},
    telemetry::Outcome,
};

/// Counts denials, as poem middleware around gates. A request waits for nothing.
#[derive(Clone)]
pub(super) struct Denials {
    queue: mpsc::Sender<Denial>,
    missed: Arc<AtomicU64>,
}

type Denial = (Option<Arc<str>>, &'static str);

/// How many denials wait to be counted.
const QUEUE: usize = 4096;

/// How many kinds of denials are told apart between two writes.
const KINDS: usize = 1000;

/// How often the counts are written.
const WRITE: Duration = Duration::from_secs(5);

const MINUTE: i64 = 60_000;

impl Denials {
    /// Counts in this store until the last clone is dropped.
    pub(super) fn start(store: Store) -> Self {
        let (queue, denials) = mpsc::channel(QUEUE);
        let missed = Arc::new(AtomicU64::new(0));
        tokio::spawn(count(store, denials, missed.clone()));
        Self { queue, missed }
    }

    fn see(&self, outcome: &Outcome) {
        if outcome.reason == "permitted" {
            return;
        }
        if self.queue.try_send((outcome.route.clone(), outcome.reason)).is_err() {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn count(store: Store, mut denials: mpsc::Receiver<Denial>, missed: Arc<AtomicU64>) {
    let mut counts: HashMap<Denial, u64> = HashMap::new();
    let mut write = tokio::time::interval(WRITE);
    loop {
        tokio::select! {
            denial = denials.recv() => match denial {
                Some(denial) if counts.len() < KINDS || counts.contains_key(&denial) => {
                    *counts.entry(denial).or_default() += 1;
                }
                Some(_) => drop(missed.fetch_add(1, Ordering::Relaxed)),
                None => return,
            },
            _ = write.tick() => {
                let missed = missed.swap(0, Ordering::Relaxed);
                flush(&store, counts.drain(), missed).await;
            }
        }
    }
}

async fn flush(store: &Store, counts: impl Iterator<Item = (Denial, u64)>, missed: u64) {
    let minute = scopegate_provider::Timestamp::from_millis(store.now().millis().div_euclid(MINUTE) * MINUTE);
    let denial = |route: &str, reason: &str, count| DenialCount {
        minute,
        route: route.to_owned(),
        reason: reason.to_owned(),
        client: String::new(),
        count,
    };
    let told =
        |((route, reason), count): (Denial, u64)| denial(route.as_deref().unwrap_or_default(), reason, count);
    let mut denials: Vec<_> = counts.map(told).collect();
    if missed > 0 {
        denials.push(denial("", "others", missed));
    }
    if denials.is_empty() {
        return;
    }
    match store.count_denials(denials).await {
        Ok(()) | Err(StoreError::NoStore) => {}
        Err(error) => tracing::warn!(%error, "denials were not counted"),
    }
}

impl<E: Endpoint> Middleware<E> for Denials {
    type Output = Counted<E>;

    fn transform(&self, inner: E) -> Self::Output {
        Counted { inner, denials: self.clone() }
    }
}

/// The endpoint that [`Denials`] makes of another.
pub(super) struct Counted<E> {
    inner: E,
    denials: Denials,
}

impl<E: Endpoint> Endpoint for Counted<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let response = self.inner.call(request).await?.into_response();
        if let Some(outcome) = response.data::<Outcome>() {
            self.denials.see(outcome);
        }
        Ok(response)
    }
}
