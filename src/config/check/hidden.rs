//! Scopegate's own endpoints answer before the policy decides: a route that one of them answers instead would never
//! decide.

use super::{Conflict, Findings, Sections};
use crate::{
    config::{own_endpoints::Conditions, sections::DeclaredRoute},
    yaml::Step,
};

pub(super) fn check(sections: &Sections, findings: &mut Findings<'_>) {
    let own = Conditions::new(&sections.settings, &sections.providers);
    let identities = sections.routes.iter().filter_map(|(_, route)| route.identity.as_ref());
    let served = own.served(own.mints(identities));
    for DeclaredRoute { at, route } in sections.declared_routes() {
        if let Some(endpoint) = own.hiding(&served, route) {
            let endpoint = endpoint.path.clone();
            findings.route_error(at, &[Step::Key("match".into())], Conflict::Hidden { endpoint });
        }
    }
}
