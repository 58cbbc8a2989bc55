//! Listeners, and who answers on them.
//!
//! When a configuration is reloaded, the new issuer starts while the old one still runs, often at the same address. So a
//! listener is not the issuer's: issuers of one name share it, and the one that was started last answers.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use poem::{Endpoint, Request, Response, Server, listener::TcpAcceptor};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use crate::{endpoint::IssuerEndpoint, service::Service};

/// The time for requests to finish once the listener is closed.
const GRACE: Duration = Duration::from_secs(1);

/// The time for which a start waits for an address that a listener is about to leave.
const PATIENCE: Duration = Duration::from_secs(1);

/// A listener of this process.
pub(crate) struct Listening {
    address: SocketAddr,
    owner: Option<String>,
    answering: Arc<ArcSwapOption<Service>>,
    /// All issuers that run here, the last one answers.
    running: Mutex<Vec<Arc<Service>>>,
    task: JoinHandle<()>,
    _stop: oneshot::Sender<()>,
}

static ALL: Mutex<Vec<Weak<Listening>>> = Mutex::new(Vec::new());

impl Listening {
    /// The listener at `address`: one that issuers of this owner already have, else a new one.
    pub(crate) async fn at(address: SocketAddr, owner: Option<&str>) -> io::Result<Arc<Self>> {
        if let Some(shared) = owner.and_then(|owner| Self::shared(address, owner)) {
            return Ok(shared);
        }
        let listener = bind(address).await?;
        let listening = Arc::new(Self::start(listener, owner)?);
        lock(&ALL).push(Arc::downgrade(&listening));
        Ok(listening)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The current service.
    pub(crate) fn answering(&self) -> Option<Arc<Service>> {
        self.answering.load_full()
    }

    /// Lets `service` answer from now on.
    pub(crate) fn enter(&self, service: Arc<Service>) {
        let mut running = lock(&self.running);
        running.push(service);
        self.answering.store(running.last().cloned());
    }

    /// Takes `service` away; the one before it answers again, if it is still there.
    pub(crate) fn leave(&self, service: &Arc<Service>) {
        let mut running = lock(&self.running);
        running.retain(|other| !Arc::ptr_eq(other, service));
        self.answering.store(running.last().cloned());
    }

    fn shared(address: SocketAddr, owner: &str) -> Option<Arc<Self>> {
        let mut all = lock(&ALL);
        all.retain(|listening| listening.strong_count() > 0);
        all.iter().filter_map(Weak::upgrade).find(|listening| {
            listening.address == address
                && listening.owner.as_deref() == Some(owner)
                && !listening.task.is_finished()
        })
    }

    fn start(listener: TcpListener, owner: Option<&str>) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let answering = Arc::new(ArcSwapOption::empty());
        let (stop, stopped) = oneshot::channel::<()>();
        let server = Server::new_with_acceptor(TcpAcceptor::from_tokio(listener)?);
        let endpoint = Current(answering.clone());
        let task = tokio::spawn(async move {
            let stopped = async move { drop(stopped.await) };
            if let Err(error) = server.run_with_graceful_shutdown(endpoint, stopped, Some(GRACE)).await {
                tracing::error!(%error, "the embedded issuer stopped");
            }
        });
        let owner = owner.map(str::to_owned);
        Ok(Self { address, owner, answering, running: Mutex::default(), task, _stop: stop })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Binds, and waits a little while the address is still taken.
async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let waits = 20;
    for _ in 0..waits {
        match TcpListener::bind(address).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                tokio::time::sleep(PATIENCE / waits).await;
            }
            bound => return bound,
        }
    }
    TcpListener::bind(address).await
}

/// An endpoint that calls the current service.
struct Current(Arc<ArcSwapOption<Service>>);

impl Endpoint for Current {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        match self.0.load_full() {
            Some(service) => IssuerEndpoint(service).call(request).await,
            None => Ok(Response::builder().status(http::StatusCode::SERVICE_UNAVAILABLE).finish()),
        }
    }
}
