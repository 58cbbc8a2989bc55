//! Revocations in a database. Many are written and read as one JSON text, which is several times faster than rows.

use std::sync::Arc;

use async_trait::async_trait;
use scopegate_provider::{Clock, ProviderName, Timestamp};
use serde_json::json;
use sqlx::AnyConnection;

use super::{
    SqlStore,
    audit::{Entry, record},
    changes::advance,
    corrupt, hash, one_more, text,
    writer::{Failure, Write},
};
use crate::store::{
    Action, Actor, ChangeNumber, Changes, NewRevocation, Page, RecordId, Revocation, RevocationKey,
    Revocations, StoreError,
    changes::Part,
    revocation::{AUDITED_ONE_BY_ONE, no_revocation},
};

/// A row, in the order of the columns in every statement.
type Row = (String, String, String, String, i64, i64, Option<String>, i64, i64, i64);

/// How many rows one statement writes or removes.
const BATCH: usize = 10_000;

#[async_trait]
impl Revocations for SqlStore {
    async fn revoke(&self, by: &Actor, records: Vec<NewRevocation>) -> Result<Vec<Revocation>, StoreError> {
        let (by, clock) = (by.clone(), self.clock.clone());
        self.writer.write(Revoke { by, records, insert: self.dialect.insert_revocations, clock }).await
    }

    async fn revocations(
        &self,
        after: Option<&RecordId>,
        limit: usize,
    ) -> Result<Page<Revocation>, StoreError> {
        let sql = "SELECT id, provider, kind, value, issued_before, expires_at, reason, created_at, change, deleted \
                   FROM revocations WHERE deleted = 0 AND expires_at > $1 AND id > $2 ORDER BY id LIMIT $3";
        let query = sqlx::query_as(sql)
            .bind(self.clock.now().millis())
            .bind(after.map_or_else(String::new, ToString::to_string))
            .bind(one_more(limit));
        let rows: Vec<Row> = self.read(query.fetch_all(&self.reads)).await?;
        Ok(Page::cut(rows.into_iter().map(revocation).collect::<Result<_, _>>()?, limit))
    }

    async fn revocation(&self, id: &RecordId) -> Result<Revocation, StoreError> {
        let query = sqlx::query_as(SELECT_ONE).bind(id.to_string()).bind(self.clock.now().millis());
        let row: Option<Row> = self.read(query.fetch_optional(&self.reads)).await?;
        row.map_or_else(|| Err(no_revocation(id)), revocation)
    }

    async fn delete_revocation(&self, by: &Actor, id: &RecordId) -> Result<Revocation, StoreError> {
        let (by, id, clock) = (by.clone(), id.clone(), self.clock.clone());
        self.writer.write(TakeBack { by, id, clock }).await
    }

    async fn revocations_since(
        &self,
        seen: ChangeNumber,
        after: Option<(ChangeNumber, RecordId)>,
        limit: usize,
    ) -> Result<Page<Revocation>, StoreError> {
        // One condition, because with a second one on the change the index would be read from there for each page.
        let (change, id) =
            after.map_or_else(|| (seen.0 + 1, String::new()), |(change, id)| (change.0, id.to_string()));
        let query = sqlx::query_as(self.dialect.revocations_since)
            .bind(change)
            .bind(id)
            .bind(self.time().await?.millis())
            .bind(one_more(limit));
        let (rows,): (String,) = self.read(query.fetch_one(&self.reads)).await?;
        let rows: Vec<Row> = serde_json::from_str(&rows).map_err(corrupt("revocations"))?;
        let mut found = rows.into_iter().map(revocation).collect::<Result<Vec<_>, _>>()?;
        found.sort_by(|a, b| (a.change, &a.id).cmp(&(b.change, &b.id)));
        Ok(Page::cut(found, limit))
    }

    async fn revocations_of(
        &self,
        provider: &ProviderName,
        key: &RevocationKey,
    ) -> Result<Vec<Revocation>, StoreError> {
        let sql = "SELECT id, provider, kind, value, issued_before, expires_at, reason, created_at, change, deleted \
                   FROM revocations WHERE key_hash = $1 AND provider = $2 AND kind = $3 AND value = $4 \
                   AND deleted = 0 AND expires_at > $5 ORDER BY id";
        let query = sqlx::query_as(sql)
            .bind(key_hash(provider, key))
            .bind(provider.to_string())
            .bind(key.kind())
            .bind(key.value())
            .bind(self.clock.now().millis());
        let rows: Vec<Row> = self.read(query.fetch_all(&self.reads)).await?;
        rows.into_iter().map(revocation).collect()
    }

    async fn purge_revocations(&self) -> Result<u64, StoreError> {
        let (now, mut removed) = (self.time().await?, 0);
        loop {
            let batch = self.writer.write(Purge { now }).await?;
            removed += batch;
            if batch < u64::try_from(BATCH).unwrap_or(u64::MAX) {
                return Ok(removed);
            }
        }
    }
}

