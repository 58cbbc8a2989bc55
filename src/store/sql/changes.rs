//! The numbers of changes, in the one row that each change locks.

use async_trait::async_trait;
use scopegate_provider::Timestamp;
use sqlx::AnyConnection;

use super::{
    Dialect, POLL_PATIENCE, SqlStore,
    writer::{Failure, Write},
};
use crate::store::{ChangeNumber, Changes, Heads, Stamp, StoreError};

/// Takes the next number by one of the statements of [`Advance`](super::Advance), and holds its row until the
/// transaction ends.
pub(super) async fn advance(
    connection: &mut AnyConnection,
    sql: &'static str,
) -> Result<ChangeNumber, Failure> {
    let query = sqlx::query_as(sql).bind(Stamp::random()?.0);
    let (number,): (i64,) = query.fetch_one(connection).await?;
    Ok(ChangeNumber(number))
}

/// Takes the next number for a change of the policy, unless it was changed after `seen`.
pub(super) async fn advance_policy(
    connection: &mut AnyConnection,
    dialect: &Dialect,
    seen: ChangeNumber,
) -> Result<Option<ChangeNumber>, Failure> {
    let query = sqlx::query_as(dialect.advance.policy).bind(Stamp::random()?.0).bind(seen.0);
    let number: Option<(i64,)> = query.fetch_optional(connection).await?;
    Ok(number.map(|(number,)| ChangeNumber(number)))
}

pub(super) async fn heads(connection: &mut AnyConnection) -> sqlx::Result<Heads> {
    let sql = "SELECT last, policy, revocations, providers, stamp FROM heads WHERE id = 1";
    let (last, policy, revocations, providers, stamp) = sqlx::query_as(sql).fetch_one(connection).await?;
    Ok(Heads {
        last: ChangeNumber(last),
        policy: ChangeNumber(policy),
        revocations: ChangeNumber(revocations),
        providers: ChangeNumber(providers),
        stamp: Stamp(stamp),
        rereads: 0,
    })
}

#[async_trait]
impl Changes for SqlStore {
    async fn heads(&self) -> Result<Heads, StoreError> {
        self.read_within(POLL_PATIENCE, |connection| Box::pin(heads(connection))).await
    }

    async fn stamp_of(&self, change: ChangeNumber) -> Result<Option<Stamp>, StoreError> {
        let query = sqlx::query_as("SELECT stamp FROM stamps WHERE number = $1").bind(change.0);
        let found: Option<(i64,)> =
            self.read(|connection| Box::pin(query.fetch_optional(connection))).await?;
        Ok(found.map(|(stamp,)| Stamp(stamp)))
    }

    async fn time(&self) -> Result<Timestamp, StoreError> {
        Ok(self.clock.now().min(self.database_time().await?))
    }

    async fn latest_time(&self) -> Result<Timestamp, StoreError> {
        Ok(self.clock.now().max(self.database_time().await?))
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.writer.write(Probe).await
    }

    async fn news(&self) {
        self.news.notified().await;
    }
}

impl SqlStore {
    async fn database_time(&self) -> Result<Timestamp, StoreError> {
        let query = sqlx::query_as(self.dialect.now);
        let (millis,): (i64,) = self.read(|connection| Box::pin(query.fetch_one(connection))).await?;
        Ok(Timestamp::from_millis(millis))
    }
}

struct Probe;

#[async_trait]
impl Write for Probe {
    type Output = ();
    const NUMBERED: bool = false;

    async fn run(&self, connection: &mut AnyConnection) -> Result<(), Failure> {
        sqlx::query("UPDATE heads SET last = last WHERE id = 1").execute(connection).await?;
        Ok(())
    }
}
