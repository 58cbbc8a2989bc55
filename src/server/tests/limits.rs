//! Limits of bytes and time over HTTP/1.1, and limits of a peer.

use std::num::NonZeroU32;

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
async fn cuts_a_connection_whose_head_has_no_end() {
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
async fn cuts_a_silent_connection() {
    let server = start(short(|limits| limits.header_timeout = SOON), hello()).await;
    assert_eq!(server.exchange(b"").await, "");
}

#[tokio::test]
async fn a_connection_at_rest_is_closed() {
    let server = start(short(|limits| limits.idle_timeout = SOON), hello()).await;
    assert!(server.exchange(GET).await.ends_with("hello"));
}

#[tokio::test]
async fn a_slow_endpoint_does_not_end_the_connection() {
    let limits = short(|limits| (limits.header_timeout, limits.idle_timeout) = (SOON, SOON));
    let slow = make(|_: Request| async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        "hello"
    });
    let server = start(limits, slow).await;
    assert!(server.exchange(GET).await.ends_with("hello"));
}

#[tokio::test]
async fn cuts_a_connection_that_accepts_no_bytes() {
    let server = start(short(|limits| limits.send_timeout = SOON), endless()).await;
    let mut stream = server.connect().await;
    stream.write_all(GET).await.unwrap();
    server.shutdown.drain();
    assert_eq!(server.served.await.unwrap(), Outcome { cut: 0 });
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_place() {
    let server = start(short(|limits| limits.connections = NonZeroU32::MIN), hello()).await;
    let first = server.connect().await;
    let mut second = server.connect().await;
    second.write_all(GET_AND_CLOSE).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(50), second.readable()).await;
    assert!(early.is_err(), "served beyond the limit");
    drop(first);
    assert!(read_to_end(&mut second).await.ends_with("hello"));
}

/// A2: a body whose caller pauses over HTTP/1.1 is answered 408.
#[tokio::test]
async fn a_body_that_stops_is_answered_408() {
    let server = start(short(|limits| limits.body_timeout = SOON), takes_all()).await;
    let answer = server.exchange(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc").await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("slow_body"), "{answer}");
}

/// A2: a body that drips over HTTP/1.1 is answered 408, however short its pauses are.
#[tokio::test]
async fn a_body_that_drips_is_answered_408() {
    let server = start(short(|limits| limits.body_timeout = SOON), takes_all()).await;
    let (mut reader, mut writer) = server.connect().await.into_split();
    writer.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n").await.unwrap();
    let drip = tokio::spawn(async move {
        while writer.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let answer = read_to_end(&mut reader).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("slow_body"), "{answer}");
    drip.abort();
}

/// A2: a caller that accepts a few bytes of a response now and then is cut over HTTP/1.1.
#[tokio::test]
async fn a_response_that_is_received_too_slowly_is_cut() {
    let limits = short(|limits| {
        limits.send_timeout = Span::new(Duration::from_millis(300));
        limits.minimum_rate = ByteSize::new(1 << 40);
    });
    let server = start(limits, endless()).await;
    let mut stream = server.connect().await;
    stream.write_all(GET).await.unwrap();
    let mut some = vec![0; 1 << 20];
    while stream.read(&mut some).await.is_ok_and(|read| read > 0) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A2b: a head with more than `header_fields` fields is 431 over HTTP/1.1, below hyper's own limit and above it.
#[tokio::test]
async fn a_head_with_too_many_fields_is_refused() {
    for most in [20, 150] {
        let server = start(short(|limits| limits.header_fields = most.try_into().unwrap()), hello()).await;
        for (more, status) in [(0, "200"), (1, "431")] {
            let fields: Vec<String> = (0..most + more - 2).map(|field| format!("X{field}: a\r\n")).collect();
            let fields = fields.concat();
            let request = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n");
            let answer = server.exchange(request.as_bytes()).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{most} and {more}: {answer}");
        }
    }
}

/// A2: a peer that has as many connections in use as it may have gets no other one.
#[tokio::test]
async fn connections_of_one_peer_are_limited() {
    let server = start(short(|limits| limits.connections_per_peer = NonZeroU32::MIN), never()).await;
    let mut first = server.connect().await;
    first.write_all(GET).await.unwrap();
    let mut second = server.connect().await;
    let _ = second.write_all(GET).await;
    assert_eq!(read_to_end(&mut second).await, "");
}

/// A2: trusted proxies, which many callers share, are exempt from the limits of a peer.
#[tokio::test]
async fn an_exempt_peer_may_have_more_connections() {
    let limits = short(|limits| limits.connections_per_peer = NonZeroU32::MIN);
    let bound = Bound::bind(&ListenerSettings { limits, ..ListenerSettings::default() }).await.unwrap();
    let Listen::Tcp(address) = *bound.local_addr() else { unreachable!("a TCP listener was asked for") };
    let loopback = bound.exempting(|peer| peer.is_loopback());
    tokio::spawn(loopback.serve(hello(), Shutdown::new()));
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(GET).await.unwrap();
        read_response(&mut stream).await;
        streams.push(stream);
    }
}

/// CASES C17: the error of an address in use names the configuration key and what to do.
#[tokio::test]
async fn an_address_in_use_names_the_key() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = Listen::Tcp(taken.local_addr().unwrap());
    let settings = ListenerSettings { key: "server.listen", listen, ..ListenerSettings::default() };
    let error = Bound::bind(&settings).await.unwrap_err().to_string();
    assert!(error.starts_with("`server.listen`: cannot listen on `127.0.0.1:"), "{error}");
    assert!(error.contains("another program listens there"), "{error}");
}
