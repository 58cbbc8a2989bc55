//! The readiness of a node.

use std::sync::{Arc, Weak};

use super::Node;
use crate::api::health::{Readiness, Report};

/// Reports the readiness of a node for as long as it exists.
pub(super) struct NodeReport(pub(super) Weak<Node>);

impl Report for NodeReport {
    fn readiness(&self) -> Readiness {
        self.0.upgrade().map_or_else(gone, |node: Arc<Node>| readiness(&node))
    }
}

fn gone() -> Readiness {
    Readiness { ready: false, reasons: vec!["the node has ended".to_owned()], degraded: Vec::new() }
}

/// Returns whether the node can decide, and what is degraded.
pub(super) fn readiness(node: &Node) -> Readiness {
    let mut reasons = Vec::new();
    let mut degraded = Vec::new();
    if node.frontend.0.shutdown.is_leaving() {
        reasons.push("the node is shutting down".to_owned());
    }
    if node.runtime.store.revocations_are_stale() {
        reasons.push("revocations have not been heard of for too long".to_owned());
    }
    if node.runtime.store.policy_is_stale() {
        reasons.push("the policy has not been heard of for too long".to_owned());
    }
    if let Some(cause) = node.runtime.store.write_failure() {
        degraded.push(format!("the store takes no writes: {cause}"));
    }
    degraded.extend(node.runtime.store.unreadable().iter().map(ToString::to_string));
    let generation = node.current();
    let connections = &generation.connections;
    for connection in connections.iter().filter(|connection| !connection.is_ready()) {
        let message = format!("the provider `{}` cannot verify tokens", connection.name());
        if connection.required { reasons.push(message) } else { degraded.push(message) }
    }
    degraded.extend(degraded_streams(node));
    degraded.extend(generation.rejected.iter().map(|error| format!("ignored stored entry: {error}")));
    Readiness { ready: reasons.is_empty(), reasons, degraded }
}

/// Returns the reasons why streams of security events are degraded.
pub(super) fn degraded_streams(node: &Node) -> Vec<String> {
    let since = node.frontend.0.started;
    let now = node.runtime.clock.now();
    let mut degraded = Vec::new();
    for connection in &node.current().connections {
        let signals = connection.connected.provider().signals();
        let Some(signals) = signals.filter(|signals| signals.takes_security_events()) else { continue };
        let name = connection.name().as_str();
        degraded.extend(node.runtime.metrics.signals.degraded(name, signals.silent_after(), since, now));
    }
    degraded
}
