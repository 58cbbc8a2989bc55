//! Limits of each request over HTTP/2.

use std::num::NonZeroU32;

use bytes::Bytes;
use h2::{
    Reason, RecvStream, SendStream,
    client::{ResponseFuture, SendRequest},
};

use super::*;

/// A client's side of one HTTP/2 connection.
pub(super) struct Http2 {
    sender: SendRequest<Bytes>,
    pub(super) connection: JoinHandle<Result<(), h2::Error>>,
}

impl Http2 {
    /// Connects, with a window of so many bytes for each response.
    pub(super) async fn connect(server: &Running, window: u32) -> Self {
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(window);
        let (sender, connection) = builder.handshake(server.connect().await).await.unwrap();
        Self { sender: sender.ready().await.unwrap(), connection: tokio::spawn(connection) }
    }

    /// Sends a head. The body follows on the stream, unless there is none.
    pub(super) fn send(
        &mut self,
        request: http::request::Builder,
        has_body: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        self.sender.send_request(request.body(()).unwrap(), !has_body).unwrap()
    }
}

pub(super) fn get() -> http::request::Builder {
    http::Request::get("http://a/")
}

pub(super) fn post() -> http::request::Builder {
    http::Request::post("http://a/")
}

/// Reads a body to its end, or to the reset of its stream.
async fn read(mut body: RecvStream) -> Result<usize, Option<Reason>> {
    let mut length = 0;
    while let Some(data) = body.data().await {
        let data = data.map_err(|error| error.reason())?;
        length += data.len();
        let _ = body.flow_control().release_capacity(data.len());
    }
    Ok(length)
}

const WINDOW: u32 = 65_535;

/// A2: a body whose caller pauses over HTTP/2 is answered 408.
#[tokio::test]
async fn a_body_that_stops_is_answered_408() {
    let server = start(short(|limits| limits.body_timeout = SOON), takes_all()).await;
    let mut client = Http2::connect(&server, WINDOW).await;
    let (answer, mut body) = client.send(post(), true);
    body.send_data("abc".into(), false).unwrap();
    assert_eq!(answer.await.unwrap().status(), 408);
}

/// A2: a body that drips over HTTP/2 is answered 408, however short its pauses are.
#[tokio::test]
async fn a_body_that_drips_is_answered_408() {
    let server = start(short(|limits| limits.body_timeout = SOON), takes_all()).await;
    let mut client = Http2::connect(&server, WINDOW).await;
    let (answer, mut body) = client.send(post(), true);
    let drip = async {
        while body.send_data("a".into(), false).is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        std::future::pending::<()>().await;
    };
    let status = tokio::select! {
        answer = answer => answer.unwrap().status(),
        () = drip => unreachable!("it has no end"),
    };
    assert_eq!(status, 408);
}

/// A2: the stream of a caller that grants no window is reset, and the connection serves other streams.
#[tokio::test]
async fn a_response_without_a_window_is_reset() {
    let server = start(short(|limits| limits.send_timeout = SOON), endless()).await;
    let mut client = Http2::connect(&server, 0).await;
    for _ in 0..2 {
        let (answer, _) = client.send(get(), false);
        let answer = answer.await.unwrap();
        assert_eq!(read(answer.into_body()).await, Err(Some(Reason::CANCEL)));
    }
}

/// A2: the stream of a caller that grants a byte of window now and then is reset.
#[tokio::test]
async fn a_response_that_is_received_too_slowly_is_reset() {
    let server = start(short(|limits| limits.send_timeout = SOON), endless()).await;
    let mut client = Http2::connect(&server, 1).await;
    let (answer, _) = client.send(get(), false);
    let mut body = answer.await.unwrap().into_body();
    let error = loop {
        match body.data().await {
            Some(Ok(data)) => {
                tokio::time::sleep(Duration::from_millis(10)).await;
                let _ = body.flow_control().release_capacity(data.len());
            }
            ended => break ended,
        }
    };
    assert_eq!(error.unwrap().unwrap_err().reason(), Some(Reason::CANCEL));
}

/// A2: a connection whose streams have all ended is at rest, though it answers PINGs, and is closed.
#[tokio::test]
async fn a_connection_without_a_request_is_closed() {
    let server = start(short(|limits| limits.idle_timeout = SOON), hello()).await;
    let mut client = Http2::connect(&server, WINDOW).await;
    let (answer, _) = client.send(get(), false);
    assert_eq!(read(answer.await.unwrap().into_body()).await, Ok(5));
    assert!(client.connection.await.unwrap().is_ok());
}

/// A2b: a head with more than `header_fields` fields is 431 over HTTP/2.
#[tokio::test]
async fn a_head_with_too_many_fields_is_refused() {
    let server = start(short(|limits| limits.header_fields = NonZeroU32::new(20).unwrap()), hello()).await;
    let mut client = Http2::connect(&server, WINDOW).await;
    for (fields, status) in [(20, 200), (21, 431)] {
        let request = (0..fields).fold(get(), |request, field| request.header(format!("x{field}"), ""));
        assert_eq!(client.send(request, false).0.await.unwrap().status(), status);
    }
}

