//! OpenAPI documents beside the policy: operations without a rule, and rules without an operation.

use super::{Conflict, Findings, Sections, policy};
use crate::{
    config::diagnostics::DocumentError,
    config::openapi::{Imported, LeftOut, Operation},
    policy::{Pattern, Policy, Route, Source},
};

/// Reports operations without a rule, and rules without an operation.
pub(super) fn check(compiled: &Policy, sections: &Sections, findings: &mut Findings<'_>) {
    for imported in &sections.imported {
        for (location, note) in &imported.notes {
            findings.warning_in(location, note.clone());
        }
        for operation in &imported.operations {
            let is_decided = !operation.routes.is_empty()
                || operation.left_out == Some(LeftOut::Undeclared)
                || patterns(operation).all(|pattern| compiled.route_for(&pattern).is_some());
            if !is_decided {
                no_rule(imported, operation, findings);
            }
        }
        if imported.of_program {
            continue;
        }
        for route in compiled.routes().iter().filter(|route| is_idle(route, imported)) {
            let message =
                format!("`{route}` is no operation of `{}`, to whose upstream it leads", imported.name);
            findings.warning(&policy::source(route.source(), sections), message);
        }
    }
}

fn patterns(operation: &Operation) -> impl Iterator<Item = Pattern> {
    operation
        .patterns
        .iter()
        .filter_map(|long| Pattern::from_parts(&long.methods, long.host.as_deref(), &long.path).ok())
}

fn no_rule(imported: &Imported, operation: &Operation, findings: &mut Findings<'_>) {
    let name = operation.label.clone();
    if imported.of_program {
        let hint =
            "give its handler a security scheme, name it in `Operations::public`, or write a route for it";
        let error = DocumentError::NoRule { operation: name, hint };
        findings.error_in(&operation.at, Conflict::Document(error));
    } else {
        let hint = "write `security` there, name it in `public`, or write a route for it; `undeclared` is the rule of all \
                    such operations";
        let error = DocumentError::NoRule { operation: name, hint };
        findings.warning_in(&operation.at, error.to_string());
    }
}

/// Returns `true` if a route of the file leads to the upstream of the document and matches none of its operations.
fn is_idle(route: &Route, imported: &Imported) -> bool {
    let written = matches!(route.source(), Source::Route { .. } | Source::Scope { .. });
    let same = route.options().upstream.as_deref() == imported.upstream.as_deref();
    let mut operations = imported.operations.iter().flat_map(patterns);
    let is_reached = operations.any(|operation| {
        let is_same_path = route.pattern().host_path.intersects(&operation.host_path);
        is_same_path && route.methods().intersects(&operation.methods)
    });
    written && same && imported.upstream.is_some() && !is_reached
}
