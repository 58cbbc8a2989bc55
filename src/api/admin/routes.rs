//! `/admin/routes`: the table of routes in force, and the routes of the store in it.

#![expect(clippy::unused_async, reason = "poem-openapi asks for async functions")]

use poem_openapi::{
    ApiResponse, Object, OpenApi,
    param::{Header, Path, Query},
    payload::Json,
};
use scopegate_provider::{ClientId, Scope, ScopeSet};
use serde_json::{Map, Value, json};

use super::{
    Admin,
    bodies::{Deleted, List},
    expected,
    scopes::unexpected,
    unprocessable,
};
use crate::{
    api::etag::etag,
    config::own_endpoints::{Access, Reach, ServedEndpoint},
    gate::Principal,
    policy::{
        ActorTest, Alternative, CallerAt, ClaimValue, HostPattern, Route, Rule, Source, SupposedCaller,
    },
    problem::Problem,
    reason::Reason,
    store::{Actor, Edit, Edited, EntryKind, RecordId, StoredPolicy, StoredRoute},
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
    /// The requirement of callers, in words.
    rule: String,
    /// The place of its declaration: `file`, `store` or `own`.
    source: String,
    /// The entry that declares it.
    declared_by: String,
    /// The reason for which the entry is ignored: it is stored, and conflicts with the configuration. It can be replaced
    /// or deleted.
    #[oai(skip_serializing_if_is_none)]
    ignored: Option<String>,
    /// The place in the file.
    #[oai(skip_serializing_if_is_none)]
    place: Option<String>,
    /// The requirement of its rule: scopes (`all`, `any`), `roles`, `claims`, `clients`, `providers`, `audience`, `acr`,
    /// `max_age`, `proof`, `actor` and `details`, or `any_of` several of these.
    #[oai(skip_serializing_if_is_none)]
    require: Option<Value>,
    /// `anonymous`, `optional`, `authenticated` or `nobody`, in place of a requirement.
    #[oai(skip_serializing_if_is_none)]
    allow: Option<String>,
    /// Its methods; empty for every method.
    methods: Vec<String>,
    /// Its host, unless it is any.
    #[oai(skip_serializing_if_is_none)]
    host: Option<String>,
    /// Its path.
    #[oai(skip_serializing_if_is_none)]
    path: Option<String>,
    /// `shadow` if it is logged and counted without effect.
    #[oai(skip_serializing_if_is_none)]
    mode: Option<String>,
    /// Its requests of the Model Context Protocol.
    #[oai(skip_serializing_if_is_none)]
    mcp: Option<Value>,
    /// `true` for an endpoint of scopegate itself, which answers before the policy.
    own: bool,
    /// The version of a stored route.
    #[oai(skip_serializing_if_is_none)]
    version: Option<i64>,
}

impl RouteBody {
    /// Returns a body with nothing but an id.
    fn new(id: String, source: &str, declared_by: String) -> Self {
        Self {
            id,
            pattern: String::new(),
            rule: String::new(),
            source: source.to_owned(),
            declared_by,
            ignored: None,
            place: None,
            require: None,
            allow: None,
            methods: Vec::new(),
            host: None,
            path: None,
            mode: None,
            mcp: None,
            own: false,
            version: None,
        }
    }

