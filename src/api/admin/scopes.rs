//! `/admin/scopes`: scopes, and the routes that they open.

#![expect(clippy::unused_async, reason = "poem-openapi asks for async functions")]

use poem_openapi::{
    ApiResponse, Object, OpenApi,
    param::{Header, Path, Query},
    payload::Json,
};
use scopegate_provider::Scope;

use super::{
    Admin,
    bodies::{Deleted, List},
    expected, unprocessable,
};
use crate::{
    api::etag::etag,
    gate::Principal,
    policy::{Definition, settings::ScopeSettings},
    problem::Problem,
    reason::Reason,
    store::{Actor, Edit, Edited, EntryKind, StoredPolicy, StoredScope},
};

/// The endpoints.
#[derive(Clone, Debug)]
pub struct ScopesApi(pub(super) Admin);

/// A scope.
#[derive(Object)]
#[oai(rename = "Scope")]
struct ScopeBody {
    /// Its name.
    name: String,
    /// The operations that it lets its holder do.
    description: String,
    /// The patterns of the routes that it opens.
    routes: Vec<String>,
    /// The narrower scopes that a holder of this one has as well, directly or through others.
    implies: Vec<String>,
    /// The place of its declaration: `file` or `store`. A scope of the file is changed there.
    source: String,
}

/// A scope to create or replace.
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct PutScope {
    /// The operations that it lets its holder do.
    #[oai(default)]
    description: String,
    /// The patterns of the routes that it opens, such as `GET /reports/**`.
    #[oai(default)]
    routes: Vec<String>,
    /// The narrower scopes of the store that its holders have as well.
    #[oai(default)]
    implies: Vec<String>,
}

