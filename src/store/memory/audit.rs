//! The audit in memory.

use async_trait::async_trait;
use scopegate_provider::Timestamp;
use serde_json::Value;

use super::{Entry, MemoryStore};
use crate::store::{
    Action, Actor, Audit, AuditRecord, DenialCount, Page, Period, RecordId, Stamp, StoreError, changes::Part,
};

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

    async fn record_signal(&self, by: &Actor, name: &str, detail: Value) -> Result<(), StoreError> {
        let at = self.clock.now();
        let mut state = self.write()?;
        let change = state.heads.advance(Part::Revocations, Stamp::random()?);
        state.record(change, 0, Entry { at, by, action: Action::Signal, name, detail });
        Ok(())
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