    /// Returns `true` if a text occurs in what the table shows of the route, in any case.
    fn mentions(&self, text: &str) -> bool {
        let place = self.place.as_deref().unwrap_or_default();
        let shown = [&self.pattern, &self.rule, &self.id, place, &self.declared_by];
        shown.iter().any(|shown| shown.to_lowercase().contains(text))
    }
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
        /// The most entries: 1 to 1000.
        Query(limit): Query<Option<usize>>,
        /// The `next` of the page before.
        Query(after): Query<Option<usize>>,
        /// Only routes in whose pattern, rule, id or place this text occurs.
        Query(q): Query<Option<String>>,
        /// Only routes that a caller with just these scopes, separated by spaces, reaches; other terms aside.
        Query(with): Query<Option<String>>,
        /// Only routes that a caller of this client, with the scopes of `with` and no more, reaches.
        Query(client): Query<Option<String>>,
    ) -> poem::Result<Json<List<RouteBody>>> {
        let limit = super::limit(limit)?;
        let from = after.unwrap_or(0);
        let held: Option<ScopeSet> = with.map(|with| parse_scopes(&with)).transpose()?;
        let text = q.unwrap_or_default().to_lowercase();
        let state = self.0.gate.current();
        let stored = self.0.store.policy();
        let mut routes = state.policy().routes_by_precedence();
        let is_part = held.is_some() || client.is_some();
        if let Some(client) = client {
            let caller = SupposedCaller {
                client: Some(parse_client(&client)?),
                scopes: held.iter().flat_map(ScopeSet::iter).cloned().collect(),
                ..SupposedCaller::default()
            };
            let now = self.0.now();
            let principal = caller
                .principal(now)
                .map_err(|error| unprocessable(Reason::InvalidQuestion, error.to_string()))?;
            routes.retain(|route| route.rule().decide(Some(CallerAt::new(&principal, now))).is_ok());
        } else if let Some(held) = &held {
            routes.retain(|route| route.rule().is_reached_with(held));
        }
        let mut bodies: Vec<RouteBody> = routes.into_iter().map(|route| self.body(route, &stored)).collect();
        if !is_part {
            bodies.extend(self.ignored());
            bodies.extend(
                self.0
                    .node
                    .own_endpoints()
                    .iter()
                    .filter(|one| one.endpoint.access != Access::Policy)
                    .map(own),
            );
        }
        bodies.retain(|body| text.is_empty() || body.mentions(&text));
        let all = bodies.len();
        let page: Vec<_> = bodies.into_iter().skip(from).take(limit).collect();
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
    async fn create(
        &self,
        principal: Principal,
        Json(route): Json<Value>,
        /// The last change of the policy that was seen, as `/admin/diff` names it: refused if there is a later one.
        #[oai(name = "If-Policy-Change")]
        Header(if_policy_change): Header<Option<i64>>,
    ) -> poem::Result<Created> {
        match self.edit(&principal, Edit::CreateRoute { definition: route }, if_policy_change).await? {
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
        /// The last change of the policy that was seen, as `/admin/diff` names it: refused if there is a later one.
        #[oai(name = "If-Policy-Change")]
        Header(if_policy_change): Header<Option<i64>>,
    ) -> poem::Result<Found> {
        self.check_source(&id)?;
        let id = RecordId::from_text(&id);
        let expected = expected(if_match.as_deref(), None)?;
        match self
            .edit(&principal, Edit::ReplaceRoute { id, definition: route, expected }, if_policy_change)
            .await?
        {
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
        /// The last change of the policy that was seen, as `/admin/diff` names it: refused if there is a later one.
        #[oai(name = "If-Policy-Change")]
        Header(if_policy_change): Header<Option<i64>>,
    ) -> poem::Result<Deleted> {
        self.check_source(&id)?;
        let id = RecordId::from_text(&id);
        let expected = expected(if_match.as_deref(), None)?;
        self.edit(&principal, Edit::DeleteRoute { id, expected }, if_policy_change).await?;
        Ok(Deleted::Gone)
    }
}

impl RoutesApi {
    async fn edit(&self, principal: &Principal, edit: Edit, seen: Option<i64>) -> Result<Edited, Problem> {
        let edited = self.0.edit_after(&Actor::from(&**principal), edit, seen).await;
        edited.map_err(|error| self.0.problem(error))
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
                pattern: pattern.as_str().map_or_else(|| pattern.to_string(), str::to_owned),
                ignored: Some(format!("`{}`: {}", error.key, error.problem)),
                version: route.map(|route| route.version.0),
                ..RouteBody::new(id.to_string(), "store", error.at.to_string())
            });
        }
        let unreadable = stored.unreadable.values().filter(|entry| entry.kind == EntryKind::Route);
        bodies.extend(unreadable.map(|entry| RouteBody {
            ignored: Some(entry.reason.clone()),
            ..RouteBody::new(entry.name.clone(), "store", format!("stored route {}", entry.name))
        }));
        bodies
    }

    fn body(&self, route: &Route, stored: &StoredPolicy) -> RouteBody {
        let source = route.source();
        let pattern = route.pattern();
        let require = requirement(route.rule());
        let version = match source {
            Source::StoredRoute { id } => {
                stored.routes.get(&RecordId::from_text(id)).map(|route| route.version.0)
            }
            _ => None,
        };
        let name = if source.is_file() { "file" } else { "store" };
        RouteBody {
            pattern: pattern.to_string(),
            rule: route.rule().to_string(),
            place: self.0.node.place(source),
            allow: require.is_none().then(|| route.rule().to_string()),
            require,
            methods: pattern
                .methods
                .named()
                .iter()
                .filter(|method| pattern.methods.contains(method))
                .map(ToString::to_string)
                .collect(),
            host: (pattern.host_path.host != HostPattern::Any).then(|| pattern.host_path.host.to_string()),
            path: Some(pattern.host_path.path.to_string()),
            mode: route.is_shadow().then(|| "shadow".to_owned()),
            mcp: pattern.mcp.as_ref().map(|mcp| json!({ "method": mcp.method, "name": mcp.name })),
            version,
            ..RouteBody::new(id(source), name, source.to_string())
        }
    }
}

