//! The progress of responses, and the tasks that send them over HTTP/2.
//!
//! A stream whose peer grants no window is invisible on the socket, and its body is not polled. So the task that hyper
//! makes of each HTTP/2 exchange notes when it holds a piece that it cannot send, and ends when that lasts too long,
//! which resets the stream. On an HTTP/1.1 connection there is one response at a time, and the connection itself is
//! ended ([`Activity::expiry`](super::activity::Activity::expiry)).

use std::{
    cell::Cell,
    future::poll_fn,
    pin::pin,
    task::{Poll, ready},
};

use hyper::rt::Executor;

use super::progress::{ProgressLimit, ProgressTimer};

tokio::task_local! {
    /// The response that the running task sends: an exchange's over HTTP/2, the present one's on an HTTP/1.1 connection.
    static SENDING: Sending;
}

/// The progress of a response.
#[derive(Debug, Default)]
pub(super) struct Sending {
    /// The bytes of a piece that has not been sent.
    held: Cell<Option<u64>>,
    sent: Cell<u64>,
    /// The caller may not be waited for longer than one pause in all.
    is_brief: Cell<bool>,
}

impl Sending {
    /// Runs the task of a connection, or of an exchange over HTTP/2.
    pub(super) fn scope<F: Future>(task: F) -> impl Future<Output = F::Output> {
        SENDING.scope(Self::default(), task)
    }

    /// Sets whether the caller may not be waited for longer than one `send_timeout` in all.
    pub(super) fn set_brief(is_brief: bool) {
        let _ = SENDING.try_with(|sending| sending.is_brief.set(is_brief));
    }

    /// Returns `true` if the caller may not be waited for longer than one `send_timeout` in all.
    pub(super) fn is_brief() -> bool {
        SENDING.try_with(|sending| sending.is_brief.get()).unwrap_or_default()
    }

    /// Notes a piece that is about to be sent.
    pub(super) fn note_held(bytes: usize) {
        let _ = SENDING.try_with(|sending| sending.held.set(Some(bytes as u64)));
    }

    /// Notes that the piece has been sent: the next one is polled for.
    pub(super) fn note_sent() {
        let _ = SENDING.try_with(|sending| {
            let bytes = sending.held.take().unwrap_or_default();
            sending.sent.set(sending.sent.get() + bytes);
        });
    }
}

/// Runs the tasks of HTTP/2 exchanges, each until its peer accepts too few bytes of the response.
#[derive(Debug, Clone)]
pub(super) struct ExchangeExecutor {
    pub(super) limit: ProgressLimit,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for ExchangeExecutor {
    fn execute(&self, exchange: F) {
        let mut timer = ProgressTimer::new(self.limit);
        let mut sent = 0;
        tokio::spawn(Sending::scope(async move {
            let mut exchange = pin!(exchange);
            poll_fn(|cx| {
                if exchange.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                SENDING.with(|sending| {
                    let now_sent = sending.sent.get();
                    if now_sent != sent || sending.held.get().is_none() {
                        timer.moved(now_sent - sent);
                        sent = now_sent;
                    }
                    if sending.held.get().is_none() {
                        return Poll::Pending;
                    }
                    ready!(timer.poll_stalled(cx, sending.is_brief.get()));
                    tracing::debug!("ended a stream whose peer accepts too few bytes");
                    Poll::Ready(())
                })
            })
            .await;
        }));
    }
}
