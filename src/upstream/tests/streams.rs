//! What stays open.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use http::StatusCode;
use poem::{Request, Response, endpoint::make};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{super::*, support::*};

/// An upstream that changes to a protocol in which it repeats what it is told.
async fn echo() -> std::net::SocketAddr {
    scripted(&Counter::default(), |mut stream| async move {
        let head = read_head(&mut stream).await.unwrap();
        assert!(head.contains("upgrade: websocket") && head.contains("connection: upgrade"), "{head}");
        let switching = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n";
        stream.write_all(switching).await.unwrap();
        let (mut from, mut to) = stream.split();
        let _ = tokio::io::copy(&mut from, &mut to).await;
    })
    .await
}

async fn websocket(front: &Front) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(front.0).await.unwrap();
    let head = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let head = read_head(&mut stream).await.unwrap();
    (stream, head)
}

/// A signal that fires after a time.
struct After(Duration);

impl AbortSignal for After {
    fn aborted(&self) -> BoxFuture<'static, Aborted> {
        let after = self.0;
        async move {
            tokio::time::sleep(after).await;
            "its time is over".into()
        }
        .boxed()
    }
}

fn ends_in(after: Duration) -> Arc<dyn AbortSignal> {
    Arc::new(After(after))
}

#[tokio::test]
async fn a_websocket_goes_both_ways() {
    let front = proxy_to(at(echo().await)).await;
    let (mut stream, head) = websocket(&front).await;
    assert!(head.starts_with("HTTP/1.1 101") && head.contains("sec-websocket-accept: x"), "{head}");
    for message in ["one", "two"] {
        stream.write_all(message.as_bytes()).await.unwrap();
        let mut answer = [0; 3];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, message.as_bytes());
    }
}

#[tokio::test]
async fn a_websocket_that_the_upstream_refuses_is_its_answer() {
    let upstream = raw(|_| b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno".to_vec()).await;
    let front = proxy_to(at(upstream)).await;
    let (_, head) = websocket(&front).await;
    assert!(head.starts_with("HTTP/1.1 403"), "{head}");
}

#[tokio::test]
async fn a_websocket_ends_when_its_signal_fires() {
    let front = guarded_proxy_to(at(echo().await), || Some(ends_in(SOON * 4))).await;
    let (mut stream, head) = websocket(&front).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap_or(0), 0);
}

/// An upstream whose answer never ends, and which says how many chunks were taken.
async fn endless(chunks: &Counter, pause: Duration) -> std::net::SocketAddr {
    let chunks = chunks.clone();
    serve(make(move |_: Request| {
        let chunks = chunks.clone();
        async move {
            let events = futures_util::stream::unfold((), move |()| {
                let chunks = chunks.clone();
                async move {
                    tokio::time::sleep(pause).await;
                    chunks.add(1);
                    Some((Ok::<_, io::Error>(vec![b'e'; 1 << 14]), ()))
                }
            });
            Response::builder().content_type("text/event-stream").body(poem::Body::from_bytes_stream(events))
        }
    }))
    .await
}

#[tokio::test]
async fn events_come_as_they_happen() {
    let front = proxy_to(at(endless(&Counter::default(), SOON / 4).await)).await;
    let mut answer = client().get(front.url("/events")).send().await.unwrap();
    for _ in 0..3 {
        assert!(!answer.chunk().await.unwrap().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_stream_of_events_ends_when_its_signal_fires() {
    let upstream = endless(&Counter::default(), SOON / 4).await;
    let front = guarded_proxy_to(at(upstream), || Some(ends_in(SOON * 4))).await;
    let answer = client().get(front.url("/events")).send().await.unwrap();
    let body = tokio::time::timeout(Duration::from_secs(5), answer.bytes()).await;
    assert!(body.expect("it was to be cut").is_err());
}

#[tokio::test]
async fn a_stream_that_never_pauses_ends_when_its_signal_fires() {
    let upstream = endless(&Counter::default(), Duration::ZERO).await;
    let front = guarded_proxy_to(at(upstream), || Some(ends_in(SOON * 4))).await;
    let mut answer = client().get(front.url("/")).send().await.unwrap();
    let drained = async { while let Ok(Some(_)) = answer.chunk().await {} };
    tokio::time::timeout(Duration::from_secs(5), drained).await.expect("it was to be cut");
}

#[tokio::test]
async fn a_grpc_call_whose_response_has_not_begun_is_aborted() {
    let upstream = serve(make(|_: Request| std::future::pending::<Response>())).await;
    let front = guarded_proxy_to(at(upstream), || Some(ends_in(SOON))).await;
    let call = client().post(front.url("/")).header("content-type", "application/grpc").send().await;
    assert_eq!(call.unwrap().status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_caller_that_stops_reading_stops_the_upstream() {
    let chunks = Counter::default();
    let front = proxy_to(at(endless(&chunks, Duration::ZERO).await)).await;
    let mut stream = TcpStream::connect(front.0).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut before = 0;
    loop {
        tokio::time::sleep(SOON).await;
        if chunks.get() == before {
            break;
        }
        before = chunks.get();
    }
    assert!(before > 0 && before < 64 * 64, "{before} chunks were taken");
}
