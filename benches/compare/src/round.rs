//! Loading several contenders in turn, so that what disturbs the machine disturbs each of them.

use std::{collections::HashMap, time::Duration};

use crate::{
    load::{Load, Outcome, median},
    peers::Peer,
    process::Process,
    report::Section,
};

/// How long and how often.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    /// One load.
    pub(crate) time: Duration,
    /// How often each contender is loaded.
    pub(crate) rounds: usize,
}

/// Somebody to load.
pub(crate) struct Contender<'a> {
    /// What it is called.
    pub(crate) name: &'static str,
    /// Whose time on the processor counts.
    pub(crate) process: &'a Process,
    /// What it is loaded with.
    pub(crate) load: Load,
}

impl<'a> Contender<'a> {
    /// A program and its load.
    pub(crate) fn new(name: &'static str, peer: &'a Peer, load: Load) -> Self {
        Self { name, process: &peer.process, load }
    }
}

/// What each did, by name.
pub(crate) type Found = HashMap<&'static str, Outcome>;

impl Effort {
    /// Loads all in turn, several times, and adds the medians to the section.
    pub(crate) fn measure(self, section: &mut Section, contenders: &[Contender<'_>]) -> Found {
        // What is measured is warm: caches hold the tokens, connections are known.
        for contender in contenders {
            contender.load.run(contender.process, Duration::from_secs(1));
        }
        let mut all: Vec<Vec<Outcome>> = vec![Vec::new(); contenders.len()];
        for _ in 0..self.rounds {
            for (outcomes, contender) in all.iter_mut().zip(contenders) {
                outcomes.push(contender.load.run(contender.process, self.time));
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

/// How the rates of two of them stand to each other.
pub(crate) fn ratio(found: &Found, one: &str, other: &str) -> f64 {
    rate(found, one) / rate(found, other)
}

/// Answers in a second.
pub(crate) fn rate(found: &Found, name: &str) -> f64 {
    found.get(name).map_or(f64::NAN, |outcome| outcome.rate)
}
