//! The service manager: sockets that it has opened, readiness, and its watchdog (`sd_listen_fds(3)`, `sd_notify(3)`).
//!
//! Everything here does nothing for a program that systemd has not started.

use std::{
    env, fmt, io, net,
    os::{fd::AsFd, unix},
    pin::pin,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::time::{Instant, sleep_until};

use super::Listen;

/// The names of the listeners, as `FileDescriptorName=` gives them.
const NAMES: [&str; 4] = ["server", "operations", "admin", "grpc"];

/// The sockets that the service manager has opened, by name.
#[derive(Debug, Default)]
pub struct InheritedSockets(Vec<(&'static str, InheritedSocket)>);

/// A listening socket that the service manager has opened. It keeps connections waiting while this program restarts.
#[derive(Debug)]
pub enum InheritedSocket {
    /// A TCP socket.
    Tcp(net::TcpListener),
    /// A Unix-domain socket.
    Unix(unix::net::UnixListener),
}

/// Errors of sockets that the service manager has passed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InheritError {
    /// No listener has this name.
    #[error(
        "the service manager passed a socket named `{name}`; expected `FileDescriptorName=` to be one of `{}`",
        NAMES.join("`, `")
    )]
    Name {
        /// The name.
        name: String,
    },
    /// Several sockets have one name.
    #[error(
        "the service manager passed several sockets named `{name}`; expected one (for IPv4 and IPv6 together, \
         `ListenStream=[::]:PORT` with `BindIPv6Only=both`)"
    )]
    Duplicate {
        /// The name.
        name: &'static str,
    },
    /// The descriptor is not a listening stream socket.
    #[error(
        "cannot use the socket `{name}` that the service manager passed: {source}; expected `ListenStream=` \
         with `Accept=no`"
    )]
    Socket {
        /// The name.
        name: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

impl InheritedSockets {
    /// Takes the sockets that `$LISTEN_FDS` counts and `$LISTEN_FDNAMES` names. A single socket without a name is the
    /// main listener's.
    ///
    /// # Errors
    /// [`InheritError`]: a name is unknown or occurs twice, or a descriptor is not a listening socket.
    pub fn from_env() -> Result<Self, InheritError> {
        Self::take(ListenFd::from_env(), &env::var("LISTEN_FDNAMES").unwrap_or_default())
    }

    fn take(mut passed: ListenFd, names: &str) -> Result<Self, InheritError> {
        let mut sockets = Self::default();
        let names = if names.is_empty() && passed.len() == 1 { "server" } else { names };
        let mut names = names.split(':');
        for index in 0..passed.len() {
            let given = names.next().unwrap_or_default();
            let name = NAMES.into_iter().find(|name| *name == given);
            let name = name.ok_or_else(|| InheritError::Name { name: given.to_owned() })?;
            if sockets.0.iter().any(|(other, _)| *other == name) {
                return Err(InheritError::Duplicate { name });
            }
            let socket = InheritedSocket::take(&mut passed, index);
            let socket = socket.map_err(|source| InheritError::Socket { name, source })?;
            sockets.0.push((name, socket));
        }
        Ok(sockets)
    }

    /// Returns the socket of a listener, if the service manager has opened it.
    pub fn remove(&mut self, name: &str) -> Option<InheritedSocket> {
        let index = self.0.iter().position(|(other, _)| *other == name)?;
        Some(self.0.swap_remove(index).1)
    }

    /// Returns the names of the sockets that have not been removed.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|(name, _)| *name)
    }
}

impl InheritedSocket {
    fn take(passed: &mut ListenFd, index: usize) -> io::Result<Self> {
        let socket = match passed.take_tcp_listener(index) {
            Ok(tcp) => tcp.map(Self::Tcp),
            Err(_) => passed.take_unix_listener(index)?.map(Self::Unix),
        };
        let socket = socket.ok_or_else(|| io::Error::other("the descriptor is in use already"))?;
        let descriptor = match &socket {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        };
        if !rustix::net::sockopt::socket_acceptconn(descriptor)? {
            return Err(io::Error::other("it does not listen"));
        }
        Ok(socket)
    }

    /// Returns the address on which the socket listens.
    pub(super) fn local_addr(&self) -> io::Result<Listen> {
        match self {
            Self::Tcp(listener) => Ok(Listen::Tcp(listener.local_addr()?)),
            Self::Unix(listener) => {
                let address = listener.local_addr()?;
                Ok(Listen::Unix(address.as_pathname().unwrap_or_else(|| "".as_ref()).to_owned()))
            }
        }
    }
}

/// Notifies the service manager of what the program does. Reloads are announced once readiness has been.
#[derive(Debug, Default)]
pub struct Notifier {
    was_ready: AtomicBool,
}

