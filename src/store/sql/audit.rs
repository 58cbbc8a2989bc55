//! The audit in a database.

use async_trait::async_trait;
use scopegate_provider::{ClientId, ProviderName, Subject, Timestamp};
use serde_json::Value;
use sqlx::AnyConnection;

use super::{
    Dialect, SqlStore,
    changes::advance,
    corrupt, one_more, text,
    writer::{Failure, Write},
};
use crate::store::{
    Action, Actor, Audit, AuditRecord, ChangeNumber, DenialCount, Page, Period, RecordId, StoreError,
};

/// The content of an audit record.
pub(super) struct Entry<'a> {
    pub at: Timestamp,
    pub by: &'a Actor,
    pub action: Action,
    pub name: &'a str,
    pub detail: Value,
}

/// Writes an audit record in the transaction of its change.
pub(super) async fn record(
    connection: &mut AnyConnection,
    change: ChangeNumber,
    index: usize,
    entry: Entry<'_>,
) -> sqlx::Result<()> {
    let (provider, subject, client) = match entry.by {
        Actor::System => (None, None, None),
        Actor::Caller { provider, subject, client } => {
            (Some(provider), subject.as_ref().map(ToString::to_string), client.as_ref())
        }
    };
    let sql = "INSERT INTO audit \
               (id, at, actor_provider, actor_subject, actor_client, action, name, detail, change) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let query = sqlx::query(sql)
        .bind(RecordId::of(change, index).to_string())
        .bind(entry.at.millis())
        .bind(provider.map(ToString::to_string))
        .bind(subject)
        .bind(client.map(ToString::to_string))
        .bind(entry.action.as_str())
        .bind(text(entry.name))
        .bind(entry.detail.to_string())
        .bind(change.0);
    query.execute(connection).await?;
    Ok(())
}

struct RecordSignal {
    by: Actor,
    name: String,
    detail: Value,
    at: Timestamp,
    dialect: &'static Dialect,
}

#[async_trait]
impl Write for RecordSignal {
    type Output = ();
    const NUMBERED: bool = true;

    async fn run(&self, connection: &mut AnyConnection) -> Result<(), Failure> {
        let change = advance(connection, self.dialect.advance.revocations).await?;
        let detail = self.detail.clone();
        let entry = Entry { at: self.at, by: &self.by, action: Action::Signal, name: &self.name, detail };
        Ok(record(connection, change, 0, entry).await?)
    }
}

type Row = (String, i64, Option<String>, Option<String>, Option<String>, String, String, String, i64);
type DenialRow = (i64, String, String, String, i64);

fn denial((minute, route, reason, client, count): DenialRow) -> DenialCount {
    let minute = Timestamp::from_millis(minute);
    DenialCount { minute, route, reason, client, count: u64::try_from(count).unwrap_or(0) }
}

fn audit_record(row: Row) -> Result<AuditRecord, StoreError> {
    let (id, at, provider, subject, client, action, name, detail, change) = row;
    Ok(AuditRecord {
        id: RecordId::from_text(&id),
        at: Timestamp::from_millis(at),
        actor: actor(provider, subject, client)?,
        action: Action::parse(&action)?,
        name,
        detail: serde_json::from_str(&detail).map_err(corrupt("the detail of an audit record"))?,
        change: ChangeNumber(change),
    })
}

fn actor(
    provider: Option<String>,
    subject: Option<String>,
    client: Option<String>,
) -> Result<Actor, StoreError> {
    let Some(provider) = provider else { return Ok(Actor::System) };
    Ok(Actor::Caller {
        provider: ProviderName::parse(&provider).map_err(corrupt("the provider of an actor"))?,
        subject: subject.map(|subject| Subject::parse(&subject)).transpose().map_err(corrupt("a subject"))?,
        client: client.map(|client| ClientId::parse(&client)).transpose().map_err(corrupt("a client"))?,
    })
}

