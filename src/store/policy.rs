//! The scopes and routes that were added at run time.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use scopegate_provider::Scope;
use serde_json::{Value, json};

use super::{Action, Actor, ChangeNumber, RecordId, StoreError, Version};

/// A scope that was added at run time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredScope {
    /// Its name.
    pub name: Scope,
    /// What it lets its holder do, for people.
    pub description: String,
    /// The patterns of the routes that it opens.
    pub routes: Vec<String>,
    /// Its version: the number of the change that wrote it.
    pub version: Version,
}

/// A route that was added at run time.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRoute {
    /// Its id.
    pub id: RecordId,
    /// The route, as the configuration would write it.
    pub definition: Value,
    /// Its version: the number of the change that wrote it.
    pub version: Version,
}

/// All scopes and routes that were added at run time, as they were after a change.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StoredPolicy {
    /// The last change of scopes or routes.
    pub change: ChangeNumber,
    /// The scopes.
    pub scopes: BTreeMap<Scope, Arc<StoredScope>>,
    /// The routes, in the order in which they were created.
    pub routes: BTreeMap<RecordId, Arc<StoredRoute>>,
}

/// What must be there for an edit to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Whatever there is.
    Any,
    /// Nothing (`If-None-Match: *`).
    Nothing,
    /// Something (`If-Match: *`).
    Something,
    /// This version (`If-Match: "7"`).
    Version(Version),
}

/// A change of scopes or routes.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// Creates or replaces a scope.
    PutScope {
        /// Its name.
        name: Scope,
        /// What it lets its holder do.
        description: String,
        /// The patterns of the routes that it opens.
        routes: Vec<String>,
        /// What must be there.
        expected: Expected,
    },
    /// Deletes a scope.
    DeleteScope {
        /// Its name.
        name: Scope,
        /// What must be there.
        expected: Expected,
    },
    /// Creates a route.
    CreateRoute {
        /// The route, as the configuration would write it.
        definition: Value,
    },
    /// Replaces a route.
    ReplaceRoute {
        /// Its id.
        id: RecordId,
        /// The route, as the configuration would write it.
        definition: Value,
        /// What must be there.
        expected: Expected,
    },
    /// Deletes a route.
    DeleteRoute {
        /// Its id.
        id: RecordId,
        /// What must be there.
        expected: Expected,
    },
}

/// What an edit made.
#[derive(Debug, Clone, PartialEq)]
pub enum Edited {
    /// A scope.
    Scope {
        /// The scope as it is now.
        scope: Arc<StoredScope>,
        /// Whether it is new.
        created: bool,
    },
    /// A route.
    Route {
        /// The route as it is now.
        route: Arc<StoredRoute>,
        /// Whether it is new.
        created: bool,
    },
    /// A scope is gone.
    ScopeDeleted(Scope),
    /// A route is gone.
    RouteDeleted(RecordId),
}

/// Keeps scopes and routes.
#[async_trait]
pub trait Policies: Send + Sync {
    /// All scopes and routes, as they were after one and the same change.
    async fn stored_policy(&self) -> Result<Arc<StoredPolicy>, StoreError>;

    /// Makes an edit that was judged against `before`, and gives the policy after it.
    ///
    /// # Errors
    /// [`StoreError::Moved`] if `before` is not the stored policy any more; what [`StoredPolicy::apply`] refuses.
    async fn edit_policy(
        &self,
        by: &Actor,
        before: &StoredPolicy,
        edit: Edit,
    ) -> Result<(Edited, Arc<StoredPolicy>), StoreError>;
}

