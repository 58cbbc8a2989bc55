//! The scopes and routes that were added at run time.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use scopegate_provider::Scope;
use serde_json::{Value, json};

use super::{Action, Actor, ChangeNumber, EntryKind, RecordId, StoreError, UnreadableEntry, Version};

/// The longest name of a stored scope, in bytes: what an index of every database takes.
pub const MAX_SCOPE_NAME: usize = 1000;

/// A scope that was added at run time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredScope {
    /// Its name.
    pub name: Scope,
    /// Its description, for people.
    pub description: String,
    /// The patterns of the routes that it opens.
    pub routes: Vec<String>,
    /// The narrower scopes that its holders have as well.
    pub implies: Vec<Scope>,
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
    /// The scopes and routes that cannot be read, by kind and by name or id.
    pub unreadable: BTreeMap<(EntryKind, String), Arc<UnreadableEntry>>,
}

/// The state that an edit expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Any state.
    Any,
    /// No entry (`If-None-Match: *`).
    Nothing,
    /// An entry of any version (`If-Match: *`).
    Something,
    /// An entry of this version (`If-Match: "7"`).
    Version(Version),
}

/// A change of scopes or routes.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// Creates or replaces a scope.
    PutScope {
        /// Its name.
        name: Scope,
        /// Its description.
        description: String,
        /// The patterns of the routes that it opens.
        routes: Vec<String>,
        /// The narrower scopes that its holders have as well.
        implies: Vec<Scope>,
        /// The state that the edit expects.
        expected: Expected,
    },
    /// Deletes a scope.
    DeleteScope {
        /// Its name.
        name: Scope,
        /// The state that the edit expects.
        expected: Expected,
    },
    /// Deletes a scope that cannot be read, whose name need not be a scope's name.
    DeleteUnreadableScope {
        /// Its name as the store holds it.
        name: String,
        /// The state that the edit expects.
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
        /// The state that the edit expects.
        expected: Expected,
    },
    /// Deletes a route.
    DeleteRoute {
        /// Its id.
        id: RecordId,
        /// The state that the edit expects.
        expected: Expected,
    },
}

/// The result of an edit.
#[derive(Debug, Clone, PartialEq)]
pub enum Edited {
    /// A scope was written.
    Scope {
        /// The scope as it is now.
        scope: Arc<StoredScope>,
        /// `true` if it is new.
        created: bool,
    },
    /// A route was written.
    Route {
        /// The route as it is now.
        route: Arc<StoredRoute>,
        /// `true` if it is new.
        created: bool,
    },
    /// The scope of this name was deleted.
    ScopeDeleted(Box<str>),
    /// The route of this id was deleted.
    RouteDeleted(RecordId),
}

/// Access to the stored scopes and routes.
#[async_trait]
pub trait Policies: Send + Sync {
    /// Returns all scopes and routes, as they were after one and the same change.
    async fn stored_policy(&self) -> Result<Arc<StoredPolicy>, StoreError>;

    /// Returns all scopes and routes as [`Policies::stored_policy`] does, reading only what differs from `known`.
    async fn stored_policy_after(&self, known: &StoredPolicy) -> Result<Arc<StoredPolicy>, StoreError> {
        let _ = known;
        self.stored_policy().await
    }

