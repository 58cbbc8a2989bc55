//! One HTTP/1.1 connection to an upstream, driven by whoever uses it.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1},
};
use tokio::time::Instant;

use super::{Body, ProxyError, connect::Wire, patience::Patience};
use crate::server::Alarm;

/// The head of a response, or the request if it was not sent.
pub(super) type Answer = Result<Response<Incoming>, TrySendError<Request<Body>>>;

/// A connection on which one request at a time is sent.
pub(super) struct Http1 {
    sender: http1::SendRequest<Body>,
    connection: http1::Connection<Wire, Body>,
    /// For who waits for an answer.
    alarm: Alarm,
}

impl Http1 {
    /// Boxed, for it goes from the pool to the request, to its answer, and back.
    pub(super) async fn new(wire: Wire) -> hyper::Result<Box<Self>> {
        let (sender, connection) = http1::Builder::new().handshake(wire).await?;
        Ok(Box::new(Self { sender, connection, alarm: Alarm::at(Instant::now()) }))
    }

    /// Whether the next request can be sent: the upstream has neither closed the connection nor sent anything that was
    /// not asked for.
    pub(super) fn poll_usable(&mut self, cx: &mut Context<'_>) -> bool {
        self.poll_connection(cx).is_pending() && self.sender.is_ready()
    }

    /// Makes progress. Ready once the connection has ended.
    pub(super) fn poll_connection(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // What went wrong is told to whoever waits for the response or its body.
        Pin::new(&mut self.connection).poll(cx).map(drop)
    }

    /// Sends a request and waits for the head of its response.
    pub(super) async fn send(&mut self, request: Request<Body>) -> Answer {
        exchange(&mut self.sender, &mut self.connection, request).await
    }

    /// The same with some patience, and no more.
    pub(super) async fn send_within(
        &mut self,
        patience: &Patience<'_>,
        request: Request<Body>,
    ) -> Result<Answer, ProxyError> {
        let Self { sender, connection, alarm } = self;
        patience.with(alarm, exchange(sender, connection, request)).await
    }
}

async fn exchange(
    sender: &mut http1::SendRequest<Body>,
    connection: &mut http1::Connection<Wire, Body>,
    request: Request<Body>,
) -> Answer {
    let mut response = pin!(sender.try_send_request(request));
    let mut ended = false;
    poll_fn(|cx| {
        if !ended {
            ended = Pin::new(&mut *connection).poll(cx).is_ready();
        }
        response.as_mut().poll(cx)
    })
    .await
}
