//! Loads several contenders in turn, so that noise of the machine affects each of them.

use std::{collections::HashMap, time::Duration};

use crate::{
    load::{Load, Outcome, median},
    peers::Peer,
    process::Process,
    report::Section,
};

/// The length and number of loads.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    /// The length of one load.
    pub(crate) time: Duration,
    /// The number of loads of each contender.
    pub(crate) rounds: usize,
}

/// A server and its load.
pub(crate) struct Contender<'a> {
    /// Its name in the report.
    pub(crate) name: &'static str,
    /// The processes whose processor time counts.
    pub(crate) processes: Vec<&'a Process>,
    /// The load.
    pub(crate) load: Load,
}

impl<'a> Contender<'a> {
    /// Returns a server that works alone.
    pub(crate) fn new(name: &'static str, peer: &'a Peer, load: Load) -> Self {
        Self { name, processes: vec![&peer.process], load }
    }

    /// Adds a server that does a part of the work.
    #[must_use]
    pub(crate) fn beside(mut self, peer: &'a Peer) -> Self {
        self.processes.push(&peer.process);
        self
    }
}

/// The outcomes by contender.
pub(crate) type Found = HashMap<&'static str, Outcome>;

impl Effort {
    /// Loads all in turn, several times, and adds the medians to the section.
    pub(crate) fn measure(self, section: &mut Section, contenders: &[Contender<'_>]) -> Found {
        // Warm-up: caches hold the tokens, connections are established.
        for contender in contenders {
            contender.load.run(&contender.processes, Duration::from_secs(1));
        }
        let mut all: Vec<Vec<Outcome>> = vec![Vec::new(); contenders.len()];
        for _ in 0..self.rounds {
            for (outcomes, contender) in all.iter_mut().zip(contenders) {
                outcomes.push(contender.load.run(&contender.processes, self.time));
            }
        }
        let mut found = Found::new();
        for (outcomes, contender) in all.into_iter().zip(contenders) {
            let middle = median(outcomes);
            section.contender(contender.name, middle);
            found.insert(contender.name, middle);
        }
        found
    }
}

/// Returns the processor time of `other` for a request, divided by that of `one`: above 1, `one` is faster.
pub(crate) fn ratio(found: &Found, one: &str, other: &str) -> f64 {
    micros(found, other) / micros(found, one)
}

/// Returns the processor time for a request in microseconds.
pub(crate) fn micros(found: &Found, name: &str) -> f64 {
    found.get(name).map_or(f64::NAN, |outcome| outcome.micros)
}

/// Returns the number of answers in a second.
pub(crate) fn rate(found: &Found, name: &str) -> f64 {
    found.get(name).map_or(f64::NAN, |outcome| outcome.rate)
}
