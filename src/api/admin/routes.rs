//! `/admin/routes`: the table by which is decided, and the routes of the store in it.

#![expect(clippy::unused_async, reason = "poem-openapi asks for async functions")]

use poem_openapi::{
    ApiResponse, Object, OpenApi,
    param::{Header, Path, Query},
    payload::Json,
};
use serde_json::Value;

use super::{
    Admin,
    bodies::{Deleted, List},
    expected,
    scopes::unexpected,
};
use crate::{
    api::etag::etag,
    gate::Principal,
    policy::{Route, Source},
    problem::Problem,
    reason::Reason,
    store::{Actor, Edit, Edited, EntryKind, RecordId, StoredRoute},
};

/// The endpoints.
#[derive(Clone, Debug)]
pub struct RoutesApi(pub(super) Admin);

/// A route of the compiled table.
#[derive(Object)]
#[oai(rename = "Route")]
struct RouteBody {
    /// Its id; a route of the store may be changed by it.
    id: String,
    /// Its pattern.
    #[oai(rename = "match")]
    pattern: String,
    /// What it asks of a caller.
    rule: String,
    /// Where it is declared: `file` or `store`.
    source: String,
    /// What declares it.
    declared_by: String,
    /// Why the entry is ignored: it is stored, and conflicts with the configuration. It can be replaced or deleted.
    #[oai(skip_serializing_if_is_none)]
    ignored: Option<String>,
    /// Where in the file.
    #[oai(skip_serializing_if_is_none)]
    place: Option<String>,
}

/// A route of the store.
#[derive(Object)]
#[oai(rename = "StoredRoute")]
struct StoredBody {
    /// Its id.
    id: String,
    /// `store`.
    source: String,
    /// Its pattern.
    #[oai(rename = "match")]
    pattern: Value,
    /// The route, as the configuration would write it.
    route: Value,
}

#[derive(ApiResponse)]
enum Found {
    /// The route.
    #[oai(status = 200)]
    Route(Json<StoredBody>, #[oai(header = "ETag")] String),
}

#[derive(ApiResponse)]
enum Created {
    /// The route was created.
    #[oai(status = 201)]
    Route(Json<StoredBody>, #[oai(header = "ETag")] String),
}

#[OpenApi]
impl RoutesApi {
    /// List the routes, the most specific first.
    #[oai(path = "/admin/routes", method = "get", operation_id = "list_routes")]
    async fn list(
        &self,
        /// How many at most: 1 to 1000.
        Query(limit): Query<Option<usize>>,
        /// Where the page before ended.
        Query(after): Query<Option<usize>>,
    ) -> poem::Result<Json<List<RouteBody>>> {
        let (limit, from) = (super::limit(limit)?, after.unwrap_or(0));
        let state = self.0.gate.current();
        let routes = state.policy().routes_by_precedence();
        let ignored = self.ignored();
        let all = routes.len() + ignored.len();
        let in_force = routes.iter().map(|route| self.body(route));
        let page: Vec<_> = in_force.chain(ignored).skip(from).take(limit).collect();
        let end = from.saturating_add(page.len());
        Ok(List::new(page, (end < all).then(|| end.to_string())))
    }

    /// Get a route of the store.
    #[oai(path = "/admin/routes/:id", method = "get", operation_id = "get_route")]
    async fn get(&self, Path(id): Path<String>) -> poem::Result<Found> {
        let policy = self.0.store.policy();
        let route = policy.routes.get(&RecordId::from_text(&id));
        let missing = || Problem::new(Reason::NotFound, format!("there is no route `{id}` in the store"));
        Ok(found(route.ok_or_else(missing)?))
    }

    /// Create a route, written as the configuration would: `{"match": "GET /x", "require": "items"}`.
    #[oai(path = "/admin/routes", method = "post", operation_id = "create_route")]
    async fn create(&self, principal: Principal, Json(route): Json<Value>) -> poem::Result<Created> {
        match self.edit(&principal, Edit::CreateRoute { definition: route }).await? {
            Edited::Route { route, .. } => Ok(Created::Route(Json(stored(&route)), etag(route.version))),
            Edited::Scope { .. } | Edited::ScopeDeleted(_) | Edited::RouteDeleted(_) => {
                Err(unexpected().into())
            }
        }
    }

