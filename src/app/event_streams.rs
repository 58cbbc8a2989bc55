//! The streams of security events of a node: polled, verified, and watched for silence.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use super::{Node, readiness::degraded_streams};
use crate::api::{EventStreams, SignalServices};

/// The pause between two looks at which streams are due.
const TICK: Duration = Duration::from_secs(1);

/// Polls, verifies and watches the streams of the node's providers for as long as the node exists.
pub(super) async fn run(node: Weak<Node>) {
    let streams = EventStreams::default();
    loop {
        let Some(clock) = node.upgrade().map(|node| node.runtime.clock.clone()) else { return };
        clock.sleep(TICK).await;
        let Some(node) = node.upgrade() else { return };
        let uptime = clock.uptime();
        let generation = node.current();
        for connection in &generation.connections {
            let provider = connection.name().clone();
            if connection.connected.provider().signals().and_then(|signals| signals.stream()).is_none() {
                continue;
            }
            let endpoint = push_endpoint(&node, provider.as_str());
            let services = SignalServices {
                gate: node.gate().clone(),
                store: node.runtime.store.clone(),
                metrics: node.runtime.metrics.clone(),
                seen: node.frontend.0.seen_signals.clone(),
                provider,
            };
            streams.tick(&services, endpoint.as_deref(), uptime);
        }
        // For the metrics: what degrades a stream is computed whether or not readiness is asked for.
        degraded_streams(&node);
    }
}

/// Returns the URL to which a provider's events are pushed, if callers certainly reach it.
fn push_endpoint(node: &Arc<Node>, provider: &str) -> Option<String> {
    let public = &node.frontend.0.public_endpoint;
    let path = node.current().config.push_path(provider)?;
    public.is_certain.then(|| format!("{}{path}", public.public_url))
}
