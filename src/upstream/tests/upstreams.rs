//! Upstreams that break off, lie, or are several.

use http::StatusCode;
use poem::{Request, endpoint::make};
use scopegate_provider::Span;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{super::*, support::*};

#[tokio::test]
async fn a_connection_that_ended_while_it_was_idle_is_replaced_whatever_the_method() {
    let upstream = scripted(&Counter::default(), |mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(OK).await.unwrap();
    })
    .await;
    let front = proxy_to(at(upstream)).await;
    for _ in 0..5 {
        let answer = client().post(front.url("/")).send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "hello");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// Answers the first request of a connection and ends the connection at the second.
async fn ends_at_the_second(connections: &Counter) -> std::net::SocketAddr {
    scripted(connections, |mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(OK).await.unwrap();
        read_head(&mut stream).await;
    })
    .await
}

/// A7: a request that was written is not sent again, whatever its method.
#[tokio::test]
async fn a_request_that_was_written_is_not_sent_again() {
    for method in ["GET", "PUT", "DELETE"] {
        let connections = Counter::default();
        let front = proxy_to(at(ends_at_the_second(&connections).await)).await;
        assert!(front.get("/").await.ends_with("hello"));
        let request = format!("{method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert!(front.raw(&request).await.starts_with("HTTP/1.1 502"), "{method}");
        assert_eq!(connections.get(), 1, "{method}");
    }
}

#[tokio::test]
async fn a_request_that_may_have_been_acted_on_is_not_sent_twice() {
    let connections = Counter::default();
    let front = proxy_to(at(ends_at_the_second(&connections).await)).await;
    assert!(front.get("/").await.ends_with("hello"));
    let answer = client().post(front.url("/")).body("pay").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(connections.get(), 1);
}

#[tokio::test]
async fn an_upstream_that_ends_every_connection_without_an_answer_is_502() {
    let upstream = scripted(&Counter::default(), |mut stream| async move {
        read_head(&mut stream).await;
    })
    .await;
    let front = proxy_to(at(upstream)).await;
    assert_eq!(front.status("/").await, StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn what_is_no_http_is_502() {
    let front = proxy_to(at(raw(|_| b"SSH-2.0-OpenSSH_9.6\r\n\r\n".to_vec()).await)).await;
    assert_eq!(front.status("/").await, StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn a_body_that_breaks_off_breaks_off_for_the_caller_too() {
    let upstream = scripted(&Counter::default(), |mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello").await.unwrap();
    })
    .await;
    let front = proxy_to(at(upstream)).await;
    let whole = async { client().get(front.url("/")).send().await?.bytes().await };
    assert!(whole.await.is_err(), "a whole body was made of a broken one");
}

#[tokio::test]
async fn an_answer_that_nobody_asked_for_reaches_nobody() {
    let upstream = raw(|request| {
        let own = format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}", &request[5..10]);
        [own.as_bytes(), b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret"].concat()
    })
    .await;
    let front = proxy_to(at(upstream)).await;
    for request in 0..20 {
        let answer = front.get(&format!("/id{request:03}")).await;
        assert!(answer.ends_with(&format!("id{request:03}")), "{answer}");
    }
}

#[tokio::test]
async fn an_answer_that_its_caller_did_not_wait_for_reaches_nobody_else() {
    let upstream = scripted(&Counter::default(), |mut stream| async move {
        while let Some(head) = read_head(&mut stream).await {
            if head.starts_with("GET /slow") {
                tokio::time::sleep(SOON).await;
            }
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}", &head[5..10]);
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    })
    .await;
    let front = proxy_to(at(upstream)).await;
    for _ in 0..5 {
        let mut stream = tokio::net::TcpStream::connect(front.0).await.unwrap();
        stream.write_all(b"GET /slow1 HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        tokio::time::sleep(SOON / 4).await;
        drop(stream);
        assert!(front.get("/mine1").await.ends_with("mine1"));
    }
}

#[tokio::test]
async fn an_upload_that_takes_longer_than_an_answer_may_is_not_cut() {
    let upstream = serve(make(|mut request: Request| async move {
        request.take_body().into_vec().await.map(|body| body.len().to_string()).unwrap_or_default()
    }))
    .await;
    let front = proxy_to(UpstreamSettings { response_timeout: Span::new(SOON), ..at(upstream) }).await;
    let mut stream = tokio::net::TcpStream::connect(front.0).await.unwrap();
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 10\r\n\r\n";
    stream.write_all(head).await.unwrap();
    for _ in 0..10 {
        tokio::time::sleep(SOON / 4).await;
        stream.write_all(b"x").await.unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("10"), "{answer}");
}

#[tokio::test]
async fn an_address_that_takes_no_connection_is_passed_over() {
    let (alive, dead) = (raw(|_| OK.to_vec()).await, nobody());
    let addresses = vec![dead.to_string(), alive.to_string()];
    let front = proxy_to(UpstreamSettings { addresses, ..at(dead) }).await;
    for _ in 0..4 {
        let answer = client().post(front.url("/")).body("once").send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "hello");
    }
}

#[tokio::test]
async fn addresses_that_are_well_take_turns() {
    let (first, second) = (Counter::default(), Counter::default());
    let addresses =
        [raw_counting(&first, |_| OK.to_vec()).await, raw_counting(&second, |_| OK.to_vec()).await];
    let front = proxy_to(UpstreamSettings {
        addresses: addresses.map(|it| it.to_string()).into(),
        ..at(addresses[0])
    })
    .await;
    for _ in 0..4 {
        front.get("/").await;
    }
    assert_eq!((first.get(), second.get()), (1, 1));
}

#[tokio::test]
async fn an_address_whose_health_check_fails_gets_nothing_until_it_is_well() {
    let well = Counter::default();
    let is_well = well.clone();
    let ill = raw(move |request| match request.starts_with("GET /health") {
        true if is_well.get() == 0 => b"HTTP/1.1 500 Ill\r\nContent-Length: 0\r\n\r\n".to_vec(),
        true => OK.to_vec(),
        false => b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nill".to_vec(),
    })
    .await;
    let other = raw(|_| OK.to_vec()).await;
    let health =
        HealthSettings { path: "/health".into(), every: Span::new(SOON / 4), timeout: Span::new(SOON * 10) };
    let addresses = vec![ill.to_string(), other.to_string()];
    let front = proxy_to(UpstreamSettings { addresses, health: Some(health), ..at(ill) }).await;
    tokio::time::sleep(SOON).await;
    for _ in 0..4 {
        assert!(front.get("/").await.ends_with("hello"));
    }
    well.add(1);
    tokio::time::sleep(SOON).await;
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(front.get("/").await.ends_with("ill"));
    }
    assert!(answers.contains(&true), "{answers:?}");
}

async fn over_tls(protocol: Protocol, ca: Option<&str>) -> Front {
    let file = |name: &str| {
        std::path::PathBuf::from(format!("{}/tests/data/tls/{name}", env!("CARGO_MANIFEST_DIR")))
    };
    let tls = crate::server::TlsSettings {
        certificate: file("server.pem"),
        key: file("server.key"),
        ask_client_certificate: false,
    };
    let settings =
        crate::server::ListenerSettings { tls: Some(tls), ..crate::server::ListenerSettings::default() };
    let version = make(|request: Request| async move { format!("{:?}", request.version()) });
    let address = serve_on(settings, version).await;
    let url = format!("https://{address}").parse().unwrap();
    proxy_to(UpstreamSettings { protocol, ca: ca.map(file), ..UpstreamSettings::at(url) }).await
}

#[tokio::test]
async fn an_upstream_is_spoken_to_in_tls_and_what_that_negotiates() {
    for (protocol, expected) in [(Protocol::Auto, "HTTP/2.0"), (Protocol::Http1, "HTTP/1.1")] {
        let front = over_tls(protocol, Some("authority.pem")).await;
        for _ in 0..2 {
            assert!(front.get("/").await.ends_with(expected));
        }
    }
}

#[tokio::test]
async fn an_upstream_whose_certificate_nobody_vouches_for_is_502() {
    assert_eq!(over_tls(Protocol::Auto, None).await.status("/").await, StatusCode::BAD_GATEWAY);
}

#[test]
fn a_file_without_authorities_is_refused() {
    let ca = Some(format!("{}/tests/data/tls/server.key", env!("CARGO_MANIFEST_DIR")).into());
    let settings =
        UpstreamSettings { ca, ..UpstreamSettings::at("https://orders.internal".parse().unwrap()) };
    let refused = Upstreams::new(&[("it".to_owned(), settings)]);
    assert!(matches!(refused.unwrap_err(), UpstreamError::Authorities { .. }));
}
