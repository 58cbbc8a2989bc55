//! The policy of the file and of the store together. What the file says goes before.

use std::{collections::HashSet, sync::Arc};

use super::definitions::parse_route;
use crate::{
    policy::{
        Definition, Policy, PolicyError, Problem, Source,
        settings::{ScopeLong, ScopeSettings},
    },
    store::{RecordId, StoredPolicy, StoredRoute},
};

/// A policy, and what is stored but does not fit with the file.
#[derive(Debug)]
pub struct Fitted {
    /// The policy.
    pub policy: Arc<Policy>,
    /// Why each of what is left out does not fit.
    pub left_out: Vec<PolicyError>,
}

/// The policy of the file and of what is stored, without what does not fit: the file may have been changed since.
pub fn fit(file: &Definition, stored: &StoredPolicy) -> Fitted {
    let mut left_out: Vec<PolicyError> = stored.routes.values().filter_map(|route| refused(route)).collect();
    loop {
        let without: HashSet<&Source> = left_out.iter().map(|error| &error.at).collect();
        match Policy::compile(&together(file, stored, &without)) {
            Ok(compiled) => return Fitted { policy: Arc::new(compiled.policy), left_out },
            Err(errors) => {
                let known = left_out.len();
                left_out.extend(errors.into_iter().filter_map(blame));
                if left_out.len() == known {
                    // The file alone does not compile, which the configuration has ruled out.
                    return Fitted { policy: Arc::default(), left_out };
                }
            }
        }
    }
}

/// The error as one of something stored.
fn blame(error: PolicyError) -> Option<PolicyError> {
    if !error.at.is_file() {
        return Some(error);
    }
    let at = match &error.problem {
        Problem::DuplicatePattern { other, .. } | Problem::DuplicateScope { other } => other.clone(),
        _ => return None,
    };
    if at.is_file() { None } else { Some(PolicyError { at, ..error }) }
}

/// Returns the error of a stored route that the parser of definitions refuses.
fn refused(route: &StoredRoute) -> Option<PolicyError> {
    let error = parse_route(&route.definition).err()?;
    let at = stored_route(&route.id);
    Some(PolicyError { at, key: error.key, problem: Problem::Refused(error.message) })
}

fn together(file: &Definition, stored: &StoredPolicy, without: &HashSet<&Source>) -> Definition {
    let mut definition = file.clone();
    for scope in stored.scopes.values() {
        if !without.contains(&Source::StoredScope { name: scope.name.clone() }) {
            let (description, routes) = (scope.description.clone(), scope.routes.clone());
            let settings = ScopeSettings::Long(ScopeLong { description, routes, implies: Vec::new() });
            definition.add_stored_scope(scope.name.clone(), settings);
        }
    }
    for route in stored.routes.values() {
        if without.contains(&stored_route(&route.id)) {
            continue;
        }
        if let Ok(settings) = parse_route(&route.definition) {
            definition.add_stored_route(route.id.as_str(), settings);
        }
    }
    definition
}

fn stored_route(id: &RecordId) -> Source {
    Source::StoredRoute { id: id.as_str().into() }
}
