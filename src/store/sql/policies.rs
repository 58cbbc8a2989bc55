//! Scopes and routes in a database.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use scopegate_provider::{Clock, Scope};
use serde_json::Value;
use sqlx::AnyConnection;

use super::{
    Dialect, SqlStore,
    audit::{Entry, record},
    changes, parse_rows, text,
    writer::{Failure, Write},
};
use crate::store::{
    Actor, ChangeNumber, Edit, Edited, EntryKind, Policies, RecordId, StoreError, StoredPolicy, StoredRoute,
    StoredScope, UnreadableEntry, Version,
};

/// The number of the last policy change, scopes and routes; the latter as JSON arrays.
type PolicyRow = (i64, Vec<u8>, Vec<u8>);

type ScopeRow = (String, String, String, String, i64);
type RouteRow = (String, String, i64);

/// The most entries that are read one by one; beyond that, everything is read.
const ONE_BY_ONE: usize = 50;

#[async_trait]
impl Policies for SqlStore {
    async fn stored_policy(&self) -> Result<Arc<StoredPolicy>, StoreError> {
        // One statement sees one moment, in both databases.
        let query = sqlx::query_as(self.dialect.policy);
        let (change, scopes, routes): PolicyRow =
            self.read(|connection| Box::pin(query.fetch_one(connection))).await?;
        let mut policy = StoredPolicy { change: ChangeNumber(change), ..StoredPolicy::default() };
        parse_rows(&scopes)?.into_iter().for_each(|row| policy.add_scope_row(row));
        parse_rows(&routes)?.into_iter().for_each(|row| policy.add_route_row(row));
        Ok(Arc::new(policy))
    }

    async fn stored_policy_after(&self, known: &StoredPolicy) -> Result<Arc<StoredPolicy>, StoreError> {
        let query = sqlx::query_as(self.dialect.policy_versions);
        let (change, scopes, routes): PolicyRow =
            self.read(|connection| Box::pin(query.fetch_one(connection))).await?;
        let scopes: BTreeMap<String, i64> = parse_rows(&scopes)?.into_iter().collect();
        let routes: BTreeMap<String, i64> = parse_rows(&routes)?.into_iter().collect();
        let mut policy = known.clone();
        policy.change = ChangeNumber(change);
        policy.retain(&scopes, &routes);
        let versions = policy.versions();
        let mut changed_scopes: Vec<&String> = Vec::new();
        let mut changed_routes: Vec<&String> = Vec::new();
        for (kind, entries, changed) in [
            (EntryKind::Scope, &scopes, &mut changed_scopes),
            (EntryKind::Route, &routes, &mut changed_routes),
        ] {
            let differs =
                |(name, version): &(&String, &i64)| versions.get(&(kind, name.as_str())) != Some(*version);
            changed.extend(entries.iter().filter(differs).map(|(name, _)| name));
        }
        if changed_scopes.len() + changed_routes.len() > ONE_BY_ONE {
            return self.stored_policy().await;
        }
        for name in changed_scopes {
            let sql = "SELECT name, description, routes, implies, version FROM scopes WHERE name = $1";
            let query = sqlx::query_as(sql).bind(name.to_owned());
            let row: Option<ScopeRow> =
                self.read(|connection| Box::pin(query.fetch_optional(connection))).await?;
            match row {
                Some(row) if row.4 <= change => policy.add_scope_row(row),
                // Changed meanwhile, or not to be found by this name: everything is read at one moment.
                Some(_) | None => return self.stored_policy().await,
            }
        }
        for id in changed_routes {
            let query = sqlx::query_as("SELECT id, definition, version FROM routes WHERE id = $1")
                .bind(id.to_owned());
            let row: Option<RouteRow> =
                self.read(|connection| Box::pin(query.fetch_optional(connection))).await?;
            match row {
                Some(row) if row.2 <= change => policy.add_route_row(row),
                Some(_) | None => return self.stored_policy().await,
            }
        }
        Ok(Arc::new(policy))
    }

    async fn edit_policy(
        &self,
        by: &Actor,
        before: &StoredPolicy,
        edit: Edit,
    ) -> Result<(Edited, Arc<StoredPolicy>), StoreError> {
        let by = by.clone();
        let clock = self.clock.clone();
        let dialect = self.dialect;
        self.writer.write(Commit { by, before: before.clone(), edit, clock, dialect }).await
    }
}