#[derive(ApiResponse)]
enum Put {
    /// The scope was replaced.
    #[oai(status = 200)]
    Replaced(Json<ScopeBody>, #[oai(header = "ETag")] String),
    /// The scope was created.
    #[oai(status = 201)]
    Created(Json<ScopeBody>, #[oai(header = "ETag")] String),
}

#[derive(ApiResponse)]
enum Found {
    /// The scope; one of the store with its version.
    #[oai(status = 200)]
    Scope(Json<ScopeBody>, #[oai(header = "ETag")] Option<String>),
}

#[OpenApi]
impl ScopesApi {
    /// List the scopes, or the one of a name.
    #[oai(path = "/admin/scopes", method = "get", operation_id = "list_scopes")]
    async fn list(
        &self,
        /// Only the scope of this name.
        Query(name): Query<Option<String>>,
        /// The most entries: 1 to 1000.
        Query(limit): Query<Option<usize>>,
        /// Only scopes whose names sort after this.
        Query(after): Query<Option<String>>,
    ) -> poem::Result<Json<List<ScopeBody>>> {
        let limit = super::limit(limit)?;
        let mut scopes = self.all();
        scopes.retain(|scope| name.as_ref().is_none_or(|name| scope.name == *name));
        scopes.retain(|scope| after.as_ref().is_none_or(|after| scope.name > *after));
        let more = scopes.len() > limit;
        scopes.truncate(limit);
        let next = scopes.last().filter(|_| more).map(|last| last.name.clone());
        Ok(List::new(scopes, next))
    }

    /// Get a scope.
    #[oai(path = "/admin/scopes/:name", method = "get", operation_id = "get_scope")]
    async fn get(&self, Path(name): Path<String>) -> poem::Result<Found> {
        let found = self.all().into_iter().find(|scope| scope.name == name);
        let found =
            found.ok_or_else(|| Problem::new(Reason::NotFound, format!("there is no scope `{name}`")))?;
        let stored = self.0.store.policy();
        let stored = stored.scopes.values().find(|scope| scope.name.as_str() == name);
        let version = stored.filter(|_| found.source == "store").map(|scope| etag(scope.version));
        Ok(Found::Scope(Json(found), version))
    }

    /// Create or replace a scope.
    #[oai(path = "/admin/scopes/:name", method = "put", operation_id = "put_scope")]
    async fn put(
        &self,
        principal: Principal,
        Path(name): Path<String>,
        Json(scope): Json<PutScope>,
        /// The version that is to be replaced.
        #[oai(name = "If-Match")]
        Header(if_match): Header<Option<String>>,
        /// `*`: create, never replace.
        #[oai(name = "If-None-Match")]
        Header(if_none_match): Header<Option<String>>,
        /// The last change of the policy that was seen, as `/admin/diff` names it: refused if there is a later one.
        #[oai(name = "If-Policy-Change")]
        Header(if_policy_change): Header<Option<i64>>,
    ) -> poem::Result<Put> {
        let expected = expected(if_match.as_deref(), if_none_match.as_deref())?;
        let description = scope.description;
        let routes = scope.routes;
        let implies = parse_implied(&scope.implies)?;
        let edit = Edit::PutScope { name: parse(&name)?, description, routes, implies, expected };
        match self.edit(&principal, edit, if_policy_change).await? {
            Edited::Scope { scope, created } => {
                let body = Json(of_store(&scope, &self.0.store.policy()));
                let version = etag(scope.version);
                Ok(if created { Put::Created(body, version) } else { Put::Replaced(body, version) })
            }
            Edited::Route { .. } | Edited::ScopeDeleted(_) | Edited::RouteDeleted(_) => {
                Err(unexpected().into())
            }
        }
    }

    /// Create or replace a scope whose name holds a slash.
    #[oai(path = "/admin/scopes", method = "put", operation_id = "put_scope_by_query")]
    async fn put_by_query(
        &self,
        principal: Principal,
        /// Its name.
        Query(name): Query<String>,
        Json(scope): Json<PutScope>,
        /// The version that is to be replaced.
        #[oai(name = "If-Match")]
        Header(if_match): Header<Option<String>>,
        /// `*`: create, never replace.
        #[oai(name = "If-None-Match")]
        Header(if_none_match): Header<Option<String>>,
        /// The last change of the policy that was seen, as `/admin/diff` names it: refused if there is a later one.
        #[oai(name = "If-Policy-Change")]
        Header(if_policy_change): Header<Option<i64>>,
    ) -> poem::Result<Put> {
        self.put(
            principal,
            Path(name),
            Json(scope),
            Header(if_match),
            Header(if_none_match),
            Header(if_policy_change),
        )
        .await
    }

    /// Delete a scope that no route requires.
    #[oai(path = "/admin/scopes/:name", method = "delete", operation_id = "delete_scope")]
    async fn delete(
        &self,
        principal: Principal,
        Path(name): Path<String>,
        /// The version that is to be deleted.
        #[oai(name = "If-Match")]
        Header(if_match): Header<Option<String>>,
        /// The last change of the policy that was seen, as `/admin/diff` names it: refused if there is a later one.
        #[oai(name = "If-Policy-Change")]
        Header(if_policy_change): Header<Option<i64>>,
    ) -> poem::Result<Deleted> {
        let expected = expected(if_match.as_deref(), None)?;
        let unreadable = self.0.store.policy().unreadable.contains_key(&(EntryKind::Scope, name.clone()));
        let edit = match Scope::parse(&name) {
            Err(_) if unreadable => Edit::DeleteUnreadableScope { name, expected },
            _ => Edit::DeleteScope { name: parse(&name)?, expected },
        };
        self.edit(&principal, edit, if_policy_change).await?;
        Ok(Deleted::Gone)
    }

    /// Delete a scope whose name holds a slash.
    #[oai(path = "/admin/scopes", method = "delete", operation_id = "delete_scope_by_query")]
    async fn delete_by_query(
        &self,
        principal: Principal,
        /// Its name.
        Query(name): Query<String>,
        /// The version that is to be deleted.
        #[oai(name = "If-Match")]
        Header(if_match): Header<Option<String>>,
        /// The last change of the policy that was seen, as `/admin/diff` names it: refused if there is a later one.
        #[oai(name = "If-Policy-Change")]
        Header(if_policy_change): Header<Option<i64>>,
    ) -> poem::Result<Deleted> {
        self.delete(principal, Path(name), Header(if_match), Header(if_policy_change)).await
    }
}

impl ScopesApi {
    /// The scopes of the file and of the store, by name. The file's go before.
    fn all(&self) -> Vec<ScopeBody> {
        let definition = self.0.node.definition();
        let stored = self.0.store.policy();
        let mut scopes: Vec<_> =
            definition.scopes().map(|(_, name, settings)| of_file(name, settings, &definition)).collect();
        scopes.extend(stored.scopes.values().map(|scope| of_store(scope, &stored)));
        // Stable: of two with one name the file's stays.
        scopes.sort_by(|a, b| a.name.cmp(&b.name));
        scopes.dedup_by(|later, earlier| later.name == earlier.name);
        scopes
    }

    async fn edit(&self, principal: &Principal, edit: Edit, seen: Option<i64>) -> Result<Edited, Problem> {
        let edited = self.0.edit_after(&Actor::from(&**principal), edit, seen).await;
        edited.map_err(|error| self.0.problem(error))
    }
}

fn parse(name: &str) -> Result<Scope, Problem> {
    Scope::parse(name).map_err(|error| unprocessable(Reason::InvalidScope, error.to_string()))
}

/// Parses the scopes that a stored one implies.
pub(super) fn parse_implied(names: &[String]) -> Result<Vec<Scope>, Problem> {
    names.iter().map(|name| parse(name)).collect()
}

/// The store gave an answer of another edit.
pub(super) fn unexpected() -> Problem {
    Problem::new(Reason::InternalError, "something went wrong here")
}

/// Returns the scopes that a scope implies, directly or through others.
fn implied<'s>(name: &'s Scope, direct: impl Fn(&Scope) -> &'s [Scope]) -> Vec<String> {
    let mut found: Vec<&Scope> = Vec::new();
    let mut open = vec![name];
    while let Some(next) = open.pop() {
        for narrower in direct(next) {
            if !found.contains(&narrower) {
                found.push(narrower);
                open.push(narrower);
            }
        }
    }
    found.into_iter().map(ToString::to_string).collect()
}

fn of_file(name: &Scope, settings: &ScopeSettings, definition: &Definition) -> ScopeBody {
    let direct = |name: &Scope| {
        let declared = definition.scopes().find(|(_, declared, _)| *declared == name);
        declared.map_or(&[][..], |(.., settings)| settings.implies())
    };
    ScopeBody {
        implies: implied(name, direct),
        name: name.to_string(),
        description: settings.description().to_owned(),
        routes: settings.routes().to_vec(),
        source: "file".to_owned(),
    }
}

/// A stored scope implies stored scopes only (invariant 15).
fn of_store(scope: &StoredScope, stored: &StoredPolicy) -> ScopeBody {
    let direct = |name: &Scope| stored.scopes.get(name).map_or(&[][..], |scope| &scope.implies);
    ScopeBody {
        name: scope.name.to_string(),
        description: scope.description.clone(),
        routes: scope.routes.clone(),
        implies: implied(&scope.name, direct),
        source: "store".to_owned(),
    }
}
