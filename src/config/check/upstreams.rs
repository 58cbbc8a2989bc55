//! Certificates of upstreams, and upstreams that no route leads to.

use super::{Findings, Sections, at};

pub(super) fn check(sections: &Sections, findings: &mut Findings<'_>) {
    for (name, settings) in &sections.upstreams {
        if let Some(file) = &settings.ca {
            super::listeners::pem(file, "CERTIFICATE-----", &at(&["upstreams", name, "ca"]), findings);
        }
        let reached = sections.declared_routes().any(|written| written.route.upstream.as_ref() == Some(name));
        if !reached {
            findings.warning(
                &at(&["upstreams", name]),
                "no route leads to this upstream; write `upstream:` on a route",
            );
        }
    }
}
