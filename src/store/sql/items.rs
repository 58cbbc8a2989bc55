//! Items in a database.

use async_trait::async_trait;
use sqlx::AnyConnection;

use super::{
    SqlStore, corrupt, one_more,
    writer::{Failure, Write},
};
use crate::store::{
    Item, ItemId, ItemName, Items, Page, StoreError, Version,
    items::{check_version, no_item},
};

type Row = (i64, String, i64);

fn item((id, name, version): Row) -> Result<Item, StoreError> {
    let name = ItemName::parse(&name).map_err(corrupt("the name of an item"))?;
    Ok(Item { id, name, version: Version(version) })
}

#[async_trait]
impl Items for SqlStore {
    async fn list(&self, after: Option<ItemId>, limit: usize) -> Result<Page<Item>, StoreError> {
        let query = sqlx::query_as("SELECT id, name, version FROM items WHERE id > $1 ORDER BY id LIMIT $2")
            .bind(after.unwrap_or(ItemId::MIN))
            .bind(one_more(limit));
        let rows: Vec<Row> = self.read(|connection| Box::pin(query.fetch_all(connection))).await?;
        let more = rows.len() > limit;
        // An item that cannot be read does not hide the others.
        Ok(Page { items: rows.into_iter().take(limit).flat_map(item).collect(), more })
    }

    async fn find(&self, id: ItemId) -> Result<Item, StoreError> {
        let query = sqlx::query_as("SELECT id, name, version FROM items WHERE id = $1").bind(id);
        let row: Option<Row> = self.read(|connection| Box::pin(query.fetch_optional(connection))).await?;
        row.map_or_else(|| Err(no_item(id)), item)
    }

    async fn create(&self, name: ItemName) -> Result<Item, StoreError> {
        self.writer.write(Create { name }).await
    }

    async fn replace(
        &self,
        id: ItemId,
        expected: Option<Version>,
        name: ItemName,
    ) -> Result<Item, StoreError> {
        self.writer.write(Replace { id, expected, name }).await
    }

    async fn delete(&self, id: ItemId, expected: Option<Version>) -> Result<(), StoreError> {
        self.writer.write(Delete { id, expected }).await
    }
}

struct Create {
    name: ItemName,
}

struct Replace {
    id: ItemId,
    expected: Option<Version>,
    name: ItemName,
}

struct Delete {
    id: ItemId,
    expected: Option<Version>,
}

#[async_trait]
impl Write for Create {
    type Output = Item;
    const NUMBERED: bool = false;

    async fn run(&self, connection: &mut AnyConnection) -> Result<Item, Failure> {
        let query = sqlx::query_as("INSERT INTO items (name, version) VALUES ($1, 1) RETURNING id")
            .bind(self.name.as_str().to_owned());
        let (id,) = query.fetch_one(connection).await?;
        Ok(Item { id, name: self.name.clone(), version: Version(1) })
    }
}

#[async_trait]
impl Write for Replace {
    type Output = Item;
    const NUMBERED: bool = false;

    async fn run(&self, connection: &mut AnyConnection) -> Result<Item, Failure> {
        let version = self.expected.map(|version| version.0);
        let sql = "UPDATE items SET name = $1, version = version + 1 \
                   WHERE id = $2 AND version = COALESCE($3, version) RETURNING version";
        let query = sqlx::query_as(sql).bind(self.name.as_str().to_owned()).bind(self.id).bind(version);
        let replaced: Option<(i64,)> = query.fetch_optional(&mut *connection).await?;
        let Some((version,)) = replaced else {
            return Err(refusal(connection, self.id, self.expected).await?.into());
        };
        Ok(Item { id: self.id, name: self.name.clone(), version: Version(version) })
    }
}

#[async_trait]
impl Write for Delete {
    type Output = ();
    const NUMBERED: bool = false;

    async fn run(&self, connection: &mut AnyConnection) -> Result<(), Failure> {
        let version = self.expected.map(|version| version.0);
        let query = sqlx::query("DELETE FROM items WHERE id = $1 AND version = COALESCE($2, version)")
            .bind(self.id)
            .bind(version);
        if query.execute(&mut *connection).await?.rows_affected() == 0 {
            return Err(refusal(connection, self.id, self.expected).await?.into());
        }
        Ok(())
    }
}

/// Returns the error for an item that was not changed.
async fn refusal(
    connection: &mut AnyConnection,
    id: ItemId,
    expected: Option<Version>,
) -> sqlx::Result<StoreError> {
    let query = sqlx::query_as("SELECT version FROM items WHERE id = $1").bind(id);
    let found: Option<(i64,)> = query.fetch_optional(connection).await?;
    let refused = found.map(|(found,)| check_version(expected, Version(found)));
    Ok(refused.and_then(Result::err).unwrap_or_else(|| no_item(id)))
}
