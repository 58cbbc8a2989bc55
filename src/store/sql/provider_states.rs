//! The states of providers in a database.

use std::sync::Arc;

use async_trait::async_trait;
use scopegate_provider::{Clock, ProviderName, Timestamp};
use sqlx::AnyConnection;

use super::{
    Dialect, SqlStore,
    audit::{Entry, record},
    changes::advance,
    parse_rows,
    writer::{Failure, Write},
};
use crate::store::{Actor, ChangeNumber, EntryKind, ProviderState, ProviderStates, StateChange, StoreError};

type Row = (String, i64, String);

const SELECT_ONE: &str = "SELECT provider, disabled, distrusted FROM provider_states WHERE provider = $1";

#[async_trait]
impl ProviderStates for SqlStore {
    async fn provider_states(&self) -> Result<Vec<ProviderState>, StoreError> {
        let query = sqlx::query_as(self.dialect.provider_states);
        let (rows,): (Vec<u8>,) = self.read(|connection| Box::pin(query.fetch_one(connection))).await?;
        let rows: Vec<Row> = parse_rows(&rows)?;
        let names: Vec<String> = rows.iter().map(|(name, ..)| name.clone()).collect();
        let mut states = Vec::with_capacity(rows.len());
        for row in rows {
            let name = row.0.clone();
            let (state, problem) = state(row);
            states.extend(state);
            match problem {
                Some(reason) => self.unreadable.add(EntryKind::Provider, &name, &reason, Timestamp::MAX),
                None => self.unreadable.remove(EntryKind::Provider, &name),
            }
        }
        self.unreadable.keep_only(EntryKind::Provider, &names);
        states.sort_by(|a, b| a.provider.cmp(&b.provider));
        Ok(states)
    }

    async fn change_provider(
        &self,
        by: &Actor,
        provider: &ProviderName,
        change: StateChange,
    ) -> Result<ChangeNumber, StoreError> {
        let by = by.clone();
        let provider = provider.clone();
        let clock = self.clock.clone();
        self.writer.write(Decide { by, provider, change, clock, dialect: self.dialect }).await
    }
}

/// Reads a row as far as that is possible: a list of keys that cannot be read does not enable a disabled provider.
fn state((provider, disabled, distrusted): Row) -> (Option<ProviderState>, Option<String>) {
    let provider = match ProviderName::parse(&provider) {
        Ok(provider) => provider,
        Err(error) => return (None, Some(error.to_string())),
    };
    let disabled = disabled != 0;
    match serde_json::from_str(&distrusted) {
        Ok(distrusted) => (Some(ProviderState { provider, disabled, distrusted }), None),
        Err(error) => {
            let state = ProviderState { disabled, ..ProviderState::new(provider) };
            (Some(state), Some(format!("its distrusted keys are not a JSON array of texts: {error}")))
        }
    }
}

struct Decide {
    by: Actor,
    provider: ProviderName,
    change: StateChange,
    clock: Arc<dyn Clock>,
    dialect: &'static Dialect,
}

#[async_trait]
impl Write for Decide {
    type Output = ChangeNumber;
    const NUMBERED: bool = true;

    async fn run(&self, connection: &mut AnyConnection) -> Result<ChangeNumber, Failure> {
        // The number first: its row keeps other nodes from deciding between the look and the write.
        let number = advance(connection, self.dialect.advance.providers).await?;
        let query = sqlx::query_as(SELECT_ONE).bind(self.provider.to_string());
        let known: Option<Row> = query.fetch_optional(&mut *connection).await?;
        // A state that cannot be read is repaired by this.
        let known = known.and_then(|row| state(row).0);
        let mut state = known.unwrap_or_else(|| ProviderState::new(self.provider.clone()));
        state.apply(&self.change);
        write(connection, &state).await?;
        let entry = Entry {
            at: self.clock.now(),
            by: &self.by,
            action: self.change.action(),
            name: self.provider.as_str(),
            detail: self.change.detail(),
        };
        record(connection, number, 0, entry).await?;
        Ok(number)
    }
}

async fn write(connection: &mut AnyConnection, state: &ProviderState) -> sqlx::Result<()> {
    let sql = "INSERT INTO provider_states (provider, disabled, distrusted) VALUES ($1, $2, $3) \
               ON CONFLICT (provider) DO UPDATE \
               SET disabled = excluded.disabled, distrusted = excluded.distrusted";
    let query = sqlx::query(sql)
        .bind(state.provider.to_string())
        .bind(i64::from(state.disabled))
        .bind(serde_json::to_string(&state.distrusted).unwrap_or_default());
    query.execute(connection).await?;
    Ok(())
}
