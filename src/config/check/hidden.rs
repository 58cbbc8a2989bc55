//! Scopegate's own endpoints answer before the policy decides: a route that one of them answers instead would never
//! decide.

use super::{Conflict, Findings, Sections};
use crate::{
    config::{
        own_endpoints::{Conditions, ServedEndpoint, mints},
        sections::DeclaredRoute,
    },
    gate::definitions::patterns,
    policy::{PathPattern, Segment},
    yaml::Step,
};

pub(super) fn check(sections: &Sections, findings: &mut Findings<'_>) {
    let base = sections.settings.server.base_path.as_str();
    let identities = sections.routes.iter().filter_map(|(_, route)| route.identity.as_ref());
    let mints = mints(sections.settings.identity.forward, identities);
    let own = Conditions::of_settings(&sections.settings, mints).served(base);
    for DeclaredRoute { at, route } in sections.declared_routes() {
        let patterns = patterns(&route.matches);
        let proxied = route.upstream.is_some();
        let hidden = own.iter().find(|endpoint| {
            patterns.iter().any(|pattern| hides(endpoint, &pattern.host_path.path, base, proxied))
        });
        if let Some(endpoint) = hidden {
            let endpoint = endpoint.path.clone();
            findings.route_error(at, &[Step::Key("match".into())], Conflict::Hidden { endpoint });
        }
    }
}

/// Returns `true` if an endpoint takes all requests of a route, or some that were meant for an upstream. A route to an
/// upstream that is wide on purpose gives way to the base path; one that is written below it is a mistake.
fn hides(endpoint: &ServedEndpoint, pattern: &PathPattern, base: &str, proxied: bool) -> bool {
    let meant = match base {
        "" => true,
        base => below(pattern, base),
    };
    endpoint.covers(pattern) || proxied && meant && endpoint.is_matched_by(pattern)
}

fn below(pattern: &PathPattern, base: &str) -> bool {
    let words = base.split('/').filter(|word| !word.is_empty());
    let mut segments = pattern.segments().iter();
    words.into_iter().all(|word| matches!(segments.next(), Some(Segment::Literal(text)) if **text == *word))
}
