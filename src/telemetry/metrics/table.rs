//! A table of counts that is only ever added to.

use std::sync::OnceLock;

/// The number of places that are tried for an entry.
pub(super) const PROBES: usize = 32;

/// A table of a fixed size. Finding and adding take no lock that another thread may hold for long, and never allocate more
/// than the entry itself.
pub(super) struct Table<S> {
    places: Box<[OnceLock<S>]>,
    hasher: ahash::RandomState,
}

impl<S> Table<S> {
    pub(super) fn with_room(places: usize) -> Self {
        Self { places: (0..places).map(|_| OnceLock::new()).collect(), hasher: ahash::RandomState::new() }
    }

    /// Returns the hash of a key.
    pub(super) fn hash(&self, key: impl std::hash::Hash) -> u64 {
        self.hasher.hash_one(key)
    }

    /// Returns the entry that `is_same` recognizes, or adds the one that `make` makes. `None` if there is no room.
    pub(super) fn find_or_add(
        &self,
        hash: u64,
        is_same: impl Fn(&S) -> bool,
        make: impl Fn() -> S,
    ) -> Option<&S> {
        let start = usize::try_from(hash).unwrap_or_default() % self.places.len().max(1);
        let near = self.places.iter().cycle().skip(start).take(PROBES.min(self.places.len()));
        near.map(|place| place.get_or_init(&make)).find(|entry| is_same(entry))
    }

    /// Returns every entry.
    pub(super) fn entries(&self) -> impl Iterator<Item = &S> {
        self.places.iter().filter_map(OnceLock::get)
    }
}
