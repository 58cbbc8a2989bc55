//! PostgreSQL, and databases that speak its protocol: several nodes on one database.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use scopegate_provider::Clock;
use sqlx::{AnyConnection, AnyPool, Connection, any::AnyPoolOptions, postgres::PgListener};
use tokio::{sync::Notify, time::timeout};

use super::{
    OpenError, StoreSettings,
    sql::{
        Advance, Dialect, SqlStore, install_drivers,
        migrations::{Migration, connect_error, migrate, migrations},
    },
};

const MIGRATIONS: &[Migration] = migrations!("postgres":
    1 "items", 2 "heads", 3 "policy", 4 "revocations", 5 "providers", 6 "audit", 7 "signing_keys", 8 "stamps",
    9 "blocks", 10 "nodes", 11 "implies");

/// Takes the next number and keeps its stamp, in one statement: the row stays locked until the transaction ends.
macro_rules! advance {
    ($part:literal $($condition:literal)?) => {
        concat!(
            "WITH head AS (UPDATE heads SET last = last + 1, ", $part, " = last + 1, stamp = $1 WHERE id = 1 ",
            $($condition,)?
            "RETURNING last, stamp) INSERT INTO stamps (number, stamp) SELECT last, stamp FROM head \
             ON CONFLICT (number) DO UPDATE SET stamp = excluded.stamp RETURNING number"
        )
    };
}

/// Aggregates rows to a JSON array, in bytes.
macro_rules! rows {
    ($columns:literal, $from:literal) => {
        concat!(
            "(SELECT convert_to(COALESCE(CAST(json_agg(json_build_array(",
            $columns,
            ")) AS TEXT), '[]'), 'UTF8') FROM ",
            $from,
            ")"
        )
    };
}

const POLICY: &str = concat!(
    "SELECT policy, ",
    rows!("name, description, routes, implies, version", "scopes"),
    ", ",
    rows!("id, definition, version", "routes"),
    " FROM heads WHERE id = 1"
);

const POLICY_VERSIONS: &str = concat!(
    "SELECT policy, ",
    rows!("name, version", "scopes"),
    ", ",
    rows!("id, version", "routes"),
    " FROM heads WHERE id = 1"
);

const INSERT_REVOCATIONS: &str = "INSERT INTO revocations \
    (id, provider, kind, value, key_hash, issued_before, expires_at, reason, created_at, change) \
    SELECT id, provider, kind, value, key_hash, issued_before, expires_at, reason, created_at, change \
    FROM json_to_recordset(CAST($1 AS json)) AS new(id TEXT, provider TEXT, kind TEXT, value TEXT, key_hash TEXT, \
    issued_before BIGINT, expires_at BIGINT, reason TEXT, created_at BIGINT, change BIGINT)";

const REVOCATIONS_SINCE: &str = concat!(
    "SELECT ",
    rows!(
        "id, provider, kind, value, issued_before, expires_at, reason, created_at, change, deleted, refused, \
         streams_cut",
        "(SELECT * FROM revocations WHERE (change, id) > ($1, $2) AND expires_at > $3 \
         ORDER BY change, id LIMIT $4) AS page"
    )
);

static LISTENED: Dialect =
    Dialect { notify: Some("SELECT CAST(pg_notify('scopegate', '') AS TEXT)"), ..POLLED };

pub(super) static POLLED: Dialect = Dialect {
    begin_write: "BEGIN",
    begin_read: "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    unlimited: Some("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0"),
    now: "SELECT CAST(EXTRACT(EPOCH FROM CURRENT_TIMESTAMP) * 1000 AS BIGINT)",
    notify: None,
    advance: Advance {
        policy: advance!("policy" "AND policy = $2 "),
        revocations: advance!("revocations"),
        providers: advance!("providers"),
    },
    policy: POLICY,
    policy_versions: POLICY_VERSIONS,
    insert_revocations: INSERT_REVOCATIONS,
    revocations_since: REVOCATIONS_SINCE,
    provider_states: concat!("SELECT ", rows!("provider, disabled, distrusted", "provider_states")),
    last_item: "SELECT COALESCE(MAX(last_value), 0) FROM pg_sequences \
                WHERE schemaname = current_schema() AND sequencename = 'items_id_seq'",
    set_last_item: "SELECT CAST(setval(pg_get_serial_sequence('items', 'id'), GREATEST(CAST($1 AS BIGINT), 1), \
                    CAST($1 AS BIGINT) > 0) AS BIGINT)",
    aggregate: [
        "SELECT convert_to(COALESCE(CAST(json_agg(json_build_array(",
        ")) AS TEXT), '[]'), 'UTF8') FROM ",
        " AS page",
    ],
    elements: "json_array_elements(CAST($1 AS json)) AS element(value)",
    integer: ["CAST(", " AS BIGINT)"],
    migrations: MIGRATIONS,
};

/// Time limits of every connection. A node that is frozen or cut off in the middle of a write holds the lock that every
/// change takes: the server ends its transaction after 4 s, while the others wait for it for up to 8 s. A connection
/// whose peer is gone without a word ends by TCP's own limits. Only those that the server knows are set.
const LIMITS: &str = "SELECT COUNT(set_config(wanted.name, wanted.value, false)) FROM (VALUES \
    ('idle_in_transaction_session_timeout', '4s'), ('lock_timeout', '8s'), ('statement_timeout', '9s'), \
    ('tcp_user_timeout', '10s'), ('tcp_keepalives_idle', '5'), ('tcp_keepalives_interval', '2'), \
    ('tcp_keepalives_count', '3')) AS wanted(name, value) JOIN pg_settings ON pg_settings.name = wanted.name";

