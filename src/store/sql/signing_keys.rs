//! Signing keys in a database.

use async_trait::async_trait;
use scopegate_provider::{Secret, Timestamp};
use sqlx::AnyConnection;

use super::{
    SqlStore,
    writer::{Failure, Write},
};
use crate::store::{SigningKey, SigningKeys, StoreError, signing_keys::no_signing_key};

type Row = (i64, i64, String);

#[async_trait]
impl SigningKeys for SqlStore {
    async fn signing_keys(&self) -> Result<Vec<SigningKey>, StoreError> {
        let query =
            sqlx::query_as("SELECT number, active_from, private_key FROM signing_keys ORDER BY number");
        let rows: Vec<Row> = self.read(|connection| Box::pin(query.fetch_all(connection))).await?;
        Ok(rows.into_iter().map(key).collect())
    }

    async fn add_signing_key(&self, key: SigningKey) -> Result<(), StoreError> {
        self.writer.write(Add(key)).await
    }

    async fn forget_signing_keys(&self, before: i64) -> Result<(), StoreError> {
        self.writer.write(Forget { before }).await
    }

    async fn remove_signing_key(&self, number: i64) -> Result<(), StoreError> {
        self.writer.write(Remove { number }).await
    }
}

fn key((number, active_from, private_key): Row) -> SigningKey {
    let active_from = Timestamp::from_millis(active_from);
    SigningKey { number, active_from, private_key: Secret::new(private_key) }
}

struct Add(SigningKey);

#[async_trait]
impl Write for Add {
    type Output = ();
    const NUMBERED: bool = false;

    async fn run(&self, connection: &mut AnyConnection) -> Result<(), Failure> {
        let sql = "INSERT INTO signing_keys (number, active_from, private_key) VALUES ($1, $2, $3) \
                   ON CONFLICT (number) DO NOTHING";
        let query = sqlx::query(sql)
            .bind(self.0.number)
            .bind(self.0.active_from.millis())
            .bind(self.0.private_key.reveal().to_owned());
        query.execute(connection).await?;
        Ok(())
    }
}

struct Forget {
    before: i64,
}

#[async_trait]
impl Write for Forget {
    type Output = ();
    const NUMBERED: bool = false;

    async fn run(&self, connection: &mut AnyConnection) -> Result<(), Failure> {
        let query = sqlx::query("DELETE FROM signing_keys WHERE number < $1").bind(self.before);
        query.execute(connection).await?;
        Ok(())
    }
}

struct Remove {
    number: i64,
}

#[async_trait]
impl Write for Remove {
    type Output = ();
    const NUMBERED: bool = false;

    async fn run(&self, connection: &mut AnyConnection) -> Result<(), Failure> {
        let query = sqlx::query("DELETE FROM signing_keys WHERE number = $1").bind(self.number);
        if query.execute(connection).await?.rows_affected() == 0 {
            return Err(no_signing_key(self.number).into());
        }
        Ok(())
    }
}
