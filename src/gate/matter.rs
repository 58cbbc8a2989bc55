//! A request on its way to a decision: the routes that decide it, looked up once.

use std::time::Instant;

use super::State;
use crate::policy::{Refused, Resolved, Target};

/// What was found about a target. What browsers are told and what is decided rest on the same look-up.
pub(super) struct Matter<'s> {
    pub(super) found: Result<Resolved<'s>, Refused<'s>>,
    /// When it was begun, where decisions are timed.
    pub(super) begun: Option<Instant>,
}

impl State {
    /// Looks up the routes that decide about a target.
    pub(super) fn look_up(&self, target: &Target) -> Matter<'_> {
        let begun = self.metrics.as_ref().map(|_| Instant::now());
        Matter { found: self.policy.resolve(target), begun }
    }
}