    /// Makes an edit that was checked against `before`, and returns the policy after it.
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
    /// Makes an edit as the change `change`. Changes nothing if the edit is refused.
    ///
    /// # Errors
    /// The state is not the expected one: [`StoreError::NotFound`], [`StoreError::Exists`], [`StoreError::Stale`]. Or a
    /// name is [`StoreError::TooLong`].
    pub fn apply(&mut self, edit: Edit, change: ChangeNumber) -> Result<Edited, StoreError> {
        let version = Version(change.0);
        let edited = match edit {
            Edit::PutScope { name, description, routes, implies, expected } => {
                self.check_scope(name.as_str(), expected)?;
                // Every database must be able to index the name.
                let found = name.as_str().len();
                if found > MAX_SCOPE_NAME {
                    return Err(StoreError::TooLong { what: "scope", limit: MAX_SCOPE_NAME, found });
                }
                // An entry that was repaired is readable again.
                let repaired = self.unreadable.remove(&(EntryKind::Scope, name.to_string()));
                let scope = Arc::new(StoredScope { name, description, routes, implies, version });
                let replaced = self.scopes.insert(scope.name.clone(), scope.clone());
                Edited::Scope { scope, created: repaired.is_none() && replaced.is_none() }
            }
            Edit::DeleteScope { name, expected } => {
                self.check_scope(name.as_str(), must_exist(expected))?;
                self.scopes.remove(&name);
                self.delete_scope(name.as_str())
            }
            Edit::DeleteUnreadableScope { name, expected } => {
                let found = self.unreadable_version(EntryKind::Scope, &name);
                check("scope", &name, found, must_exist(expected))?;
                self.delete_scope(&name)
            }
            Edit::CreateRoute { definition } => {
                self.put_route(StoredRoute { id: RecordId::of(change, 0), definition, version })
            }
            Edit::ReplaceRoute { id, definition, expected } => {
                self.check_route(&id, must_exist(expected))?;
                self.put_route(StoredRoute { id, definition, version })
            }
            Edit::DeleteRoute { id, expected } => {
                self.check_route(&id, must_exist(expected))?;
                self.routes.remove(&id);
                self.unreadable.remove(&(EntryKind::Route, id.to_string()));
                Edited::RouteDeleted(id)
            }
        };
        self.change = change;
        Ok(edited)
    }

    /// Adds an entry that cannot be read.
    pub(crate) fn add_unreadable(&mut self, entry: UnreadableEntry) {
        self.unreadable.insert((entry.kind, entry.name.clone()), Arc::new(entry));
    }

    fn put_route(&mut self, route: StoredRoute) -> Edited {
        let route = Arc::new(route);
        let repaired = self.unreadable.remove(&(EntryKind::Route, route.id.to_string()));
        let replaced = self.routes.insert(route.id.clone(), route.clone());
        Edited::Route { route, created: repaired.is_none() && replaced.is_none() }
    }

    fn delete_scope(&mut self, name: &str) -> Edited {
        self.unreadable.remove(&(EntryKind::Scope, name.to_owned()));
        Edited::ScopeDeleted(name.into())
    }

    fn check_scope(&self, name: &str, expected: Expected) -> Result<(), StoreError> {
        let readable = Scope::parse(name).ok().and_then(|name| self.scopes.get(&name));
        let found = readable.map(|scope| scope.version);
        check("scope", name, found.or_else(|| self.unreadable_version(EntryKind::Scope, name)), expected)
    }

    fn check_route(&self, id: &RecordId, expected: Expected) -> Result<(), StoreError> {
        let found = self.routes.get(id).map(|route| route.version);
        let found = found.or_else(|| self.unreadable_version(EntryKind::Route, id.as_str()));
        check("route", id.as_str(), found, expected)
    }

    fn unreadable_version(&self, kind: EntryKind, name: &str) -> Option<Version> {
        self.unreadable.get(&(kind, name.to_owned())).map(|entry| entry.version)
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
            Self::ScopeDeleted(name) => name,
            Self::RouteDeleted(id) => id.as_str(),
        }
    }

    pub(crate) fn detail(&self) -> Value {
        match self {
            Self::Scope { scope, .. } => json!({
                "description": scope.description, "routes": scope.routes, "implies": scope.implies,
            }),
            Self::Route { route, .. } => route.definition.clone(),
            Self::ScopeDeleted(_) | Self::RouteDeleted(_) => json!({}),
        }
    }
}

/// Returns the expectation of an edit that needs an existing entry.
fn must_exist(expected: Expected) -> Expected {
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
