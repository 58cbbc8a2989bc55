//! The numbers of changes, in the one row that each change locks.

use async_trait::async_trait;
use scopegate_provider::Timestamp;
use sqlx::AnyConnection;

use super::SqlStore;
use crate::store::{ChangeNumber, Changes, Heads, StoreError, changes::Part};

/// Takes the next number, and holds its row until the transaction ends.
pub(super) async fn advance(connection: &mut AnyConnection, part: Part) -> sqlx::Result<ChangeNumber> {
    let sql = match part {
        Part::Policy => "UPDATE heads SET last = last + 1, policy = last + 1 WHERE id = 1 RETURNING last",
        Part::Revocations => {
            "UPDATE heads SET last = last + 1, revocations = last + 1 WHERE id = 1 RETURNING last"
        }
        Part::Providers => {
            "UPDATE heads SET last = last + 1, providers = last + 1 WHERE id = 1 RETURNING last"
        }
    };
    let (number,): (i64,) = sqlx::query_as(sql).fetch_one(connection).await?;
    Ok(ChangeNumber(number))
}

/// Takes the next number for a change of the policy, if nobody has changed it after `seen`.
pub(super) async fn advance_policy(
    connection: &mut AnyConnection,
    seen: ChangeNumber,
) -> sqlx::Result<Option<ChangeNumber>> {
    let sql =
        "UPDATE heads SET last = last + 1, policy = last + 1 WHERE id = 1 AND policy = $1 RETURNING last";
    let number: Option<(i64,)> = sqlx::query_as(sql).bind(seen.0).fetch_optional(connection).await?;
    Ok(number.map(|(number,)| ChangeNumber(number)))
}

pub(super) async fn heads(connection: &mut AnyConnection) -> sqlx::Result<Heads> {
    let sql = "SELECT last, policy, revocations, providers FROM heads WHERE id = 1";
    let (last, policy, revocations, providers) = sqlx::query_as(sql).fetch_one(connection).await?;
    Ok(Heads {
        last: ChangeNumber(last),
        policy: ChangeNumber(policy),
        revocations: ChangeNumber(revocations),
        providers: ChangeNumber(providers),
    })
}

#[async_trait]
impl Changes for SqlStore {
    async fn heads(&self) -> Result<Heads, StoreError> {
        let query = async { heads(&mut *self.reads.acquire().await?).await };
        self.read(query).await
    }

    async fn time(&self) -> Result<Timestamp, StoreError> {
        let query = sqlx::query_as(self.dialect.now);
        let (there,): (i64,) = self.read(query.fetch_one(&self.reads)).await?;
        Ok(self.clock.now().min(Timestamp::from_millis(there)))
    }

    async fn news(&self) {
        self.news.notified().await;
    }
}
