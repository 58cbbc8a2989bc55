//! PostgreSQL, and what speaks its protocol: several nodes on one database.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use scopegate_provider::Clock;
use sqlx::{AnyPool, any::AnyPoolOptions, postgres::PgListener};
use tokio::sync::Notify;

use super::{
    OpenError, StoreSettings,
    sql::{
        Dialect, SqlStore, install_drivers,
        migrations::{Migration, connect_error, migrate, migrations},
    },
};

const MIGRATIONS: &[Migration] = migrations!("postgres":
    1 "items", 2 "heads", 3 "policy", 4 "revocations", 5 "providers", 6 "audit", 7 "signing_keys");

const INSERT_REVOCATIONS: &str = "INSERT INTO revocations \
    (id, provider, kind, value, key_hash, issued_before, expires_at, reason, created_at, change) \
    SELECT id, provider, kind, value, key_hash, issued_before, expires_at, reason, created_at, change \
    FROM json_to_recordset(CAST($1 AS json)) AS new(id TEXT, provider TEXT, kind TEXT, value TEXT, key_hash TEXT, \
    issued_before BIGINT, expires_at BIGINT, reason TEXT, created_at BIGINT, change BIGINT)";

const REVOCATIONS_SINCE: &str = "SELECT COALESCE(CAST(json_agg(json_build_array(id, provider, kind, value, \
    issued_before, expires_at, reason, created_at, change, deleted)) AS TEXT), '[]') FROM (SELECT * FROM revocations \
    WHERE (change, id) > ($1, $2) AND expires_at > $3 ORDER BY change, id LIMIT $4) AS page";

static LISTENED: Dialect =
    Dialect { notify: Some("SELECT CAST(pg_notify('scopegate', '') AS TEXT)"), ..POLLED };

static POLLED: Dialect = Dialect {
    begin_write: "BEGIN",
    begin_read: "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    now: "SELECT CAST(EXTRACT(EPOCH FROM CURRENT_TIMESTAMP) * 1000 AS BIGINT)",
    notify: None,
    insert_revocations: INSERT_REVOCATIONS,
    revocations_since: REVOCATIONS_SINCE,
    migrations: MIGRATIONS,
};

/// How long a connection is waited for.
const CONNECT: Duration = Duration::from_secs(3);

/// How long a database is waited for at the start.
const START: Duration = Duration::from_secs(20);

/// How long until a connection is tried again that could not be had.
const AGAIN: Duration = Duration::from_secs(1);

/// Connects to the database.
pub(super) async fn open(
    url: &url::Url,
    settings: &StoreSettings,
    clock: Arc<dyn Clock>,
) -> Result<SqlStore, OpenError> {
    let pool = pool(url, settings.max_connections).await;
    let pool = pool.map_err(|error| connect_error(&settings.url, &error))?;
    let dialect = if settings.listen { &LISTENED } else { &POLLED };
    migrate(&pool, dialect, &settings.url, &*clock, settings.migrate).await?;
    let mut store = SqlStore::new(pool.clone(), pool, dialect, clock);
    if settings.listen {
        store.run(listen(url.clone(), store.news()));
    }
    Ok(store)
}

async fn pool(url: &url::Url, connections: u32) -> sqlx::Result<AnyPool> {
    install_drivers();
    let options = AnyPoolOptions::new()
        // One is the writer's.
        .max_connections(connections.max(2))
        .acquire_timeout(CONNECT);
    let pool = options.connect_lazy(url.as_str())?;
    let begun = Instant::now();
    loop {
        match pool.acquire().await {
            // It may be starting, as this program is.
            Err(error @ (sqlx::Error::PoolTimedOut | sqlx::Error::Io(_))) if begun.elapsed() < START => {
                tracing::warn!(%error, "PostgreSQL takes no connection yet");
                tokio::time::sleep(AGAIN).await;
            }
            first => return first.map(|_| pool),
        }
    }
}

async fn listen(url: url::Url, news: Arc<Notify>) {
    loop {
        if let Err(error) = hear(&url, &news).await {
            tracing::warn!(%error, "cannot listen for changes in PostgreSQL; polling goes on");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Rings for each notification, and after each new connection: what was sent before it is lost.
async fn hear(url: &url::Url, news: &Notify) -> sqlx::Result<()> {
    let mut listener = PgListener::connect(url.as_str()).await?;
    listener.listen("scopegate").await?;
    loop {
        news.notify_one();
        // None: the connection was lost and made again.
        let _heard = listener.try_recv().await?;
    }
}

#[cfg(test)]
mod tests;