#[async_trait]
impl Audit for SqlStore {
    async fn audit(
        &self,
        period: Period,
        after: Option<&RecordId>,
        limit: usize,
    ) -> Result<Page<AuditRecord>, StoreError> {
        let sql = "SELECT id, at, actor_provider, actor_subject, actor_client, action, name, detail, change \
                   FROM audit WHERE at >= $1 AND at < $2 AND id > $3 ORDER BY id LIMIT $4";
        let query = sqlx::query_as(sql)
            .bind(period.from.millis())
            .bind(period.to.millis())
            .bind(after.map_or_else(String::new, ToString::to_string))
            .bind(one_more(limit));
        let rows: Vec<Row> = self.read(|connection| Box::pin(query.fetch_all(connection))).await?;
        let more = rows.len() > limit;
        // A record that cannot be read, such as one of a newer scopegate, does not hide the others.
        let records = rows.into_iter().take(limit).flat_map(audit_record);
        Ok(Page { items: records.collect(), more })
    }

    async fn record_signal(&self, by: &Actor, name: &str, detail: Value) -> Result<(), StoreError> {
        let at = self.clock.now();
        let record =
            RecordSignal { by: by.clone(), name: name.to_owned(), detail, at, dialect: self.dialect };
        self.writer.write(record).await
    }

    async fn count_denials(&self, denials: Vec<DenialCount>) -> Result<(), StoreError> {
        let denials = denials.into_iter().map(DenialCount::bounded).collect();
        self.writer.write(Count { denials }).await
    }

    async fn denials(&self, period: Period, limit: usize) -> Result<Vec<DenialCount>, StoreError> {
        let sql = "SELECT minute, route, reason, client, count FROM denials \
                   WHERE minute >= $1 AND minute < $2 ORDER BY minute DESC LIMIT $3";
        let query = sqlx::query_as(sql)
            .bind(period.from.millis())
            .bind(period.to.millis())
            .bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let rows: Vec<DenialRow> = self.read(|connection| Box::pin(query.fetch_all(connection))).await?;
        let mut denials: Vec<_> = rows.into_iter().map(denial).collect();
        denials.sort_by(DenialCount::latest_first);
        Ok(denials)
    }

    async fn forget_audit(&self, before: Timestamp) -> Result<(), StoreError> {
        self.writer.write(Forget { before }).await
    }
}

/// The number of changes after which a node that was cut off reads everything again instead of only what is new.
const KEPT_STAMPS: i64 = 100_000;

struct Count {
    denials: Vec<DenialCount>,
}

struct Forget {
    before: Timestamp,
}

#[async_trait]
impl Write for Count {
    type Output = ();
    const NUMBERED: bool = false;

    async fn run(&self, connection: &mut AnyConnection) -> Result<(), Failure> {
        let sql = "INSERT INTO denials (minute, route, reason, client, count) VALUES ($1, $2, $3, $4, $5) \
                   ON CONFLICT (minute, route, reason, client) \
                   DO UPDATE SET count = denials.count + excluded.count";
        for denial in &self.denials {
            let query = sqlx::query(sql)
                .bind(denial.minute.millis())
                .bind(text(&denial.route))
                .bind(text(&denial.reason))
                .bind(text(&denial.client))
                .bind(i64::try_from(denial.count).unwrap_or(i64::MAX));
            query.execute(&mut *connection).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Write for Forget {
    type Output = ();
    const NUMBERED: bool = false;

    async fn run(&self, connection: &mut AnyConnection) -> Result<(), Failure> {
        let before = self.before.millis();
        sqlx::query("DELETE FROM audit WHERE at < $1").bind(before).execute(&mut *connection).await?;
        sqlx::query("DELETE FROM denials WHERE minute < $1").bind(before).execute(&mut *connection).await?;
        let sql = "DELETE FROM stamps WHERE number < (SELECT last FROM heads WHERE id = 1) - $1";
        sqlx::query(sql).bind(KEPT_STAMPS).execute(&mut *connection).await?;
        Ok(())
    }
}
