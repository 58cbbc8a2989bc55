//! SQLite: one file, one writer.

use std::{path::Path, sync::Arc, time::Duration};

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use scopegate_provider::Clock;
use sqlx::{AnyConnection, AnyPool, Connection, any::AnyPoolOptions};

use super::{
    OpenError, StoreSettings,
    sql::{
        Dialect, SqlStore, install_drivers,
        migrations::{connect_error, migrate, migrations},
    },
};

static DIALECT: Dialect = Dialect {
    // Takes the lock at once: who reads first and then wants to write may be told that another was faster.
    begin_write: "BEGIN IMMEDIATE",
    begin_read: "BEGIN",
    now: "SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER)",
    notify: None,
    insert_revocations: "INSERT INTO revocations \
        (id, provider, kind, value, key_hash, issued_before, expires_at, reason, created_at, change) \
        SELECT value ->> 'id', value ->> 'provider', value ->> 'kind', value ->> 'value', value ->> 'key_hash', \
        value ->> 'issued_before', value ->> 'expires_at', value ->> 'reason', value ->> 'created_at', \
        value ->> 'change' FROM json_each($1)",
    revocations_since: "SELECT json_group_array(json_array(id, provider, kind, value, issued_before, expires_at, \
        reason, created_at, change, deleted)) FROM (SELECT * FROM revocations \
        WHERE (change, id) > ($1, $2) AND expires_at > $3 ORDER BY change, id LIMIT $4)",
    migrations: migrations!("sqlite":
        1 "items", 2 "heads", 3 "policy", 4 "revocations", 5 "providers", 6 "audit", 7 "signing_keys"),
};

/// How many connections read. Each is a thread; readers do not wait for the writer.
const READERS: u32 = 4;

/// How long another process's write is waited for.
const BUSY: Duration = Duration::from_secs(5);

/// Kept in a URL's path; everything else is escaped.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#').add(b' ');

/// Opens the file, making it if there is none.
pub(super) async fn open(
    path: &Path,
    settings: &StoreSettings,
    clock: Arc<dyn Clock>,
) -> Result<SqlStore, OpenError> {
    let failed = |error: sqlx::Error| connect_error(&settings.url, &error);
    install_drivers();
    // Once by hand: a pool would try again and then say only that it took too long.
    prepare(&mut AnyConnection::connect(&url(path).map_err(failed)?).await.map_err(failed)?)
        .await
        .map_err(failed)?;
    let writes = pool(path, 1).await.map_err(failed)?;
    migrate(&writes, &DIALECT, &settings.url, &*clock, settings.migrate).await?;
    probe(&writes).await.map_err(failed)?;
    let reads = pool(path, READERS).await.map_err(failed)?;
    Ok(SqlStore::new(reads, writes, &DIALECT, clock))
}

async fn pool(path: &Path, connections: u32) -> sqlx::Result<AnyPool> {
    install_drivers();
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(BUSY)
        .idle_timeout(None)
        .max_lifetime(None)
        .after_connect(|connection, _| Box::pin(prepare(connection)))
        .connect(&url(path)?)
        .await
}

/// A commit is on the disk before it is answered (invariant 14); readers see the last one and wait for nobody.
async fn prepare(connection: &mut AnyConnection) -> sqlx::Result<()> {
    let sql = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;";
    sqlx::raw_sql(sql).execute(connection).await.map(drop)
}

/// Begins a write that changes nothing: SQLite opens a file that it may only read without a word.
async fn probe(writes: &AnyPool) -> sqlx::Result<()> {
    sqlx::query("UPDATE heads SET last = last WHERE id = 0").execute(writes).await.map(drop)
}

fn url(path: &Path) -> sqlx::Result<String> {
    let path = std::path::absolute(path).map_err(sqlx::Error::Io)?;
    let text = path.to_str().ok_or_else(|| sqlx::Error::Configuration("the path is not UTF-8".into()))?;
    Ok(format!("sqlite://{}?mode=rwc", utf8_percent_encode(text, ESCAPED)))
}

#[cfg(test)]
mod tests;
