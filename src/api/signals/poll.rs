//! Security events that are fetched (RFC 8936).

use scopegate_provider::{BearerToken, HandledEvents, Outage, RefusedEvent, Signals};

use super::{SignalServices, shared_signals::EventError};

/// The most requests of one poll: a transmitter that always has more cannot hold up others.
const MOST_REQUESTS: usize = 40;

impl SignalServices {
    /// Fetches the events that wait at the transmitter. Each is acknowledged with the next request, once its effect is
    /// durable; one whose effect cannot be stored is left for a later poll.
    ///
    /// # Errors
    /// The transmitter does not answer as it should.
    pub(crate) async fn poll(&self, signals: &dyn Signals) -> Result<(), Outage> {
        let mut handled = HandledEvents::default();
        for _ in 0..MOST_REQUESTS {
            let polled = signals.poll(&handled).await?;
            self.metrics.signals.heard(self.provider.as_str(), self.store.now());
            handled = HandledEvents::default();
            for (id, event) in polled.events {
                let taken = match BearerToken::parse(event.trim_ascii()) {
                    Ok(token) => self.take_event(signals, &token).await,
                    Err(error) => {
                        let description = error.to_string();
                        handled.refused.push(RefusedEvent { id, code: "invalid_request", description });
                        continue;
                    }
                };
                match taken {
                    Ok(()) => handled.acknowledged.push(id),
                    Err(EventError::Rejected { code, description }) => {
                        handled.refused.push(RefusedEvent { id, code, description });
                    }
                    Err(EventError::Unavailable(_) | EventError::Store(_)) => {}
                }
            }
            let is_idle = handled.acknowledged.is_empty() && handled.refused.is_empty();
            if is_idle {
                return Ok(());
            }
        }
        Ok(())
    }
}
