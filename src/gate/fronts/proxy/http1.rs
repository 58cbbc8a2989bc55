//! One HTTP/1.1 connection to an upstream, driven by whoever uses it.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use hyper::{
    body::{Body as _, Frame, Incoming},
    client::conn::{TrySendError, http1},
};
use tokio::time::Instant;

use super::{Body, ProxyError, bell::Bell, connect::Wire, patience::Patience};
use crate::server::Alarm;

/// The head of a response, or the request if it was not sent.
pub(super) type Answer = Result<Response<Incoming>, TrySendError<Request<Body>>>;

/// Later than anything that an answer is waited for, so that no alarm rings that nobody has set.
const UNSET: Duration = Duration::from_hours(24);

type Connection = http1::Connection<Wire, Body>;

/// A connection on which one request at a time is sent.
pub(super) struct Http1 {
    sender: http1::SendRequest<Body>,
    /// None once it has ended.
    connection: Option<Connection>,
    bell: Bell,
    /// For who waits for an answer.
    alarm: Alarm,
}

impl Http1 {
    /// Boxed, for it goes from the pool to the request, to its answer, and back.
    pub(super) async fn new(wire: Wire) -> hyper::Result<Box<Self>> {
        let (sender, connection) = http1::Builder::new().handshake(wire).await?;
        let alarm = Alarm::at(Instant::now() + UNSET);
        Ok(Box::new(Self { sender, connection: Some(connection), bell: Bell::new(), alarm }))
    }

    /// Whether the connection has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.connection.is_none()
    }

    /// The next piece of an answer. The connection makes progress where it has not come yet.
    pub(super) fn poll_frame(
        &mut self,
        incoming: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let Self { connection, bell, .. } = self;
        bell.poll(cx, |cx| {
            let frame = Pin::new(&mut *incoming).poll_frame(cx);
            if frame.is_ready() {
                return frame;
            }
            drive(connection, cx);
            Pin::new(incoming).poll_frame(cx)
        })
    }

    /// Sends a request and waits for the head of its response. The connection is read from before anything is written:
    /// if the upstream has closed it, or sent what was not asked for, the request comes back unsent.
    pub(super) fn send(&mut self, request: Request<Body>) -> impl Future<Output = Answer> {
        let response = self.sender.try_send_request(request);
        answer(&mut self.connection, &self.bell, response)
    }

    /// The same with some patience from `now` on, and no more.
    pub(super) fn send_within(
        &mut self,
        now: Instant,
        patience: &Patience<'_>,
        request: Request<Body>,
    ) -> impl Future<Output = Result<Answer, ProxyError>> {
        let response = self.sender.try_send_request(request);
        patience.with(now, &mut self.alarm, answer(&mut self.connection, &self.bell, response))
    }
}

/// Makes progress. What a connection leaves unsent at its end comes back when it is dropped.
fn drive(connection: &mut Option<Connection>, cx: &mut Context<'_>) {
    // What went wrong is told to whoever waits for the response or its body.
    if connection.as_mut().is_some_and(|running| Pin::new(running).poll(cx).is_ready()) {
        *connection = None;
    }
}

async fn answer(
    connection: &mut Option<Connection>,
    bell: &Bell,
    response: impl Future<Output = Answer>,
) -> Answer {
    let mut response = pin!(response);
    poll_fn(|cx| {
        bell.poll(cx, |cx| {
            drive(connection, cx);
            response.as_mut().poll(cx)
        })
    })
    .await
}
