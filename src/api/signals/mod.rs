//! Signals by which providers withdraw tokens: logout tokens and security events. Both are answered only once their
//! effect is durable.

mod backchannel_logout;
mod effects;
mod events;
mod seen;
mod shared_signals;
mod streams;

use std::sync::Arc;

use http::{StatusCode, header};
use poem::Response;
use scopegate_provider::ProviderName;

pub use self::{
    backchannel_logout::BackchannelLogout, seen::SeenSignals, shared_signals::SharedSignalsPush,
    streams::EventStreams,
};
use crate::{
    gate::Gate,
    store::{Store, StoreError},
    telemetry::metrics::Metrics,
};

/// The services that the endpoints and the polls use.
#[derive(Clone, Debug)]
pub struct SignalServices {
    /// The gate whose providers send signals.
    pub gate: Gate,
    /// The store of revocations.
    pub store: Store,
    /// The counts.
    pub metrics: Arc<Metrics>,
    /// The signals that were handled.
    pub seen: SeenSignals,
    /// The provider.
    pub provider: ProviderName,
}

/// Answers 503, so that the provider sends the signal again.
fn try_again(error: &StoreError) -> Response {
    tracing::error!(
        cause = error.cause(),
        "cannot store the effect of a signal; its provider is asked to send it again"
    );
    Response::builder()
        .status(StatusCode::SERVICE_UNAVAILABLE)
        .header(header::RETRY_AFTER, "5")
        .header(header::CACHE_CONTROL, "no-store")
        .finish()
}
