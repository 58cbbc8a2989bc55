//! The nodes of a store: the state that each of them reports, and the secret that they share.

use async_trait::async_trait;
use scopegate_provider::{Secret, Timestamp};

use super::StoreError;

/// The state of a node as it has reported it last. Each node replaces its own report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRecord {
    /// The name of the node, different for each run.
    pub id: String,
    /// The moment of the report.
    pub seen: Timestamp,
    /// The report, in JSON.
    pub report: String,
}

/// Access to what nodes of one store know of each other.
#[async_trait]
pub trait Nodes: Send + Sync {
    /// Replaces the report of a node, and removes reports from before `forget_before`.
    async fn report_node(&self, report: NodeRecord, forget_before: Timestamp) -> Result<(), StoreError>;

    /// Returns the reports of all nodes, by their names.
    async fn nodes(&self) -> Result<Vec<NodeRecord>, StoreError>;

    /// Returns the secret that seals the sessions of the operator page: `proposed` if there is none yet.
    async fn session_secret(&self, proposed: &Secret) -> Result<Secret, StoreError>;
}
