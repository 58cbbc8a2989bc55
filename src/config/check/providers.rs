//! Settings that two providers must not share.

use std::collections::HashMap;

use scopegate_provider::TokenRequests;

use super::{Conflict, Findings, Sections, at};

pub(super) fn check(sections: &Sections, findings: &mut Findings<'_>) {
    let mut issuers: HashMap<&str, &str> = HashMap::new();
    let mut opaque: Option<&str> = None;
    for provider in &sections.providers {
        let name = provider.name().as_str();
        let outline = provider.outline();
        for issuer in &outline.issuers {
            if let Some(other) = issuers.insert(issuer.as_str(), name).filter(|other| *other != name) {
                let conflict = Conflict::SameIssuer { issuer: issuer.as_str().into(), other: other.into() };
                findings.error(&at(&["providers", name]), conflict);
            }
        }
        if outline.opaque_tokens {
            match opaque {
                Some(other) => findings.error(
                    &at(&["providers", name, "opaque_tokens"]),
                    Conflict::SeveralTakeOpaqueTokens { other: other.into() },
                ),
                None => opaque = Some(name),
            }
        }
        if (outline.backchannel_logout || outline.shared_signals) && sections.settings.store.is_none() {
            findings.warning(
                &at(&["providers", name]),
                "its signals cannot take effect without `store`: they are answered with 503",
            );
        }
        for warning in &outline.warnings {
            findings.warning(&at(&["providers", name]), warning.clone());
        }
    }
    let nobody_issues = sections
        .providers
        .iter()
        .all(|provider| provider.outline().token_requests == TokenRequests::Unsupported);
    if sections.settings.token_endpoint && nobody_issues {
        findings.warning(
            &at(&["token_endpoint"]),
            "no provider can be asked for tokens, so `/token` refuses every call",
        );
    }
}
