//! The node as administrators see it.

use std::sync::{Arc, OnceLock, Weak};

use async_trait::async_trait;

use super::Node;
use crate::{
    api::admin::Administered,
    policy::{Definition, Source},
};

/// Acts on a node, once it has hold of one and for as long as there is one.
#[derive(Default)]
pub(super) struct Hand(OnceLock<Weak<Node>>);

impl Hand {
    /// Acts on this node from now on.
    pub(super) fn hold(&self, node: &Arc<Node>) {
        self.0.get_or_init(|| Arc::downgrade(node));
    }

    fn node(&self) -> Option<Arc<Node>> {
        self.0.get()?.upgrade()
    }
}

#[async_trait]
impl Administered for Hand {
    fn definition(&self) -> Definition {
        let node = self.node();
        node.map(|node| node.current.load().config.rules.definition.clone()).unwrap_or_default()
    }

    fn place(&self, source: &Source) -> Option<String> {
        let generation = self.node()?.current.load_full();
        generation.config.rules.place(source).map(ToString::to_string)
    }

    async fn take_over(&self) {
        if let Some(node) = self.node() {
            node.take_over_store().await;
        }
    }
}
