//! Callers that hold all places for connections cannot keep another from being served.

use std::num::NonZeroU32;

use super::{
    http2::{Http2, get, post},
    *,
};

const PLACES: usize = 5;

fn limits() -> Limits {
    let little = Span::new(Duration::from_millis(400));
    Limits {
        connections: NonZeroU32::new(5).unwrap(),
        header_timeout: little,
        // Longer than the test may take: the connections give way.
        idle_timeout: Span::from_secs(600),
        body_timeout: little,
        send_timeout: little,
        ..Limits::default()
    }
}

/// Reads bodies, and answers without end below `/endless`.
fn endpoint() -> impl Endpoint {
    make(|mut request: Request| async move {
        let _ = request.take_body().into_vec().await;
        if request.uri().path() == "/endless" {
            let chunks = futures_util::stream::repeat_with(|| Ok::<_, io::Error>(vec![0_u8; 1 << 16]));
            return Response::builder().body(poem::Body::from_bytes_stream(chunks));
        }
        Response::builder().body("hello")
    })
}

/// Asks as a sixth caller, within a time that is long and finite.
async fn is_served(server: &Running) {
    let answer = tokio::time::timeout(Duration::from_secs(30), server.exchange(GET_AND_CLOSE)).await;
    assert!(answer.expect("locked out").ends_with("hello"));
}

/// Holds all places with connections on which these bytes are sent, and goes on sending `drip`.
async fn held_by(bytes: &'static [u8], drip: &'static [u8]) {
    let server = start(limits(), endpoint()).await;
    let mut held = Vec::new();
    for _ in 0..PLACES {
        let (reader, mut writer) = server.connect().await.into_split();
        writer.write_all(bytes).await.unwrap();
        held.push(tokio::spawn(async move {
            while writer.write_all(drip).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            drop(reader);
        }));
    }
    is_served(&server).await;
    held.iter().for_each(JoinHandle::abort);
}

/// A2: callers that send nothing.
#[tokio::test]
async fn silent_callers_lock_nobody_out() {
    held_by(b"", b"").await;
}

/// A2: callers that send a head one byte at a time.
#[tokio::test]
async fn callers_with_a_slow_head_lock_nobody_out() {
    held_by(b"GET / HTTP/1.1\r\nX: ", b"a").await;
}

/// A2: callers that keep a connection after a request, and send line ends meanwhile.
#[tokio::test]
async fn resting_callers_lock_nobody_out() {
    held_by(GET, b"\r\n").await;
}

/// A2: callers that send a body one byte at a time.
#[tokio::test]
async fn callers_with_a_slow_body_lock_nobody_out() {
    held_by(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n", b"a").await;
}

/// A2: callers that send chunks of one byte.
#[tokio::test]
async fn callers_with_slow_chunks_lock_nobody_out() {
    held_by(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n").await;
}

/// A5: callers whose trailers the framing check and hyper could read in two ways.
#[tokio::test]
async fn callers_with_ambiguous_trailers_lock_nobody_out() {
    let trailers = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: a\n\n";
    held_by(trailers, b"a").await;
}

/// A2: callers that do not read their answer.
#[tokio::test]
async fn callers_that_do_not_read_lock_nobody_out() {
    held_by(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n", b"").await;
}

/// A2: callers that begin HTTP/2 and send no request.
#[tokio::test]
async fn silent_callers_over_http2_lock_nobody_out() {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    // PING.
    held_by(preface, b"\0\0\x08\x06\0\0\0\0\0abcdefgh").await;
}

/// A2: callers over HTTP/2 whose heads have no end.
#[tokio::test]
async fn callers_with_a_slow_head_over_http2_lock_nobody_out() {
    let head = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\0\0\0\0\x01\x82";
    held_by(head, b"").await;
}

async fn held_over_http2(window: u32, request: impl Fn() -> (http::request::Builder, bool)) {
    let server = start(limits(), endpoint()).await;
    let mut held = Vec::new();
    for _ in 0..PLACES {
        let mut client = Http2::connect(&server, window).await;
        let (request, has_body) = request();
        let streams = client.send(request, has_body);
        held.push((client, streams));
    }
    is_served(&server).await;
}

/// A2: callers over HTTP/2 that send no body, and answer PINGs.
#[tokio::test]
async fn callers_without_their_body_over_http2_lock_nobody_out() {
    held_over_http2(65_535, || (post(), true)).await;
}

/// A2: callers over HTTP/2 that grant no window.
#[tokio::test]
async fn callers_without_a_window_over_http2_lock_nobody_out() {
    held_over_http2(0, || (http::Request::get("http://a/endless"), false)).await;
}

/// A2: callers over HTTP/2 that keep their connection after a request.
#[tokio::test]
async fn resting_callers_over_http2_lock_nobody_out() {
    held_over_http2(65_535, || (get(), false)).await;
}

/// A2: callers that send one request after another on connections that they keep.
#[tokio::test]
async fn busy_callers_lock_nobody_out() {
    held_by(GET, GET).await;
}
