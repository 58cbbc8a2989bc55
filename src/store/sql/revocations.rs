//! Revocations in a database. Many are written and read as one JSON text, which is several times faster than rows.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use scopegate_provider::{Clock, ProviderName, Timestamp};
use serde_json::json;
use sqlx::AnyConnection;

use super::{
    Dialect, SqlStore,
    audit::{Entry, record},
    changes::advance,
    hash, one_more, parse_rows, text,
    writer::{Failure, Write},
};
use crate::store::{
    Action, Actor, BlockCount, ChangeNumber, Changes, EntryKind, NewRevocation, Page, RecordId, Revocation,
    RevocationKey, Revocations, StoreError,
    revocation::{AUDITED_ONE_BY_ONE, no_revocation},
};

/// A row, in the order of the columns in every statement.
type Row = (String, String, String, String, i64, i64, Option<String>, i64, i64, i64, i64, i64);

/// The most rows that one statement writes or removes.
const BATCH: usize = 10_000;

/// The longest time for which a deleted revocation is kept, so that every node hears of the deletion.
const TOMBSTONE: Duration = Duration::from_hours(24 * 30);

#[async_trait]
impl Revocations for SqlStore {
    async fn revoke(&self, by: &Actor, records: Vec<NewRevocation>) -> Result<Vec<Revocation>, StoreError> {
        let by = by.clone();
        let clock = self.clock.clone();
        self.writer.write(Revoke { by, records, clock, dialect: self.dialect }).await
    }

    async fn revocations(
        &self,
        after: Option<&RecordId>,
        limit: usize,
    ) -> Result<Page<Revocation>, StoreError> {
        let sql = "SELECT id, provider, kind, value, issued_before, expires_at, reason, created_at, change, deleted, \
                   refused, streams_cut FROM revocations WHERE deleted = 0 AND expires_at > $1 AND id > $2 \
                   ORDER BY id LIMIT $3";
        let query = sqlx::query_as(sql)
            .bind(self.clock.now().millis())
            .bind(after.map_or_else(String::new, ToString::to_string))
            .bind(one_more(limit));
        let rows: Vec<Row> = self.read(|connection| Box::pin(query.fetch_all(connection))).await?;
        let more = rows.len() > limit;
        Ok(Page { items: rows.into_iter().take(limit).filter_map(|row| self.readable(row)).collect(), more })
    }

    async fn revocation(&self, id: &RecordId) -> Result<Revocation, StoreError> {
        let query = sqlx::query_as(SELECT_ONE).bind(id.to_string()).bind(self.clock.now().millis());
        let row: Option<Row> = self.read(|connection| Box::pin(query.fetch_optional(connection))).await?;
        let row = row.ok_or_else(|| no_revocation(id))?;
        self.readable(row).ok_or(StoreError::Corrupt { what: "a revocation" })
    }

    async fn delete_revocation(&self, by: &Actor, id: &RecordId) -> Result<ChangeNumber, StoreError> {
        let by = by.clone();
        let clock = self.clock.clone();
        let change = self.writer.write(TakeBack { by, id: id.clone(), clock, dialect: self.dialect }).await?;
        self.unreadable.remove(EntryKind::Revocation, id.as_str());
        Ok(change)
    }

    async fn revocations_since(
        &self,
        seen: ChangeNumber,
        after: Option<(ChangeNumber, RecordId)>,
        limit: usize,
    ) -> Result<Page<Revocation>, StoreError> {
        // One condition, because with a second one on the change the index would be read from there for each page.
        let mut position =
            after.map_or_else(|| (seen.0 + 1, String::new()), |(change, id)| (change.0, id.to_string()));
        let now = self.time().await?.millis();
        loop {
            let query = sqlx::query_as(self.dialect.revocations_since)
                .bind(position.0)
                .bind(position.1)
                .bind(now)
                .bind(one_more(limit));
            let (rows,): (Vec<u8>,) = self.read(|connection| Box::pin(query.fetch_one(connection))).await?;
            let mut rows: Vec<Row> = parse_rows(&rows)?;
            rows.sort_by(|a, b| (a.8, &a.0).cmp(&(b.8, &b.0)));
            let more = rows.len() > limit;
            rows.truncate(limit);
            let last = rows.last().map(|row| (row.8, row.0.clone()));
            let items: Vec<_> = rows.into_iter().filter_map(|row| self.readable(row)).collect();
            match last {
                // A page of nothing but unreadable rows is not the end.
                Some(last) if more && items.is_empty() => position = last,
                Some(_) | None => return Ok(Page { items, more }),
            }
        }
    }

    async fn revocations_of(
        &self,
        provider: &ProviderName,
        key: &RevocationKey,
    ) -> Result<Vec<Revocation>, StoreError> {
        let sql = "SELECT id, provider, kind, value, issued_before, expires_at, reason, created_at, change, deleted, \
                   refused, streams_cut FROM revocations WHERE key_hash = $1 AND provider = $2 AND kind = $3 \
                   AND value = $4 AND deleted = 0 AND expires_at > $5 ORDER BY id";
        let query = sqlx::query_as(sql)
            .bind(key_hash(provider, key))
            .bind(provider.to_string())
            .bind(key.kind())
            .bind(key.value())
            .bind(self.clock.now().millis());
        let rows: Vec<Row> = self.read(|connection| Box::pin(query.fetch_all(connection))).await?;
        Ok(rows.into_iter().filter_map(|row| self.readable(row)).collect())
    }

    async fn count_blocked(&self, counts: Vec<BlockCount>) -> Result<(), StoreError> {
        self.writer.write(CountBlocked { counts }).await
    }

