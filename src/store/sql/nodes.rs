//! The nodes of a store, in a database.

use async_trait::async_trait;
use scopegate_provider::{Secret, Timestamp};
use sqlx::AnyConnection;

use super::{
    SqlStore, text,
    writer::{Failure, Write},
};
use crate::store::{NodeRecord, Nodes, StoreError};

#[async_trait]
impl Nodes for SqlStore {
    async fn report_node(&self, report: NodeRecord, forget_before: Timestamp) -> Result<(), StoreError> {
        self.writer.write(Report { report, forget_before }).await
    }

    async fn nodes(&self) -> Result<Vec<NodeRecord>, StoreError> {
        let query = sqlx::query_as("SELECT id, seen, report FROM nodes ORDER BY id");
        let rows: Vec<(String, i64, String)> =
            self.read(|connection| Box::pin(query.fetch_all(connection))).await?;
        let reports = rows.into_iter().map(|(id, seen, report)| NodeRecord {
            id,
            seen: Timestamp::from_millis(seen),
            report,
        });
        Ok(reports.collect())
    }

    async fn session_secret(&self, proposed: &Secret) -> Result<Secret, StoreError> {
        let sql = "SELECT secret FROM session_secrets WHERE id = 1";
        let query = sqlx::query_as(sql);
        let stored: Option<(String,)> =
            self.read(|connection| Box::pin(query.fetch_optional(connection))).await?;
        if let Some((secret,)) = stored {
            return Ok(Secret::new(secret));
        }
        self.writer.write(KeepSecret(proposed.clone())).await?;
        // The writer is another connection, and another node may have been the first.
        let query = sqlx::query_as(sql);
        let (secret,): (String,) = self.read(|connection| Box::pin(query.fetch_one(connection))).await?;
        Ok(Secret::new(secret))
    }
}

struct Report {
    report: NodeRecord,
    forget_before: Timestamp,
}

#[async_trait]
impl Write for Report {
    type Output = ();
    const NUMBERED: bool = false;

    async fn run(&self, connection: &mut AnyConnection) -> Result<(), Failure> {
        let sql = "INSERT INTO nodes (id, seen, report) VALUES ($1, $2, $3) \
                   ON CONFLICT (id) DO UPDATE SET seen = excluded.seen, report = excluded.report";
        let query = sqlx::query(sql)
            .bind(text(&self.report.id))
            .bind(self.report.seen.millis())
            .bind(text(&self.report.report));
        query.execute(&mut *connection).await?;
        let query = sqlx::query("DELETE FROM nodes WHERE seen < $1").bind(self.forget_before.millis());
        query.execute(connection).await?;
        Ok(())
    }
}

struct KeepSecret(Secret);

#[async_trait]
impl Write for KeepSecret {
    type Output = ();
    const NUMBERED: bool = false;

    async fn run(&self, connection: &mut AnyConnection) -> Result<(), Failure> {
        let sql = "INSERT INTO session_secrets (id, secret) VALUES (1, $1) ON CONFLICT (id) DO NOTHING";
        sqlx::query(sql).bind(self.0.reveal().to_owned()).execute(connection).await?;
        Ok(())
    }
}
