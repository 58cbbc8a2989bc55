//! The accept loop.

use std::{
    fmt, fs, io,
    net::{IpAddr, SocketAddr},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::FileTypeExt,
    },
    sync::Arc,
    time::Duration,
};

use http::uri::Scheme;
use poem::{
    Addr, Endpoint, IntoEndpoint,
    web::{LocalAddr, RemoteAddr},
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream},
    sync::OwnedSemaphorePermit,
    time::timeout,
};

use super::{
    Limits, Listen, ListenerSettings, Phase, Shutdown,
    connection::{http, serve},
    connections::{Connections, Exempt},
    listening::{ConnectInfo, Listening},
    socket::Socket,
    systemd::{Heartbeat, InheritedSocket, Watchdog},
    tls::{Tls, TlsError, client_thumbprint},
};

/// The pause after the system is out of descriptors or memory: an immediate retry would fail too.
const PAUSE: Duration = Duration::from_millis(50);

/// The connections that may wait in the system's queue.
const QUEUE: u32 = 1024;

/// A listener that has its address; callers wait in the system's queue until [`Bound::serve`].
pub struct Bound {
    listener: Listener,
    local: Listen,
    limits: Limits,
    tls: Option<Arc<Tls>>,
    exempt: Exempt,
    watchdog: Option<Watchdog>,
    /// The socket belongs to the service manager.
    is_inherited: bool,
}

#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Errors that can occur while a listener is bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The system refused the address.
    #[error("`{key}`: cannot listen on `{listen}`: {source}{}", advice(source))]
    Bind {
        /// The configuration key that names the address.
        key: &'static str,
        /// The address.
        listen: Listen,
        /// The system's error.
        source: io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// TLS on a Unix-domain socket.
    #[error(
        "`{key}`: TLS works on TCP only, not on `{listen}`; remove the `tls` beside it or listen on an address"
    )]
    TlsOnUnix {
        /// The configuration key that names the socket.
        key: &'static str,
        /// The socket.
        listen: Listen,
    },
}

/// Returns what to do about an error of the system's, in a clause of its own.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; another program listens there: end it, or choose another port",
        io::ErrorKind::AddrNotAvailable => "; it is not an address of this machine",
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need a privilege (CAP_NET_BIND_SERVICE), a socket needs a folder that can be written"
        }
        _ => "",
    }
}

/// The result of a server's run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Connections that were cut because they did not end in time.
    pub cut: usize,
}

impl Bound {
    /// Binds the address.
    ///
    /// # Errors
    /// [`BindError`]: the address is in use, is not this machine's, or may not be used.
    pub async fn bind(settings: &ListenerSettings) -> Result<Self, BindError> {
        Self::adopt_or_bind(settings, None).await
    }

    /// Adopts the socket that the service manager has opened, or binds the address of the settings if there is none.
    ///
    /// # Errors
    /// [`BindError`], as for [`Bound::bind`].
    pub async fn adopt_or_bind(
        settings: &ListenerSettings,
        inherited: Option<InheritedSocket>,
    ) -> Result<Self, BindError> {
        let key = settings.key;
        let tls = match &settings.tls {
            Some(own) => Some(Arc::new(Tls::new(own, settings.client_ca.as_deref())?)),
            None => None,
        };
        let is_inherited = inherited.is_some();
        let mut address = settings.listen.clone();
        if let Some(Ok(local)) = inherited.as_ref().map(InheritedSocket::local_addr) {
            address = local;
        }
        if tls.is_some() && matches!(address, Listen::Unix(_)) {
            return Err(BindError::TlsOnUnix { key, listen: address });
        }
        let listener = match inherited {
            Some(socket) => Listener::try_from(socket).map(|listener| (listener, address.clone())),
            None => listen(&address).await,
        };
        let (listener, local) =
            listener.map_err(|source| BindError::Bind { key, listen: address, source })?;
        let limits = settings.limits.clone();
        let exempt: Exempt = Arc::new(|_| false);
        Ok(Self { listener, local, limits, tls, exempt, watchdog: None, is_inherited })
    }

