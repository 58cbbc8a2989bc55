//! Counts and times, for Prometheus. Counting takes no lock and allocates nothing. Values that another part keeps already
//! are read when the page is scraped.

mod checks;
mod counter;
mod exposition;
mod histogram;
mod key_history;
mod requests;
mod shadow;
mod signals;
mod streams;
mod table;

use std::sync::Arc;

pub use self::{
    checks::{Checks, TimedOffload},
    counter::Counter,
    exposition::{Exposition, Family, Kind},
    histogram::Histogram,
    key_history::{Fetch, IssuerHistory, KeyHistory, KeySeen},
    requests::{Requests, Totals},
    shadow::{Shadow, ShadowCount},
    signals::{SignalKind, Signals},
    streams::{Holder, OpenStream, OpenStreams},
};

/// The counts of a node.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Answers.
    pub requests: Requests,
    /// The times of decisions, waiting included.
    pub decisions: Histogram,
    /// Decisions of routes in `mode: shadow`.
    pub shadow: Shadow,
    /// Checks of signatures.
    pub checks: Checks,
    /// The live decisions.
    pub live: super::LiveDecisions,
    /// The history of the providers' keys.
    pub keys: KeyHistory,
    /// The streams that are open.
    pub streams: Arc<OpenStreams>,
    /// The tokens for upstreams that were signed.
    pub minted: Counter,
    /// The signals of providers.
    pub signals: Signals,
    /// The configurations that were put in force while the node ran.
    pub good_reloads: Counter,
    /// The configurations that were refused while the node ran.
    pub bad_reloads: Counter,
}

impl Metrics {
    /// Writes the counts.
    pub fn write(&self, page: &mut Exposition) {
        self.requests.write(page);
        let help = "Time to decide about a request, what was waited for included.";
        page.family("scopegate_decision_seconds", Kind::Histogram, help).histogram(&[], &self.decisions);
        self.shadow.write(page);
        self.checks.write(page);
        let help = "Streams that are open: answers of upstreams that have gone on for half a second.";
        page.single("scopegate_open_streams", Kind::Gauge, help, self.streams.count());
        let help = "Tokens for services behind that were signed; one is used again for most of its life.";
        page.single("scopegate_minted_tokens_total", Kind::Counter, help, self.minted.count());
        self.signals.write(page);
        let help = "Configurations that were read while the node ran; a bad one changes nothing.";
        let mut reloads = page.family("scopegate_config_reloads_total", Kind::Counter, help);
        reloads.sample(&[("outcome", "good")], self.good_reloads.count());
        reloads.sample(&[("outcome", "bad")], self.bad_reloads.count());
        let help = "The number of the configuration in force; the one that the node started with is 1.";
        page.single("scopegate_config_generation", Kind::Gauge, help, self.good_reloads.count() + 1);
    }
}
