//! Bytes of an HTTP/1.1 connection: the framing check against hyper's decoder.

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    io,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{
    HeaderValue, Method,
    header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE},
};
use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, Response,
    body::Incoming,
    rt::{Read, ReadBufCursor, Write},
    server::conn::http1,
    service::service_fn,
};
use scopegate::server::{Framing, Receiving};

/// The messages that a reader found on a connection.
#[derive(Debug, Default)]
struct Messages {
    /// The offset behind each head.
    heads: Vec<usize>,
    /// The number of bodies that are complete, those of no bytes included.
    complete: usize,
}

/// Bytes: all that a client sends. hyper gets them as the check leaves them, one at a time.
pub fn framing(data: &[u8]) -> bool {
    let mut bytes = data.to_vec();
    let (checked, last) = check(&mut bytes);
    let read = by_hyper(&bytes);
    assert!(checked.heads.starts_with(&read.heads), "hyper {read:?}, the check {checked:?}");
    // The message after which anything may follow is the last one, and its body is not followed.
    let unknown = usize::from(last == Receiving::Other);
    assert!(read.complete <= checked.complete + unknown, "hyper {read:?}, the check {checked:?}");
    if last == Receiving::Lost {
        assert!(read.complete <= checked.complete, "hyper takes what is lost: {read:?}, {checked:?}");
    }
    read.complete > 0
}

/// Runs the check. Returns the messages up to the place where it stops following them, and the state there.
fn check(bytes: &mut [u8]) -> (Messages, Receiving) {
    let mut framing = Framing::default();
    let mut messages = Messages::default();
    let mut before = Receiving::Nothing;
    for (offset, byte) in bytes.iter_mut().enumerate() {
        framing.inspect(std::slice::from_mut(byte));
        let now = framing.receiving();
        if before == Receiving::Head && matches!(now, Receiving::Nothing | Receiving::Body | Receiving::Other)
        {
            messages.heads.push(offset + 1);
        }
        if before != Receiving::Nothing && now == Receiving::Nothing {
            messages.complete += 1;
        }
        before = now;
    }
    (messages, before)
}

/// Serves the bytes by hyper.
fn by_hyper(bytes: &[u8]) -> Messages {
    let found = Rc::new(RefCell::new(Messages::default()));
    let offset = Rc::new(Cell::new(0));
    let io = Replay { bytes: bytes.to_vec(), offset: offset.clone() };
    let service = service_fn(|request| {
        found.borrow_mut().heads.push(offset.get());
        answer(request, found.clone())
    });
    let mut connection = pin!(http1::Builder::new().serve_connection(io, service));
    // Nothing is waited for but what the connection itself does next.
    for _ in 0..bytes.len() * 4 + 64 {
        if connection.as_mut().now_or_never().is_some() {
            break;
        }
    }
    found.take()
}

async fn answer(
    request: Request<Incoming>,
    found: Rc<RefCell<Messages>>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let headers = request.headers();
    let codings: Vec<_> = headers.get_all(TRANSFER_ENCODING).iter().collect();
    assert!(codings.iter().all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked")), "{codings:?}");
    assert!(codings.len() + usize::from(headers.contains_key(CONTENT_LENGTH)) <= 1, "{headers:?}");
    let changes = request.method() == Method::CONNECT || headers.contains_key(UPGRADE);
    if request.into_body().collect().await.is_ok() {
        found.borrow_mut().complete += 1;
    }
    let mut response = Response::new(Empty::new());
    if changes {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// A client that sends its bytes one at a time, and reads everything.
struct Replay {
    bytes: Vec<u8>,
    offset: Rc<Cell<usize>>,
}

impl Read for Replay {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(byte) = self.bytes.get(self.offset.get()) {
            buffer.put_slice(&[*byte]);
            self.offset.set(self.offset.get() + 1);
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for Replay {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
