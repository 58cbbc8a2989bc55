//! What stays open and what is large, and what the real program holds of it in memory.
//!
//! Every run takes small numbers. The figures that are promised, of a release build:
//!
//! ```sh
//! SCOPEGATE_STREAM_MIB=1024 SCOPEGATE_WEBSOCKETS=10000 cargo test --release --test suite streams -- --nocapture
//! ```
//!
//! A proxied `WebSocket` is two open files: 10,000 need `ulimit -Hn 20500` or more, 9,700 do with 20,000.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::support::{Client, Server, with_issuer};

const MIB: usize = 1 << 20;

/// How much more memory a body of any size may take, in bytes.
const CONSTANT: u64 = 24 << 20;

/// What an idle `WebSocket` may take, in bytes: 10,000 of them stay under 300 MB.
const OF_WEBSOCKET: u64 = 30_000;

fn setting(name: &str, otherwise: usize) -> usize {
    std::env::var(name).map_or(otherwise, |value| value.parse().unwrap())
}

/// A service at which these bytes have arrived or left.
struct Service {
    address: String,
    passed: Arc<AtomicUsize>,
}

impl Service {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let passed = Arc::<AtomicUsize>::default();
        let counted = passed.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let counted = counted.clone();
                // A caller that goes away ends it.
                tokio::spawn(async move { serve(stream, &counted).await.ok() });
            }
        });
        Self { address, passed }
    }

    /// Waits until nothing has passed for a while; how much has.
    async fn rested(&self) -> usize {
        let mut before = usize::MAX;
        loop {
            let passed = self.passed.load(SeqCst);
            if passed == before && passed > 0 {
                return passed;
            }
            before = passed;
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
    }
}

/// `/echo` sends back what comes as it comes, `/endless` never stops sending, `/deaf` never reads; anything else is a
/// `WebSocket` that rests.
async fn serve(stream: TcpStream, passed: &AtomicUsize) -> std::io::Result<()> {
    let (mut stream, block) = (BufReader::with_capacity(1 << 16, stream), vec![7; 1 << 16]);
    let (head, length) = head(&mut stream).await?;
    match head.split(' ').nth(1).unwrap() {
        "/echo" => {
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            stream.get_mut().write_all(answer.as_bytes()).await?;
            let (mut buffer, mut left) = (block, length);
            while left > 0 {
                let read = stream.read(&mut buffer).await?;
                stream.get_mut().write_all(&buffer[..read]).await?;
                left -= read;
                passed.fetch_add(read, SeqCst);
            }
        }
        "/endless" => {
            stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n").await?;
            loop {
                let written = stream.get_mut().write(&block).await?;
                passed.fetch_add(written, SeqCst);
            }
        }
        "/deaf" => std::future::pending().await,
        _ => {
            let switching =
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
            stream.get_mut().write_all(switching).await?;
            let _ = stream.read_u8().await;
        }
    }
    Ok(())
}

/// The head of a message and the length of its body.
async fn head(stream: &mut BufReader<TcpStream>) -> std::io::Result<(String, usize)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    let lower = head.to_ascii_lowercase();
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length: "));
    Ok((head, length.map_or(0, |length| length.parse().unwrap())))
}

