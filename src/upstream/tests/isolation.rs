//! Callers of one upstream that share its HTTP/2 connections, and cannot hinder each other.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{super::*, support::*};

/// Longer than anything takes that is not stuck.
const PATIENCE: Duration = Duration::from_secs(20);

const LARGE: usize = 8 << 20;

/// An HTTP/2 upstream that allows this many streams on a connection. `/large` is answered by many bytes, `/echo` by
/// its body, `/deaf` never, `/ends` once its body has ended, anything else at once; no other body is read.
async fn http2_upstream(connections: &Counter, resets: &Counter, streams: u32) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (connections, resets) = (connections.clone(), resets.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            connections.add(1);
            let resets = resets.clone();
            let service = service_fn(move |request| answer(request, resets.clone()));
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.max_concurrent_streams(streams);
            tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

async fn answer(
    request: http::Request<Incoming>,
    resets: Counter,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = match request.uri().path() {
        "/large" => Bytes::from(vec![b'x'; LARGE]),
        "/echo" => {
            request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default()
        }
        "/deaf" => std::future::pending().await,
        _ => {
            // The body is kept, unread, until the caller's stream ends.
            let mut body = request.into_body();
            tokio::spawn(async move {
                while let Some(Ok(_)) = body.frame().await {}
                resets.add(1);
            });
            Bytes::from_static(b"hello")
        }
    };
    Ok(Response::new(Full::new(body)))
}

async fn front(address: SocketAddr) -> Front {
    proxy_to(UpstreamSettings { protocol: Protocol::Http2, ..at(address) }).await
}

/// Sends a request and leaves its response unread.
async fn send(front: &Front, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(front.0).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("{what} is stuck"))
}

/// A1: callers that do not read their responses use up no window that others need.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_do_not_read_hold_up_no_other() {
    let connections = Counter::default();
    let front = front(http2_upstream(&connections, &Counter::default(), 200).await).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(send(&front, "GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await);
    }
    for stream in &mut silent {
        // The response has begun, and is held up by its caller.
        soon("a head", stream.read_exact(&mut [0; 64])).await.unwrap();
    }
    for _ in 0..3 {
        let body =
            soon("a download", async { client().get(front.url("/large")).send().await?.bytes().await });
        assert_eq!(body.await.unwrap().len(), LARGE);
    }
    assert_eq!(connections.get(), 1);
}

/// A3: callers that never end their bodies hold no stream once their responses are complete, and no other is kept
/// waiting by those that are not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_never_end_their_bodies_hold_up_no_other() {
    let (connections, resets) = (Counter::default(), Counter::default());
    let front = front(http2_upstream(&connections, &resets, 2).await).await;
    let mut unfinished = Vec::new();
    for path in ["/", "/", "/", "/deaf", "/deaf", "/deaf"] {
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
        unfinished.push(send(&front, &head).await);
    }
    for stream in unfinished.iter_mut().take(3) {
        assert!(soon("an answer", read_head(stream)).await.unwrap().starts_with("HTTP/1.1 200"));
    }
    soon("a reset", async {
        while resets.get() < 3 {
            tokio::time::sleep(SOON / 8).await;
        }
    })
    .await;
    for _ in 0..8 {
        assert!(soon("a request", front.get("/")).await.ends_with("hello"));
    }
}

/// A1, A3: uploads that the upstream does not read use up no window that other uploads need.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_that_are_not_read_hold_up_no_other() {
    let connections = Counter::default();
    let front = front(http2_upstream(&connections, &Counter::default(), 200).await).await;
    let mut stalled = Vec::new();
    for _ in 0..5 {
        let head = format!("POST /deaf HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n");
        let mut stream = send(&front, &head).await;
        let block = vec![b'x'; 1 << 17];
        let _ = timeout(SOON, stream.write_all(&block)).await;
        stalled.push(stream);
    }
    for size in [100, LARGE] {
        let sending = client().post(front.url("/echo")).body(vec![b'y'; size]).send();
        let answer = soon("an upload", async { sending.await?.bytes().await }).await.unwrap();
        assert_eq!(answer.len(), size);
    }
}

#[tokio::test]
async fn small_bodies_share_a_connection() {
    let connections = Counter::default();
    let front = front(http2_upstream(&connections, &Counter::default(), 200).await).await;
    let client = client();
    for _ in 0..5 {
        let answer = client.post(front.url("/echo")).body("small").send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "small");
    }
    assert_eq!(connections.get(), 1);
}

/// A3: more exchanges than the upstream allows streams open further connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_further_connection_is_made_when_streams_run_out() {
    let connections = Counter::default();
    let front = front(http2_upstream(&connections, &Counter::default(), 1).await).await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(send(&front, "GET /deaf HTTP/1.1\r\nHost: a\r\n\r\n").await);
        assert!(soon("a request", front.get("/")).await.ends_with("hello"));
    }
    assert!(connections.get() >= 4, "{} connections", connections.get());
}
