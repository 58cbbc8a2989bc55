//! Routes from OpenAPI documents (`policy_from`) and from poem-openapi's services: one for each operation, which requires
//! what the operation's `security` names.
//!
//! The entries of `security` are alternatives; the schemes in one entry are required together. `security: []`, or an
//! empty entry alone, needs no token; an empty entry beside others makes the token optional. An operation for which
//! neither it nor the document declares security gets the route that `undeclared` says; without it, no route, and so its
//! requests are denied unless another route permits them.

mod access;
mod document;
mod error;
mod fetch;
mod item;
mod paths;
mod references;
mod selection;
mod service;

use scopegate_provider::Scope;

use super::{check::Conflict, error::ConfigError};
use crate::{
    policy::settings::{Allow, MatchLong, MatchSettings, RouteSettings},
    yaml::{Node, Place, Step},
};

use self::access::Access;
pub(super) use self::item::import;
pub use self::{error::DocumentError, service::Operations};

/// The operations and scopes of one document.
#[derive(Debug)]
pub(super) struct Imported {
    /// The document, as messages name it.
    pub(super) name: String,
    /// The upstream to which its operations are proxied.
    pub(super) upstream: Option<String>,
    /// The operations are those of a program's own service, so that only its author can write a rule for one without.
    pub(super) of_program: bool,
    pub(super) operations: Vec<Operation>,
    /// The scopes that it declares, and the description of each.
    pub(super) scopes: Vec<(Scope, String)>,
    /// Warnings.
    pub(super) notes: Vec<(Spot, String)>,
}

/// An operation.
#[derive(Debug)]
pub(super) struct Operation {
    /// As the document writes it: `GET /items/{id}`.
    pub(super) label: String,
    pub(super) at: Spot,
    /// The `security` that holds for it.
    pub(super) security: Spot,
    /// The patterns at which it is served, one for each of its servers' paths.
    pub(super) patterns: Vec<MatchLong>,
    /// A route for each of the patterns; empty where the document declares no security.
    pub(super) routes: Vec<RouteSettings>,
    /// The document declares security for it.
    pub(super) is_declared: bool,
    /// The setting that leaves it to `routes`.
    pub(super) left_out: Option<LeftOut>,
}

/// The setting that leaves an operation to `routes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeftOut {
    /// `leave_out` names it.
    ByName,
    /// It declares nothing, and `undeclared` is `leave_out`.
    Undeclared,
}

/// The location of something in a document.
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

    /// The location of a key below this one.
    fn at_key(&self, key: &str, place: &Place) -> Self {
        let path = [self.path.as_slice(), &[Step::Key(key.to_owned())]].concat();
        Self { place: place.clone(), path }
    }

    /// The location of a node that belongs to this key, which may be in another file.
    fn at(&self, node: &Node) -> Self {
        Self { place: node.place.clone(), path: self.path.clone() }
    }

    fn error(&self, error: DocumentError) -> ConfigError {
        ConfigError::new(Conflict::Document(error), self.place.clone(), &self.path)
    }
}

impl Operation {
    /// Gives every pattern a route with this access.
    fn permit(&mut self, access: Access) {
        let (allow, require) = match access {
            Access::Allow(allow) => (Some(allow), None),
            Access::Require(require) => (None, Some(require)),
        };
        self.routes.clear();
        for pattern in &self.patterns {
            let route = RouteSettings::new(MatchSettings::Long(pattern.clone()));
            self.routes.push(RouteSettings { require: require.clone(), allow, ..route });
        }
    }

    fn is_public(&self) -> bool {
        self.routes.first().is_some_and(|route| route.allow == Some(Allow::Anonymous))
    }
}
