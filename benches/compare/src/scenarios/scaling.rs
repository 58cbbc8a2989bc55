//! The cost of a request, the start and the memory against the size of the configuration.

use super::{Section, World};
use crate::{
    load::Load,
    peers::{self, GUARDED, Peer, Setting},
    report::Limit::None as NoLimit,
    round::{Contender, Effort},
};

/// Numbers of further routes, with their names in the report.
const ROUTES: [(&str, usize); 4] =
    [("2 routes", 0), ("1,000 routes", 1_000), ("10,000 routes", 10_000), ("100,000 routes", 100_000)];

/// Numbers of further providers, with their names in the report.
const PROVIDERS: [(&str, usize); 4] =
    [("1 provider", 0), ("10 providers", 9), ("100 providers", 99), ("1,000 providers", 999)];

/// One hot token against the number of routes and of providers.
pub(crate) fn scaling(world: &World, effort: Effort) -> Result<Vec<Section>, String> {
    let routes = ROUTES.map(|(name, routes)| (name, Setting { routes, ..GUARDED }));
    let providers = PROVIDERS.map(|(name, providers)| (name, Setting { providers, ..GUARDED }));
    Ok(vec![
        measure(world, effort, "Cost against routes, one hot token", &routes)?,
        measure(world, effort, "Cost against providers, one hot token", &providers)?,
    ])
}

#[expect(clippy::cast_precision_loss, reason = "a few hundred megabytes")]
fn measure(
    world: &World,
    effort: Effort,
    title: &str,
    settings: &[(&'static str, Setting<'_>)],
) -> Result<Section, String> {
    let mut section = Section::new(title);
    let token = world.tokens("hot", &world.keys[0], 1);
    let mut servers: Vec<(&'static str, Peer)> = Vec::new();
    for (name, setting) in settings {
        let server = peers::scopegate(world, *setting)?;
        let start = server.process.started.as_secs_f64() * 1e3;
        section.figure(&format!("{name}: start"), start, " ms", NoLimit);
        let memory = server.process.memory().0 as f64 / 1e6;
        section.figure(&format!("{name}: resident after the start"), memory, " MB", NoLimit);
        servers.push((name, server));
    }
    let contenders: Vec<_> = servers
        .iter()
        .map(|(name, server)| Contender::new(name, server, Load::new(server.port, "/", &token)))
        .collect();
    effort.measure(&mut section, &contenders);
    Ok(section)
}
