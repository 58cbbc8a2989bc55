//! An interner for values that many tokens of a provider share, so that each is kept once.

use std::{
    fmt,
    hash::{BuildHasher, Hash, RandomState},
    sync::Arc,
};

use arc_swap::ArcSwapOption;
use scopegate_provider::{Audience, ClientId, ScopeSet};

/// The number of values of a kind that are remembered: the clients and scope sets of most tokens.
const PLACES: usize = 64;

/// Clients, audiences and sets of scopes.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    pub(crate) clients: Shared<ClientId>,
    pub(crate) audiences: Shared<Arc<[Audience]>>,
    pub(crate) scopes: Shared<ScopeSet>,
}

/// The most recent values, whose clones share their memory. Takes no lock.
pub(crate) struct Shared<T> {
    places: [ArcSwapOption<T>; PLACES],
    hasher: RandomState,
}

impl<T: Clone + Eq + Hash> Shared<T> {
    /// Returns an equal value, in the memory of an earlier one if that is remembered.
    pub(crate) fn share(&self, value: T) -> T {
        let hash = self.hasher.hash_one(&value);
        let place = usize::try_from(hash % PLACES as u64).ok().and_then(|index| self.places.get(index));
        let Some(place) = place else { return value };
        match place.load().as_deref() {
            Some(known) if *known == value => known.clone(),
            _ => {
                place.store(Some(Arc::new(value.clone())));
                value
            }
        }
    }
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self { places: std::array::from_fn(|_| ArcSwapOption::empty()), hasher: RandomState::new() }
    }
}

impl<T> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(text: &str) -> ScopeSet {
        ScopeSet::parse(text).unwrap()
    }

    #[test]
    fn what_came_before_is_kept_once() {
        let shared = Shared::default();
        let first = shared.share(scopes("a b"));
        let again = shared.share(scopes("b a"));
        assert!(std::ptr::eq(first.iter().as_slice(), again.iter().as_slice()));
    }

    #[test]
    fn however_much_there_is_each_value_stays_what_it_is() {
        let shared = Shared::default();
        for number in (0..1000).chain(0..1000) {
            let text = format!("scope-{number}");
            assert_eq!(shared.share(scopes(&text)), scopes(&text));
        }
    }
}
