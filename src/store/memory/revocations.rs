//! Revocations in memory.

use async_trait::async_trait;
use scopegate_provider::{ProviderName, Timestamp};
use serde_json::json;

use super::{Entry, MemoryStore, State};
use crate::store::{
    Action, Actor, BlockCount, ChangeNumber, NewRevocation, Page, RecordId, Revocation, RevocationKey,
    Revocations, Stamp, StoreError,
    changes::Part,
    revocation::{AUDITED_ONE_BY_ONE, no_revocation},
};

#[async_trait]
impl Revocations for MemoryStore {
    async fn revoke(&self, by: &Actor, records: Vec<NewRevocation>) -> Result<Vec<Revocation>, StoreError> {
        let now = self.clock.now();
        let mut state = self.write()?;
        let change = state.heads.advance(Part::Revocations, Stamp::random()?);
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

    async fn delete_revocation(&self, by: &Actor, id: &RecordId) -> Result<ChangeNumber, StoreError> {
        let at = self.clock.now();
        let mut state = self.write()?;
        let mut heads = state.heads;
        let found = state.revocations.get_mut(id).filter(|found| found.in_force(at));
        let found = found.ok_or_else(|| no_revocation(id))?;
        found.deleted = true;
        found.change = heads.advance(Part::Revocations, Stamp::random()?);
        let found = found.clone();
        state.heads = heads;
        let action = Action::DeleteRevocation;
        let entry = Entry { at, by, action, name: id.as_str(), detail: found.detail() };
        state.record(found.change, 0, entry);
        Ok(found.change)
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

    async fn count_blocked(&self, counts: Vec<BlockCount>) -> Result<(), StoreError> {
        let mut state = self.write()?;
        for count in counts {
            let matches = |found: &&mut Revocation| {
                let record = &found.record;
                !found.deleted
                    && record.is_block()
                    && record.provider == count.provider
                    && record.key == count.key
            };
            for found in state.revocations.values_mut().filter(matches) {
                found.refused += count.refused;
                found.streams_cut += count.streams_cut;
            }
        }
        Ok(())
    }

    async fn purge_revocations(&self) -> Result<u64, StoreError> {
        let now = self.clock.now();
        let mut state = self.write()?;
        let before = state.revocations.len();
        state.revocations.retain(|_, found| now < found.record.expires_at);
        Ok(u64::try_from(before - state.revocations.len()).unwrap_or(u64::MAX))
    }
}

impl State {
    fn record_revocations(&mut self, by: &Actor, at: Timestamp, made: &[Revocation], change: ChangeNumber) {
        if made.len() > AUDITED_ONE_BY_ONE {
            let detail = json!({ "count": made.len() });
            return self.record(change, 0, Entry { at, by, action: Action::Revoke, name: "*", detail });
        }
        for (index, revocation) in made.iter().enumerate() {
            let name = revocation.id.as_str();
            let entry = Entry { at, by, action: Action::Revoke, name, detail: revocation.detail() };
            self.record(change, index, entry);
        }
    }
}
