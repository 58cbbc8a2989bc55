//! Tokens that were seen before.

use super::{Section, World};
use crate::{
    load::Load,
    peers::{self, GUARDED, OPEN},
    report::Limit::{AtLeast, None as NoLimit},
    round::{Contender, Effort, ratio},
    world::MANY,
};

/// One token, again and again.
pub(crate) fn hot(world: &World, effort: Effort) -> Result<Section, String> {
    let mut section = Section::new("One hot token");
    let token = world.tokens("hot", &world.keys[0], 1);
    let ceiling = peers::ceiling(world)?;
    let (open, guarded) = (peers::scopegate(world, OPEN)?, peers::scopegate(world, GUARDED)?);
    let asking = |port| Load::new(port, "/auth/nginx", &token).asking();
    let found = effort.measure(
        &mut section,
        &[
            Contender::new("poem, no authentication", &ceiling, Load::new(ceiling.port, "/", &token)),
            Contender::new("scopegate, anonymous route", &open, Load::new(open.port, "/", &token)),
            Contender::new("scopegate", &guarded, Load::new(guarded.port, "/", &token)),
            Contender::new("scopegate, forward-auth, anonymous route", &open, asking(open.port)),
            Contender::new("scopegate, forward-auth", &guarded, asking(guarded.port)),
        ],
    );
    let (own, auth) = ("scopegate", "scopegate, forward-auth");
    section.ratio("to the anonymous route", ratio(&found, own, "scopegate, anonymous route"), AtLeast(0.95));
    section.ratio("to the ceiling", ratio(&found, own, "poem, no authentication"), AtLeast(0.85));
    let anonymous = "scopegate, forward-auth, anonymous route";
    section.ratio("forward-auth, to the anonymous route", ratio(&found, auth, anonymous), AtLeast(0.95));
    section.ratio(
        "forward-auth, to the ceiling",
        ratio(&found, auth, "poem, no authentication"),
        AtLeast(0.85),
    );
    Ok(section)
}

/// Many tokens, each known.
pub(crate) fn warm(world: &World, effort: Effort) -> Result<Section, String> {
    let mut section = Section::new("20,000 distinct tokens, warm");
    let tokens = world.tokens("warm", &world.keys[0], MANY);
    let ceiling = peers::ceiling(world)?;
    let (open, guarded) = (peers::scopegate(world, OPEN)?, peers::scopegate(world, GUARDED)?);
    let found = effort.measure(
        &mut section,
        &[
            Contender::new("poem, no authentication", &ceiling, Load::new(ceiling.port, "/", &tokens)),
            Contender::new("scopegate, anonymous route", &open, Load::new(open.port, "/", &tokens)),
            Contender::new("scopegate", &guarded, Load::new(guarded.port, "/", &tokens)),
        ],
    );
    let own = "scopegate";
    section.ratio("to the anonymous route", ratio(&found, own, "scopegate, anonymous route"), AtLeast(0.90));
    section.ratio("to the ceiling", ratio(&found, own, "poem, no authentication"), AtLeast(0.80));
    Ok(section)
}

/// The other ways to guard a route, with a token that is sent again and again.
pub(crate) fn peers(world: &World, effort: Effort) -> Result<Section, String> {
    let mut section = Section::new("The other ways, one hot RS256 token");
    let token = world.tokens("hot", &world.keys[0], 1);
    let guarded = peers::scopegate(world, GUARDED)?;
    let started = [
        ("poem with jsonwebtoken", peers::rust(world, "poem-jwt")),
        ("axum with jsonwebtoken", peers::rust(world, "axum-jwt")),
        ("HAProxy with jwt_verify", peers::haproxy(world, 9).map(|haproxy| haproxy.peer)),
        ("Apache with mod_auth_openidc", peers::apache(world)),
        ("express with express-oauth2-jwt-bearer", peers::express(world)),
        ("FastAPI with PyJWT", peers::fastapi(world)),
    ];
    let mut there = Vec::new();
    for (name, peer) in started {
        match peer {
            Ok(peer) => there.push((name, peer)),
            Err(why) => section.absent(name, &why),
        }
    }
    let mut contenders = vec![Contender::new("scopegate", &guarded, Load::new(guarded.port, "/", &token))];
    let load = |port| Load::new(port, "/", &token);
    contenders.extend(there.iter().map(|(name, peer)| Contender::new(name, peer, load(peer.port))));
    let found = effort.measure(&mut section, &contenders);
    for (name, _) in &there {
        section.ratio(&format!("to {name}"), ratio(&found, "scopegate", name), NoLimit);
    }
    Ok(section)
}