impl Notifier {
    /// Shows a line of text in `systemctl status`.
    pub fn status(&self, text: &str) {
        notify(&[NotifyState::Status(&line(text))]);
    }

    /// Announces that requests can be decided.
    pub fn ready(&self, status: &str) {
        self.was_ready.store(true, Relaxed);
        notify(&[NotifyState::Ready, NotifyState::Status(&line(status))]);
    }

    /// Announces that the configuration is read again.
    pub fn reloading(&self) {
        if self.was_ready.load(Relaxed)
            && let Ok(now) = NotifyState::monotonic_usec_now()
        {
            notify(&[NotifyState::Reloading, now]);
        }
    }

    /// Announces the end of a reload.
    pub fn reloaded(&self, status: &str) {
        if self.was_ready.load(Relaxed) {
            self.ready(status);
        } else {
            self.status(status);
        }
    }

    /// Announces the end of the program, which takes at most `limit`. Until then neither the timeout of the unit nor its
    /// watchdog ends it: connections are not accepted any more.
    pub fn stopping(&self, limit: Duration) {
        let limit = u32::try_from(limit.as_micros()).unwrap_or(u32::MAX);
        let extended = NotifyState::ExtendTimeoutUsec(limit);
        let status = NotifyState::Status("finishing requests in flight");
        if sd_notify::watchdog_enabled().is_some() {
            let watchdog = NotifyState::WatchdogUsec(limit);
            notify(&[NotifyState::Stopping, extended, status, watchdog, NotifyState::Watchdog]);
        } else {
            notify(&[NotifyState::Stopping, extended, status]);
        }
    }
}

/// Feeds the watchdog of the service manager from an accept loop. A loop that has ended, is stuck, or cannot accept does
/// not feed it, so that systemd restarts the program.
pub struct Watchdog {
    interval: Duration,
    feed: Box<dyn Fn() + Send + Sync>,
}

impl Watchdog {
    /// Returns the watchdog, fed twice in `$WATCHDOG_USEC`, if the unit has one.
    pub fn from_env() -> Option<Self> {
        let timeout = sd_notify::watchdog_enabled()?;
        Some(Self::new(timeout / 2, || notify(&[NotifyState::Watchdog])))
    }

    /// Creates a watchdog that is fed by a call of `feed` once an interval.
    pub(super) fn new(interval: Duration, feed: impl Fn() + Send + Sync + 'static) -> Self {
        Self { interval: interval.max(Duration::from_millis(1)), feed: Box::new(feed) }
    }
}

impl fmt::Debug for Watchdog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watchdog").field("interval", &self.interval).finish_non_exhaustive()
    }
}

/// The heartbeat of an accept loop; without a watchdog it costs nothing.
pub(super) struct Heartbeat<'a> {
    watchdog: Option<&'a Watchdog>,
    due: Instant,
}

impl<'a> Heartbeat<'a> {
    pub(super) fn new(watchdog: Option<&'a Watchdog>) -> Self {
        Self { watchdog, due: Instant::now() }
    }

    /// Waits for `next`, and beats while it is pending. An output that is there at once does not beat: a loop that does
    /// nothing but fail is not alive.
    pub(super) async fn during<T>(&mut self, next: impl Future<Output = T>) -> T {
        let Some(watchdog) = self.watchdog else { return next.await };
        let mut next = pin!(next);
        loop {
            tokio::select! {
                biased;
                output = &mut next => return output,
                () = sleep_until(self.due) => self.beat(watchdog),
            }
        }
    }

    /// Beats if it is time to: a loop that accepts without a pause is alive.
    pub(super) fn accepted(&mut self) {
        if let Some(watchdog) = self.watchdog
            && Instant::now() >= self.due
        {
            self.beat(watchdog);
        }
    }

    fn beat(&mut self, watchdog: &Watchdog) {
        (watchdog.feed)();
        self.due = Instant::now() + watchdog.interval;
    }
}

/// Returns the text in one line: each line of a notification is a variable of its own.
fn line(text: &str) -> String {
    text.lines().collect::<Vec<_>>().join("; ")
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot notify the service manager ($NOTIFY_SOCKET)");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_cannot_add_variables_to_a_notification() {
        assert_eq!(line("no keys\nREADY=1"), "no keys; READY=1");
    }

    #[test]
    fn without_a_service_manager_no_socket_is_inherited() {
        let mut sockets = InheritedSockets::take(ListenFd::empty(), "server").unwrap();
        assert!(sockets.remove("server").is_none());
        assert_eq!(sockets.names().count(), 0);
    }
}
