//! Checks of the sections together: settings that contradict each other, policies that do not compile, missing files.

mod documents;
mod hidden;
mod identity;
mod listeners;
mod origins;
mod policy;
mod providers;
mod resources;
mod store;
mod upstreams;

use super::{
    diagnostics::{Cause, ConfigError, Conflict, KeyLocation, Warning},
    sections::{RouteSource, Sections},
};
use crate::yaml::{Node, Step};

pub use self::policy::Rules;

/// The errors and warnings that are found while the sections are compared.
pub(super) struct Findings<'a> {
    tree: &'a Node,
    pub(super) errors: Vec<ConfigError>,
    pub(super) warnings: Vec<Warning>,
}

impl Findings<'_> {
    pub(super) fn error(&mut self, path: &[Step], conflict: Conflict) {
        let location = self.tree.location_of(path, false).clone();
        self.errors.push(ConfigError::new(Cause::Conflict(conflict), location, path));
    }

    /// An error of a route, at one of its keys.
    pub(super) fn route_error(&mut self, at: RouteSource<'_>, key: &[Step], conflict: Conflict) {
        match at {
            RouteSource::File(index) => {
                let route = [Step::Key("routes".into()), Step::Index(index)];
                self.error(&[&route, key].concat(), conflict);
            }
            RouteSource::Document(operation) => self.error_in(&operation.at, conflict),
        }
    }

    /// An error of something in another document than the configuration.
    pub(super) fn error_in(&mut self, location: &KeyLocation, conflict: Conflict) {
        self.errors.push(ConfigError::new(
            Cause::Conflict(conflict),
            location.location.clone(),
            &location.path,
        ));
    }

    /// A warning of something in another document than the configuration.
    pub(super) fn warning_in(&mut self, location: &KeyLocation, message: impl Into<String>) {
        self.warnings.push(Warning {
            location: Some(location.location.clone()),
            key: crate::yaml::path_text(&location.path),
            message: message.into(),
        });
    }

    pub(super) fn warning(&mut self, path: &[Step], message: impl Into<String>) {
        let location = self.tree.location_of(path, true).clone();
        self.warnings.push(Warning {
            location: Some(location),
            key: crate::yaml::path_text(path),
            message: message.into(),
        });
    }
}

/// Looks at the parts together; the rules if nothing is wrong.
pub(super) fn check<'a>(sections: &Sections, tree: &'a Node) -> (Option<Rules>, Findings<'a>) {
    let mut findings = Findings { tree, errors: Vec::new(), warnings: Vec::new() };
    providers::check(sections, &mut findings);
    if !sections.settings_failed {
        listeners::check(&sections.settings, &mut findings);
        if !sections.embedded {
            hidden::check(sections, &mut findings);
            listeners::metadata_host(&sections.settings, &mut findings);
        }
        store::check(sections, &mut findings);
        identity::check(sections, &mut findings);
        origins::check(sections, &mut findings);
        resources::check(sections, &mut findings);
    }
    upstreams::check(sections, &mut findings);
    let rules = policy::compile(sections, &mut findings);
    if let Some(rules) = &rules {
        documents::check(&rules.policy, sections, &mut findings);
        if rules.policy.routes().is_empty() && sections.settings.store.is_none() {
            findings.warning(&[], "there is no route, so every request is denied; write `routes`");
        }
    }
    (rules.filter(|_| findings.errors.is_empty()), findings)
}

/// The path of these keys.
fn at(keys: &[&str]) -> Vec<Step> {
    keys.iter().map(|key| Step::Key((*key).to_owned())).collect()
}