    /// Feeds a watchdog from the accept loop.
    #[must_use]
    pub fn feeding(mut self, watchdog: Option<Watchdog>) -> Self {
        self.watchdog = watchdog;
        self
    }

    /// Exempts peers from the limits of a peer: proxies that many callers share. It is called once a connection.
    #[must_use]
    pub fn exempting(mut self, exempt: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Self {
        self.exempt = Arc::new(exempt);
        self
    }

    /// Returns the address on which it listens, with the port that the system chose.
    pub fn local_addr(&self) -> &Listen {
        &self.local
    }

    /// Serves `endpoint` until `shutdown` has gone through its phases and every connection has ended or been cut.
    pub async fn serve<E>(self, endpoint: E, shutdown: Shutdown) -> Outcome
    where
        E: IntoEndpoint,
        E::Endpoint: 'static,
    {
        let connections = Connections::new(&self.limits, Arc::clone(&self.exempt));
        let listening = Arc::new(Listening {
            endpoint: Arc::new(endpoint.into_endpoint()),
            http: http(&self.limits),
            limits: self.limits.clone(),
            connections: Arc::clone(&connections),
            shutdown: shutdown.clone(),
            cut: Shutdown::new(),
        });
        tokio::select! {
            () = self.accept_all(&listening) => {}
            () = self.renew() => {}
            () = shutdown.reached(Phase::Draining) => self.accept_waiting(&listening),
        }
        drop(self);
        tokio::select! {
            () = connections.all_ended() => {}
            () = shutdown.reached(Phase::Cut) => {}
        }
        let cut = connections.count();
        listening.cut.cut();
        Outcome { cut }
    }

    async fn renew(&self) {
        match &self.tls {
            Some(tls) => tls.renew().await,
            None => std::future::pending().await,
        }
    }

    async fn accept_all<E: Endpoint + 'static>(&self, listening: &Arc<Listening<E>>) {
        let mut is_failing = false;
        let mut heartbeat = Heartbeat::new(self.watchdog.as_ref());
        loop {
            let Some(permit) = heartbeat.during(listening.connections.reserve()).await else { return };
            match heartbeat.during(self.listener.accept()).await {
                Ok((socket, info)) => {
                    is_failing = false;
                    heartbeat.accepted();
                    self.spawn(listening, socket, info, permit);
                }
                Err(error) if is_callers(&error) => {}
                Err(error) => {
                    // Once, however long it lasts, so that the log does not fill the disk too.
                    if !is_failing {
                        tracing::warn!(%error, listen = %self.local, "cannot accept connections");
                    }
                    is_failing = true;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Accepts the connections that wait in the system's queue: closing the listener would reset them.
    fn accept_waiting<E: Endpoint + 'static>(&self, listening: &Arc<Listening<E>>) {
        listening.connections.extend(QUEUE as usize);
        while let Some(permit) = listening.connections.try_reserve() {
            match self.listener.accept_now() {
                Ok(Some((socket, info))) => self.spawn(listening, socket, info, permit),
                Ok(None) => return,
                Err(error) if is_callers(&error) => {}
                Err(error) => {
                    return tracing::warn!(%error, listen = %self.local, "cannot accept the last connections");
                }
            }
        }
    }

    fn spawn<E: Endpoint + 'static>(
        &self,
        listening: &Arc<Listening<E>>,
        socket: Socket,
        mut info: ConnectInfo,
        permit: OwnedSemaphorePermit,
    ) {
        let address = info.remote.as_socket_addr().map(SocketAddr::ip);
        let Some((place, activity)) = listening.connections.open(address, permit) else { return };
        let listening = Arc::clone(listening);
        match &self.tls {
            Some(tls) => {
                info.scheme = Scheme::HTTPS;
                let handshake = timeout(listening.limits.header_timeout.get(), tls.accept(socket));
                let tls = Arc::clone(tls);
                tokio::spawn(async move {
                    let handshake = tokio::select! {
                        handshake = handshake => handshake,
                        () = activity.place_wanted() => return,
                    };
                    match handshake {
                        Ok(Ok(stream)) => {
                            // The handshake fails if the certificate is not issued by one of the authorities.
                            info.client_certificate =
                                tls.client_certificate(stream.get_ref().1).map(Arc::new);
                            info.client_thumbprint = client_thumbprint(stream.get_ref().1);
                            serve(listening, Box::new(stream), info, place, activity).await;
                        }
                        Ok(Err(error)) => tracing::debug!(%error, "no TLS connection"),
                        Err(_) => tracing::debug!("no TLS connection in time"),
                    }
                });
            }
            None => {
                tokio::spawn(serve(listening, socket, info, place, activity));
            }
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
        if let Listen::Unix(path) = &self.local
            && !self.is_inherited
        {
            let _ = fs::remove_file(path);
        }
    }
}

impl TryFrom<InheritedSocket> for Listener {
    type Error = io::Error;
    fn try_from(socket: InheritedSocket) -> io::Result<Self> {
        match socket {
            InheritedSocket::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                Ok(Self::Tcp(TcpListener::from_std(listener)?))
            }
            InheritedSocket::Unix(listener) => {
                listener.set_nonblocking(true)?;
                Ok(Self::Unix(UnixListener::from_std(listener)?))
            }
        }
    }
}

impl Listener {
    async fn accept(&self) -> io::Result<(Socket, ConnectInfo)> {
        match self {
            Self::Tcp(listener) => accepted_tcp(listener.accept().await?.0),
            Self::Unix(listener) => accepted_unix(listener.accept().await?.0),
        }
    }

    /// Accepts a connection that waits already. The system is asked itself: tokio notices a connection only after its
    /// next poll of the system, and stops a task that is ready too often.
    fn accept_now(&self) -> io::Result<Option<(Socket, ConnectInfo)>> {
        let accepted = match self {
            Self::Tcp(listener) => accept_descriptor(listener.as_fd())
                .and_then(|stream| accepted_tcp(TcpStream::from_std(stream.into())?)),
            Self::Unix(listener) => accept_descriptor(listener.as_fd())
                .and_then(|stream| accepted_unix(UnixStream::from_std(stream.into())?)),
        };
        match accepted {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            accepted => accepted.map(Some),
        }
    }
}

fn accept_descriptor(listener: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    use rustix::net::{SocketFlags, accept_with};
    Ok(accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?)
}

fn accepted_tcp(stream: TcpStream) -> io::Result<(Socket, ConnectInfo)> {
    let info = connect_info(stream.local_addr()?.into(), stream.peer_addr()?.into());
    stream.set_nodelay(true)?;
    Ok((Box::new(stream), info))
}

fn accepted_unix(stream: UnixStream) -> io::Result<(Socket, ConnectInfo)> {
    let info = connect_info(stream.local_addr()?.into(), stream.peer_addr()?.into());
    Ok((Box::new(stream), info))
}

fn connect_info(local: Addr, remote: Addr) -> ConnectInfo {
    ConnectInfo {
        local: LocalAddr(local),
        remote: RemoteAddr(remote),
        scheme: Scheme::HTTP,
        client_certificate: None,
        client_thumbprint: None,
    }
}

/// Returns `true` if the error concerns only the connection that was to be accepted (accept(2)).
fn is_callers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, NotConnected};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | NotConnected)
}

async fn listen(listen: &Listen) -> io::Result<(Listener, Listen)> {
    match listen {
        Listen::Tcp(address) => {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            // A server that starts anew takes the address over from connections that have just ended.
            socket.set_reuseaddr(true)?;
            socket.bind(*address)?;
            let listener = socket.listen(QUEUE)?;
            let local = listener.local_addr()?;
            Ok((Listener::Tcp(listener), Listen::Tcp(local)))
        }
        Listen::Unix(path) => {
            // The socket of a server that was killed exists, and nothing listens on it.
            let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
            if is_socket
                && let Err(error) = UnixStream::connect(path).await
                && error.kind() == io::ErrorKind::ConnectionRefused
            {
                let _ = fs::remove_file(path);
            }
            Ok((Listener::Unix(UnixListener::bind(path)?), listen.clone()))
        }
    }
}
