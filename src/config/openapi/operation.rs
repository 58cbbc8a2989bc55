//! Operations and the routes that they become.

use scopegate_provider::Scope;

use super::access::Access;
use crate::{
    config::diagnostics::KeyLocation,
    policy::settings::{Allow, MatchLong, MatchSettings, RouteSettings},
};

/// The operations and scopes of one document.
#[derive(Debug)]
pub(in crate::config) struct Imported {
    /// The document, as messages name it.
    pub(in crate::config) name: String,
    /// The upstream to which its operations are proxied.
    pub(in crate::config) upstream: Option<String>,
    /// The operations are those of a program's own service, so that only its author can write a rule for one without.
    pub(in crate::config) of_program: bool,
    pub(in crate::config) operations: Vec<Operation>,
    /// The scopes that it declares, and the description of each.
    pub(in crate::config) scopes: Vec<(Scope, String)>,
    /// Warnings.
    pub(in crate::config) notes: Vec<(KeyLocation, String)>,
}

/// An operation.
#[derive(Debug)]
pub(in crate::config) struct Operation {
    /// As the document writes it: `GET /items/{id}`.
    pub(in crate::config) label: String,
    pub(in crate::config) at: KeyLocation,
    /// The `security` that holds for it.
    pub(in crate::config) security: KeyLocation,
    /// The patterns at which it is served, one for each of its servers' paths.
    pub(in crate::config) patterns: Vec<MatchLong>,
    /// A route for each of the patterns; empty where the document declares no security.
    pub(in crate::config) routes: Vec<RouteSettings>,
    /// The document declares security for it.
    pub(in crate::config) is_declared: bool,
    /// The setting that leaves it to `routes`.
    pub(in crate::config) left_out: Option<LeftOut>,
}

/// The setting that leaves an operation to `routes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum LeftOut {
    /// `leave_out` names it.
    ByName,
    /// It declares nothing, and `undeclared` is `leave_out`.
    Undeclared,
}

impl Operation {
    /// Gives every pattern a route with this access.
    pub(super) fn permit(&mut self, access: Access) {
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

    pub(super) fn is_public(&self) -> bool {
        self.routes.first().is_some_and(|route| route.allow == Some(Allow::Anonymous))
    }
}
