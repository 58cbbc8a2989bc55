//! A cable to a database that can be cut.

use std::path::PathBuf;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, UnixStream},
    sync::watch,
    task::{AbortHandle, JoinSet},
};

use crate::Postgres;

/// A way to a [`Postgres`] over TCP that can be cut: whoever is connected is disconnected, and whoever connects waits.
/// It ends when it is dropped.
#[derive(Debug)]
pub struct Cable {
    port: u16,
    cut: watch::Sender<bool>,
    carrying: AbortHandle,
}

impl Cable {
    /// A cable that is whole.
    pub async fn to(server: &Postgres) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let cut = watch::Sender::new(false);
        let carrying = tokio::spawn(carry(listener, server.socket(), cut.subscribe())).abort_handle();
        Self { port, cut, carrying }
    }

    /// The URL of a database at its far end, which has this URL there.
    pub fn url(&self, database: &str) -> String {
        let name = database.rsplit_once('/').unwrap().1.split('?').next().unwrap();
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.port)
    }

    /// Cuts it.
    pub fn cut(&self) {
        self.cut.send_replace(true);
    }

    /// Makes it whole again.
    pub fn mend(&self) {
        self.cut.send_replace(false);
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.carrying.abort();
    }
}

async fn carry(listener: TcpListener, socket: PathBuf, mut cut: watch::Receiver<bool>) {
    loop {
        // An error means that nobody has the scissors any more.
        if cut.wait_for(|cut| !cut).await.is_err() {
            return;
        }
        let mut connections = JoinSet::new();
        let carry = async {
            while let Ok((mut near, _)) = listener.accept().await {
                let socket = socket.clone();
                connections.spawn(async move {
                    // A server that is not there is not there for whoever connects, either.
                    let Ok(mut far) = UnixStream::connect(socket).await else { return };
                    let _ = copy_bidirectional(&mut near, &mut far).await;
                });
            }
        };
        tokio::select! {
            () = carry => {}
            _ = cut.wait_for(|cut| *cut) => {}
        }
    }
}
