//! Upstreams, good and bad, and a server in front of them.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use poem::{Endpoint, IntoResponse, Request, Response, endpoint::make};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
};

use super::super::*;
use crate::server::{Bound, Listen, ListenerSettings, Shutdown};

pub(crate) const SOON: Duration = Duration::from_millis(80);
pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

#[derive(Clone, Default)]
pub(crate) struct Counter(Arc<AtomicUsize>);

impl Counter {
    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    pub(crate) fn add(&self, more: usize) {
        self.0.fetch_add(more, Ordering::SeqCst);
    }
}

pub(crate) struct Front(pub(crate) SocketAddr);

impl Front {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.0)
    }

    pub(crate) async fn get(&self, path: &str) -> String {
        self.raw(&format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).await
    }

    pub(crate) async fn status(&self, path: &str) -> StatusCode {
        client().get(self.url(path)).send().await.unwrap().status()
    }

    pub(crate) async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.0).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }
}

pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder().build().unwrap()
}

pub(crate) fn at(address: SocketAddr) -> UpstreamSettings {
    UpstreamSettings::at(format!("http://{address}").parse().unwrap())
}

pub(crate) async fn serve(endpoint: impl Endpoint + 'static) -> SocketAddr {
    serve_on(ListenerSettings::default(), endpoint).await
}

pub(crate) async fn serve_on(settings: ListenerSettings, endpoint: impl Endpoint + 'static) -> SocketAddr {
    let bound = Bound::bind(&settings).await.unwrap();
    let Listen::Tcp(address) = *bound.local_addr() else { unreachable!("a TCP listener was asked for") };
    tokio::spawn(bound.serve(endpoint, Shutdown::new()));
    address
}

pub(crate) async fn proxy_to(settings: UpstreamSettings) -> Front {
    guarded_proxy_to(settings, || None).await
}

/// A server that sends every request to one upstream, whose streams end when `abort` says so.
pub(crate) async fn guarded_proxy_to(
    settings: UpstreamSettings,
    abort: impl Fn() -> Option<Arc<dyn AbortSignal>> + Send + Sync + 'static,
) -> Front {
    let upstreams = Upstreams::new(&[("it".to_owned(), settings)]).unwrap();
    let endpoint = make(move |request: Request| {
        let (upstreams, abort) = (upstreams.clone(), abort());
        async move {
            match upstreams.send("it", exchange_of(request, abort)).await {
                Ok(response) => Response::from(response),
                Err(error) => (error.status(), error.reason().as_str()).into_response(),
            }
        }
    });
    Front(serve(endpoint).await)
}

/// What the gate's front hands to an upstream.
pub(crate) fn exchange_of(mut request: Request, abort: Option<Arc<dyn AbortSignal>>) -> Exchange {
    let upgrade = headers::upgrade(request.headers()).and_then(|_| {
        let upgrade = request.take_upgrade().ok()?;
        Some(
            upgrade
                .map(|upgraded| {
                    upgraded.map(|it| Box::new(it) as Box<dyn CallerStream>).map_err(io::Error::other)
                })
                .boxed(),
        )
    });
    let body = request.take_body().into();
    let mut outgoing = http::Request::new(body);
    *outgoing.method_mut() = request.method().clone();
    *outgoing.headers_mut() = request.headers().clone();
    headers::remove_request_connection_fields(outgoing.headers_mut(), &[]);
    if let Some(authority) = request.uri().authority() {
        outgoing.headers_mut().insert("host", authority.as_str().parse().unwrap());
    }
    *outgoing.uri_mut() = request.uri().path_and_query().cloned().unwrap().into();
    Exchange { request: outgoing, upgrade, abort, trailers: None }
}

/// An upstream that answers each request's head with these bytes, whatever they are.
pub(crate) async fn raw(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> SocketAddr {
    raw_counting(&Counter::default(), answer).await
}

pub(crate) async fn raw_counting(
    connections: &Counter,
    answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static,
) -> SocketAddr {
    let answer = Arc::new(answer);
    scripted(connections, move |mut stream| {
        let answer = Arc::clone(&answer);
        async move {
            while let Some(head) = read_head(&mut stream).await {
                if stream.write_all(&answer(&head)).await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

/// An upstream that does with each connection as it is told.
pub(crate) async fn scripted<F>(
    connections: &Counter,
    script: impl Fn(TcpStream) -> F + Send + 'static,
) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = connections.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            connections.add(1);
            tokio::spawn(script(stream));
        }
    });
    address
}

pub(crate) async fn read_head(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

/// An address where nobody listens, nor ever will: it stays taken.
pub(crate) fn nobody() -> SocketAddr {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = socket.local_addr().unwrap();
    std::mem::forget(socket);
    address
}

pub(crate) fn with_trailers(body: &'static str, name: &'static str, value: &'static str) -> Response {
    let trailers = HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))]);
    let frames = [Frame::data(Bytes::from_static(body.as_bytes())), Frame::trailers(trailers)];
    let body = StreamBody::new(futures_util::stream::iter(frames.map(Ok::<_, io::Error>)));
    Response::builder().body(poem::Body::from(BoxBody::new(body)))
}

/// One request over HTTP/2; its answer's body and trailers.
pub(crate) async fn http2_exchange(
    front: &Front,
    name: &'static str,
    value: &'static str,
) -> (String, HeaderMap) {
    let stream = TokioIo::new(TcpStream::connect(front.0).await.unwrap());
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await;
    let (mut sender, connection) = handshake.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get(front.url("/")).header(name, value).body(Empty::<Bytes>::new()).unwrap();
    let body = sender.send_request(request).await.unwrap().into_body().collect().await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    (String::from_utf8(body.to_bytes().to_vec()).unwrap(), trailers)
}