impl StoredPolicy {
    /// Adds a scope as the database holds it, replacing an earlier one, readable or not.
    fn add_scope_row(&mut self, (name, description, routes, implies, version): ScopeRow) {
        let version = Version(version);
        self.unreadable.remove(&(EntryKind::Scope, name.clone()));
        let parsed = Scope::parse(&name).map_err(|error| error.to_string()).and_then(|name| {
            let routes = serde_json::from_str::<Vec<String>>(&routes);
            let routes = routes.map_err(|error| format!("its routes are not a JSON array of texts: {error}"));
            let implies = serde_json::from_str::<Vec<Scope>>(&implies);
            let implies =
                implies.map_err(|error| format!("`implies` is not a JSON array of scopes: {error}"));
            Ok(StoredScope { name, description, routes: routes?, implies: implies?, version })
        });
        match parsed {
            Ok(scope) => drop(self.scopes.insert(scope.name.clone(), Arc::new(scope))),
            Err(reason) => {
                self.scopes.retain(|known, _| known.as_str() != name);
                self.add_unreadable(UnreadableEntry { kind: EntryKind::Scope, name, version, reason });
            }
        }
    }

    /// Adds a route as the database holds it, replacing an earlier one, readable or not.
    fn add_route_row(&mut self, (id, definition, version): RouteRow) {
        let version = Version(version);
        let record = RecordId::from_text(&id);
        self.unreadable.remove(&(EntryKind::Route, id.clone()));
        let parsed = match serde_json::from_str::<Value>(&definition) {
            Ok(definition @ Value::Object(_)) => Ok(definition),
            Ok(_) => Err("it is not a JSON object".to_owned()),
            Err(error) => Err(format!("it is not JSON: {error}")),
        };
        match parsed {
            Ok(definition) => {
                let route = StoredRoute { id: record.clone(), definition, version };
                self.routes.insert(record, Arc::new(route));
            }
            Err(reason) => {
                self.routes.remove(&record);
                self.add_unreadable(UnreadableEntry { kind: EntryKind::Route, name: id, version, reason });
            }
        }
    }

    /// Removes the entries that are not among these.
    fn retain(&mut self, scopes: &BTreeMap<String, i64>, routes: &BTreeMap<String, i64>) {
        self.scopes.retain(|name, _| scopes.contains_key(name.as_str()));
        self.routes.retain(|id, _| routes.contains_key(id.as_str()));
        self.unreadable.retain(|(kind, name), _| match kind {
            EntryKind::Scope => scopes.contains_key(name),
            EntryKind::Route => routes.contains_key(name),
            EntryKind::Revocation | EntryKind::Provider => false,
        });
    }

    /// Returns the version of each entry.
    fn versions(&self) -> BTreeMap<(EntryKind, &str), i64> {
        let scopes =
            self.scopes.iter().map(|(name, scope)| ((EntryKind::Scope, name.as_str()), scope.version.0));
        let routes = self.routes.iter().map(|(id, route)| ((EntryKind::Route, id.as_str()), route.version.0));
        let unreadable = self.unreadable.values();
        let unreadable = unreadable.map(|entry| ((entry.kind, entry.name.as_str()), entry.version.0));
        scopes.chain(routes).chain(unreadable).collect()
    }
}

struct Commit {
    by: Actor,
    before: StoredPolicy,
    edit: Edit,
    clock: Arc<dyn Clock>,
    dialect: &'static Dialect,
}

#[async_trait]
impl Write for Commit {
    type Output = (Edited, Arc<StoredPolicy>);
    const NUMBERED: bool = true;

    async fn run(&self, connection: &mut AnyConnection) -> Result<Self::Output, Failure> {
        // Checked before anything is written: a refused edit must leave no trace.
        self.before.clone().apply(self.edit.clone(), self.before.change)?;
        let advanced = changes::advance_policy(connection, self.dialect, self.before.change).await?;
        let Some(change) = advanced else {
            let found = changes::heads(connection).await?.policy;
            return Err(StoreError::Moved { seen: self.before.change, found }.into());
        };
        let mut after = self.before.clone();
        let edited = after.apply(self.edit.clone(), change)?;
        write(connection, &edited).await?;
        let entry = Entry {
            at: self.clock.now(),
            by: &self.by,
            action: edited.action(),
            name: edited.name(),
            detail: edited.detail(),
        };
        record(connection, change, 0, entry).await?;
        Ok((edited, Arc::new(after)))
    }
}

async fn write(connection: &mut AnyConnection, edited: &Edited) -> sqlx::Result<()> {
    let query = match edited {
        Edited::Scope { scope, .. } => sqlx::query(
            "INSERT INTO scopes (name, description, routes, implies, version) VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT (name) DO UPDATE SET description = excluded.description, \
                 routes = excluded.routes, implies = excluded.implies, version = excluded.version",
        )
        .bind(scope.name.to_string())
        .bind(text(&scope.description))
        .bind(serde_json::to_string(&scope.routes).unwrap_or_default())
        .bind(serde_json::to_string(&scope.implies).unwrap_or_default())
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
