//! The late-bound handle by which the admin API acts on its node.

use std::sync::{Arc, OnceLock, Weak};

use async_trait::async_trait;

use super::{Node, readiness::readiness};
use crate::{
    api::admin::{Administered, NodeStatus},
    config::own_endpoints::ServedEndpoint,
    policy::{Definition, Source, diff::GeneralSettings, settings::RouteSettings},
};

/// Acts on a node once it is bound to one, for as long as that node exists.
#[derive(Default)]
pub(super) struct AdminHandle(OnceLock<Weak<Node>>);

impl AdminHandle {
    /// Binds the handle to a node.
    pub(super) fn bind(&self, node: &Arc<Node>) {
        self.0.get_or_init(|| Arc::downgrade(node));
    }

    fn node(&self) -> Option<Arc<Node>> {
        self.0.get()?.upgrade()
    }
}

#[async_trait]
impl Administered for AdminHandle {
    fn definition(&self) -> Definition {
        let node = self.node();
        node.map(|node| node.current().config.rules.definition.clone()).unwrap_or_default()
    }

    fn place(&self, source: &Source) -> Option<String> {
        let generation = self.node()?.current();
        generation.config.rules.place(source).map(ToString::to_string)
    }

    fn general(&self) -> GeneralSettings {
        self.node().map(|node| node.current().config.general()).unwrap_or_default()
    }

    fn own_endpoint(&self, path: &str) -> Option<ServedEndpoint> {
        let node = self.node()?;
        node.current().config.own_endpoint_at(node.gate().current().policy(), path)
    }

    fn own_endpoints(&self) -> Vec<ServedEndpoint> {
        let node = self.node();
        node.map(|node| node.current().config.own_endpoints(node.gate().current().policy()))
            .unwrap_or_default()
    }

    fn hidden_by(&self, route: &RouteSettings) -> Option<String> {
        let node = self.node()?;
        node.current().config.hidden_by(node.gate().current().policy(), route)
    }

    fn status(&self) -> NodeStatus {
        self.node().map(|node| status(&node)).unwrap_or_default()
    }

    async fn take_over(&self) {
        if let Some(node) = self.node() {
            // What fails is logged, and tried again by the node.
            if let Err(error) = node.apply_store().await {
                tracing::warn!(%error, "cannot put a change of the store in force yet");
            }
        }
    }
}

fn status(node: &Node) -> NodeStatus {
    let generation = node.current();
    let shared = &node.frontend.0;
    let kinds = generation.connections.iter().map(|connection| (connection.name().clone(), connection.kind));
    NodeStatus {
        id: shared.node_id.clone(),
        site: shared.public_endpoint.public_url.clone(),
        base_path: generation.config.server.base_path.to_string(),
        ready: readiness(node).ready,
        generation: node.runtime.metrics.good_reloads.count() + 1,
        since: Some(generation.since),
        reload_error: shared.reload_error.load().as_deref().cloned(),
        rejected: generation.rejected.clone(),
        cached_tokens: node.runtime.tokens.count(),
        streams: node.runtime.metrics.streams.count(),
        behind_since: node.behind_since(),
        store: generation.config.store.as_ref().map(|store| store.url.clone()),
        kinds: kinds.collect(),
        metrics: node.runtime.metrics.clone(),
    }
}
