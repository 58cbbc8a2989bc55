//! What a caller may take, of bytes and of time.

use super::*;

#[tokio::test]
async fn a_head_beyond_the_limit_is_refused() {
    let limits = Limits { headers: ByteSize::new(8192), ..Limits::default() };
    let server = start(limits, hello()).await;
    let long = "a".repeat(9000);
    let answer = server.exchange(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn who_never_finishes_a_head_is_cut() {
    let server = start(short(|limits| limits.header_timeout = SOON), hello()).await;
    let mut stream = server.connect().await;
    let trickle = async {
        loop {
            if stream.write_all(b"X").await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), trickle).await.expect("it was to be cut");
}

#[tokio::test]
async fn who_says_nothing_at_all_is_cut() {
    let server = start(short(|limits| limits.header_timeout = SOON), hello()).await;
    assert_eq!(server.exchange(b"").await, "");
}

#[tokio::test]
async fn a_connection_at_rest_is_closed() {
    let server = start(short(|limits| limits.idle_timeout = SOON), hello()).await;
    assert!(server.exchange(GET).await.ends_with("hello"));
}

#[tokio::test]
async fn a_slow_endpoint_is_not_the_callers_fault() {
    let limits = short(|limits| (limits.header_timeout, limits.idle_timeout) = (SOON, SOON));
    let slow = make(|_: Request| async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        "hello"
    });
    let server = start(limits, slow).await;
    assert!(server.exchange(GET).await.ends_with("hello"));
}

#[tokio::test]
async fn who_takes_no_bytes_is_cut() {
    let endless = make(|_: Request| async {
        let chunks = futures_util::stream::repeat_with(|| Ok::<_, io::Error>(vec![0_u8; 1 << 16]));
        Response::builder().body(poem::Body::from_bytes_stream(chunks))
    });
    let server = start(short(|limits| limits.send_timeout = SOON), endless).await;
    let mut stream = server.connect().await;
    stream.write_all(GET).await.unwrap();
    server.shutdown.drain();
    assert_eq!(server.served.await.unwrap(), Outcome { cut: 0 });
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_place() {
    let server = start(short(|limits| limits.connections = std::num::NonZeroU32::MIN), hello()).await;
    let first = server.connect().await;
    let mut second = server.connect().await;
    second.write_all(GET_AND_CLOSE).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(50), second.readable()).await;
    assert!(early.is_err(), "served beyond the limit");
    drop(first);
    assert!(read_to_end(&mut second).await.ends_with("hello"));
}

#[tokio::test]
async fn who_stops_in_the_middle_of_a_body_is_cut() {
    let takes_all = make(|mut request: Request| async move {
        let _ = request.take_body().into_vec().await;
        "hello"
    });
    let server = start(short(|limits| limits.body_timeout = SOON), takes_all).await;
    let answer = server.exchange(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc").await;
    assert!(!answer.contains("hello"), "{answer}");
}