impl StoredPolicy {
    /// Makes an edit as the change `change`. Nothing is changed where it is refused.
    ///
    /// # Errors
    /// What the edit expects is not there: [`StoreError::NotFound`], [`StoreError::Exists`], [`StoreError::Stale`].
    pub fn apply(&mut self, edit: Edit, change: ChangeNumber) -> Result<Edited, StoreError> {
        let edited = match edit {
            Edit::PutScope { name, description, routes, expected } => {
                self.check_scope(&name, expected)?;
                self.put_scope(StoredScope { name, description, routes, version: Version(change.0) })
            }
            Edit::DeleteScope { name, expected } => {
                self.check_scope(&name, must_be(expected))?;
                self.scopes.remove(&name);
                Edited::ScopeDeleted(name)
            }
            Edit::CreateRoute { definition } => self.put_route(StoredRoute {
                id: RecordId::of(change, 0),
                definition,
                version: Version(change.0),
            }),
            Edit::ReplaceRoute { id, definition, expected } => {
                self.check_route(&id, must_be(expected))?;
                self.put_route(StoredRoute { id, definition, version: Version(change.0) })
            }
            Edit::DeleteRoute { id, expected } => {
                self.check_route(&id, must_be(expected))?;
                self.routes.remove(&id);
                Edited::RouteDeleted(id)
            }
        };
        self.change = change;
        Ok(edited)
    }

    fn put_scope(&mut self, scope: StoredScope) -> Edited {
        let scope = Arc::new(scope);
        let created = self.scopes.insert(scope.name.clone(), scope.clone()).is_none();
        Edited::Scope { scope, created }
    }

    fn put_route(&mut self, route: StoredRoute) -> Edited {
        let route = Arc::new(route);
        let created = self.routes.insert(route.id.clone(), route.clone()).is_none();
        Edited::Route { route, created }
    }

    fn check_scope(&self, name: &Scope, expected: Expected) -> Result<(), StoreError> {
        check("scope", name.as_str(), self.scopes.get(name).map(|scope| scope.version), expected)
    }

    fn check_route(&self, id: &RecordId, expected: Expected) -> Result<(), StoreError> {
        check("route", id.as_str(), self.routes.get(id).map(|route| route.version), expected)
    }
}

impl Edited {
    pub(crate) fn action(&self) -> Action {
        match self {
            Self::Scope { .. } => Action::PutScope,
            Self::Route { created: true, .. } => Action::CreateRoute,
            Self::Route { created: false, .. } => Action::ReplaceRoute,
            Self::ScopeDeleted(_) => Action::DeleteScope,
            Self::RouteDeleted(_) => Action::DeleteRoute,
        }
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Scope { scope, .. } => scope.name.as_str(),
            Self::Route { route, .. } => route.id.as_str(),
            Self::ScopeDeleted(name) => name.as_str(),
            Self::RouteDeleted(id) => id.as_str(),
        }
    }

    pub(crate) fn detail(&self) -> Value {
        match self {
            Self::Scope { scope, .. } => json!({ "description": scope.description, "routes": scope.routes }),
            Self::Route { route, .. } => route.definition.clone(),
            Self::ScopeDeleted(_) | Self::RouteDeleted(_) => json!({}),
        }
    }
}

/// What is replaced or deleted must be there.
fn must_be(expected: Expected) -> Expected {
    match expected {
        Expected::Any => Expected::Something,
        Expected::Nothing | Expected::Something | Expected::Version(_) => expected,
    }
}

fn check(
    what: &'static str,
    name: &str,
    found: Option<Version>,
    expected: Expected,
) -> Result<(), StoreError> {
    match (expected, found) {
        (Expected::Any, _) | (Expected::Nothing, None) | (Expected::Something, Some(_)) => Ok(()),
        (Expected::Nothing, Some(_)) => Err(StoreError::Exists { what, name: name.to_owned() }),
        (Expected::Something | Expected::Version(_), None) => {
            Err(StoreError::NotFound { what, name: name.to_owned() })
        }
        (Expected::Version(expected), Some(found)) if expected == found => Ok(()),
        (Expected::Version(expected), Some(found)) => Err(StoreError::Stale { expected, found }),
    }
}
