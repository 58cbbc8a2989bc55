//! scopegate's own endpoints are routed before the policy: a route to an upstream that one of them hides could never be
//! reached.

use super::{Conflict, Findings, Sections};
use crate::{
    config::{sections::DeclaredRoute, sections::settings::SectionSettings},
    policy::{
        PathPattern, Pattern, Segment,
        settings::{Forward, MatchSettings},
    },
    yaml::Step,
};

pub(super) fn check(sections: &Sections, findings: &mut Findings<'_>) {
    let base = sections.settings.server.base_path.as_str();
    let own = own_endpoints(&sections.settings, mints(sections));
    for DeclaredRoute { at, route } in sections.declared_routes() {
        if route.upstream.is_none() {
            continue;
        }
        let patterns = patterns(&route.matches);
        let hides = |endpoint: &&String| {
            patterns.iter().any(|pattern| match base {
                "" => reaches(&pattern.host_path.path, endpoint),
                // A route that is wide on purpose gives way to the base path; one that is written below it is a mistake.
                base => below(&pattern.host_path.path, base) && reaches(&pattern.host_path.path, endpoint),
            })
        };
        if let Some(endpoint) = own.iter().find(hides) {
            findings.route_error(
                at,
                &[Step::Key("match".into())],
                Conflict::Hidden { endpoint: endpoint.clone() },
            );
        }
    }
}

fn own_endpoints(sections: &SectionSettings, mints: bool) -> Vec<String> {
    let base = sections.server.base_path.as_str();
    let admin_here = sections.admin.as_ref().is_some_and(|admin| admin.listen.is_none());
    let groups: [(bool, &[&str]); 8] = [
        (
            mints,
            &[
                "/.well-known/jwks.json",
                "/.well-known/openid-configuration",
                "/.well-known/oauth-authorization-server",
            ],
        ),
        (true, &["/.well-known/oauth-protected-resource", "/revoke"]),
        (sections.token_endpoint, &["/token"]),
        (sections.introspection.is_some(), &["/introspect"]),
        (sections.docs, &["/docs", "/openapi.json"]),
        (sections.sample_api, &["/", "/api/public", "/api/private", "/items"]),
        (admin_here, &["/admin/scopes", "/admin/routes", "/admin/revocations", "/admin/providers"]),
        (
            !sections.forward_auth.dialects.is_empty(),
            &["/auth/nginx", "/auth/traefik", "/auth/caddy", "/auth/envoy", "/auth/haproxy"],
        ),
    ];
    let there = groups.iter().filter(|(there, _)| *there).flat_map(|(_, paths)| paths.iter());
    there.map(|path| format!("{base}{path}")).collect()
}

/// Whether a route of the file or all of them want minted tokens, so that the keys are published.
fn mints(sections: &Sections) -> bool {
    let mint = |identity: Option<Forward>| identity == Some(Forward::Mint);
    let mut routes = sections.routes.iter().filter_map(|(_, route)| route.identity.as_ref());
    mint(sections.settings.identity.forward) || routes.any(|identity| mint(identity.forward))
}

fn patterns(matches: &MatchSettings) -> Vec<Pattern> {
    match matches {
        MatchSettings::One(text) => Pattern::parse(text).into_iter().collect(),
        MatchSettings::Many(texts) => texts.iter().flat_map(|text| Pattern::parse(text)).collect(),
        MatchSettings::Long(long) => {
            Pattern::from_parts(&long.methods, long.host.as_deref(), &long.path).into_iter().collect()
        }
    }
}

fn reaches(pattern: &PathPattern, endpoint: &str) -> bool {
    let mut words = endpoint.split('/').filter(|word| !word.is_empty());
    let fits = |segment: &Segment| {
        words.next().is_some_and(|word| match segment {
            Segment::Literal(text) => **text == *word,
            Segment::Parameter(_) => true,
        })
    };
    pattern.segments().iter().all(fits) && (pattern.takes_rest() || words.next().is_none())
}

fn below(pattern: &PathPattern, base: &str) -> bool {
    let words = base.split('/').filter(|word| !word.is_empty());
    let mut segments = pattern.segments().iter();
    words.into_iter().all(|word| matches!(segments.next(), Some(Segment::Literal(text)) if **text == *word))
}
