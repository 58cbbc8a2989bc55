//! Copies everything that a store holds into another one, of the same database or of another.

use serde_json::Value;
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Connection};

use super::{Dialect, text};
use crate::store::{Stamp, StoreError};

/// A migrated database.
pub(in crate::store) struct Database {
    pub pool: AnyPool,
    pub dialect: &'static Dialect,
}

/// A table: its name, the order of its rows, its integer columns and its text columns.
struct Table {
    name: &'static str,
    order: &'static str,
    integers: &'static [&'static str],
    texts: &'static [&'static str],
}

/// All tables but that of the migrations.
const TABLES: [Table; 10] = [
    Table { name: "items", order: "id", integers: &["id", "version"], texts: &["name"] },
    Table {
        name: "heads",
        order: "id",
        integers: &["id", "last", "policy", "revocations", "providers", "stamp"],
        texts: &[],
    },
    Table { name: "stamps", order: "number", integers: &["number", "stamp"], texts: &[] },
    Table {
        name: "scopes",
        order: "name",
        integers: &["version"],
        texts: &["name", "description", "routes", "implies"],
    },
    Table { name: "routes", order: "id", integers: &["version"], texts: &["id", "definition"] },
    Table {
        name: "revocations",
        order: "id",
        integers: &[
            "issued_before",
            "expires_at",
            "created_at",
            "change",
            "deleted",
            "refused",
            "streams_cut",
        ],
        texts: &["id", "provider", "kind", "value", "key_hash", "reason"],
    },
    Table {
        name: "provider_states",
        order: "provider",
        integers: &["disabled"],
        texts: &["provider", "distrusted"],
    },
    Table {
        name: "audit",
        order: "id",
        integers: &["at", "change"],
        texts: &["id", "actor_provider", "actor_subject", "actor_client", "action", "name", "detail"],
    },
    Table {
        name: "denials",
        order: "minute, route, reason, client",
        integers: &["minute", "count"],
        texts: &["route", "reason", "client"],
    },
    Table {
        name: "signing_keys",
        order: "number",
        integers: &["number", "active_from"],
        texts: &["private_key"],
    },
];

/// The number of rows that are copied at once.
const BATCH: usize = 10_000;

impl Table {
    fn columns(&self) -> impl Iterator<Item = &'static str> {
        self.integers.iter().chain(self.texts).copied()
    }

    fn select(&self, dialect: &Dialect) -> String {
        let columns = self.columns().collect::<Vec<_>>().join(", ");
        let [before, between, after] = dialect.aggregate;
        let Self { name, order, .. } = self;
        format!("{before}{columns}{between}(SELECT * FROM {name} ORDER BY {order} LIMIT $1 OFFSET $2){after}")
    }

    fn insert(&self, dialect: &Dialect) -> String {
        let columns = self.columns().collect::<Vec<_>>().join(", ");
        let [before, after] = dialect.integer;
        let integers = (0..self.integers.len()).map(|index| format!("{before}value ->> {index}{after}"));
        let texts = (self.integers.len()..self.columns().count()).map(|index| format!("value ->> {index}"));
        let values = integers.chain(texts).collect::<Vec<_>>().join(", ");
        format!("INSERT INTO {} ({columns}) SELECT {values} FROM {}", self.name, dialect.elements)
    }
}

/// Copies everything from `source`, as it is at one moment, to `target`, whose content is replaced in one transaction. Nodes
/// that follow `target` notice it by a new stamp and read everything again. Returns the number of rows of each table.
pub(in crate::store) async fn transfer(
    source: &Database,
    target: &Database,
) -> Result<Vec<(&'static str, usize)>, StoreError> {
    copy(source, target).await.map_err(StoreError::unavailable)?
}

async fn copy(
    source: &Database,
    target: &Database,
) -> sqlx::Result<Result<Vec<(&'static str, usize)>, StoreError>> {
    let stamp = match Stamp::random() {
        Ok(stamp) => stamp,
        Err(error) => return Ok(Err(error)),
    };
    let mut from = source.pool.acquire().await?;
    let mut to = target.pool.acquire().await?;
    let mut from = from.begin_with(source.dialect.begin_read).await?;
    let mut to = to.begin_with(target.dialect.begin_write).await?;
    for (connection, dialect) in [(&mut *from, source.dialect), (&mut *to, target.dialect)] {
        if let Some(unlimited) = dialect.unlimited {
            sqlx::raw_sql(unlimited).execute(connection).await?;
        }
    }
    let mut copied = Vec::new();
    for table in &TABLES {
        sqlx::query(AssertSqlSafe(format!("DELETE FROM {}", table.name))).execute(&mut *to).await?;
        let mut rows = 0;
        loop {
            let batch = match read(&mut from, source.dialect, table, rows).await? {
                Ok(batch) => batch,
                Err(error) => return Ok(Err(error)),
            };
            let count = batch.len();
            let insert = sqlx::query(AssertSqlSafe(table.insert(target.dialect)));
            insert.bind(Value::Array(batch).to_string()).execute(&mut *to).await?;
            rows += count;
            if count < BATCH {
                break;
            }
        }
        copied.push((table.name, rows));
    }
    let (last_item,): (i64,) = sqlx::query_as(source.dialect.last_item).fetch_one(&mut *from).await?;
    sqlx::query(target.dialect.set_last_item).bind(last_item).execute(&mut *to).await?;
    let sql = "UPDATE heads SET stamp = $1 WHERE id = 1";
    sqlx::query(sql).bind(stamp.0).execute(&mut *to).await?;
    let sql = "UPDATE stamps SET stamp = $1 WHERE number = (SELECT last FROM heads WHERE id = 1)";
    sqlx::query(sql).bind(stamp.0).execute(&mut *to).await?;
    to.commit().await?;
    from.commit().await?;
    Ok(Ok(copied))
}

/// Reads the rows from `offset` on.
async fn read(
    connection: &mut AnyConnection,
    dialect: &Dialect,
    table: &Table,
    offset: usize,
) -> sqlx::Result<Result<Vec<Value>, StoreError>> {
    let query = sqlx::query_as(AssertSqlSafe(table.select(dialect)))
        .bind(i64::try_from(BATCH).unwrap_or(i64::MAX))
        .bind(i64::try_from(offset).unwrap_or(i64::MAX));
    let (rows,): (Vec<u8>,) = query.fetch_one(connection).await?;
    Ok(super::parse_rows::<Value>(&rows).map(|mut rows| {
        // PostgreSQL takes no NUL in texts.
        for column in rows.iter_mut().filter_map(Value::as_array_mut).flatten() {
            if let Some(found) = column.as_str().filter(|found| found.contains('\0')) {
                *column = Value::String(text(found));
            }
        }
        rows
    }))
}

/// Returns `true` if a store was never written to.
pub(in crate::store) async fn is_unused(database: &Database) -> Result<bool, StoreError> {
    let sql = "SELECT (SELECT COUNT(*) FROM items WHERE id > 3 OR version > 1) + (SELECT COUNT(*) FROM audit) \
               + (SELECT COUNT(*) FROM signing_keys) + (SELECT last FROM heads WHERE id = 1)";
    let counted = sqlx::query_as(sql).fetch_one(&database.pool).await;
    let (count,): (i64,) = counted.map_err(StoreError::unavailable)?;
    Ok(count == 0)
}

/// Returns `true` if the database holds the tables of a store, of whatever version.
pub(in crate::store) async fn is_store(pool: &AnyPool) -> bool {
    sqlx::query("SELECT version FROM scopegate_migrations WHERE version >= 2").fetch_one(pool).await.is_ok()
}
