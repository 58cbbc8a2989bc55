//! The merge of the file's and the store's policy. The file has precedence.

use std::{collections::HashSet, sync::Arc};

use super::definitions::parse_route;
use crate::{
    policy::{
        Definition, Policy, PolicyError, Problem, Source,
        settings::{ScopeLong, ScopeSettings},
    },
    store::{RecordId, StoredPolicy, StoredRoute},
};

/// The policy that a gate decides by, and the stored entries that it ignores.
#[derive(Debug)]
pub struct EffectivePolicy {
    /// The policy.
    pub policy: Arc<Policy>,
    /// Its definition, without the entries that are ignored.
    pub definition: Definition,
    /// The error of each stored entry that conflicts with the file.
    pub rejected: Vec<PolicyError>,
}

/// Merges the policy of the file with the stored entries, and ignores entries that conflict with the file: it may have
/// been changed since they were stored.
pub fn effective_policy(file: &Definition, stored: &StoredPolicy) -> EffectivePolicy {
    let mut rejected: Vec<PolicyError> =
        stored.routes.values().filter_map(|route| parse_error(route)).collect();
    loop {
        let without: HashSet<&Source> = rejected.iter().map(|error| &error.at).collect();
        let definition = merge(file, stored, &without);
        match Policy::compile(&definition) {
            Ok(compiled) => {
                return EffectivePolicy { policy: Arc::new(compiled.policy), definition, rejected };
            }
            Err(errors) => {
                let known = rejected.len();
                rejected.extend(errors.into_iter().filter_map(attribute));
                if rejected.len() == known {
                    // The file alone does not compile, which the configuration has ruled out.
                    return EffectivePolicy { policy: Arc::default(), definition, rejected };
                }
            }
        }
    }
}

/// Attributes an error to the stored entry that conflicts with the file; `None` if there is no such entry.
fn attribute(error: PolicyError) -> Option<PolicyError> {
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
fn parse_error(route: &StoredRoute) -> Option<PolicyError> {
    let error = parse_route(&route.definition).err()?;
    let at = stored_route(&route.id);
    Some(PolicyError { at, key: error.key, problem: Problem::Refused(error.message) })
}

/// Merges the definitions, without these stored entries.
fn merge(file: &Definition, stored: &StoredPolicy, without: &HashSet<&Source>) -> Definition {
    let mut definition = file.clone();
    for scope in stored.scopes.values() {
        if !without.contains(&Source::StoredScope { name: scope.name.clone() }) {
            let settings = ScopeSettings::Long(ScopeLong {
                description: scope.description.clone(),
                routes: scope.routes.clone(),
                implies: scope.implies.clone(),
            });
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
