//! The time for which the head of a response is awaited.

use std::{
    future::poll_fn,
    pin::pin,
    sync::Arc,
    task::{Poll, ready},
    time::Duration,
};

use tokio::time::Instant;

use super::{ExchangeError, upload::UploadState};
use crate::server::Timer;

/// A limit on the time to the head of a response, which begins anew whenever the request's body makes progress.
pub(super) struct ResponseTimeout<'a> {
    upstream: &'a str,
    limit: Duration,
    upload: Option<Arc<UploadState>>,
}

impl<'a> ResponseTimeout<'a> {
    pub(super) fn new(upstream: &'a str, limit: Duration, upload: Option<Arc<UploadState>>) -> Self {
        Self { upstream, limit, upload }
    }

    /// Awaits the response to a request that was sent at `sent`.
    pub(super) async fn apply<T>(
        &self,
        sent: Instant,
        timer: &mut Timer,
        response: impl Future<Output = T>,
    ) -> Result<T, ExchangeError> {
        let mut response = pin!(response);
        let mut deadline = sent + self.limit;
        let mut progress = self.progress();
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(response) = response.as_mut().poll(cx) {
                    return Poll::Ready(Ok(response));
                }
                ready!(timer.poll(deadline, cx));
                if self.progress() == progress {
                    return Poll::Ready(Err(ExchangeError::Timeout { upstream: self.upstream.into() }));
                }
                progress = self.progress();
                deadline = Instant::now() + self.limit;
            }
        })
        .await
    }

    /// Returns a timer for a response on a connection that has none of its own.
    pub(super) fn timer(&self) -> Timer {
        Timer::at(Instant::now() + self.limit)
    }

    /// Returns the state of the request's body, if it has one.
    pub(super) fn upload(&self) -> Option<&Arc<UploadState>> {
        self.upload.as_ref()
    }

    fn progress(&self) -> u32 {
        self.upload.as_ref().map_or(0, |upload| upload.progress())
    }
}
