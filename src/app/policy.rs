//! The policy of the file and of the store, compiled together. What the file says goes before.

use std::{collections::HashSet, sync::Arc};

use crate::{
    policy::{
        Definition, Policy, Source,
        settings::{ScopeLong, ScopeSettings},
    },
    store::StoredPolicy,
};

/// Compiles `file` with what is stored. Stored entries that do not go with a changed file are left out, and said.
pub(super) fn compile(file: &Definition, of_file: &Policy, stored: &StoredPolicy) -> Arc<Policy> {
    let mut left_out: HashSet<Source> = HashSet::new();
    loop {
        let definition = join(file, stored, &left_out);
        match Policy::compile(&definition) {
            Ok(compiled) => return Arc::new(compiled.policy),
            Err(errors) => {
                let known = left_out.len();
                for error in errors.into_iter().filter(|error| !error.at.is_file()) {
                    tracing::warn!(entry = %error.at, key = error.key, problem = %error.problem, "left out of the policy");
                    left_out.insert(error.at);
                }
                if left_out.len() == known {
                    // The file alone has been compiled before, so this is what is left when nothing stored helps.
                    return Arc::new(of_file.clone());
                }
            }
        }
    }
}

fn join(file: &Definition, stored: &StoredPolicy, left_out: &HashSet<Source>) -> Definition {
    let mut definition = file.clone();
    for scope in stored.scopes.values() {
        if !left_out.contains(&Source::StoredScope { name: scope.name.clone() }) {
            let long = ScopeLong { description: scope.description.clone(), routes: scope.routes.clone() };
            definition.add_stored_scope(scope.name.clone(), ScopeSettings::Long(long));
        }
    }
    for route in stored.routes.values() {
        let id = route.id.to_string();
        if left_out.contains(&Source::StoredRoute { id: id.as_str().into() }) {
            continue;
        }
        match serde_json::from_value(route.definition.clone()) {
            Ok(settings) => definition.add_stored_route(id, settings),
            Err(error) => tracing::warn!(route = id, %error, "left out of the policy"),
        }
    }
    definition
}
