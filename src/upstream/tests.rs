mod callers;
mod chaos;
mod chaos_http2;
mod isolation;
mod streams;
pub(crate) mod support;
mod upstreams;
mod wakes;

use http::{
    StatusCode,
    header::{self, HOST},
};
use poem::{Request, Response, endpoint::make};
use scopegate_provider::Span;

use self::support::*;
use super::*;

#[tokio::test]
async fn bodies_go_both_ways_as_they_are() {
    let upstream = serve(make(|mut request: Request| async move { request.take_body() })).await;
    let front = proxy_to(at(upstream)).await;
    let body: Vec<u8> = (0..3_000_000_u32).map(|byte| byte.to_le_bytes()[0]).collect();
    let answer = client().post(front.url("/echo")).body(body.clone()).send().await.unwrap();
    assert_eq!(answer.bytes().await.unwrap(), body);
}

#[tokio::test]
async fn path_and_query_go_on_byte_for_byte() {
    let upstream = serve(make(|request: Request| async move { request.uri().to_string() })).await;
    let front = proxy_to(at(upstream)).await;
    let answer = front.get("/a%2Fb/%7Ec;x=1//d?q=%20&r=/..").await;
    assert!(answer.ends_with("/a%2Fb/%7Ec;x=1//d?q=%20&r=/.."), "{answer}");
}

#[tokio::test]
async fn the_upstream_gets_the_host_and_no_field_of_the_callers_connection() {
    let upstream = serve(make(|request: Request| async move {
        let value = |name: &str| request.header(name).unwrap_or("-").to_owned();
        [value("host"), value("connection")].join("|")
    }))
    .await;
    let front = proxy_to(at(upstream)).await;
    let request = client().get(front.url("/")).header(HOST, "api.example:8443");
    let request = request.header("connection", "x-secret");
    let answer = request.send().await.unwrap().text().await.unwrap();
    assert_eq!(answer, "api.example:8443|-");
}

#[tokio::test]
async fn status_and_headers_come_back_save_the_connections_own() {
    let upstream = raw(|_| {
        b"HTTP/1.1 418 Teapot\r\nX-Own: 1\r\nX-Kept: 2\r\nConnection: keep-alive, X-Own\r\nKeep-Alive: timeout=9\r\nContent-Length: 2\r\n\r\nhi".to_vec()
    })
    .await;
    let front = proxy_to(at(upstream)).await;
    let answer = client().get(front.url("/")).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 418);
    assert_eq!(answer.headers().get("x-kept").unwrap(), "2");
    assert!(!answer.headers().contains_key("x-own") && !answer.headers().contains_key("keep-alive"));
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let connections = Counter::default();
    let upstream = raw_counting(&connections, |_| OK.to_vec()).await;
    let front = proxy_to(at(upstream)).await;
    for _ in 0..5 {
        assert!(front.get("/").await.ends_with("hello"));
    }
    assert_eq!(connections.get(), 1);
}

#[tokio::test]
async fn a_connection_is_used_again_after_an_answer_without_a_body() {
    let connections = Counter::default();
    let upstream = raw_counting(&connections, |_| b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()).await;
    let front = proxy_to(at(upstream)).await;
    for _ in 0..5 {
        assert_eq!(front.status("/").await, StatusCode::NO_CONTENT);
    }
    assert_eq!(connections.get(), 1);
}

#[tokio::test]
async fn what_follows_an_answer_without_a_body_is_nobodys_answer() {
    let upstream = raw(|_| {
        b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen".to_vec()
    })
    .await;
    let front = proxy_to(at(upstream)).await;
    for _ in 0..5 {
        assert_eq!(front.status("/").await, StatusCode::NO_CONTENT);
    }
}

#[tokio::test]
async fn the_answer_to_head_has_a_length_and_no_body() {
    let upstream = raw(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".to_vec()).await;
    let front = proxy_to(at(upstream)).await;
    for _ in 0..2 {
        let answer = client().head(front.url("/")).send().await.unwrap();
        assert_eq!(answer.headers().get(header::CONTENT_LENGTH).unwrap(), "5");
    }
}

#[tokio::test]
async fn http2_trailers_come_through_as_grpc_needs_them() {
    let upstream = serve(make(|request: Request| async move {
        assert_eq!(request.header("te"), Some("trailers"));
        with_trailers("hello", "grpc-status", "0")
    }))
    .await;
    let front = proxy_to(UpstreamSettings { protocol: Protocol::Http2, ..at(upstream) }).await;
    let (body, trailers) = http2_exchange(&front, "te", "trailers").await;
    assert_eq!((body.as_str(), trailers.get("grpc-status").unwrap().to_str().unwrap()), ("hello", "0"));
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_502() {
    let front = proxy_to(at(nobody())).await;
    assert_eq!(front.status("/").await, StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn an_upstream_that_is_slow_is_504_and_hangs_nobody() {
    let upstream = serve(make(|_: Request| std::future::pending::<Response>())).await;
    let settings = UpstreamSettings { response_timeout: Span::new(SOON), ..at(upstream) };
    let front = proxy_to(settings).await;
    assert_eq!(front.status("/").await, StatusCode::GATEWAY_TIMEOUT);
}

#[tokio::test]
async fn only_websockets_are_asked_for() {
    let upstream = raw(|request| {
        let upgrade = request.contains("upgrade");
        format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{upgrade:<5}").into_bytes()
    })
    .await;
    let front = proxy_to(at(upstream)).await;
    let answer =
        front.raw("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade, close\r\nUpgrade: h2c\r\n\r\n").await;
    assert!(answer.ends_with("false"), "{answer}");
}
