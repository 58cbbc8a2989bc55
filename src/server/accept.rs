//! The accept loop.

use std::{fmt, fs, io, path::Path, sync::Arc, time::Duration};

use http::uri::Scheme;
use poem::{
    Addr, Endpoint, IntoEndpoint,
    web::{LocalAddr, RemoteAddr},
};
use tokio::{
    net::{TcpListener, UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{
    Limits, Listen, ListenerSettings, Phase, Shutdown,
    connection::{Ends, Serving, http},
    socket::Socket,
    tls::{Tls, TlsError},
};

/// How long accepting pauses when the system is out of descriptors or memory: nothing is gained by asking at once.
const PAUSE: Duration = Duration::from_millis(50);

/// A listener that has its address; callers wait in the system's queue until [`Bound::serve`].
pub struct Bound {
    listener: Listener,
    local: Listen,
    limits: Limits,
    tls: Option<Tls>,
}

#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The system refused.
    #[error("cannot listen on `{listen}`: {source}")]
    Bind {
        /// Where.
        listen: Listen,
        /// What the system said.
        source: io::Error,
    },
    /// TLS cannot be spoken.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// TLS on a Unix-domain socket.
    #[error("TLS is spoken on TCP only, not on `{listen}`; take `tls` out or listen on an address")]
    TlsOnUnix {
        /// Where.
        listen: Listen,
    },
}

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Connections that were cut because they did not end in time.
    pub cut: usize,
}

impl Bound {
    /// Takes the address.
    ///
    /// # Errors
    /// [`BindError`]: the address is taken, is not this machine's, or may not be used.
    pub async fn bind(settings: &ListenerSettings) -> Result<Self, BindError> {
        let tls =
            settings.tls.as_ref().map(|own| Tls::new(own, settings.client_ca.as_deref())).transpose()?;
        if tls.is_some() && matches!(settings.listen, Listen::Unix(_)) {
            return Err(BindError::TlsOnUnix { listen: settings.listen.clone() });
        }
        let listener = listen(&settings.listen).await;
        let (listener, local) =
            listener.map_err(|source| BindError::Bind { listen: settings.listen.clone(), source })?;
        Ok(Self { listener, local, limits: settings.limits.clone(), tls })
    }

    /// Where it listens, with the port that the system chose.
    pub fn local_addr(&self) -> &Listen {
        &self.local
    }

    /// Serves `endpoint` until `shutdown` has gone through its phases and every connection has ended or been cut.
    pub async fn serve<E>(self, endpoint: E, shutdown: Shutdown) -> Outcome
    where
        E: IntoEndpoint,
        E::Endpoint: 'static,
    {
        let connections = Arc::new(Semaphore::new(self.limits.connections.get() as usize));
        let serving = Arc::new(Serving {
            endpoint: Arc::new(endpoint.into_endpoint()),
            http: http(&self.limits),
            limits: self.limits.clone(),
            shutdown: shutdown.clone(),
            cut: Shutdown::new(),
        });
        tokio::select! {
            () = self.accept_all(&serving, &connections) => {}
            () = self.renew() => {}
            () = shutdown.reached(Phase::Draining) => self.accept_waiting(&serving, &connections),
        }
        let total = self.limits.connections.get();
        drop(self);
        tokio::select! {
            _ = connections.acquire_many(total) => {}
            () = shutdown.reached(Phase::Cut) => {}
        }
        let cut = total as usize - connections.available_permits();
        serving.cut.cut();
        Outcome { cut }
    }

    async fn renew(&self) {
        match &self.tls {
            Some(tls) => tls.renew().await,
            None => std::future::pending().await,
        }
    }

    async fn accept_all<E: Endpoint + 'static>(
        &self,
        serving: &Arc<Serving<E>>,
        connections: &Arc<Semaphore>,
    ) {
        let mut failing = false;
        loop {
            let Ok(permit) = Arc::clone(connections).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((socket, ends)) => {
                    failing = false;
                    self.spawn(serving, socket, ends, permit);
                }
                Err(error) if is_callers(&error) => {}
                Err(error) => {
                    // Once, however long it lasts: the log is not to fill the disk too.
                    if !failing {
                        tracing::warn!(%error, listen = %self.local, "cannot accept connections");
                    }
                    failing = true;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Takes those who wait in the system's queue: closing the listener would reset them.
    fn accept_waiting<E: Endpoint + 'static>(&self, serving: &Arc<Serving<E>>, connections: &Arc<Semaphore>) {
        use futures_util::FutureExt;
        while let Ok(permit) = Arc::clone(connections).try_acquire_owned()
            && let Some(Ok((socket, ends))) = self.listener.accept().now_or_never()
        {
            self.spawn(serving, socket, ends, permit);
        }
    }

    fn spawn<E: Endpoint + 'static>(
        &self,
        serving: &Arc<Serving<E>>,
        socket: Socket,
        mut ends: Ends,
        place: OwnedSemaphorePermit,
    ) {
        let serving = Arc::clone(serving);
        match (socket, &self.tls) {
            (Socket::Tcp(stream), Some(tls)) => {
                ends.scheme = Scheme::HTTPS;
                let handshake = tls.accept(stream);
                tokio::spawn(async move {
                    match timeout(serving.limits.header_timeout.get(), handshake).await {
                        Ok(Ok(stream)) => {
                            // The handshake fails where a certificate is presented that nobody vouches for.
                            ends.certified = stream.get_ref().1.peer_certificates().is_some();
                            serving.serve(Socket::Tls(Box::new(stream)), ends, place).await;
                        }
                        Ok(Err(error)) => tracing::debug!(%error, "no TLS connection"),
                        Err(_) => tracing::debug!("no TLS connection in time"),
                    }
                });
            }
            (socket, _) => drop(tokio::spawn(async move { serving.serve(socket, ends, place).await })),
        }
    }
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound").field("local", &self.local).finish_non_exhaustive()
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let Listen::Unix(path) = &self.local {
            let _ = fs::remove_file(path);
        }
    }
}

impl Listener {
    async fn accept(&self) -> io::Result<(Socket, Ends)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, remote) = listener.accept().await?;
                let local = stream.local_addr()?;
                stream.set_nodelay(true)?;
                Ok((Socket::Tcp(stream), ends(local.into(), remote.into())))
            }
            Self::Unix(listener) => {
                let (stream, remote) = listener.accept().await?;
                let local = stream.local_addr()?;
                Ok((Socket::Unix(stream), ends(local.into(), remote.into())))
            }
        }
    }
}

fn ends(local: Addr, remote: Addr) -> Ends {
    Ends { local: LocalAddr(local), remote: RemoteAddr(remote), scheme: Scheme::HTTP, certified: false }
}

/// Whether the error is about the one connection that was to be accepted, as accept(2) tells.
fn is_callers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, NotConnected};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | NotConnected)
}

async fn listen(listen: &Listen) -> io::Result<(Listener, Listen)> {
    match listen {
        Listen::Tcp(address) => {
            let listener = TcpListener::bind(address).await?;
            let local = listener.local_addr()?;
            Ok((Listener::Tcp(listener), Listen::Tcp(local)))
        }
        Listen::Unix(path) => {
            remove_stale(path).await;
            Ok((Listener::Unix(UnixListener::bind(path)?), listen.clone()))
        }
    }
}

/// Removes the socket of a server that was killed: it is there, and nobody listens.
async fn remove_stale(path: &Path) {
    use std::os::unix::fs::FileTypeExt;
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if is_socket
        && UnixStream::connect(path)
            .await
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    {
        let _ = fs::remove_file(path);
    }
}
