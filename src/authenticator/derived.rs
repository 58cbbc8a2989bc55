//! Tokens that were minted from a verified token, kept in its cache entry, so that they are not minted for each request.
//! They go when the entry goes.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http::HeaderValue;
use scopegate_provider::Timestamp;

use super::cache::Entry;

/// A token that was minted from a verified one.
#[derive(Debug, Clone)]
pub(crate) struct DerivedToken {
    /// The minter: one with other settings has another id.
    pub(crate) maker: u64,
    /// The audience.
    pub(crate) audience: Arc<str>,
    /// The moment until which it may be used again.
    pub(crate) until: Timestamp,
    /// `Authorization`. It is marked as sensitive: its debug text does not show it (invariant 11).
    pub(crate) value: HeaderValue,
}

/// The tokens that were minted from one token. Replaced as a whole, so that a reader never waits.
#[derive(Debug, Default)]
pub(super) struct DerivedTokens(ArcSwapOption<Vec<DerivedToken>>);

/// The cache entry of a verified token, for derived tokens; empty if the token is not cached.
#[derive(Debug, Clone, Default)]
pub(crate) struct CacheSlot(Option<Arc<Entry>>);

impl CacheSlot {
    pub(super) fn of(entry: Arc<Entry>) -> Self {
        Self(Some(entry))
    }

    /// Finds the token that this maker minted for this audience, if it may still be used.
    pub(crate) fn find(&self, maker: u64, audience: &str, now: Timestamp) -> Option<HeaderValue> {
        let derived = self.0.as_ref()?.derived.0.load();
        let mut tokens = derived.as_ref()?.iter();
        let found =
            tokens.find(|token| token.maker == maker && now < token.until && *token.audience == *audience);
        found.map(|token| token.value.clone())
    }

    /// Keeps a token, and drops those that cannot be used any more. Of two that are minted at once one may be lost.
    pub(crate) fn keep(&self, token: &DerivedToken, now: Timestamp) {
        let Some(entry) = &self.0 else { return };
        entry.derived.0.rcu(|derived| {
            let others = derived.iter().flat_map(|tokens| tokens.iter()).filter(|other| {
                other.maker == token.maker && now < other.until && other.audience != token.audience
            });
            Some(Arc::new(others.chain([token]).cloned().collect::<Vec<_>>()))
        });
    }
}