/// Returns the row of an endpoint of scopegate itself.
fn own(served: &ServedEndpoint) -> RouteBody {
    let methods: Vec<String> = served.endpoint.methods.iter().map(ToString::to_string).collect();
    let path = match served.endpoint.reach {
        Reach::Exact => served.path.clone(),
        Reach::Below => format!("{}/**", served.path),
    };
    RouteBody {
        pattern: format!("{} {path}", methods.join("|")),
        rule: served.endpoint.access.to_string(),
        methods,
        path: Some(path),
        own: true,
        ..RouteBody::new(format!("own:{}", served.path), "own", "scopegate".to_owned())
    }
}

/// Returns the requirement of a rule as the configuration would write it, or `None` if it names none.
fn requirement(rule: &Rule) -> Option<Value> {
    match rule.alternatives() {
        [] => None,
        [one] => Some(alternative(one)),
        several => Some(json!({ "any_of": several.iter().map(alternative).collect::<Vec<_>>() })),
    }
}

fn alternative(one: &Alternative) -> Value {
    let mut members = Map::new();
    let lists = [
        ("all", json!(one.all)),
        ("any", json!(one.any)),
        ("roles", json!(one.roles)),
        ("clients", json!(one.clients)),
        ("providers", json!(one.providers)),
        ("audience", json!(one.audience)),
        ("acr", json!(one.acr)),
        ("details", json!(one.details)),
    ];
    members.extend(
        lists
            .into_iter()
            .filter(|(_, value)| *value != json!([]))
            .map(|(name, value)| (name.to_owned(), value)),
    );
    if !one.claims.is_empty() {
        let claims = one.claims.iter().map(|test| {
            (test.path.as_str().to_owned(), test.values.iter().map(claim_value).collect::<Value>())
        });
        members.insert("claims".to_owned(), Value::Object(claims.collect()));
    }
    let others = [
        ("max_age", one.max_age.map(|max_age| json!(max_age.to_string()))),
        ("proof", one.proof.map(|proof| json!(proof))),
        ("actor", one.actor.as_ref().map(actor)),
    ];
    members.extend(others.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    Value::Object(members)
}

fn claim_value(value: &ClaimValue) -> Value {
    match value {
        ClaimValue::Equals(value) => value.clone(),
        ClaimValue::Prefix(prefix) => json!({ "prefix": prefix }),
        ClaimValue::Segment { name, .. } => json!({ "path": name }),
    }
}

fn actor(test: &ActorTest) -> Value {
    match test {
        ActorTest::Absent => json!("none"),
        ActorTest::Present => json!("any"),
        ActorTest::OneOf(ids) => json!(ids),
    }
}

fn parse_scopes(text: &str) -> Result<ScopeSet, Problem> {
    let scopes = text.split_whitespace().map(Scope::parse);
    scopes.collect::<Result<_, _>>().map_err(|error| unprocessable(Reason::InvalidScope, error.to_string()))
}

fn parse_client(text: &str) -> Result<ClientId, Problem> {
    ClientId::parse(text).map_err(|error| unprocessable(Reason::InvalidFilter, error.to_string()))
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
