//! The places for connections: how many are open, in all and of each peer, and which one gives way to another.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    net::IpAddr,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use super::{
    Limits,
    activity::Activity,
    peer::{Peer, PeerAddress},
};

/// The time between two searches for connections that can give way.
const SEARCH: Duration = Duration::from_millis(500);

/// The most connections that give way after one search.
const GIVE_WAY: usize = 32;

/// The time between two warnings about peers with too many connections.
const WARN: Duration = Duration::from_secs(10);

/// Returns `true` for an address whose connections do not count towards the limits of a peer.
pub(super) type Exempt = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// The connections of one listener.
pub(super) struct Connections {
    limits: Limits,
    exempt: Exempt,
    places: Arc<Semaphore>,
    open: Mutex<Open>,
    /// Every place is taken, and others wait.
    crowded: AtomicBool,
    /// Notified when the last connection has ended.
    ended: Notify,
}

/// The connections that are open.
#[derive(Default)]
struct Open {
    /// By age.
    all: BTreeMap<u64, Arc<Activity>>,
    peers: HashMap<PeerAddress, OfPeer, ahash::RandomState>,
    opened: u64,
    warned: Option<Instant>,
}

/// The connections of one peer.
#[derive(Default)]
struct OfPeer {
    peer: Arc<Peer>,
    connections: u32,
}

/// The place of a connection, given back when it is dropped.
pub(super) struct Place {
    connections: Arc<Connections>,
    number: u64,
    peer: Option<PeerAddress>,
    _permit: OwnedSemaphorePermit,
}

impl Connections {
    pub(super) fn new(limits: &Limits, exempt: Exempt) -> Arc<Self> {
        Arc::new(Self {
            limits: limits.clone(),
            exempt,
            places: Arc::new(Semaphore::new(limits.connections.get() as usize)),
            open: Mutex::default(),
            crowded: AtomicBool::new(false),
            ended: Notify::new(),
        })
    }

    /// Waits for a place. While there is none, connections on which no request is being served give way.
    pub(super) async fn reserve(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(permit);
        }
        self.crowded.store(true, Relaxed);
        loop {
            // The oldest connections that have been at rest since the last search are asked to give way.
            self.lock()
                .all
                .values()
                .filter(|activity| activity.still_rests())
                .take(GIVE_WAY)
                .for_each(|activity| activity.want_place());
            if let Ok(permit) = timeout(SEARCH, Arc::clone(&self.places).acquire_owned()).await {
                self.crowded.store(false, Relaxed);
                return permit.ok();
            }
        }
    }

    /// Adds places for the connections that wait in the system's queue when the listener closes.
    pub(super) fn extend(&self, places: usize) {
        self.places.add_permits(places);
    }

    /// Reserves a place if there is one.
    pub(super) fn try_reserve(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// Registers a connection from `address`; none if its peer has too many connections and none of them can give way.
    pub(super) fn open(
        self: &Arc<Self>,
        address: Option<IpAddr>,
        permit: OwnedSemaphorePermit,
    ) -> Option<(Place, Arc<Activity>)> {
        let peer = address.filter(|address| !(self.exempt)(address.to_canonical())).map(PeerAddress::from);
        let mut open = self.lock();
        let usage = match peer {
            Some(peer) => Some(self.admit(&mut open, peer)?),
            None => None,
        };
        let number = open.opened;
        open.opened += 1;
        let activity = Arc::new(Activity::new(usage));
        open.all.insert(number, Arc::clone(&activity));
        Some((Place { connections: Arc::clone(self), number, peer, _permit: permit }, activity))
    }

    /// Returns `true` if every place is taken and others wait, so that connections are not kept for later requests.
    pub(super) fn is_crowded(&self) -> bool {
        self.crowded.load(Relaxed)
    }

    /// Returns how many connections are open.
    pub(super) fn count(&self) -> usize {
        self.lock().all.len()
    }

    /// Returns once every connection has ended.
    pub(super) async fn all_ended(&self) {
        let mut ended = pin!(self.ended.notified());
        loop {
            ended.as_mut().enable();
            if self.count() == 0 {
                return;
            }
            ended.as_mut().await;
            ended.set(self.ended.notified());
        }
    }

    fn admit(&self, open: &mut Open, address: PeerAddress) -> Option<Arc<Peer>> {
        let limit = self.limits.connections_per_peer.get();
        let of_peer = open.peers.entry(address).or_default();
        if of_peer.connections >= limit {
            let peer = &of_peer.peer;
            let mut of_same = open
                .all
                .values()
                .filter(|activity| activity.peer.as_ref().is_some_and(|other| Arc::ptr_eq(other, peer)));
            let resting = of_same.find(|activity| activity.still_rests());
            match resting {
                // It ends in a moment.
                Some(resting) if of_peer.connections <= limit => resting.want_place(),
                _ => {
                    open.warn(address, limit);
                    return None;
                }
            }
        }
        of_peer.connections += 1;
        Some(Arc::clone(&of_peer.peer))
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Logs that a peer has too many connections, once in a while.
    fn warn(&mut self, address: PeerAddress, limit: u32) {
        let now = Instant::now();
        if self.warned.is_none_or(|warned| now - warned >= WARN) {
            self.warned = Some(now);
            tracing::warn!(
                peer = ?address,
                connections = limit,
                "refused a connection: its peer has as many as `server.limits.connections_per_peer` allows; \
                 a proxy belongs in `server.trusted_proxies`"
            );
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        open.all.remove(&self.number);
        if open.all.is_empty() {
            self.connections.ended.notify_waiters();
        }
        let Some(address) = self.peer else { return };
        if let Some(of_peer) = open.peers.get_mut(&address) {
            of_peer.connections -= 1;
            if of_peer.connections == 0 {
                open.peers.remove(&address);
            }
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("number", &self.number).finish_non_exhaustive()
    }
}
