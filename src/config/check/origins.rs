//! The places from which routes accept a token: origins for the `WebSocket`s of pages, and headers that carry no identity.

use http::HeaderName;

use super::{Conflict, Findings, Sections, at};
use crate::{policy::settings::TokenSource, yaml::Step};

pub(super) fn check(sections: &Sections, findings: &mut Findings<'_>) {
    let general = &sections.settings.accept_token;
    let identities = sections.routes.iter().filter_map(|(_, route)| route.identity.clone());
    let identities = identities.chain([sections.settings.identity.general()]);
    let names = identities.flat_map(|identity| identity.headers.into_keys());
    let names: Vec<HeaderName> = names.filter_map(|name| name.parse().ok()).collect();
    identity_headers(general, &names, &at(&["accept_token"]), findings);
    for (index, route) in &sections.routes {
        let own = vec![Step::Key("routes".into()), Step::Index(*index), Step::Key("accept_token".into())];
        if let Some(sources) = &route.accept_token {
            identity_headers(sources, &names, &own, findings);
        }
        let path = if route.accept_token.is_some() { own } else { at(&["accept_token"]) };
        let sources = route.accept_token.as_ref().unwrap_or(general);
        let cors = route.cors.as_ref().or(sections.settings.cors.as_ref());
        let lists_origins = cors.is_some_and(|cors| !cors.origins.is_empty());
        if sources.contains(&TokenSource::WebsocketProtocol) && !lists_origins {
            findings.error(&path, Conflict::NoOrigins);
        }
    }
}

/// Refuses headers that carry identity: a caller's own are removed before a token could be read from them.
fn identity_headers(
    sources: &[TokenSource],
    names: &[HeaderName],
    path: &[Step],
    findings: &mut Findings<'_>,
) {
    for source in sources {
        if let TokenSource::Header(header) = source
            && names.iter().any(|name| header.is_spelt(name))
        {
            findings.error(path, Conflict::TokenHeader { header: header.name().to_string() });
        }
    }
}
