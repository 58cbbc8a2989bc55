//! Beside a proxy, and as one.

use super::{Section, World};
use crate::{
    load::Load,
    peers::{self, GUARDED, OPEN, Setting},
    process::SERVER,
    report::Limit::AtLeast,
    round::{Contender, Effort, ratio},
};

/// nginx that asks scopegate, against nginx that asks a server which always says yes.
pub(crate) fn forward_auth(world: &World, effort: Effort) -> Result<Section, String> {
    let mut section = Section::new("Forward-auth behind nginx, one hot token");
    let token = world.tokens("hot", &world.keys[0], 1);
    let (yes, guarded) = (peers::ceiling(world)?, peers::scopegate(world, GUARDED)?);
    let (nginx_yes, yes_port) = peers::nginx(world, SERVER, yes.port)?;
    let (nginx, port) = peers::nginx(world, SERVER, guarded.port)?;
    let found = effort.measure(
        &mut section,
        &[
            Contender::new("asks poem, which says yes", &nginx_yes, Load::new(yes_port, "/", &token)),
            Contender::new("asks scopegate", &nginx, Load::new(port, "/", &token)),
        ],
    );
    section.ratio(
        "to always yes",
        ratio(&found, "asks scopegate", "asks poem, which says yes"),
        AtLeast(0.95),
    );
    Ok(section)
}

/// scopegate as a reverse proxy, against `HAProxy` in front of the same upstream.
pub(crate) fn proxy(world: &World, effort: Effort) -> Result<Section, String> {
    let mut section = Section::new("Reverse proxy, one hot RS256 token, the same upstream");
    let token = world.tokens("hot", &world.keys[0], 1);
    let upstream = peers::upstream(world)?;
    let guarded = peers::scopegate(world, Setting { upstream: upstream.port, ..GUARDED })?;
    let open = peers::scopegate(world, Setting { upstream: upstream.port, ..OPEN })?;
    let haproxy = peers::haproxy(world, upstream.port)?;
    let load = |port| Load::new(port, "/through/here", &token);
    let found = effort.measure(
        &mut section,
        &[
            Contender::new("scopegate", &guarded, load(guarded.port)),
            Contender::new("scopegate, anonymous route", &open, load(open.port)),
            Contender::new("HAProxy with jwt_verify", &haproxy.peer, load(haproxy.verifies)),
            Contender::new("HAProxy, no check", &haproxy.peer, load(haproxy.plain)),
        ],
    );
    let own = "scopegate";
    section.ratio("to the anonymous route", ratio(&found, own, "scopegate, anonymous route"), AtLeast(0.95));
    section.ratio("to HAProxy with jwt_verify", ratio(&found, own, "HAProxy with jwt_verify"), AtLeast(2.0));
    section.ratio("to HAProxy without a check", ratio(&found, own, "HAProxy, no check"), AtLeast(0.8));
    Ok(section)
}