fn server(service: &Service) -> Server {
    let rest = format!(
        r#"
scopes: {{ stream: Stream }}
upstreams: {{ it: {{ url: "http://{}" }} }}
routes: [ {{ match: /**, require: stream, upstream: it }} ]
"#,
        service.address
    );
    Server::start(&with_issuer("base_path: /.scopegate", "stream", &rest))
}

struct Caller {
    address: String,
    token: String,
}

impl Caller {
    async fn of(server: &Server) -> Self {
        let address = server.url.trim_start_matches("http://").split('/').next().unwrap().to_owned();
        let token = own(server).token("", "demo", "demo-secret", "stream").await;
        Self { address, token }
    }

    /// Sends the head of a request.
    async fn send(&self, line: &str, more: &str) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let head =
            format!("{line} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n{more}\r\n", self.token);
        stream.write_all(head.as_bytes()).await.unwrap();
        BufReader::new(stream)
    }

    /// Sends a body and reads it back.
    async fn echo(&self, length: usize) {
        let mut stream = self.send("POST /echo", &format!("Content-Length: {length}\r\n")).await;
        let mut written = 0;
        // The first block goes ahead, so that the answer's head is not waited for in vain.
        let block = vec![7; (1 << 16).min(length)];
        stream.get_mut().write_all(&block).await.unwrap();
        written += block.len();
        assert_eq!(head(&mut stream).await.unwrap().1, length);
        let (from, mut to) = tokio::io::split(stream);
        let writing = tokio::spawn(async move {
            while written < length {
                let next = block.len().min(length - written);
                to.write_all(&block[..next]).await.unwrap();
                written += next;
            }
            to
        });
        let read = tokio::io::copy(&mut from.take(length as u64), &mut tokio::io::sink()).await.unwrap();
        assert_eq!(read, length as u64);
        drop(writing.await.unwrap());
    }

    async fn websocket(&self) -> BufReader<TcpStream> {
        let mut stream = self.send("GET /ws", "Connection: Upgrade\r\nUpgrade: websocket\r\n").await;
        let (head, _) = head(&mut stream).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        stream
    }
}

fn own(server: &Server) -> Client {
    let origin = server.url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    Client::new(&format!("{origin}/.scopegate"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_any_size_goes_both_ways_in_constant_memory() {
    let service = Service::start().await;
    let server = server(&service);
    let caller = Caller::of(&server).await;
    caller.echo(4 * MIB).await;
    let before = server.peak_memory();
    let length = setting("SCOPEGATE_STREAM_MIB", 48) * MIB;
    let begun = Instant::now();
    caller.echo(length).await;
    let more = server.peak_memory() - before;
    println!("{} MiB both ways in {:?}, {} KiB more at the peak", length / MIB, begun.elapsed(), more / 1024);
    assert!(more < CONSTANT, "{more} bytes more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_stops_reading_stops_the_service_and_takes_no_memory() {
    let service = Service::start().await;
    let server = server(&service);
    let caller = Caller::of(&server).await;
    let before = server.peak_memory();
    let _silent = caller.send("GET /endless", "").await;
    let passed = service.rested().await;
    let more = server.peak_memory() - before;
    println!("{} KiB passed before it stopped, {} KiB more at the peak", passed / 1024, more / 1024);
    assert!(passed < 64 * MIB && more < CONSTANT, "{passed} bytes, {more} more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_stops_reading_stops_the_caller_and_takes_no_memory() {
    let service = Service::start().await;
    let server = server(&service);
    let caller = Caller::of(&server).await;
    let before = server.peak_memory();
    let mut stream = caller.send("POST /deaf", "Content-Length: 999999999999\r\n").await;
    let (mut written, block) = (0, vec![7; 1 << 16]);
    while let Ok(more) = tokio::time::timeout(Duration::from_secs(1), stream.get_mut().write(&block)).await {
        written += more.unwrap();
        assert!(written < 64 * MIB, "it is never stopped");
    }
    let more = server.peak_memory() - before;
    println!("{} KiB taken before it stopped, {} KiB more at the peak", written / 1024, more / 1024);
    assert!(more < CONSTANT, "{more} bytes more");
}

/// Lets this process, and what it starts, have as many sockets as are needed.
fn allow_sockets(needed: usize) {
    let (needed, limit) = (needed as u64, getrlimit(Resource::Nofile));
    let maximum = limit.maximum.map(|maximum| maximum.max(needed));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    raised.unwrap_or_else(|error| panic!("{error}: this needs {needed} open files, see `ulimit -Hn`"));
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_websockets_take_little_memory_and_are_all_cut_when_their_token_is_revoked() {
    let count = setting("SCOPEGATE_WEBSOCKETS", 300);
    allow_sockets(2 * count + 150);
    let service = Service::start().await;
    let server = server(&service);
    let caller = Caller::of(&server).await;
    let mut open = vec![caller.websocket().await];
    let before = server.memory();
    while open.len() < count {
        open.push(caller.websocket().await);
    }
    let (after, more) = (server.memory(), server.memory().saturating_sub(before) / count as u64);
    println!("{count} idle WebSockets: {} MiB resident, {more} bytes each", after >> 20);
    assert!(more < OF_WEBSOCKET, "{more} bytes each");

    let revoked = own(&server).form("/revoke", &format!("token={}", caller.token)).await;
    assert_eq!(revoked.status, 200, "{revoked:?}");
    let begun = Instant::now();
    for stream in &mut open {
        let ended = tokio::time::timeout(Duration::from_secs(10), stream.read_u8()).await;
        assert!(ended.expect("it was to be cut").is_err());
    }
    println!("all were cut {:?} after the revocation", begun.elapsed());
    // A build without optimisation, among other tests, is not what is promised.
    let promised = Duration::from_secs(if cfg!(debug_assertions) { 4 } else { 1 });
    assert!(begun.elapsed() < promised, "{:?}", begun.elapsed());
}
