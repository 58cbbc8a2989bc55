//! The end of a server.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

#[tokio::test]
async fn finishes_requests_in_flight_when_it_drains() {
    let calls = Arc::new(AtomicUsize::new(0));
    let slow = make({
        let calls = Arc::clone(&calls);
        move |_: Request| {
            calls.fetch_add(1, Ordering::Relaxed);
            async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                "hello"
            }
        }
    });
    let server = start(Limits::default(), slow).await;
    let mut stream = server.connect().await;
    stream.write_all(GET).await.unwrap();
    while calls.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    server.shutdown.drain();
    let answer = read_to_end(&mut stream).await;
    assert!(answer.contains("connection: close") && answer.ends_with("hello"), "{answer}");
    assert_eq!(server.served.await.unwrap(), Outcome { cut: 0 });
}

#[tokio::test]
async fn a_request_on_its_way_to_a_resting_connection_is_answered_when_the_server_drains() {
    let server = start(Limits::default(), hello()).await;
    let mut stream = server.connect().await;
    stream.write_all(GET).await.unwrap();
    read_response(&mut stream).await;
    server.shutdown.drain();
    tokio::time::sleep(Duration::from_millis(50)).await;
    stream.write_all(GET).await.unwrap();
    assert!(read_to_end(&mut stream).await.ends_with("hello"));
    assert_eq!(server.served.await.unwrap(), Outcome { cut: 0 });
}

#[tokio::test]
async fn serves_connections_that_were_not_accepted_when_it_drains() {
    let bound = Bound::bind(&ListenerSettings::default()).await.unwrap();
    let Listen::Tcp(address) = *bound.local_addr() else { unreachable!("a TCP listener was asked for") };
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(GET).await.unwrap();
    let shutdown = Shutdown::new();
    shutdown.drain();
    let served = tokio::spawn(bound.serve(hello(), shutdown));
    assert!(read_to_end(&mut stream).await.ends_with("hello"));
    assert_eq!(served.await.unwrap(), Outcome { cut: 0 });
}

#[tokio::test]
async fn cuts_and_counts_requests_that_do_not_end_in_time() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let never = make(move |_: Request| {
        counted.fetch_add(1, Ordering::Relaxed);
        std::future::pending::<&str>()
    });
    let server = start(Limits::default(), never).await;
    let mut stream = server.connect().await;
    stream.write_all(GET).await.unwrap();
    while calls.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    server.shutdown.drain();
    server.shutdown.cut();
    assert_eq!(server.served.await.unwrap(), Outcome { cut: 1 });
    assert_eq!(read_to_end(&mut stream).await, "");
}

#[tokio::test]
async fn serves_requests_and_closes_connections_while_it_leaves() {
    let server = start(Limits::default(), hello()).await;
    server.shutdown.leave();
    let answer = server.exchange(GET).await;
    assert!(answer.contains("connection: close") && answer.ends_with("hello"), "{answer}");
}

/// D8: every connection of the system's queue is accepted before the listener closes, however many there are.
#[tokio::test]
async fn the_whole_queue_is_served_when_the_server_drains() {
    let bound = Bound::bind(&ListenerSettings::default()).await.unwrap();
    let Listen::Tcp(address) = *bound.local_addr() else { unreachable!("a TCP listener was asked for") };
    let mut streams = Vec::new();
    for _ in 0..300 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(GET).await.unwrap();
        streams.push(stream);
    }
    let shutdown = Shutdown::new();
    shutdown.drain();
    let served = tokio::spawn(bound.serve(hello(), shutdown));
    for mut stream in streams {
        assert!(read_to_end(&mut stream).await.ends_with("hello"));
    }
    assert_eq!(served.await.unwrap(), Outcome { cut: 0 });
}

/// D8: the queue is served beyond the limit of connections too.
#[tokio::test]
async fn the_queue_is_served_when_the_server_drains_though_every_place_is_taken() {
    let limits = short(|limits| limits.connections = std::num::NonZeroU32::MIN);
    let server = start(limits, never()).await;
    let mut first = server.connect().await;
    first.write_all(GET).await.unwrap();
    let mut second = server.connect().await;
    second.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    server.shutdown.drain();
    let refused = read_to_end(&mut second).await;
    server.shutdown.cut();
    assert_eq!(server.served.await.unwrap().cut, 1, "{refused}");
}

/// D8: a connection whose request has not arrived when the server drains is served.
#[tokio::test]
async fn a_request_on_its_way_to_a_new_connection_is_answered_when_the_server_drains() {
    let server = start(Limits::default(), hello()).await;
    let mut stream = server.connect().await;
    server.shutdown.drain();
    tokio::time::sleep(Duration::from_millis(50)).await;
    stream.write_all(GET).await.unwrap();
    assert!(read_to_end(&mut stream).await.ends_with("hello"));
    assert_eq!(server.served.await.unwrap(), Outcome { cut: 0 });
}