/// A2b: the heads of all requests in flight on a connection have a limit in common, and count until their answers end.
#[tokio::test]
async fn the_heads_in_flight_on_a_connection_are_limited() {
    let answered = Arc::new(tokio::sync::Semaphore::new(0));
    let waits = make({
        let answered = Arc::clone(&answered);
        move |_: Request| {
            let answered = Arc::clone(&answered);
            async move { drop(answered.acquire().await.map(tokio::sync::SemaphorePermit::forget)) }
        }
    });
    let server = start(short(|limits| limits.headers_per_connection = ByteSize::new(5000)), waits).await;
    let mut client = Http2::connect(&server, WINDOW).await;
    let large = || get().header("x", "a".repeat(2000));
    let first = client.send(large(), false).0;
    let second = client.send(large(), false).0;
    assert_eq!(client.send(large(), false).0.await.unwrap().status(), 429);
    answered.add_permits(3);
    assert_eq!(
        (first.await.unwrap().status(), second.await.unwrap().status()),
        (200.try_into().unwrap(), 200.try_into().unwrap())
    );
    assert_eq!(client.send(large(), false).0.await.unwrap().status(), 200);
}

/// A2b: the heads of all requests in flight of one peer have a limit in common, whatever the number of connections.
#[tokio::test]
async fn the_heads_in_flight_of_a_peer_are_limited() {
    let server = start(short(|limits| limits.headers_per_peer = ByteSize::new(5000)), never()).await;
    let large = || get().header("x", "a".repeat(2000));
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = Http2::connect(&server, WINDOW).await;
        let answer = client.send(large(), false).0;
        clients.push((client, answer));
    }
    let mut third = Http2::connect(&server, WINDOW).await;
    // The server reads each connection when it wants to: one of the three is refused.
    let (first, second) = clients.split_at_mut(1);
    let refused = tokio::select! {
        refused = third.send(large(), false).0 => refused,
        refused = &mut first[0].1 => refused,
        refused = &mut second[0].1 => refused,
    };
    assert_eq!(refused.unwrap().status(), 429);
}

/// A2: the unfinished bodies of one peer have a limit.
#[tokio::test]
async fn the_unfinished_bodies_of_a_peer_are_limited() {
    let server = start(short(|limits| limits.bodies_per_peer = NonZeroU32::MIN), takes_all()).await;
    let mut client = Http2::connect(&server, WINDOW).await;
    let (first, mut body) = client.send(post(), true);
    let (second, _unfinished) = client.send(post(), true);
    assert_eq!(second.await.unwrap().status(), 429);
    body.send_data("a".into(), true).unwrap();
    assert_eq!(first.await.unwrap().status(), 200);
    let (third, mut body) = client.send(post(), true);
    body.send_data("a".into(), true).unwrap();
    assert_eq!(third.await.unwrap().status(), 200);
}

/// A13: a body that the endpoint does not read stops no other body of its connection.
#[tokio::test]
async fn a_body_that_is_not_read_stops_no_other() {
    let reads_some = make(|mut request: Request| async move {
        if request.uri().path() == "/unread" {
            std::future::pending::<()>().await;
        }
        request.take_body().into_vec().await.map(|body| body.len().to_string()).unwrap_or_default()
    });
    let server = start(short(|limits| limits.streams = NonZeroU32::new(20).unwrap()), reads_some).await;
    let mut client = Http2::connect(&server, WINDOW).await;
    let mut unread = Vec::new();
    for _ in 0..19 {
        let (answer, mut body) = client.send(http::Request::post("http://a/unread"), true);
        body.send_data(vec![b'a'; 1 << 20].into(), false).unwrap();
        unread.push((answer, body));
    }
    let (answer, mut body) = client.send(post(), true);
    body.send_data(vec![b'a'; 1 << 20].into(), true).unwrap();
    assert_eq!(read(answer.await.unwrap().into_body()).await, Ok("1048576".len()));
}

/// CASES P11: six requests whose small bodies the endpoint does not read end without a reset.
#[tokio::test]
async fn the_small_body_of_a_refused_request_is_read_before_the_stream_ends() {
    let refuses = make(|_: Request| async { (http::StatusCode::FORBIDDEN, "no") });
    let server = start(Limits::default(), refuses).await;
    let mut client = Http2::connect(&server, WINDOW).await;
    let mut requests: Vec<_> = (0..6).map(|_| client.send(post(), true)).collect();
    for (answer, body) in &mut requests {
        assert_eq!(answer.await.unwrap().status(), 403);
        body.send_data("a".repeat(100).into(), false).unwrap();
    }
    for (_, body) in &mut requests {
        body.send_data("a".repeat(100).into(), true).unwrap();
    }
    // A reset would have come before the answer to this.
    let (answer, _) = client.send(get(), false);
    assert_eq!(answer.await.unwrap().status(), 403);
    for (_, body) in &mut requests {
        let reset = std::future::poll_fn(|cx| std::task::Poll::Ready(body.poll_reset(cx)));
        assert!(reset.await.is_pending());
    }
}

/// CASES P11: a large body is refused as the protocol says: a complete answer, then a reset with `NO_ERROR`.
#[tokio::test]
async fn the_large_body_of_a_refused_request_is_not_read() {
    let refuses = make(|_: Request| async { (http::StatusCode::FORBIDDEN, "no") });
    let server = start(Limits::default(), refuses).await;
    let mut client = Http2::connect(&server, WINDOW).await;
    let (answer, mut body) = client.send(post().header("content-length", 1 << 20), true);
    let answer = answer.await.unwrap();
    assert_eq!((answer.status().as_u16(), read(answer.into_body()).await), (403, Ok(2)));
    let reset = std::future::poll_fn(|cx| body.poll_reset(cx)).await;
    assert_eq!(reset.unwrap(), Reason::NO_ERROR);
}
