//! Room beside a verified token for what was made from it, so that it is not made for each request. It goes when what is
//! known about the token goes.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http::HeaderValue;
use scopegate_provider::Timestamp;

use super::cache::Entry;

/// Something that was made from a verified token.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    /// By whom: other settings make another maker.
    pub(crate) maker: u64,
    /// For whom.
    pub(crate) audience: Arc<str>,
    /// Until when it may be used again.
    pub(crate) until: Timestamp,
    /// What it is. It is marked as sensitive: its debug text does not show it (invariant 11).
    pub(crate) value: HeaderValue,
}

/// What was made from one token; replaced as a whole, so that who looks never waits.
#[derive(Debug, Default)]
pub(super) struct Things(ArcSwapOption<Vec<Made>>);

/// The room beside a verified token; none beside one that is not kept.
#[derive(Debug, Clone, Default)]
pub(crate) struct Beside(Option<Arc<Entry>>);

impl Beside {
    pub(super) fn of(entry: Arc<Entry>) -> Self {
        Self(Some(entry))
    }

    /// What this maker has made for this audience, if it may be used now.
    pub(crate) fn find(&self, maker: u64, audience: &str, now: Timestamp) -> Option<HeaderValue> {
        let things = self.0.as_ref()?.things.0.load();
        let fits = |made: &&Made| made.maker == maker && now < made.until && *made.audience == *audience;
        things.as_ref()?.iter().find(fits).map(|made| made.value.clone())
    }

    /// Keeps it, in place of what cannot be used any more. Of two that are made at once one may be lost.
    pub(crate) fn keep(&self, made: &Made, now: Timestamp) {
        let Some(entry) = &self.0 else { return };
        entry.things.0.rcu(|things| {
            let others = things.iter().flat_map(|things| things.iter());
            let good = |other: &&Made| other.maker == made.maker && now < other.until;
            let others = others.filter(good).filter(|other| other.audience != made.audience);
            Some(Arc::new(others.chain([made]).cloned().collect::<Vec<_>>()))
        });
    }
}
