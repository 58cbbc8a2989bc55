//! Denials, counted by route, reason, client and minute for the audit. Bounded under a flood: further kinds are counted
//! together, without their routes.

use std::{
    collections::HashMap,
    mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::TryFutureExt;
use poem::{Endpoint, IntoResponse, Middleware, Request, Response, Result};
use scopegate_provider::{ClientId, Timestamp};
use tokio::sync::mpsc;

use crate::{
    reason::Reason,
    store::{Audit, DenialCount, Store, StoreError},
    telemetry::Outcome,
};

/// Counts denials, as poem middleware around gates. A request waits for nothing.
#[derive(Clone)]
pub(super) struct Denials {
    queue: mpsc::Sender<Denial>,
    missed: Arc<AtomicU64>,
}

/// The kind of a denial: route, reason and client.
type Denial = (Option<Arc<str>>, Reason, Option<ClientId>);

/// The number of denials that may wait to be counted.
const QUEUE: usize = 4096;

/// The number of kinds that are counted apart in a minute.
const KINDS: usize = 1000;

/// The pause between two writes of the counts.
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
        if outcome.reason == Reason::Permitted {
            return;
        }
        let denial = (outcome.route.clone(), outcome.reason, outcome.client.clone());
        if self.queue.try_send(denial).is_err() {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn count(store: Store, mut denials: mpsc::Receiver<Denial>, missed: Arc<AtomicU64>) {
    let mut counts = Counts::from(minute(&store));
    let mut write = tokio::time::interval(WRITE);
    loop {
        let denial = tokio::select! {
            denial = denials.recv() => Some(denial),
            _ = write.tick() => None,
        };
        let now = minute(&store);
        if !matches!(denial, Some(Some(_))) || now != counts.minute {
            counts.others += missed.swap(0, Ordering::Relaxed);
            flush(&store, counts.take()).await;
        }
        if now != counts.minute {
            counts = Counts::from(now);
        }
        match denial {
            Some(Some(denial)) => counts.add(denial),
            Some(None) => return,
            None => {}
        }
    }
}

fn minute(store: &Store) -> Timestamp {
    Timestamp::from_millis(store.now().millis().div_euclid(MINUTE) * MINUTE)
}

/// The denials of a minute since they were last written. A kind that was written stays, so that there are no more
/// kinds in a minute than [`KINDS`], however often they are written.
struct Counts {
    minute: Timestamp,
    kinds: HashMap<Denial, u64>,
    others: u64,
}

impl Counts {
    fn from(minute: Timestamp) -> Self {
        Self { minute, kinds: HashMap::new(), others: 0 }
    }

    fn add(&mut self, denial: Denial) {
        if self.kinds.len() < KINDS || self.kinds.contains_key(&denial) {
            *self.kinds.entry(denial).or_default() += 1;
        } else {
            self.others += 1;
        }
    }

    /// Returns the counts to write, and begins them anew.
    fn take(&mut self) -> Vec<DenialCount> {
        let minute = self.minute;
        let others = mem::take(&mut self.others);
        let told = |route: &str, reason: &str, client: &str, count| DenialCount {
            minute,
            route: route.to_owned(),
            reason: reason.to_owned(),
            client: client.to_owned(),
            count,
        };
        let kinds = self.kinds.iter_mut().map(|((route, reason, client), count)| {
            let route = route.as_deref();
            let client = client.as_ref().map(ClientId::as_str);
            told(route.unwrap_or_default(), reason.as_str(), client.unwrap_or_default(), mem::take(count))
        });
        kinds.chain([told("", "others", "", others)]).filter(|denial| denial.count > 0).collect()
    }
}

async fn flush(store: &Store, denials: Vec<DenialCount>) {
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

    fn call(&self, request: Request) -> impl Future<Output = Result<Response>> + Send {
        self.inner.call(request).map_ok(|answer| {
            let response = answer.into_response();
            if let Some(outcome) = response.data::<Outcome>() {
                self.denials.see(outcome);
            }
            response
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Timestamp = Timestamp::from_seconds(60);

    fn denial(client: usize) -> Denial {
        (Some("GET /x".into()), Reason::InsufficientScope, ClientId::parse(&format!("c{client}")).ok())
    }

    #[test]
    fn denials_are_told_apart_by_client() {
        let mut counts = Counts::from(FIRST);
        for client in [1, 2, 1] {
            counts.add(denial(client));
        }
        let mut told: Vec<_> = counts.take().into_iter().map(|told| (told.client, told.count)).collect();
        told.sort();
        assert_eq!(told, [("c1".to_owned(), 2), ("c2".to_owned(), 1)]);
        assert_eq!(counts.take(), []);
    }

    #[test]
    fn a_flood_is_counted_but_makes_no_more_kinds_in_a_minute_than_are_told_apart() {
        let mut counts = Counts::from(FIRST);
        let mut kinds = std::collections::HashSet::new();
        let mut sum = 0;
        for round in 0..10 {
            (0..KINDS).for_each(|client| counts.add(denial(round * KINDS + client)));
            for told in counts.take() {
                sum += told.count;
                kinds.insert((told.route, told.reason, told.client));
            }
        }
        assert_eq!((kinds.len(), sum), (KINDS + 1, 10 * KINDS as u64));
    }
}