    async fn purge_revocations(&self) -> Result<u64, StoreError> {
        let now = self.time().await?;
        let mut removed = 0;
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
                          deleted, refused, streams_cut FROM revocations \
                          WHERE id = $1 AND deleted = 0 AND expires_at > $2";

impl SqlStore {
    /// Parses a row. One that cannot be read is left out and reported, unless it was deleted.
    fn readable(&self, row: Row) -> Option<Revocation> {
        let id = row.0.clone();
        let expires_at = Timestamp::from_millis(row.5);
        let deleted = row.9 != 0;
        match revocation(row) {
            Ok(revocation) => {
                self.unreadable.remove(EntryKind::Revocation, &id);
                Some(revocation)
            }
            Err(reason) => {
                if deleted {
                    self.unreadable.remove(EntryKind::Revocation, &id);
                } else {
                    self.unreadable.add(EntryKind::Revocation, &id, &reason, expires_at);
                }
                None
            }
        }
    }
}

fn revocation(row: Row) -> Result<Revocation, String> {
    let (
        id,
        provider,
        kind,
        value,
        issued_before,
        expires_at,
        reason,
        created_at,
        change,
        deleted,
        refused,
        cut,
    ) = row;
    let key = RevocationKey::from_parts(&kind, &value);
    Ok(Revocation {
        id: RecordId::from_text(&id),
        record: NewRevocation {
            provider: ProviderName::parse(&provider).map_err(|error| error.to_string())?,
            key: key.ok_or_else(|| format!("its value is not a {}", kind.replace('_', " ")))?,
            issued_before: Timestamp::from_millis(issued_before),
            expires_at: Timestamp::from_millis(expires_at),
            reason,
        },
        created_at: Timestamp::from_millis(created_at),
        change: ChangeNumber(change),
        deleted: deleted != 0,
        refused: u64::try_from(refused).unwrap_or_default(),
        streams_cut: u64::try_from(cut).unwrap_or_default(),
    })
}

fn key_hash(provider: &ProviderName, key: &RevocationKey) -> String {
    hash(&format!("{provider}\0{}\0{}", key.kind(), key.value()), 16)
}

struct Revoke {
    by: Actor,
    records: Vec<NewRevocation>,
    clock: Arc<dyn Clock>,
    dialect: &'static Dialect,
}

#[async_trait]
impl Write for Revoke {
    type Output = Vec<Revocation>;
    const NUMBERED: bool = true;

    async fn run(&self, connection: &mut AnyConnection) -> Result<Vec<Revocation>, Failure> {
        let now = self.clock.now();
        let change = advance(connection, self.dialect.advance.revocations).await?;
        let made: Vec<_> = Revocation::numbered(self.records.clone(), now, change).collect();
        for batch in made.chunks(BATCH) {
            let rows = serde_json::Value::Array(batch.iter().map(row).collect()).to_string();
            sqlx::query(self.dialect.insert_revocations).bind(rows).execute(&mut *connection).await?;
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
        if made.len() > AUDITED_ONE_BY_ONE {
            let detail = json!({ "count": made.len() });
            let entry = Entry { at, by: &self.by, action: Action::Revoke, name: "*", detail };
            return record(connection, change, 0, entry).await;
        }
        for (index, revocation) in made.iter().enumerate() {
            let name = revocation.id.as_str();
            let entry = Entry { at, by: &self.by, action: Action::Revoke, name, detail: revocation.detail() };
            record(connection, change, index, entry).await?;
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
        "value": text(&record.key.value()),
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
    dialect: &'static Dialect,
}

#[async_trait]
impl Write for TakeBack {
    type Output = ChangeNumber;
    const NUMBERED: bool = true;

    async fn run(&self, connection: &mut AnyConnection) -> Result<ChangeNumber, Failure> {
        let at = self.clock.now();
        let query = sqlx::query_as(SELECT_ONE).bind(self.id.to_string()).bind(at.millis());
        let found: Option<Row> = query.fetch_optional(&mut *connection).await?;
        let found = found.ok_or_else(|| no_revocation(&self.id))?;
        let kept_until = Timestamp::from_millis(found.5).min(at + TOMBSTONE);
        let change = advance(connection, self.dialect.advance.revocations).await?;
        let sql = "UPDATE revocations SET deleted = 1, change = $1, expires_at = $2 WHERE id = $3";
        let query = sqlx::query(sql).bind(change.0).bind(kept_until.millis()).bind(self.id.to_string());
        query.execute(&mut *connection).await?;
        let entry = Entry {
            at,
            by: &self.by,
            action: Action::DeleteRevocation,
            name: self.id.as_str(),
            detail: revocation(found).map_or_else(|reason| json!({ "unreadable": reason }), |it| it.detail()),
        };
        record(connection, change, 0, entry).await?;
        Ok(change)
    }
}

struct CountBlocked {
    counts: Vec<BlockCount>,
}

#[async_trait]
impl Write for CountBlocked {
    type Output = ();
    const NUMBERED: bool = false;

    async fn run(&self, connection: &mut AnyConnection) -> Result<(), Failure> {
        let sql = "UPDATE revocations SET refused = refused + $1, streams_cut = streams_cut + $2 \
                   WHERE key_hash = $3 AND expires_at = $4 AND deleted = 0";
        for count in &self.counts {
            let query = sqlx::query(sql)
                .bind(i64::try_from(count.refused).unwrap_or(i64::MAX))
                .bind(i64::try_from(count.streams_cut).unwrap_or(i64::MAX))
                .bind(key_hash(&count.provider, &count.key))
                .bind(Timestamp::MAX.millis());
            query.execute(&mut *connection).await?;
        }
        Ok(())
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
