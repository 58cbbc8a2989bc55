mod drain;
mod framing;
mod http2;
mod limits;
mod lockout;
mod tls;
mod watchdog;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use poem::{Endpoint, Request, Response, endpoint::make};
use scopegate_provider::{ByteSize, Span};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    task::JoinHandle,
};

use super::*;

struct Running {
    address: SocketAddr,
    shutdown: Shutdown,
    served: JoinHandle<Outcome>,
}

async fn start(limits: Limits, endpoint: impl Endpoint + 'static) -> Running {
    let bound = Bound::bind(&ListenerSettings { limits, ..ListenerSettings::default() }).await.unwrap();
    let Listen::Tcp(address) = *bound.local_addr() else { unreachable!("a TCP listener was asked for") };
    let shutdown = Shutdown::new();
    let served = tokio::spawn(bound.serve(endpoint, shutdown.clone()));
    Running { address, shutdown, served }
}

fn hello() -> impl Endpoint {
    make(|_: Request| async { "hello" })
}

/// Returns an endpoint that reads the whole body first.
fn takes_all() -> impl Endpoint {
    make(|mut request: Request| async move {
        request.take_body().into_vec().await.map(|_| "hello").map_err(poem::Error::from)
    })
}

/// Returns an endpoint that never answers.
fn never() -> impl Endpoint {
    make(|_: Request| std::future::pending::<&str>())
}

/// Returns an endpoint whose answer has no end.
fn endless() -> impl Endpoint {
    make(|_: Request| async {
        let chunks = futures_util::stream::repeat_with(|| Ok::<_, io::Error>(vec![0_u8; 1 << 16]));
        Response::builder().body(poem::Body::from_bytes_stream(chunks))
    })
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Returns the answers to `request` until the server closes the connection.
    async fn exchange(&self, request: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request).await.unwrap();
        read_to_end(&mut stream).await
    }
}

async fn read_to_end(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut answer = Vec::new();
    // A connection that is cut with unread bytes is reset; what came before counts.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

async fn read_response(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "closed");
    }
    String::from_utf8(answer).unwrap()
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const GET_AND_CLOSE: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn a_request_is_answered() {
    let server = start(Limits::default(), hello()).await;
    let answer = server.exchange(GET_AND_CLOSE).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nhello"), "{answer}");
}

#[tokio::test]
async fn serves_http2_with_prior_knowledge() {
    let server =
        start(Limits::default(), make(|request: Request| async move { format!("{:?}", request.version()) }))
            .await;
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let answer = client.get(format!("http://{}/", server.address)).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "HTTP/2.0");
}

#[tokio::test]
async fn a_unix_socket_is_served_and_removed_at_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listen: Listen = format!("unix:{}", path.display()).parse().unwrap();
    let bound = Bound::bind(&ListenerSettings { listen, ..ListenerSettings::default() }).await.unwrap();
    let shutdown = Shutdown::new();
    let served = tokio::spawn(bound.serve(hello(), shutdown.clone()));
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(GET_AND_CLOSE).await.unwrap();
    assert!(read_to_end(&mut stream).await.ends_with("hello"));
    shutdown.drain();
    assert_eq!(served.await.unwrap(), Outcome { cut: 0 });
    assert!(!path.exists());
}

#[tokio::test]
async fn takes_over_the_socket_of_a_killed_server_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let listen: Listen = format!("unix:{}", path.display()).parse().unwrap();
    let settings = ListenerSettings { listen, ..ListenerSettings::default() };
    let _bound = Bound::bind(&settings).await.unwrap();
    let BindError::Bind { source, .. } = Bound::bind(&settings).await.unwrap_err() else {
        panic!("another error")
    };
    assert_eq!(source.kind(), io::ErrorKind::AddrInUse);
}

fn short(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

const SOON: Span = Span::new(Duration::from_millis(60));
