//! The traits of the store, for the store of a node: its own changes are in its memory before it answers.

use std::sync::Arc;

use async_trait::async_trait;
use scopegate_provider::{ProviderName, Secret, Timestamp};

use super::Store;
use crate::store::{
    Actor, Audit, AuditRecord, BlockCount, ChangeNumber, Changes, DenialCount, Edit, Edited, Heads, Item,
    ItemId, ItemName, Items, NewRevocation, NodeRecord, Nodes, Page, Period, Policies, ProviderState,
    ProviderStates, RecordId, Revocation, RevocationKey, Revocations, SigningKey, SigningKeys, Stamp,
    StateChange, StoreError, StoredPolicy, Version,
};

#[async_trait]
impl Items for Store {
    async fn list(&self, after: Option<ItemId>, limit: usize) -> Result<Page<Item>, StoreError> {
        self.0.backend.list(after, limit).await
    }

    async fn find(&self, id: ItemId) -> Result<Item, StoreError> {
        self.0.backend.find(id).await
    }

    async fn create(&self, name: ItemName) -> Result<Item, StoreError> {
        self.noted(self.0.backend.create(name).await)
    }

    async fn replace(
        &self,
        id: ItemId,
        expected: Option<Version>,
        name: ItemName,
    ) -> Result<Item, StoreError> {
        self.noted(self.0.backend.replace(id, expected, name).await)
    }

    async fn delete(&self, id: ItemId, expected: Option<Version>) -> Result<(), StoreError> {
        self.noted(self.0.backend.delete(id, expected).await)
    }
}

#[async_trait]
impl Policies for Store {
    async fn stored_policy(&self) -> Result<Arc<StoredPolicy>, StoreError> {
        self.0.backend.stored_policy().await
    }

    async fn stored_policy_after(&self, known: &StoredPolicy) -> Result<Arc<StoredPolicy>, StoreError> {
        self.0.backend.stored_policy_after(known).await
    }

    async fn edit_policy(
        &self,
        by: &Actor,
        before: &StoredPolicy,
        edit: Edit,
    ) -> Result<(Edited, Arc<StoredPolicy>), StoreError> {
        let (edited, after) = self.noted(self.0.backend.edit_policy(by, before, edit).await)?;
        self.0.take_policy(&after);
        Ok((edited, after))
    }
}

#[async_trait]
impl Revocations for Store {
    async fn revoke(&self, by: &Actor, records: Vec<NewRevocation>) -> Result<Vec<Revocation>, StoreError> {
        let made = self.noted(self.0.backend.revoke(by, records).await)?;
        let _reconciling = self.0.reconciling.lock().await;
        self.0.index.extend(made.iter().map(|made| &made.record));
        Ok(made)
    }

    async fn revocations(
        &self,
        after: Option<&RecordId>,
        limit: usize,
    ) -> Result<Page<Revocation>, StoreError> {
        self.0.backend.revocations(after, limit).await
    }

    async fn revocation(&self, id: &RecordId) -> Result<Revocation, StoreError> {
        self.0.backend.revocation(id).await
    }

    async fn delete_revocation(&self, by: &Actor, id: &RecordId) -> Result<ChangeNumber, StoreError> {
        let deleted = self.noted(self.0.backend.delete_revocation(by, id).await)?;
        self.catch_up().await;
        Ok(deleted)
    }

    async fn revocations_since(
        &self,
        seen: ChangeNumber,
        after: Option<(ChangeNumber, RecordId)>,
        limit: usize,
    ) -> Result<Page<Revocation>, StoreError> {
        self.0.backend.revocations_since(seen, after, limit).await
    }

    async fn revocations_of(
        &self,
        provider: &ProviderName,
        key: &RevocationKey,
    ) -> Result<Vec<Revocation>, StoreError> {
        self.0.backend.revocations_of(provider, key).await
    }

    async fn count_blocked(&self, counts: Vec<BlockCount>) -> Result<(), StoreError> {
        self.noted(self.0.backend.count_blocked(counts).await)
    }

    async fn purge_revocations(&self) -> Result<u64, StoreError> {
        self.noted(self.0.backend.purge_revocations().await)
    }
}

#[async_trait]
impl ProviderStates for Store {
    async fn provider_states(&self) -> Result<Vec<ProviderState>, StoreError> {
        self.0.backend.provider_states().await
    }

    async fn change_provider(
        &self,
        by: &Actor,
        provider: &ProviderName,
        change: StateChange,
    ) -> Result<ChangeNumber, StoreError> {
        let number = self.noted(self.0.backend.change_provider(by, provider, change).await)?;
        self.catch_up().await;
        Ok(number)
    }
}

#[async_trait]
impl Audit for Store {
    async fn audit(
        &self,
        period: Period,
        after: Option<&RecordId>,
        limit: usize,
    ) -> Result<Page<AuditRecord>, StoreError> {
        self.0.backend.audit(period, after, limit).await
    }

    async fn record_signal(
        &self,
        by: &Actor,
        name: &str,
        detail: serde_json::Value,
    ) -> Result<(), StoreError> {
        self.noted(self.0.backend.record_signal(by, name, detail).await)
    }

    async fn count_denials(&self, denials: Vec<DenialCount>) -> Result<(), StoreError> {
        self.noted(self.0.backend.count_denials(denials).await)
    }

    async fn denials(&self, period: Period, limit: usize) -> Result<Vec<DenialCount>, StoreError> {
        self.0.backend.denials(period, limit).await
    }

    async fn forget_audit(&self, before: Timestamp) -> Result<(), StoreError> {
        self.noted(self.0.backend.forget_audit(before).await)
    }
}

#[async_trait]
impl Changes for Store {
    async fn heads(&self) -> Result<Heads, StoreError> {
        self.0.backend.heads().await
    }

    async fn stamp_of(&self, change: ChangeNumber) -> Result<Option<Stamp>, StoreError> {
        self.0.backend.stamp_of(change).await
    }

    async fn time(&self) -> Result<Timestamp, StoreError> {
        self.0.backend.time().await
    }

    async fn latest_time(&self) -> Result<Timestamp, StoreError> {
        self.0.backend.latest_time().await
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.noted(self.0.backend.probe().await)
    }
}

#[async_trait]
impl SigningKeys for Store {
    async fn signing_keys(&self) -> Result<Vec<SigningKey>, StoreError> {
        self.0.backend.signing_keys().await
    }

    async fn add_signing_key(&self, key: SigningKey) -> Result<(), StoreError> {
        self.noted(self.0.backend.add_signing_key(key).await)
    }

    async fn forget_signing_keys(&self, before: i64) -> Result<(), StoreError> {
        self.noted(self.0.backend.forget_signing_keys(before).await)
    }

    async fn remove_signing_key(&self, number: i64) -> Result<(), StoreError> {
        self.noted(self.0.backend.remove_signing_key(number).await)
    }
}

#[async_trait]
impl Nodes for Store {
    async fn report_node(&self, report: NodeRecord, forget_before: Timestamp) -> Result<(), StoreError> {
        self.noted(self.0.backend.report_node(report, forget_before).await)
    }

    async fn nodes(&self) -> Result<Vec<NodeRecord>, StoreError> {
        self.0.backend.nodes().await
    }

    async fn session_secret(&self, proposed: &Secret) -> Result<Secret, StoreError> {
        self.noted(self.0.backend.session_secret(proposed).await)
    }
}
