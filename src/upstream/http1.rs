//! One HTTP/1.1 connection to an upstream, driven by the task of the request that uses it.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use hyper::{
    body::{Body, Frame, Incoming},
    client::conn::{TrySendError, http1},
};
use tokio::time::Instant;

use super::{
    ExchangeError, RelayBody, connect::Io, response_timeout::ResponseTimeout, waker::ConnectionWaker,
};
use crate::server::Timer;

/// A response, or the request if none of it was sent.
pub(super) type SendResult = Result<Response<Incoming>, TrySendError<Request<RelayBody>>>;

/// Longer than any timeout: a timer that was not set does not fire.
const UNSET: Duration = Duration::from_hours(24);

type Connection = http1::Connection<Io, RelayBody>;

/// A connection on which one request at a time is sent.
pub(super) struct Http1 {
    sender: http1::SendRequest<RelayBody>,
    /// `None` once it has ended.
    connection: Option<Connection>,
    waker: ConnectionWaker,
    /// The timer of the response timeout.
    timer: Timer,
}

impl Http1 {
    /// Begins HTTP/1.1 on a connection. Boxed, because it moves from the pool to the request, to the response, and back.
    pub(super) async fn handshake(io: Io) -> hyper::Result<Box<Self>> {
        let (sender, connection) = http1::Builder::new().handshake(io).await?;
        let timer = Timer::at(Instant::now() + UNSET);
        Ok(Box::new(Self { sender, connection: Some(connection), waker: ConnectionWaker::new(), timer }))
    }

    /// Returns `true` if the connection has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.connection.is_none()
    }

    /// Polls for the next frame of a response, and drives the connection if it has not arrived yet.
    pub(super) fn poll_frame(
        &mut self,
        incoming: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let Self { connection, waker, .. } = self;
        waker.poll(cx, |cx| {
            let frame = Pin::new(&mut *incoming).poll_frame(cx);
            if frame.is_ready() {
                return frame;
            }
            drive(connection, cx);
            Pin::new(incoming).poll_frame(cx)
        })
    }

    /// Sends a request and waits for the head of its response. The connection is read before anything is written: if
    /// the upstream has closed it, or sent an unsolicited response, the request is returned unsent.
    pub(super) fn send(&mut self, request: Request<RelayBody>) -> impl Future<Output = SendResult> {
        let response = self.sender.try_send_request(request);
        drive_until(&mut self.connection, &self.waker, response)
    }

    /// Sends a request like [`send`](Self::send), with a timeout that begins `now`.
    pub(super) fn send_within(
        &mut self,
        now: Instant,
        timeout: &ResponseTimeout<'_>,
        request: Request<RelayBody>,
    ) -> impl Future<Output = Result<SendResult, ExchangeError>> {
        let response = self.sender.try_send_request(request);
        timeout.apply(now, &mut self.timer, drive_until(&mut self.connection, &self.waker, response))
    }
}

/// Drives a connection. A request that it has not sent at its end is returned when it is dropped.
fn drive(connection: &mut Option<Connection>, cx: &mut Context<'_>) {
    // An error is reported to the future of the response or to its body.
    if connection.as_mut().is_some_and(|running| Pin::new(running).poll(cx).is_ready()) {
        *connection = None;
    }
}

/// Drives a connection until a response to a request on it has arrived.
async fn drive_until(
    connection: &mut Option<Connection>,
    waker: &ConnectionWaker,
    response: impl Future<Output = SendResult>,
) -> SendResult {
    let mut response = pin!(response);
    poll_fn(|cx| {
        waker.poll(cx, |cx| {
            drive(connection, cx);
            response.as_mut().poll(cx)
        })
    })
    .await
}