/// The time limit of a new connection.
const CONNECT: Duration = Duration::from_secs(3);

/// The time limit of the answer by which an idle connection shows that it still works.
const ALIVE: Duration = Duration::from_secs(1);

/// The pause until a connection is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// The time without notifications after which the listening connection must show that it still works.
const QUIET: Duration = Duration::from_secs(15);

/// Connects to the database. If it is not there yet, waits for it for at most `patience`.
pub(super) async fn open(
    url: &url::Url,
    settings: &StoreSettings,
    clock: Arc<dyn Clock>,
    patience: Duration,
) -> Result<SqlStore, OpenError> {
    let pool = connect(url, settings, &*clock, patience).await?;
    let dialect = if settings.listen { &LISTENED } else { &POLLED };
    let mut store = SqlStore::new(pool.clone(), pool, dialect, clock, None);
    if settings.listen {
        store.run(listen(url.clone(), store.news()));
    }
    Ok(store)
}

/// Connects to the database and migrates it. If it is not there yet, waits for it for at most `patience`.
pub(super) async fn connect(
    url: &url::Url,
    settings: &StoreSettings,
    clock: &dyn Clock,
    patience: Duration,
) -> Result<AnyPool, OpenError> {
    install_drivers();
    first_connection(url, patience).await.map_err(|error| {
        let hint = match &error {
            sqlx::Error::Io(_) => ": is PostgreSQL running there, and does a firewall let connections pass?",
            _ => "",
        };
        OpenError::Connect { url: settings.url.to_string(), problem: format!("{}{hint}", describe(&error)) }
    })?;
    let pool = pool(url, settings.max_connections).map_err(|error| connect_error(&settings.url, &error))?;
    migrate(&pool, &POLLED, &settings.url, clock, settings.migrate).await?;
    Ok(pool)
}

/// Connects once by hand: a pool would say only that it took too long.
async fn first_connection(url: &url::Url, patience: Duration) -> sqlx::Result<()> {
    let begun = Instant::now();
    loop {
        let attempt = timeout(CONNECT, AnyConnection::connect(url.as_str())).await;
        let error = match attempt {
            Ok(Ok(connection)) => return connection.close().await,
            Ok(Err(error)) => error,
            Err(_) => sqlx::Error::Io(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no answer within {} s", CONNECT.as_secs()),
            )),
        };
        if !is_passing(&error) || begun.elapsed() + AGAIN > patience {
            return Err(error);
        }
        tracing::warn!(error = describe(&error), "PostgreSQL takes no connection yet");
        tokio::time::sleep(AGAIN).await;
    }
}

/// Returns `true` for errors of a database that may be starting, as this program is.
fn is_passing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        // cannot_connect_now
        sqlx::Error::Database(error) => error.code().as_deref() == Some("57P03"),
        _ => false,
    }
}

/// Returns the message of the error without sqlx's words before it.
fn describe(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Io(error) => error.to_string(),
        sqlx::Error::Database(error) => error.message().to_owned(),
        error => error.to_string(),
    }
}

fn pool(url: &url::Url, connections: u32) -> sqlx::Result<AnyPool> {
    AnyPoolOptions::new()
        // One is the writer's.
        .max_connections(connections.max(2))
        .acquire_timeout(CONNECT)
        .test_before_acquire(false)
        .after_connect(|connection, _| Box::pin(limit(connection)))
        .before_acquire(|connection, _| Box::pin(check_alive(connection)))
        .after_release(|connection, _| Box::pin(check_alive(connection)))
        .connect_lazy(url.as_str())
}

/// Sets the time limits. A database that speaks the protocol and has no such settings is used without them.
async fn limit(connection: &mut AnyConnection) -> sqlx::Result<()> {
    match sqlx::raw_sql(LIMITS).execute(connection).await {
        Err(sqlx::Error::Database(error)) => {
            tracing::debug!(%error, "the database takes no time limits");
            Ok(())
        }
        outcome => outcome.map(drop),
    }
}

/// Checks that a connection works. One whose peer is frozen or cut off would not fail but hang.
async fn check_alive(connection: &mut AnyConnection) -> sqlx::Result<bool> {
    let gone = |_| sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, "the connection does not answer"));
    timeout(ALIVE, connection.ping()).await.map_err(gone)??;
    Ok(true)
}

async fn listen(url: url::Url, news: Arc<Notify>) {
    loop {
        if let Err(error) = hear(&url, &news).await {
            tracing::warn!(%error, "cannot listen for changes in PostgreSQL; polling goes on");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Notifies of each notification, and after each new connection: what was sent before it is lost.
async fn hear(url: &url::Url, news: &Notify) -> sqlx::Result<()> {
    let mut listener = in_time(PgListener::connect(url.as_str())).await?;
    in_time(listener.listen("scopegate")).await?;
    news.notify_one();
    loop {
        // `None`: the connection was lost and made again.
        while let Ok(heard) = timeout(QUIET, listener.try_recv()).await {
            heard?;
            news.notify_one();
        }
        in_time(sqlx::query("SELECT 1").execute(&mut listener)).await?;
    }
}

async fn in_time<T>(attempt: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    let late = |_| sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"));
    timeout(CONNECT, attempt).await.map_err(late)?
}

#[cfg(test)]
mod tests;
