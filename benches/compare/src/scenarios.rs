//! The scenarios: a function for each.

mod known;
mod memory;
mod proxies;
mod scaling;
mod strangers;

use crate::{report::Section, round::Effort, world::World};

/// A scenario. Returns its findings, or the reason for which it cannot run.
#[derive(Clone, Copy)]
pub(crate) enum Scenario {
    /// A scenario with one table.
    One(fn(&World, Effort) -> Result<Section, String>),
    /// A scenario with a table for each of its variants.
    Several(fn(&World, Effort) -> Result<Vec<Section>, String>),
}

impl Scenario {
    /// Measures.
    pub(crate) fn run(self, world: &World, effort: Effort) -> Result<Vec<Section>, String> {
        match self {
            Self::One(measure) => measure(world, effort).map(|section| vec![section]),
            Self::Several(measure) => measure(world, effort),
        }
    }
}

/// Every scenario by its name.
pub(crate) const ALL: [(&str, Scenario); 13] = [
    ("hot", Scenario::One(known::hot)),
    ("connections", Scenario::Several(known::connections)),
    ("warm", Scenario::One(known::warm)),
    ("peers", Scenario::One(known::peers)),
    ("first-sight", Scenario::Several(strangers::first_sight)),
    ("forged", Scenario::One(strangers::forged)),
    ("flood", Scenario::One(strangers::flood)),
    ("forward-auth", Scenario::One(proxies::forward_auth)),
    ("denials", Scenario::One(proxies::denials)),
    ("proxy", Scenario::One(proxies::proxy)),
    ("memory", Scenario::One(memory::memory)),
    ("start", Scenario::One(memory::start)),
    ("scaling", Scenario::Several(scaling::scaling)),
];
