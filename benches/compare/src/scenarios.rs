//! What is measured: a function a scenario.

mod known;
mod memory;
mod proxies;
mod strangers;

use crate::{report::Section, round::Effort, world::World};

/// A scenario finds something, or says what it lacks.
type Scenario = fn(&World, Effort) -> Result<Section, String>;

/// Every scenario by its name.
pub(crate) const ALL: [(&str, Scenario); 10] = [
    ("hot", known::hot),
    ("warm", known::warm),
    ("peers", known::peers),
    ("first-sight", strangers::first_sight),
    ("forged", strangers::forged),
    ("flood", strangers::flood),
    ("forward-auth", proxies::forward_auth),
    ("proxy", proxies::proxy),
    ("memory", memory::memory),
    ("start", memory::start),
];
