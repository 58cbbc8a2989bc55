//! A cable to a database that can be cut or frozen.

use std::path::PathBuf;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, UnixStream},
    sync::watch,
    task::{AbortHandle, JoinSet},
};

use crate::Postgres;

/// A way to a [`Postgres`] over TCP. It can be cut: connections are closed, and new ones wait. It can be frozen: nothing
/// is carried any more, and the ends are not told (a black hole). It ends when it is dropped.
#[derive(Debug)]
pub struct Cable {
    port: u16,
    state: watch::Sender<State>,
    carrying: AbortHandle,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    Cut,
    Frozen,
}

impl Cable {
    /// Lays a cable that is whole.
    pub async fn to(server: &Postgres) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = watch::Sender::new(State::Whole);
        let carrying = tokio::spawn(carry(listener, server.socket(), state.subscribe())).abort_handle();
        Self { port, state, carrying }
    }

    /// The URL of a database at its far end, which has this URL there.
    pub fn url(&self, database: &str) -> String {
        let name = database.rsplit_once('/').unwrap().1.split('?').next().unwrap();
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.port)
    }

    /// Cuts it.
    pub fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// Freezes it: what is connected stays connected and hears nothing any more, not even after it was mended.
    pub fn freeze(&self) {
        self.state.send_replace(State::Frozen);
    }

    /// Makes it whole again, for new connections.
    pub fn mend(&self) {
        self.state.send_replace(State::Whole);
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.carrying.abort();
    }
}

async fn carry(listener: TcpListener, socket: PathBuf, mut state: watch::Receiver<State>) {
    let mut connections = JoinSet::new();
    loop {
        // An error means that the cable was dropped.
        if state.wait_for(|state| *state == State::Whole).await.is_err() {
            return;
        }
        let mut changed = state.clone();
        let carry = async {
            while let Ok((mut near, _)) = listener.accept().await {
                let socket = socket.clone();
                let mut state = state.clone();
                connections.spawn(async move {
                    // A server that is away is away for those that connect here, too.
                    let Ok(mut far) = UnixStream::connect(socket).await else { return };
                    let frozen = tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => false,
                        _ = state.wait_for(|state| *state == State::Frozen) => true,
                    };
                    if frozen {
                        // The sockets stay open.
                        std::future::pending::<()>().await;
                    }
                });
            }
        };
        tokio::select! {
            () = carry => {}
            _ = changed.wait_for(|state| *state != State::Whole) => {}
        }
        if *changed.borrow() == State::Cut {
            connections.shutdown().await;
        }
    }
}
