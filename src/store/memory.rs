//! The store in memory: for development, for tests, and for reading where no store is configured.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use scopegate_provider::{Clock, ProviderName, Timestamp};
use serde_json::{Value, json};

use super::{
    Action, Actor, Audit, AuditRecord, ChangeNumber, Changes, DenialCount, Edit, Edited, Heads, Item, ItemId,
    ItemName, Items, NewRevocation, Page, Period, Policies, ProviderState, ProviderStates, RecordId,
    Revocation, RevocationKey, Revocations, StateChange, StoreError, StoredPolicy, Version,
    changes::Part,
    items::{FIRST_ITEMS, check_version, no_item},
    revocation::{AUDITED_ONE_BY_ONE, no_revocation},
};

/// The store in memory. Its lock is held for the time of one look-up or change, never while something is waited for.
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
    policy: Arc<StoredPolicy>,
    revocations: BTreeMap<RecordId, Revocation>,
    providers: BTreeMap<ProviderName, ProviderState>,
    audit: BTreeMap<RecordId, AuditRecord>,
    denials: HashMap<(Timestamp, String, String, String), u64>,
}

impl MemoryStore {
    /// A store whose owner accepts that it ends with the process.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { state: Mutex::new(State::first()), clock, writable: true }
    }

    /// What there is where no store is configured: it can be read, and refuses every write (invariant 14).
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
    }

    fn record_revocations(&mut self, by: &Actor, at: Timestamp, made: &[Revocation], change: ChangeNumber) {
        if made.len() > AUDITED_ONE_BY_ONE {
            let detail = json!({ "count": made.len() });
            return self.record(change, 0, Entry { at, by, action: Action::Revoke, name: "*", detail });
        }
        for (index, revocation) in made.iter().enumerate() {
            let (name, detail) = (revocation.id.as_str(), revocation.detail());
            self.record(change, index, Entry { at, by, action: Action::Revoke, name, detail });
        }
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
        let change = heads.advance(Part::Policy);
        let edited = Arc::make_mut(&mut state.policy).apply(edit, change)?;
        state.heads = heads;
        let (action, name, detail) = (edited.action(), edited.name(), edited.detail());
        state.record(change, 0, Entry { at, by, action, name, detail });
        Ok((edited, state.policy.clone()))
    }
}

#[async_trait]
impl Revocations for MemoryStore {
    async fn revoke(&self, by: &Actor, records: Vec<NewRevocation>) -> Result<Vec<Revocation>, StoreError> {
        let now = self.clock.now();
        let mut state = self.write()?;
        let change = state.heads.advance(Part::Revocations);
        let made: Vec<_> = Revocation::numbered(records, now, change).collect();
        state.revocations.extend(made.iter().map(|made| (made.id.clone(), made.clone())));
        state.record_revocations(by, now, &made, change);
        Ok(made)
    }

    async fn revocations(
        &self,
        after: Option<&RecordId>,
        limit: usize,
    ) -> Result<Page<Revocation>, StoreError> {
        let now = self.clock.now();
        let state = self.read();
        let found = state.revocations.values().filter(|found| found.in_force(now));
        let found = found.filter(|found| after.is_none_or(|after| found.id > *after));
        Ok(Page::cut(found.take(limit.saturating_add(1)).cloned().collect(), limit))
    }

    async fn revocation(&self, id: &RecordId) -> Result<Revocation, StoreError> {
        let now = self.clock.now();
        let found = self.read().revocations.get(id).filter(|found| found.in_force(now)).cloned();
        found.ok_or_else(|| no_revocation(id))
    }

    async fn delete_revocation(&self, by: &Actor, id: &RecordId) -> Result<Revocation, StoreError> {
        let at = self.clock.now();
        let mut state = self.write()?;
        let mut heads = state.heads;
        let found = state.revocations.get_mut(id).filter(|found| found.in_force(at));
        let found = found.ok_or_else(|| no_revocation(id))?;
        (found.deleted, found.change) = (true, heads.advance(Part::Revocations));
        let found = found.clone();
        state.heads = heads;
        let (action, detail) = (Action::DeleteRevocation, found.detail());
        state.record(found.change, 0, Entry { at, by, action, name: id.as_str(), detail });
        Ok(found)
    }

