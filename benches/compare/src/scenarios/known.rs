//! Tokens that were seen before.

use super::{Section, World};
use crate::{
    load::Load,
    peers::{self, EARLIER, GUARDED, OPEN, OWN, POEM, Peer},
    report::Limit::{AtLeast, None as NoLimit},
    round::{Contender, Effort, ratio},
    world::MANY,
};

const HYPER: &str = "hyper, no authentication";
const ANONYMOUS: &str = "scopegate, anonymous route";
const CHECKS: &str = "scopegate, forward-auth";
const EARLIER_CHECKS: &str = "scopegate before, forward-auth";

/// The servers of the scenarios with known tokens.
struct Servers {
    hyper: Peer,
    poem: Peer,
    open: Peer,
    guarded: Peer,
    earlier: Option<Peer>,
}

impl Servers {
    fn start(world: &World) -> Result<Self, String> {
        Ok(Self {
            hyper: peers::constant(world, "hyper")?,
            poem: peers::constant(world, "poem")?,
            open: peers::scopegate(world, OPEN)?,
            guarded: peers::scopegate(world, GUARDED)?,
            earlier: peers::earlier(world, GUARDED)?,
        })
    }

    /// Returns every server with the load that `load` returns for its port.
    fn contenders(&self, load: impl Fn(u16) -> Load) -> Vec<Contender<'_>> {
        let named = [
            (HYPER, Some(&self.hyper)),
            (POEM, Some(&self.poem)),
            (ANONYMOUS, Some(&self.open)),
            (OWN, Some(&self.guarded)),
            (EARLIER, self.earlier.as_ref()),
        ];
        let started = named.into_iter().filter_map(|(name, peer)| Some((name, peer?)));
        started.map(|(name, peer)| Contender::new(name, peer, load(peer.port))).collect()
    }
}

/// One token, again and again.
pub(crate) fn hot(world: &World, effort: Effort) -> Result<Section, String> {
    let mut section = Section::new("One hot token");
    let token = world.tokens("hot", &world.keys[0], 1);
    let servers = Servers::start(world)?;
    let mut contenders = servers.contenders(|port| Load::new(port, "/", &token));
    let checks = |port| Load::new(port, "/auth/nginx", &token).checking();
    contenders.push(Contender::new(CHECKS, &servers.guarded, checks(servers.guarded.port)));
    if let Some(earlier) = &servers.earlier {
        contenders.push(Contender::new(EARLIER_CHECKS, earlier, checks(earlier.port)));
    }
    let found = effort.measure(&mut section, &contenders);
    section.ratio("to the anonymous route", ratio(&found, OWN, ANONYMOUS), AtLeast(0.95));
    section.ratio("to poem", ratio(&found, OWN, POEM), AtLeast(0.75));
    section.ratio("to hyper", ratio(&found, OWN, HYPER), NoLimit);
    section.ratio("forward-auth, to poem", ratio(&found, CHECKS, POEM), NoLimit);
    if servers.earlier.is_some() {
        section.ratio("to the earlier revision", ratio(&found, OWN, EARLIER), AtLeast(1.0));
        section.ratio(
            "forward-auth, to the earlier revision",
            ratio(&found, CHECKS, EARLIER_CHECKS),
            AtLeast(1.0),
        );
    }
    Ok(section)
}

/// One token over few and many connections.
pub(crate) fn connections(world: &World, effort: Effort) -> Result<Vec<Section>, String> {
    let token = world.tokens("hot", &world.keys[0], 1);
    let servers = Servers::start(world)?;
    let mut sections = Vec::new();
    for (title, connections) in
        [("One hot token, 1 connection", 1), ("One hot token, 1,000 connections", 1000)]
    {
        let mut section = Section::new(title);
        let contenders = servers.contenders(|port| Load::new(port, "/", &token).over(connections));
        let found = effort.measure(&mut section, &contenders);
        section.ratio("to poem", ratio(&found, OWN, POEM), AtLeast(0.75));
        sections.push(section);
    }
    let mut section = Section::new("One hot token over HTTP/2, 8 connections with 16 streams");
    let contenders = servers.contenders(|port| Load::new(port, "/", &token).over(8).multiplexed(16));
    let found = effort.measure(&mut section, &contenders);
    section.ratio("to poem", ratio(&found, OWN, POEM), NoLimit);
    sections.push(section);
    Ok(sections)
}

/// Many tokens, each known.
pub(crate) fn warm(world: &World, effort: Effort) -> Result<Section, String> {
    let mut section = Section::new("20,000 distinct tokens, warm");
    let tokens = world.tokens("warm", &world.keys[0], MANY);
    let servers = Servers::start(world)?;
    let found = effort.measure(&mut section, &servers.contenders(|port| Load::new(port, "/", &tokens)));
    section.ratio("to the anonymous route", ratio(&found, OWN, ANONYMOUS), AtLeast(0.90));
    section.ratio("to poem", ratio(&found, OWN, POEM), AtLeast(0.65));
    Ok(section)
}

/// The other ways to guard a route, with a token that is sent again and again.
pub(crate) fn peers(world: &World, effort: Effort) -> Result<Section, String> {
    let mut section = Section::new("The other ways, one hot RS256 token");
    let token = world.tokens("hot", &world.keys[0], 1);
    let guarded = peers::scopegate(world, GUARDED)?;
    let started = [
        (peers::POEM_JWT, peers::rust(world, "poem-jwt")),
        (peers::AXUM_JWT, peers::rust(world, "axum-jwt")),
        ("poem with a cache of verified tokens", peers::rust(world, "poem-cache")),
        ("HAProxy with jwt_verify", peers::haproxy(world, 9).map(|haproxy| haproxy.peer)),
        ("Apache with mod_auth_openidc", peers::apache(world)),
        ("express with express-oauth2-jwt-bearer", peers::express(world)),
        ("FastAPI with PyJWT", peers::fastapi(world)),
    ];
    let mut available = Vec::new();
    for (name, peer) in started {
        match peer {
            Ok(peer) => available.push((name, peer)),
            Err(reason) => section.absent(name, &reason),
        }
    }
    let load = |port| Load::new(port, "/", &token);
    let mut contenders = vec![Contender::new(OWN, &guarded, load(guarded.port))];
    contenders.extend(available.iter().map(|(name, peer)| Contender::new(name, peer, load(peer.port))));
    let found = effort.measure(&mut section, &contenders);
    for (name, _) in &available {
        section.ratio(&format!("to {name}"), ratio(&found, OWN, name), NoLimit);
    }
    Ok(section)
}
