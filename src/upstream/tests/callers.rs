//! Callers whose request bodies are malformed, broken off, or carry trailers.

use std::sync::Arc;

use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use poem::{Request, Response, endpoint::make};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{super::*, support::*};

/// A server that sends every request to an upstream that echoes it, over each protocol, and says how exchanges failed.
async fn fronts(errors: &Errors) -> [(Protocol, Front); 2] {
    let echo = serve(make(|mut request: Request| async move {
        request.take_body().into_vec().await.unwrap_or_default()
    }))
    .await;
    let front = async |protocol| {
        let settings = UpstreamSettings { protocol, ..at(echo) };
        let upstreams = Upstreams::new(&[("it".to_owned(), settings)]).unwrap();
        let errors = errors.clone();
        let endpoint = make(move |request: Request| {
            let (upstreams, errors) = (upstreams.clone(), errors.clone());
            async move {
                match upstreams.send("it", exchange_of(request, None)).await {
                    Ok(response) => Response::from(response),
                    Err(error) => {
                        errors.0.lock().unwrap().push(error.reason().as_str());
                        Response::builder().status(error.status()).body(error.reason().as_str())
                    }
                }
            }
        });
        (protocol, Front(serve(endpoint).await))
    };
    [front(Protocol::Http1).await, front(Protocol::Http2).await]
}

#[derive(Clone, Default)]
struct Errors(Arc<std::sync::Mutex<Vec<&'static str>>>);

impl Errors {
    async fn next(&self) -> &'static str {
        loop {
            if let Some(error) = self.0.lock().unwrap().pop() {
                return error;
            }
            tokio::time::sleep(SOON / 8).await;
        }
    }
}

/// A20, P6: a malformed body is the caller's fault.
#[tokio::test]
async fn a_malformed_body_is_400_and_not_the_upstreams_fault() {
    let errors = Errors::default();
    for (protocol, front) in fronts(&errors).await {
        for chunk in
            ["0x5\r\nhello\r\n", "fffffffffffffffff\r\n", "5\r\nhelloXX5\r\n", "5;a\nhello\r\n", "zz\r\n"]
        {
            let head =
                "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
            // What the listener itself refuses never gets here.
            let answer = front.raw(&format!("{head}3\r\nabc\r\n{chunk}0\r\n\r\n")).await;
            assert!(answer.starts_with("HTTP/1.1 400"), "{protocol:?} {chunk:?}: {answer}");
        }
    }
    assert!(errors.0.lock().unwrap().iter().all(|reason| *reason == "malformed_body"));
}

/// P7: a body that its caller breaks off is the caller's fault.
#[tokio::test]
async fn a_body_that_is_broken_off_is_not_the_upstreams_fault() {
    let errors = Errors::default();
    for (protocol, front) in fronts(&errors).await {
        for head in ["Content-Length: 500\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"] {
            let mut stream = TcpStream::connect(front.0).await.unwrap();
            let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{head}");
            stream.write_all(request.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            assert_eq!(errors.next().await, "incomplete_body", "{protocol:?} {head:?}");
        }
    }
}

/// A6: the filter applies to the trailers of requests and of responses.
#[tokio::test]
async fn trailers_are_filtered_in_both_directions() {
    let upstream = serve(make(|request: Request| async move {
        let body = BoxBody::from(request.into_body());
        let trailers = body.collect().await.unwrap().trailers().cloned().unwrap_or_default();
        let names: Vec<_> = trailers.keys().map(ToString::to_string).collect();
        let frames = [
            Frame::data(Bytes::from(names.join(","))),
            Frame::trailers([("x-kept", "1"), ("x-dropped", "1")].map(field).into_iter().collect()),
        ];
        let body = StreamBody::new(futures_util::stream::iter(frames.map(Ok::<_, io::Error>)));
        Response::builder().body(poem::Body::from(BoxBody::new(body)))
    }))
    .await;
    let settings = UpstreamSettings { protocol: Protocol::Http2, ..at(upstream) };
    let upstreams = Upstreams::new(&[("it".to_owned(), settings)]).unwrap();
    let trailers = [("x-kept", "1"), ("x-dropped", "1")].map(field).into_iter().collect();
    let frames = [Frame::data(Bytes::from_static(b"data")), Frame::trailers(trailers)];
    let body = StreamBody::new(futures_util::stream::iter(frames.map(Ok::<_, io::Error>)));
    let request = http::Request::post("/").header("host", "a").body(BoxBody::new(body)).unwrap();
    let filter: TrailerFilter = Arc::new(|name| name == "x-dropped");
    let exchange = Exchange { request, upgrade: None, abort: None, trailers: Some(filter) };
    let response = upstreams.send("it", exchange).await.unwrap().into_body().collect().await.unwrap();
    let names: Vec<_> = response.trailers().unwrap().keys().map(ToString::to_string).collect();
    assert_eq!(names, ["x-kept"]);
    assert_eq!(response.to_bytes(), "x-kept");
}

fn field((name, value): (&'static str, &'static str)) -> (HeaderName, http::HeaderValue) {
    (HeaderName::from_static(name), http::HeaderValue::from_static(value))
}
