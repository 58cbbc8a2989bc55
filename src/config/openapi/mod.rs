//! What the policy takes from OpenAPI documents (`policy_from`) and from poem-openapi's services: for each operation a
//! route that asks for what its `security` names.
//!
//! The entries of `security` are alternatives; the schemes in one entry are required together. `security: []`, or an
//! entry that names nothing alone, is for everybody; an entry that names nothing beside others makes the token optional.
//! An operation for which nothing is said, neither by itself nor by the document, gets no route, and so is refused.

mod access;
mod document;
mod error;
mod fetch;
mod item;
mod paths;
mod service;

use scopegate_provider::Scope;

use super::{check::Conflict, error::ConfigError};
use crate::{
    policy::settings::{Allow, MatchLong, MatchSettings, RouteSettings},
    yaml::{Place, Step, nearest},
};

use self::access::Access;
pub(super) use self::item::import;
pub use self::{error::DocumentError, service::Operations};

/// What the policy takes from one document.
#[derive(Debug)]
pub(super) struct Imported {
    /// The document, as messages name it.
    pub(super) name: String,
    /// The upstream to which its operations are proxied.
    pub(super) upstream: Option<String>,
    /// Whether nobody but the author of a program could write a rule for an operation that has none.
    pub(super) of_program: bool,
    pub(super) operations: Vec<Operation>,
    /// The scopes that it declares, and what each is for.
    pub(super) scopes: Vec<(Scope, String)>,
    /// What deserves to be said.
    pub(super) notes: Vec<(Spot, String)>,
}

/// An operation.
#[derive(Debug)]
pub(super) struct Operation {
    /// As the document writes it: `GET /items/{id}`.
    pub(super) label: String,
    pub(super) at: Spot,
    /// Where its callers are spoken of.
    pub(super) security: Spot,
    /// Where it is served: a pattern for each of its servers' paths.
    pub(super) patterns: Vec<MatchLong>,
    /// A route for each of the patterns; none where nothing is said about its callers.
    pub(super) routes: Vec<RouteSettings>,
}

/// Something in a document.
#[derive(Debug, Clone)]
pub(super) struct Spot {
    pub(super) place: Place,
    pub(super) path: Vec<Step>,
}

impl Spot {
    fn new(place: &Place, path: &[&str]) -> Self {
        let path = path.iter().map(|key| Step::Key((*key).to_owned())).collect();
        Self { place: place.clone(), path }
    }

    fn error(&self, error: DocumentError) -> ConfigError {
        ConfigError::new(Conflict::Document(error), self.place.clone(), &self.path)
    }
}

impl Operation {
    /// Has routes for what `access` says; none where it says nothing.
    fn permit(&mut self, access: Access) {
        let rule = match access {
            Access::Undeclared => return,
            Access::Anonymous => (Some(Allow::Anonymous), None),
            Access::Optional => (Some(Allow::Optional), None),
            Access::Authenticated => (Some(Allow::Authenticated), None),
            Access::Require(require) => (None, Some(require)),
        };
        let route = |pattern: &MatchLong| {
            let matches = MatchSettings::Long(pattern.clone());
            let (allow, require) = rule.clone();
            RouteSettings { require, allow, ..RouteSettings::new(matches) }
        };
        self.routes = self.patterns.iter().map(route).collect();
    }

    fn is_public(&self) -> bool {
        self.routes.first().is_some_and(|route| route.allow == Some(Allow::Anonymous))
    }
}

impl Imported {
    /// Opens the operations that are named to everybody; they must be there, and say nothing themselves.
    fn publish(&mut self, names: &[String]) -> Vec<(usize, DocumentError)> {
        let mut errors = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let found = self.operations.iter().position(|operation| operation.label == *name);
            match found.and_then(|at| self.operations.get_mut(at)) {
                None => errors.push((index, self.no_such_operation(name))),
                Some(operation) if operation.is_public() => {}
                Some(operation) if !operation.routes.is_empty() => {
                    errors.push((index, DocumentError::NotPublic { operation: name.clone() }));
                }
                Some(operation) => operation.permit(Access::Anonymous),
            }
        }
        errors
    }

    fn no_such_operation(&self, name: &str) -> DocumentError {
        let labels: Vec<&str> = self.operations.iter().map(|operation| operation.label.as_str()).collect();
        DocumentError::NoSuchOperation { found: name.to_owned(), nearest: nearest(name, &labels) }
    }
}
