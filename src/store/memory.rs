//! The store in memory: for development, for tests, and for reading without a configured store.

mod audit;
mod revocations;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use scopegate_provider::{Clock, ProviderName, Secret, Timestamp};
use serde_json::Value;

use super::{
    Action, Actor, AuditRecord, Backend, ChangeNumber, Changes, Edit, Edited, Heads, Item, ItemId, ItemName,
    Items, NodeRecord, Nodes, Page, Policies, ProviderState, ProviderStates, RecordId, Revocation,
    SigningKey, SigningKeys, Stamp, StateChange, StoreError, StoredPolicy, Version,
    changes::Part,
    items::{FIRST_ITEMS, check_version, no_item},
    signing_keys::no_signing_key,
};

/// The store in memory. Its lock is held for one look-up or change, never across an `await`.
pub struct MemoryStore {
    state: Mutex<State>,
    clock: Arc<dyn Clock>,
    writable: bool,
}

#[derive(Default)]
struct State {
    items: BTreeMap<ItemId, Item>,
    last_item: ItemId,
    heads: Heads,
    stamps: BTreeMap<ChangeNumber, Stamp>,
    policy: Arc<StoredPolicy>,
    revocations: BTreeMap<RecordId, Revocation>,
    providers: BTreeMap<ProviderName, ProviderState>,
    signing_keys: BTreeMap<i64, SigningKey>,
    nodes: BTreeMap<String, NodeRecord>,
    session_secret: Option<Secret>,
    audit: BTreeMap<RecordId, AuditRecord>,
    denials: HashMap<(Timestamp, String, String, String), u64>,
}

impl MemoryStore {
    /// Creates a store that ends with the process.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { state: Mutex::new(State::first()), clock, writable: true }
    }

    /// Creates the store that is used if none is configured: it can be read, and refuses every write (invariant 14).
    pub fn read_only(clock: Arc<dyn Clock>) -> Self {
        Self { state: Mutex::new(State::first()), clock, writable: false }
    }

    fn read(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        if self.writable { Ok(self.read()) } else { Err(StoreError::NoStore) }
    }
}

impl State {
    fn first() -> Self {
        let mut state = Self::default();
        for name in FIRST_ITEMS.into_iter().flat_map(ItemName::parse) {
            state.create(name);
        }
        state
    }

    fn create(&mut self, name: ItemName) -> Item {
        self.last_item += 1;
        let item = Item { id: self.last_item, name, version: Version(1) };
        self.items.insert(item.id, item.clone());
        item
    }

    fn record(&mut self, change: ChangeNumber, index: usize, entry: Entry<'_>) {
        let Entry { at, by, action, name, detail } = entry;
        let id = RecordId::of(change, index);
        let record = AuditRecord {
            id: id.clone(),
            at,
            actor: by.clone(),
            action,
            name: name.to_owned(),
            detail,
            change,
        };
        self.audit.insert(id, record);
        self.stamps.insert(change, self.heads.stamp);
    }
}

struct Entry<'a> {
    at: Timestamp,
    by: &'a Actor,
    action: Action,
    name: &'a str,
    detail: Value,
}

#[async_trait]
impl Items for MemoryStore {
    async fn list(&self, after: Option<ItemId>, limit: usize) -> Result<Page<Item>, StoreError> {
        let first = after.map_or(ItemId::MIN, |after| after.saturating_add(1));
        let state = self.read();
        let items = state.items.range(first..).take(limit.saturating_add(1)).map(|(_, item)| item.clone());
        Ok(Page::cut(items.collect(), limit))
    }

    async fn find(&self, id: ItemId) -> Result<Item, StoreError> {
        self.read().items.get(&id).cloned().ok_or_else(|| no_item(id))
    }

    async fn create(&self, name: ItemName) -> Result<Item, StoreError> {
        Ok(self.write()?.create(name))
    }

    async fn replace(
        &self,
        id: ItemId,
        expected: Option<Version>,
        name: ItemName,
    ) -> Result<Item, StoreError> {
        let mut state = self.write()?;
        let item = state.items.get_mut(&id).ok_or_else(|| no_item(id))?;
        check_version(expected, item.version)?;
        item.name = name;
        item.version.0 += 1;
        Ok(item.clone())
    }

    async fn delete(&self, id: ItemId, expected: Option<Version>) -> Result<(), StoreError> {
        let mut state = self.write()?;
        let item = state.items.get(&id).ok_or_else(|| no_item(id))?;
        check_version(expected, item.version)?;
        state.items.remove(&id);
        Ok(())
    }
}

#[async_trait]
impl Policies for MemoryStore {
    async fn stored_policy(&self) -> Result<Arc<StoredPolicy>, StoreError> {
        Ok(self.read().policy.clone())
    }

