//! What upstreams need beside their settings, and whether anything reaches them.

use super::{Findings, Parts, at};

pub(super) fn check(parts: &Parts, findings: &mut Findings<'_>) {
    for (name, settings) in &parts.upstreams {
        if let Some(file) = &settings.ca {
            super::listeners::pem(file, "CERTIFICATE-----", &at(&["upstreams", name, "ca"]), findings);
        }
        let reached = parts.written().any(|written| written.route.upstream.as_ref() == Some(name));
        if !reached {
            findings.warning(
                &at(&["upstreams", name]),
                "no route leads to this upstream; write `upstream:` on a route",
            );
        }
    }
}
