//! Scopegate's own endpoints answer before the policy decides: a route that one of them answers instead would never
//! decide.

use super::{Conflict, Findings, Sections};
use crate::{
    config::{
        own_endpoints::{Conditions, ProviderSignals, hiding, mints},
        sections::DeclaredRoute,
    },
    yaml::Step,
};

pub(super) fn check(sections: &Sections, findings: &mut Findings<'_>) {
    let base = sections.settings.server.base_path.as_str();
    let identities = sections.routes.iter().filter_map(|(_, route)| route.identity.as_ref());
    let mints = mints(sections.settings.identity.forward, identities);
    let signals = ProviderSignals::of(&sections.providers);
    let own = Conditions::of_settings(&sections.settings, &signals, mints).served(base);
    for DeclaredRoute { at, route } in sections.declared_routes() {
        if let Some(endpoint) = hiding(&own, base, route) {
            let endpoint = endpoint.path.clone();
            findings.route_error(at, &[Step::Key("match".into())], Conflict::Hidden { endpoint });
        }
    }
}