    async fn edit_policy(
        &self,
        by: &Actor,
        before: &StoredPolicy,
        edit: Edit,
    ) -> Result<(Edited, Arc<StoredPolicy>), StoreError> {
        let at = self.clock.now();
        let mut state = self.write()?;
        if state.heads.policy != before.change {
            return Err(StoreError::Moved { seen: before.change, found: state.heads.policy });
        }
        let mut heads = state.heads;
        let change = heads.advance(Part::Policy, Stamp::random()?);
        let edited = Arc::make_mut(&mut state.policy).apply(edit, change)?;
        state.heads = heads;
        let entry = Entry { at, by, action: edited.action(), name: edited.name(), detail: edited.detail() };
        state.record(change, 0, entry);
        Ok((edited, state.policy.clone()))
    }
}

#[async_trait]
impl ProviderStates for MemoryStore {
    async fn provider_states(&self) -> Result<Vec<ProviderState>, StoreError> {
        Ok(self.read().providers.values().cloned().collect())
    }

    async fn change_provider(
        &self,
        by: &Actor,
        provider: &ProviderName,
        change: StateChange,
    ) -> Result<ChangeNumber, StoreError> {
        let at = self.clock.now();
        let mut state = self.write()?;
        let number = state.heads.advance(Part::Providers, Stamp::random()?);
        let known = state.providers.entry(provider.clone());
        known.or_insert_with(|| ProviderState::new(provider.clone())).apply(&change);
        let entry =
            Entry { at, by, action: change.action(), name: provider.as_str(), detail: change.detail() };
        state.record(number, 0, entry);
        Ok(number)
    }
}

#[async_trait]
impl SigningKeys for MemoryStore {
    async fn signing_keys(&self) -> Result<Vec<SigningKey>, StoreError> {
        Ok(self.read().signing_keys.values().cloned().collect())
    }

    async fn add_signing_key(&self, key: SigningKey) -> Result<(), StoreError> {
        self.write()?.signing_keys.entry(key.number).or_insert(key);
        Ok(())
    }

    async fn forget_signing_keys(&self, before: i64) -> Result<(), StoreError> {
        self.write()?.signing_keys.retain(|number, _| *number >= before);
        Ok(())
    }

    async fn remove_signing_key(&self, number: i64) -> Result<(), StoreError> {
        self.write()?.signing_keys.remove(&number).map(drop).ok_or_else(|| no_signing_key(number))
    }
}

#[async_trait]
impl Nodes for MemoryStore {
    async fn report_node(&self, report: NodeRecord, forget_before: Timestamp) -> Result<(), StoreError> {
        let nodes = &mut self.write()?.nodes;
        nodes.insert(report.id.clone(), report);
        nodes.retain(|_, report| report.seen >= forget_before);
        Ok(())
    }

    async fn nodes(&self) -> Result<Vec<NodeRecord>, StoreError> {
        Ok(self.read().nodes.values().cloned().collect())
    }

    async fn session_secret(&self, proposed: &Secret) -> Result<Secret, StoreError> {
        Ok(self.write()?.session_secret.get_or_insert_with(|| proposed.clone()).clone())
    }
}

#[async_trait]
impl Changes for MemoryStore {
    async fn heads(&self) -> Result<Heads, StoreError> {
        Ok(self.read().heads)
    }

    async fn stamp_of(&self, change: ChangeNumber) -> Result<Option<Stamp>, StoreError> {
        let state = self.read();
        Ok(state.stamps.get(&change).copied().or((change == ChangeNumber(0)).then_some(Stamp(0))))
    }

    async fn time(&self) -> Result<Timestamp, StoreError> {
        Ok(self.clock.now())
    }

    async fn latest_time(&self) -> Result<Timestamp, StoreError> {
        Ok(self.clock.now())
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.write().map(drop)
    }
}

impl Backend for MemoryStore {}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("writable", &self.writable).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::{
        Revocations,
        conformance::{actor, conformance, record, still, token_id},
    };

    async fn open() -> (MemoryStore, ()) {
        (MemoryStore::new(still()), ())
    }

    conformance!(open);

    #[tokio::test]
    async fn invariant_14_without_a_store_every_write_is_refused() {
        let store = MemoryStore::read_only(still());
        let (actor, name) = (actor(), ItemName::parse("a").unwrap());
        let no_store = |result: Result<(), _>| assert!(matches!(result, Err(StoreError::NoStore)));
        no_store(store.create(name.clone()).await.map(drop));
        no_store(store.replace(1, None, name).await.map(drop));
        no_store(store.delete(1, None).await);
        no_store(store.revoke(&actor, vec![record(token_id("a"))]).await.map(drop));
        no_store(store.delete_revocation(&actor, &RecordId::from_text("a")).await.map(drop));
        no_store(
            store
                .change_provider(&actor, &record(token_id("a")).provider, StateChange::Disable)
                .await
                .map(drop),
        );
        let edit = Edit::CreateRoute { definition: json!({}) };
        no_store(store.edit_policy(&actor, &StoredPolicy::default(), edit).await.map(drop));
        assert_eq!(store.list(None, 10).await.unwrap().items.len(), 3);
    }
}