    async fn revocations_since(
        &self,
        seen: ChangeNumber,
        after: Option<(ChangeNumber, RecordId)>,
        limit: usize,
    ) -> Result<Page<Revocation>, StoreError> {
        let now = self.clock.now();
        let position = |found: &Revocation| (found.change, found.id.clone());
        let state = self.read();
        let found = state.revocations.values().filter(|found| found.change > seen);
        let found = found.filter(|found| now < found.record.expires_at);
        let found = found.filter(|found| after.as_ref().is_none_or(|after| position(found) > *after));
        let mut found: Vec<_> = found.cloned().collect();
        found.sort_by_key(position);
        Ok(Page::cut(found, limit))
    }

    async fn revocations_of(
        &self,
        provider: &ProviderName,
        key: &RevocationKey,
    ) -> Result<Vec<Revocation>, StoreError> {
        let now = self.clock.now();
        let state = self.read();
        let found = state.revocations.values().filter(|found| found.in_force(now));
        let found = found.filter(|found| found.record.provider == *provider && found.record.key == *key);
        Ok(found.cloned().collect())
    }

    async fn purge_revocations(&self) -> Result<u64, StoreError> {
        let now = self.clock.now();
        let mut state = self.write()?;
        let before = state.revocations.len();
        state.revocations.retain(|_, found| now < found.record.expires_at);
        Ok(u64::try_from(before - state.revocations.len()).unwrap_or(u64::MAX))
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
        let number = state.heads.advance(Part::Providers);
        let known = state.providers.entry(provider.clone());
        known.or_insert_with(|| ProviderState::new(provider.clone())).apply(&change);
        let (action, name, detail) = (change.action(), provider.as_str(), change.detail());
        state.record(number, 0, Entry { at, by, action, name, detail });
        Ok(number)
    }
}

#[async_trait]
impl Audit for MemoryStore {
    async fn audit(
        &self,
        period: Period,
        after: Option<&RecordId>,
        limit: usize,
    ) -> Result<Page<AuditRecord>, StoreError> {
        let state = self.read();
        let found = state.audit.values().filter(|found| period.contains(found.at));
        let found = found.filter(|found| after.is_none_or(|after| found.id > *after));
        Ok(Page::cut(found.take(limit.saturating_add(1)).cloned().collect(), limit))
    }

    async fn count_denials(&self, denials: Vec<DenialCount>) -> Result<(), StoreError> {
        let mut state = self.write()?;
        for DenialCount { minute, route, reason, client, count } in
            denials.into_iter().map(DenialCount::bounded)
        {
            *state.denials.entry((minute, route, reason, client)).or_default() += count;
        }
        Ok(())
    }

    async fn denials(&self, period: Period, limit: usize) -> Result<Vec<DenialCount>, StoreError> {
        let state = self.read();
        let found = state.denials.iter().filter(|((minute, ..), _)| period.contains(*minute));
        let mut found: Vec<_> = found
            .map(|((minute, route, reason, client), count)| DenialCount {
                minute: *minute,
                route: route.clone(),
                reason: reason.clone(),
                client: client.clone(),
                count: *count,
            })
            .collect();
        found.sort_by(DenialCount::latest_first);
        found.truncate(limit);
        Ok(found)
    }

    async fn forget_audit(&self, before: Timestamp) -> Result<(), StoreError> {
        let mut state = self.write()?;
        state.audit.retain(|_, record| record.at >= before);
        state.denials.retain(|(minute, ..), _| *minute >= before);
        Ok(())
    }
}

#[async_trait]
impl Changes for MemoryStore {
    async fn heads(&self) -> Result<Heads, StoreError> {
        Ok(self.read().heads)
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("writable", &self.writable).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::{actor, conformance, record, still, token_id};

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
