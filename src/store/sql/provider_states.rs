//! What was decided about providers, in a database.

use std::sync::Arc;

use async_trait::async_trait;
use scopegate_provider::{Clock, ProviderName};
use sqlx::AnyConnection;

use super::{
    SqlStore,
    audit::{Entry, record},
    changes::advance,
    corrupt,
    writer::{Failure, Write},
};
use crate::store::{
    Actor, ChangeNumber, ProviderState, ProviderStates, StateChange, StoreError, changes::Part,
};

type Row = (String, i64, String);

const SELECT: &str = "SELECT provider, disabled, distrusted FROM provider_states";
const SELECT_ONE: &str = "SELECT provider, disabled, distrusted FROM provider_states WHERE provider = $1";

#[async_trait]
impl ProviderStates for SqlStore {
    async fn provider_states(&self) -> Result<Vec<ProviderState>, StoreError> {
        let rows: Vec<Row> = self.read(sqlx::query_as(SELECT).fetch_all(&self.reads)).await?;
        let mut states = rows.into_iter().map(state).collect::<Result<Vec<_>, _>>()?;
        states.sort_by(|a, b| a.provider.cmp(&b.provider));
        Ok(states)
    }

    async fn change_provider(
        &self,
        by: &Actor,
        provider: &ProviderName,
        change: StateChange,
    ) -> Result<ChangeNumber, StoreError> {
        let (by, provider, clock) = (by.clone(), provider.clone(), self.clock.clone());
        self.writer.write(Decide { by, provider, change, clock }).await
    }
}

fn state((provider, disabled, distrusted): Row) -> Result<ProviderState, StoreError> {
    let provider = ProviderName::parse(&provider).map_err(corrupt("the name of a provider"))?;
    let distrusted = serde_json::from_str(&distrusted).map_err(corrupt("a list of distrusted keys"))?;
    Ok(ProviderState { provider, disabled: disabled != 0, distrusted })
}

struct Decide {
    by: Actor,
    provider: ProviderName,
    change: StateChange,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl Write for Decide {
    type Output = ChangeNumber;
    const NUMBERED: bool = true;

    async fn run(&self, connection: &mut AnyConnection) -> Result<ChangeNumber, Failure> {
        // The number first: its row keeps other nodes from deciding between the look and the write.
        let number = advance(connection, Part::Providers).await?;
        let query = sqlx::query_as(SELECT_ONE).bind(self.provider.to_string());
        let known: Option<Row> = query.fetch_optional(&mut *connection).await?;
        let known = known.map(state).transpose()?;
        let mut state = known.unwrap_or_else(|| ProviderState::new(self.provider.clone()));
        state.apply(&self.change);
        write(connection, &state).await?;
        let (at, action, detail) = (self.clock.now(), self.change.action(), self.change.detail());
        let entry = Entry { at, by: &self.by, action, name: self.provider.as_str(), detail };
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
