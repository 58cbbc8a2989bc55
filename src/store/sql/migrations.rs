//! Migrations: each in a transaction of its own, recorded in it.
//!
//! Two nodes that start together both try; the record's primary key lets one of them through and makes the other wait
//! and see that it is done. No advisory lock is needed, which not every database that speaks PostgreSQL's protocol has.

use scopegate_provider::Clock;
use sqlx::AnyPool;

use super::{Dialect, hash};
use crate::store::{OpenError, StoreUrl};

/// A step from one form of the tables to the next. Once released it is never altered.
#[derive(Debug)]
pub(in crate::store) struct Migration {
    /// Its number.
    pub version: i64,
    /// Its subject.
    pub name: &'static str,
    /// The statements.
    pub sql: &'static str,
}

macro_rules! migrations {
    (@zeros 10) => { "00" };
    (@zeros 11) => { "00" };
    (@zeros $version:tt) => { "000" };
    ($folder:literal: $($version:tt $name:literal),+ $(,)?) => {
        &[$($crate::store::sql::migrations::Migration {
            version: $version,
            name: $name,
            sql: include_str!(concat!(
                "../../migrations/",
                $folder,
                "/",
                $crate::store::sql::migrations::migrations!(@zeros $version),
                $version,
                "_",
                $name,
                ".sql"
            )),
        }),+]
    };
}
pub(in crate::store) use migrations;

/// A migration that the store holds: number and checksum.
type Applied = (i64, String);

/// Runs the missing migrations, or only checks that there are none.
pub(in crate::store) async fn migrate(
    pool: &AnyPool,
    dialect: &Dialect,
    url: &StoreUrl,
    clock: &dyn Clock,
    run: bool,
) -> Result<(), OpenError> {
    if run {
        create_table(pool, url).await?;
    }
    let missing = missing(dialect, url, &applied(pool, url).await?)?;
    if !run && !missing.is_empty() {
        let missing = missing.iter().map(|migration| migration.version).collect();
        return Err(OpenError::Unmigrated { url: url.to_string(), missing });
    }
    for migration in missing {
        apply(pool, dialect, migration, clock).await.map_err(|error| OpenError::Migration {
            url: url.to_string(),
            version: migration.version,
            problem: error.to_string(),
        })?;
    }
    Ok(())
}

async fn create_table(pool: &AnyPool, url: &StoreUrl) -> Result<(), OpenError> {
    let sql = "CREATE TABLE IF NOT EXISTS scopegate_migrations \
               (version BIGINT PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at BIGINT NOT NULL)";
    let mut outcome = sqlx::raw_sql(sql).execute(pool).await;
    // The errors of PostgreSQL when two nodes create a table at the same time: depending on how far they have come, a row of
    // its catalogue, the table's type or the table exists already.
    if let Err(sqlx::Error::Database(error)) = &outcome
        && matches!(error.code().as_deref(), Some("23505" | "42710" | "42P07"))
    {
        outcome = sqlx::raw_sql(sql).execute(pool).await;
    }
    outcome.map(drop).map_err(|error| connect_error(url, &error))
}

/// Returns the migrations that were run; none if there is no table yet.
async fn applied(pool: &AnyPool, url: &StoreUrl) -> Result<Vec<Applied>, OpenError> {
    let query = sqlx::query_as("SELECT version, checksum FROM scopegate_migrations ORDER BY version");
    match query.fetch_all(pool).await {
        Ok(applied) => Ok(applied),
        // There is no such table.
        Err(sqlx::Error::Database(error))
            if error.code().as_deref() == Some("42P01") || error.message().starts_with("no such table") =>
        {
            Ok(Vec::new())
        }
        Err(error) => Err(connect_error(url, &error)),
    }
}

fn missing<'a>(
    dialect: &'a Dialect,
    url: &StoreUrl,
    applied: &[Applied],
) -> Result<Vec<&'a Migration>, OpenError> {
    let known = dialect.migrations.last().map_or(0, |last| last.version);
    if let Some((found, _)) = applied.last().filter(|(last, _)| *last > known) {
        return Err(OpenError::Newer { url: url.to_string(), found: *found, known });
    }
    let mut missing = Vec::new();
    for migration in dialect.migrations {
        match applied.iter().find(|(version, _)| *version == migration.version) {
            None => missing.push(migration),
            Some((_, checksum)) if *checksum == migration.checksum() => {}
            Some((version, _)) => {
                return Err(OpenError::Altered { url: url.to_string(), version: *version });
            }
        }
    }
    Ok(missing)
}

async fn apply(
    pool: &AnyPool,
    dialect: &Dialect,
    migration: &Migration,
    clock: &dyn Clock,
) -> sqlx::Result<()> {
    let mut transaction = pool.begin_with(dialect.begin_write).await?;
    if let Some(unlimited) = dialect.unlimited {
        sqlx::raw_sql(unlimited).execute(&mut *transaction).await?;
    }
    let sql = "INSERT INTO scopegate_migrations (version, name, checksum, applied_at) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (version) DO NOTHING";
    let query = sqlx::query(sql)
        .bind(migration.version)
        .bind(migration.name)
        .bind(migration.checksum())
        .bind(clock.now().millis());
    if query.execute(&mut *transaction).await?.rows_affected() == 0 {
        return transaction.rollback().await;
    }
    sqlx::raw_sql(migration.sql).execute(&mut *transaction).await?;
    transaction.commit().await?;
    tracing::info!(version = migration.version, name = migration.name, "migrated the store");
    Ok(())
}

impl Migration {
    fn checksum(&self) -> String {
        hash(self.sql, 32)
    }
}

/// Returns the error of a store that cannot be reached or read.
pub(in crate::store) fn connect_error(url: &StoreUrl, error: &sqlx::Error) -> OpenError {
    OpenError::Connect { url: url.to_string(), problem: error.to_string() }
}
