//! Beside a proxy, and as one.

use std::path::Path;

use super::{Section, World};
use crate::{
    load::Load,
    peers::{self, EARLIER, GUARDED, OPEN, OWN, Peer, Setting},
    process::SERVER,
    report::Limit::AtLeast,
    round::{Contender, Effort, Found, ratio},
};

/// A service that nginx sends its check requests to, with the nginx that does.
struct Checked {
    name: &'static str,
    service: Peer,
    nginx: Peer,
    port: u16,
}

impl Checked {
    fn start(world: &World, name: &'static str, service: Peer) -> Result<Self, String> {
        let (nginx, port) = peers::nginx(world, SERVER, service.port)?;
        Ok(Self { name, service, nginx, port })
    }
}

/// Measures nginx and the service behind it together.
fn measure(effort: Effort, section: &mut Section, checked: &[Checked], tokens: &Path) -> Found {
    let contenders: Vec<_> = checked
        .iter()
        .map(|checked| {
            let load = Load::new(checked.port, "/", tokens);
            Contender::new(checked.name, &checked.nginx, load).beside(&checked.service)
        })
        .collect();
    effort.measure(section, &contenders)
}

/// nginx that asks scopegate, against nginx that asks a service which permits every request.
pub(crate) fn forward_auth(world: &World, effort: Effort) -> Result<Section, String> {
    let mut section = Section::new("Forward-auth behind nginx, one hot token, nginx and service together");
    let token = world.tokens("hot", &world.keys[0], 1);
    let permits = "a service that permits everything";
    let mut checked = vec![
        Checked::start(world, permits, peers::constant(world, "hyper-empty")?)?,
        Checked::start(world, OWN, peers::scopegate(world, GUARDED)?)?,
    ];
    if let Some(earlier) = peers::earlier(world, GUARDED)? {
        checked.push(Checked::start(world, EARLIER, earlier)?);
    }
    let found = measure(effort, &mut section, &checked, &token);
    section.ratio("to the service that permits everything", ratio(&found, OWN, permits), AtLeast(0.8));
    Ok(section)
}

/// Denials behind nginx, against services that deny every request.
pub(crate) fn denials(world: &World, effort: Effort) -> Result<Section, String> {
    let mut section = Section::new("Denials behind nginx, nginx and service together");
    let none = world.without_token();
    let (empty, with_body) =
        ("a service that answers 401 without a body", "poem that answers 401 with a body");
    let mut checked = vec![
        Checked::start(world, empty, peers::constant(world, "hyper-401")?)?,
        Checked::start(world, with_body, peers::constant(world, "poem-401")?)?,
        Checked::start(world, OWN, peers::scopegate(world, GUARDED)?)?,
    ];
    if let Some(earlier) = peers::earlier(world, GUARDED)? {
        checked.push(Checked::start(world, EARLIER, earlier)?);
    }
    let found = measure(effort, &mut section, &checked, &none);
    section.ratio("to the service without a body", ratio(&found, OWN, empty), AtLeast(0.8));
    section.ratio("to poem with a body", ratio(&found, OWN, with_body), AtLeast(1.0));
    Ok(section)
}

/// scopegate as a reverse proxy, against `HAProxy` in front of the same upstream.
pub(crate) fn proxy(world: &World, effort: Effort) -> Result<Section, String> {
    let mut section = Section::new("Reverse proxy, one hot RS256 token, the same upstream");
    let token = world.tokens("hot", &world.keys[0], 1);
    let upstream = peers::upstream(world)?;
    let guarded = peers::scopegate(world, Setting { upstream: upstream.port, ..GUARDED })?;
    let open = peers::scopegate(world, Setting { upstream: upstream.port, ..OPEN })?;
    let earlier = peers::earlier(world, Setting { upstream: upstream.port, ..GUARDED })?;
    let haproxy = peers::haproxy(world, upstream.port)?;
    let load = |port| Load::new(port, "/through/here", &token);
    let mut contenders = vec![
        Contender::new(OWN, &guarded, load(guarded.port)),
        Contender::new("scopegate, anonymous route", &open, load(open.port)),
        Contender::new("HAProxy with jwt_verify", &haproxy.peer, load(haproxy.verifies)),
        Contender::new("HAProxy, no check", &haproxy.peer, load(haproxy.plain)),
    ];
    contenders.extend(earlier.as_ref().map(|earlier| Contender::new(EARLIER, earlier, load(earlier.port))));
    let found = effort.measure(&mut section, &contenders);
    section.ratio("to the anonymous route", ratio(&found, OWN, "scopegate, anonymous route"), AtLeast(0.95));
    section.ratio("to HAProxy with jwt_verify", ratio(&found, OWN, "HAProxy with jwt_verify"), AtLeast(2.0));
    section.ratio("to HAProxy without a check", ratio(&found, OWN, "HAProxy, no check"), AtLeast(0.8));
    if earlier.is_some() {
        section.ratio("to the earlier revision", ratio(&found, OWN, EARLIER), AtLeast(1.0));
    }
    Ok(section)
}