    /// Replace a route of the store.
    #[oai(path = "/admin/routes/:id", method = "put", operation_id = "replace_route")]
    async fn replace(
        &self,
        principal: Principal,
        Path(id): Path<String>,
        Json(route): Json<Value>,
        /// The version that is to be replaced.
        #[oai(name = "If-Match")]
        Header(if_match): Header<Option<String>>,
    ) -> poem::Result<Found> {
        self.check_source(&id)?;
        let (id, expected) = (RecordId::from_text(&id), expected(if_match.as_deref(), None)?);
        match self.edit(&principal, Edit::ReplaceRoute { id, definition: route, expected }).await? {
            Edited::Route { route, .. } => Ok(found(&route)),
            Edited::Scope { .. } | Edited::ScopeDeleted(_) | Edited::RouteDeleted(_) => {
                Err(unexpected().into())
            }
        }
    }

    /// Delete a route of the store.
    #[oai(path = "/admin/routes/:id", method = "delete", operation_id = "delete_route")]
    async fn delete(
        &self,
        principal: Principal,
        Path(id): Path<String>,
        /// The version that is to be deleted.
        #[oai(name = "If-Match")]
        Header(if_match): Header<Option<String>>,
    ) -> poem::Result<Deleted> {
        self.check_source(&id)?;
        let (id, expected) = (RecordId::from_text(&id), expected(if_match.as_deref(), None)?);
        self.edit(&principal, Edit::DeleteRoute { id, expected }).await?;
        Ok(Deleted::Gone)
    }
}

impl RoutesApi {
    async fn edit(&self, principal: &Principal, edit: Edit) -> Result<Edited, Problem> {
        self.0.edit(&Actor::from(&**principal), edit).await.map_err(|error| self.0.problem(error))
    }

    /// A route that a scope opens, or that the file declares, is changed there.
    fn check_source(&self, id: &str) -> Result<(), Problem> {
        let state = self.0.gate.current();
        let declared =
            state.policy().routes().iter().map(Route::source).find(|source| self::id(source) == id);
        match declared {
            Some(Source::StoredRoute { .. }) | None => Ok(()),
            Some(source) => Err(self.0.problem(super::EditError::File(source.clone()))),
        }
    }

    /// Returns the stored routes that are ignored, each with its reason.
    fn ignored(&self) -> Vec<RouteBody> {
        let stored = self.0.store.policy();
        let mut bodies: Vec<RouteBody> = Vec::new();
        for error in self.0.node.status().rejected {
            let Source::StoredRoute { id } = &error.at else { continue };
            if bodies.iter().any(|body| *body.id == **id) {
                continue;
            }
            let route = stored.routes.get(&RecordId::from_text(id));
            let pattern = route.and_then(|route| route.definition.get("match")).cloned().unwrap_or_default();
            bodies.push(RouteBody {
                id: id.to_string(),
                pattern: pattern.as_str().map_or_else(|| pattern.to_string(), str::to_owned),
                rule: String::new(),
                source: "store".to_owned(),
                declared_by: error.at.to_string(),
                place: None,
                ignored: Some(format!("`{}`: {}", error.key, error.problem)),
            });
        }
        let unreadable = stored.unreadable.values().filter(|entry| entry.kind == EntryKind::Route);
        bodies.extend(unreadable.map(|entry| RouteBody {
            id: entry.name.clone(),
            pattern: String::new(),
            rule: String::new(),
            source: "store".to_owned(),
            declared_by: format!("stored route {}", entry.name),
            place: None,
            ignored: Some(entry.reason.clone()),
        }));
        bodies
    }

    fn body(&self, route: &Route) -> RouteBody {
        let source = route.source();
        RouteBody {
            id: id(source),
            pattern: route.pattern().to_string(),
            rule: route.rule().to_string(),
            source: if source.is_file() { "file" } else { "store" }.to_owned(),
            declared_by: source.to_string(),
            place: self.0.node.place(source),
            ignored: None,
        }
    }
}

/// A route of the file and one that a scope opens is known by what declares it.
pub(super) fn id(source: &Source) -> String {
    match source {
        Source::StoredRoute { id } => id.to_string(),
        Source::Route { .. }
        | Source::Scope { .. }
        | Source::Operation { .. }
        | Source::DocumentScope { .. }
        | Source::OwnEndpoint { .. }
        | Source::StoredScope { .. } => source.to_string(),
    }
}

fn found(route: &StoredRoute) -> Found {
    Found::Route(Json(stored(route)), etag(route.version))
}

fn stored(route: &StoredRoute) -> StoredBody {
    StoredBody {
        id: route.id.to_string(),
        source: "store".to_owned(),
        pattern: route.definition.get("match").cloned().unwrap_or_default(),
        route: route.definition.clone(),
    }
}
