//! The late-bound handle by which the admin API acts on its node.

use std::sync::{Arc, OnceLock, Weak};

use async_trait::async_trait;

use super::Node;
use crate::{
    api::admin::Administered,
    policy::{Definition, Source},
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

    async fn take_over(&self) {
        if let Some(node) = self.node() {
            // What fails is logged, and tried again by the node.
            if let Err(error) = node.apply_store().await {
                tracing::warn!(%error, "cannot put a change of the store in force yet");
            }
        }
    }
}