const SELECT_ONE: &str = "SELECT id, provider, kind, value, issued_before, expires_at, reason, created_at, change, \
                          deleted FROM revocations WHERE id = $1 AND deleted = 0 AND expires_at > $2";

fn revocation(row: Row) -> Result<Revocation, StoreError> {
    let (id, provider, kind, value, issued_before, expires_at, reason, created_at, change, deleted) = row;
    let key = RevocationKey::from_parts(&kind, &value);
    Ok(Revocation {
        id: RecordId::from_text(&id),
        record: NewRevocation {
            provider: ProviderName::parse(&provider).map_err(corrupt("the provider of a revocation"))?,
            key: key.ok_or(StoreError::Corrupt { what: "the key of a revocation" })?,
            issued_before: Timestamp::from_millis(issued_before),
            expires_at: Timestamp::from_millis(expires_at),
            reason,
        },
        created_at: Timestamp::from_millis(created_at),
        change: ChangeNumber(change),
        deleted: deleted != 0,
    })
}

fn key_hash(provider: &ProviderName, key: &RevocationKey) -> String {
    hash(&format!("{provider}\0{}\0{}", key.kind(), key.value()), 16)
}

struct Revoke {
    by: Actor,
    records: Vec<NewRevocation>,
    insert: &'static str,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl Write for Revoke {
    type Output = Vec<Revocation>;
    const NUMBERED: bool = true;

    async fn run(&self, connection: &mut AnyConnection) -> Result<Vec<Revocation>, Failure> {
        let now = self.clock.now();
        let change = advance(connection, Part::Revocations).await?;
        let made: Vec<_> = Revocation::numbered(self.records.clone(), now, change).collect();
        for batch in made.chunks(BATCH) {
            let rows = serde_json::Value::Array(batch.iter().map(row).collect()).to_string();
            sqlx::query(self.insert).bind(rows).execute(&mut *connection).await?;
        }
        self.audit(connection, now, &made, change).await?;
        Ok(made)
    }
}

impl Revoke {
    async fn audit(
        &self,
        connection: &mut AnyConnection,
        at: Timestamp,
        made: &[Revocation],
        change: ChangeNumber,
    ) -> sqlx::Result<()> {
        let entry = |name, detail| Entry { at, by: &self.by, action: Action::Revoke, name, detail };
        if made.len() > AUDITED_ONE_BY_ONE {
            return record(connection, change, 0, entry("*", json!({ "count": made.len() }))).await;
        }
        for (index, revocation) in made.iter().enumerate() {
            record(connection, change, index, entry(revocation.id.as_str(), revocation.detail())).await?;
        }
        Ok(())
    }
}

fn row(revocation: &Revocation) -> serde_json::Value {
    let record = &revocation.record;
    json!({
        "id": revocation.id,
        "provider": record.provider,
        "kind": record.key.kind(),
        "value": record.key.value(),
        "key_hash": key_hash(&record.provider, &record.key),
        "issued_before": record.issued_before,
        "expires_at": record.expires_at,
        "reason": record.reason.as_deref().map(text),
        "created_at": revocation.created_at,
        "change": revocation.change,
    })
}

struct TakeBack {
    by: Actor,
    id: RecordId,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl Write for TakeBack {
    type Output = Revocation;
    const NUMBERED: bool = true;

    async fn run(&self, connection: &mut AnyConnection) -> Result<Revocation, Failure> {
        let at = self.clock.now();
        let query = sqlx::query_as(SELECT_ONE).bind(self.id.to_string()).bind(at.millis());
        let found: Option<Row> = query.fetch_optional(&mut *connection).await?;
        let found = revocation(found.ok_or_else(|| no_revocation(&self.id))?)?;
        let change = advance(connection, Part::Revocations).await?;
        let sql = "UPDATE revocations SET deleted = 1, change = $1 WHERE id = $2";
        sqlx::query(sql).bind(change.0).bind(self.id.to_string()).execute(&mut *connection).await?;
        let (action, detail) = (Action::DeleteRevocation, found.detail());
        record(connection, change, 0, Entry { at, by: &self.by, action, name: self.id.as_str(), detail })
            .await?;
        Ok(Revocation { change, deleted: true, ..found })
    }
}

struct Purge {
    now: Timestamp,
}

#[async_trait]
impl Write for Purge {
    type Output = u64;
    const NUMBERED: bool = false;

    async fn run(&self, connection: &mut AnyConnection) -> Result<u64, Failure> {
        let sql = "DELETE FROM revocations WHERE id IN \
                   (SELECT id FROM revocations WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)";
        let query = sqlx::query(sql).bind(self.now.millis()).bind(i64::try_from(BATCH).unwrap_or(i64::MAX));
        Ok(query.execute(connection).await?.rows_affected())
    }
}
