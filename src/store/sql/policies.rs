//! Scopes and routes in a database.

use std::sync::Arc;

use async_trait::async_trait;
use scopegate_provider::{Clock, Scope};
use sqlx::{AnyConnection, Connection};

use super::{
    SqlStore,
    audit::{Entry, record},
    changes, corrupt, text,
    writer::{Failure, Write},
};
use crate::store::{
    Actor, Edit, Edited, Policies, RecordId, StoreError, StoredPolicy, StoredRoute, StoredScope, Version,
};

type Scopes = Vec<(String, String, String, i64)>;
type Routes = Vec<(String, String, i64)>;

#[async_trait]
impl Policies for SqlStore {
    async fn stored_policy(&self) -> Result<Arc<StoredPolicy>, StoreError> {
        let query = async {
            let mut connection = self.reads.acquire().await?;
            let mut moment = connection.begin_with(self.dialect.begin_read).await?;
            let heads = changes::heads(&mut moment).await?;
            let scopes: Scopes = sqlx::query_as("SELECT name, description, routes, version FROM scopes")
                .fetch_all(&mut *moment)
                .await?;
            let routes: Routes =
                sqlx::query_as("SELECT id, definition, version FROM routes").fetch_all(&mut *moment).await?;
            moment.commit().await?;
            Ok((heads.policy, scopes, routes))
        };
        let (change, scopes, routes) = self.read(query).await?;
        let scopes = scopes.into_iter().map(scope).collect::<Result<_, _>>()?;
        let routes = routes.into_iter().map(route).collect::<Result<_, _>>()?;
        Ok(Arc::new(StoredPolicy { change, scopes, routes }))
    }

    async fn edit_policy(
        &self,
        by: &Actor,
        before: &StoredPolicy,
        edit: Edit,
    ) -> Result<(Edited, Arc<StoredPolicy>), StoreError> {
        let (by, before, clock) = (by.clone(), before.clone(), self.clock.clone());
        self.writer.write(Commit { by, before, edit, clock }).await
    }
}

fn scope(
    (name, description, routes, version): (String, String, String, i64),
) -> Result<(Scope, Arc<StoredScope>), StoreError> {
    let name = Scope::parse(&name).map_err(corrupt("the name of a scope"))?;
    let routes = serde_json::from_str(&routes).map_err(corrupt("the routes of a scope"))?;
    let scope = StoredScope { name: name.clone(), description, routes, version: Version(version) };
    Ok((name, Arc::new(scope)))
}

fn route(
    (id, definition, version): (String, String, i64),
) -> Result<(RecordId, Arc<StoredRoute>), StoreError> {
    let id = RecordId::from_text(&id);
    let definition = serde_json::from_str(&definition).map_err(corrupt("a route"))?;
    Ok((id.clone(), Arc::new(StoredRoute { id, definition, version: Version(version) })))
}

struct Commit {
    by: Actor,
    before: StoredPolicy,
    edit: Edit,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl Write for Commit {
    type Output = (Edited, Arc<StoredPolicy>);
    const NUMBERED: bool = true;

    async fn run(&self, connection: &mut AnyConnection) -> Result<Self::Output, Failure> {
        let heads = changes::heads(connection).await?;
        if heads.policy != self.before.change {
            return Err(StoreError::Moved { seen: self.before.change, found: heads.policy }.into());
        }
        // Judged before anything is written: what is refused here must leave no trace.
        self.before.clone().apply(self.edit.clone(), heads.last)?;
        let Some(change) = changes::advance_policy(connection, self.before.change).await? else {
            let found = changes::heads(connection).await?.policy;
            return Err(StoreError::Moved { seen: self.before.change, found }.into());
        };
        let mut after = self.before.clone();
        let edited = after.apply(self.edit.clone(), change)?;
        write(connection, &edited).await?;
        let (at, action, detail) = (self.clock.now(), edited.action(), edited.detail());
        record(connection, change, 0, Entry { at, by: &self.by, action, name: edited.name(), detail })
            .await?;
        Ok((edited, Arc::new(after)))
    }
}

async fn write(connection: &mut AnyConnection, edited: &Edited) -> sqlx::Result<()> {
    let query = match edited {
        Edited::Scope { scope, .. } => sqlx::query(
            "INSERT INTO scopes (name, description, routes, version) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (name) DO UPDATE SET description = excluded.description, \
                 routes = excluded.routes, version = excluded.version",
        )
        .bind(scope.name.to_string())
        .bind(text(&scope.description))
        .bind(serde_json::to_string(&scope.routes).unwrap_or_default())
        .bind(scope.version.0),
        Edited::Route { route, .. } => sqlx::query(
            "INSERT INTO routes (id, definition, version) VALUES ($1, $2, $3) \
                 ON CONFLICT (id) DO UPDATE SET definition = excluded.definition, version = excluded.version",
        )
        .bind(route.id.to_string())
        .bind(route.definition.to_string())
        .bind(route.version.0),
        Edited::ScopeDeleted(name) => {
            sqlx::query("DELETE FROM scopes WHERE name = $1").bind(name.to_string())
        }
        Edited::RouteDeleted(id) => sqlx::query("DELETE FROM routes WHERE id = $1").bind(id.to_string()),
    };
    query.execute(connection).await?;
    Ok(())
}
