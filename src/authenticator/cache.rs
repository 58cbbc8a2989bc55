//! The cache of verified tokens: bounded, and read without a lock. Entries leave when they expire.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use ahash::RandomState;
use arc_swap::ArcSwapOption;
use scopegate_provider::{BearerToken, Principal, Timestamp};

use super::derived::DerivedTokens;

/// The number of tokens in a set. Eight tags fill one cache line.
const WAYS: usize = 8;

/// The number of sets that get their memory together, when the first token of one of them comes: a node that has seen
/// few tokens is small.
const BLOCK: usize = 64;

/// A verified token and its principal (invariant 4: a fact, never a decision).
#[derive(Debug)]
pub(super) struct Entry {
    /// The whole token: a part does not identify it.
    pub(super) token: BearerToken,
    /// The connected provider, which stands for its settings.
    pub(super) provider: u64,
    /// The provider's epoch when the token was verified.
    pub(super) epoch: u64,
    /// The principal.
    pub(super) principal: Principal,
    /// The tokens that were minted from it.
    pub(super) derived: DerivedTokens,
}

impl Entry {
    pub(super) fn new(token: BearerToken, provider: u64, epoch: u64, principal: Principal) -> Self {
        Self { token, provider, epoch, principal, derived: DerivedTokens::default() }
    }
}

/// A set-associative table: a token has one set of eight places, so that a look-up is one cache line of tags, and a writer
/// never makes a reader wait. Once it is full, each new token replaces another.
#[derive(Debug)]
pub(super) struct TokenCache {
    blocks: Box<[Block]>,
    /// Sets in a block: a power of two, like the number of blocks.
    block: usize,
    hasher: RandomState,
    /// The most tokens that are kept.
    capacity: usize,
    entries: AtomicUsize,
    /// The numbers of look-ups that found a usable entry, and of those that did not.
    pub(super) hits: AtomicU64,
    pub(super) misses: AtomicU64,
}

/// Sets, once one of them holds a token.
type Block = OnceLock<Box<[Set]>>;

/// A token's tag, and its entry.
type Place<'a> = (&'a AtomicU64, &'a ArcSwapOption<Entry>);

#[derive(Debug, Default)]
struct Set {
    tags: [AtomicU64; WAYS],
    entries: [ArcSwapOption<Entry>; WAYS],
}

impl TokenCache {
    /// Creates a cache with room for `capacity` tokens; none are kept if it is 0.
    pub(super) fn new(capacity: usize) -> Self {
        // Twice the places that an even spread would need, so that few sets overflow before the cache is full.
        let sets = if capacity == 0 { 0 } else { (capacity * 2).div_ceil(WAYS).next_power_of_two() };
        let block = sets.clamp(1, BLOCK);
        Self {
            blocks: (0..sets / block).map(|_| OnceLock::new()).collect(),
            block,
            hasher: RandomState::new(),
            capacity,
            entries: AtomicUsize::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// Returns the number of tokens that are kept, including expired ones that were not removed yet.
    pub(super) fn len(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }

    /// Returns the entry of the token that is these bytes.
    pub(super) fn find(&self, token: &[u8]) -> Option<Arc<Entry>> {
        let (index, tag) = self.place(token)?;
        let set = self.set(index)?;
        let matching = set.places().filter(|(found, _)| found.load(Ordering::Acquire) == tag);
        matching.filter_map(|(_, entry)| entry.load_full()).find(|entry| entry.token.as_bytes() == token)
    }

    /// Keeps an entry, in place of an earlier one of the same token, an expired one, or the one that ends first.
    pub(super) fn insert(&self, entry: Entry, now: Timestamp) -> Arc<Entry> {
        let entry = Arc::new(entry);
        self.put(&entry, now);
        entry
    }

    fn put(&self, entry: &Arc<Entry>, now: Timestamp) {
        let Some((index, tag)) = self.place(entry.token.as_bytes()) else { return };
        let Some(block) = self.blocks.get(index / self.block) else { return };
        block.get_or_init(|| (0..self.block).map(|_| Set::default()).collect());
        let Some(set) = self.set(index) else { return };
        let is_full = self.len() >= self.capacity;
        let Some((found, place)) = set.place_for(entry, now, is_full) else { return };
        let is_one_more = place.swap(Some(entry.clone())).is_none();
        found.store(tag, Ordering::Release);
        if is_one_more && self.entries.fetch_add(1, Ordering::Relaxed) >= self.capacity {
            self.drop_one_after(index);
        }
    }

    /// Drops a token of the next set that holds any.
    fn drop_one_after(&self, index: usize) {
        let mut others = (1..self.sets()).filter_map(|step| self.set((index + step) % self.sets()));
        if others.find_map(Set::take_first).is_some() {
            self.entries.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Removes the entries that have expired.
    pub(super) fn remove_expired(&self, now: Timestamp) {
        let sets = self.blocks.iter().filter_map(OnceLock::get).flat_map(|block| block.iter());
        let removed = sets.flat_map(|set| &set.entries).filter(|place| remove_if_expired(place, now)).count();
        self.entries.fetch_sub(removed, Ordering::Relaxed);
    }

    fn sets(&self) -> usize {
        self.blocks.len() * self.block
    }

    /// Returns a set, if it has its memory.
    fn set(&self, index: usize) -> Option<&Set> {
        self.blocks.get(index / self.block)?.get()?.get(index % self.block)
    }

    /// Returns the number of the set of a token, and its tag.
    fn place(&self, token: &[u8]) -> Option<(usize, u64)> {
        let hash = self.hasher.hash_one(token);
        let index = usize::try_from(hash).unwrap_or_default();
        // 0 marks a place that was never filled.
        Some((index & self.sets().checked_sub(1)?, hash | 1))
    }
}

/// Empties a place whose entry has expired. Returns `true` if it did: another entry may have taken the place meanwhile.
fn remove_if_expired(place: &ArcSwapOption<Entry>, now: Timestamp) -> bool {
    let held = place.load();
    let is_expired = held.as_ref().is_some_and(|entry| entry.principal.cache_until() <= now);
    is_expired && {
        let earlier = place.compare_and_swap(&*held, None);
        earlier.as_ref().map(Arc::as_ptr) == held.as_ref().map(Arc::as_ptr)
    }
}

impl Set {
    /// Returns the place for an entry: that of the same token, that of an expired one, a free one or, once the cache is
    /// full, that of the entry that expires first.
    fn place_for(&self, entry: &Entry, now: Timestamp, is_full: bool) -> Option<Place<'_>> {
        self.places().min_by_key(|(_, held)| match held.load().as_ref() {
            Some(held) if held.token == entry.token => (0, None),
            Some(held) if held.principal.cache_until() <= now => (1, None),
            None if !is_full => (2, None),
            Some(held) => (3, Some(held.principal.cache_until())),
            None => (4, None),
        })
    }

    /// Removes the entry that expires first.
    fn take_first(&self) -> Option<Arc<Entry>> {
        let ending = self.places().filter_map(|place| {
            let until = place.1.load().as_ref()?.principal.cache_until();
            Some((until, place))
        });
        let (_, (_, first)) = ending.min_by_key(|(until, _)| *until)?;
        first.swap(None)
    }

    fn places(&self) -> impl Iterator<Item = Place<'_>> {
        self.tags.iter().zip(&self.entries)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use scopegate_provider::{Claims, Issuer, ProviderName, Verified};

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

    fn entry(token: &str, seconds: u64) -> Entry {
        let until = NOW + Duration::from_secs(seconds);
        let principal = Principal::assert_verified(Verified {
            provider: ProviderName::parse("test").unwrap(),
            issuer: Issuer::parse("https://issuer.example").unwrap(),
            subject: None,
            client: None,
            audience: Arc::default(),
            scopes: scopegate_provider::ScopeSet::default(),
            roles: Box::default(),
            token_id: None,
            session: None,
            issued_at: None,
            expires_at: until,
            leeway: Duration::ZERO,
            cache_until: until,
            claims: Claims::from_json(*b"{}"),
        });
        Entry::new(BearerToken::parse(token).unwrap(), 1, 0, principal)
    }

    #[test]
    fn invariant_4_a_token_is_found_by_all_of_its_bytes() {
        let cache = TokenCache::new(8);
        cache.insert(entry("a.b.c", 60), NOW);
        assert!(cache.find(b"a.b.c").is_some());
        assert!(cache.find(b"a.b.d").is_none());
    }

    #[test]
    fn however_many_tokens_come_the_cache_does_not_grow() {
        let cache = TokenCache::new(64);
        for number in 0..10_000 {
            cache.insert(entry(&format!("token-{number}"), number), NOW);
        }
        let held = (0..10_000).map(|number| format!("token-{number}"));
        let held = held.filter(|token| cache.find(token.as_bytes()).is_some()).count();
        assert_eq!((cache.len(), held), (64, 64));
    }

    #[test]
    fn as_many_tokens_as_there_is_room_for_are_all_kept() {
        let cache = TokenCache::new(4096);
        for number in 0..4096 {
            cache.insert(entry(&format!("token-{number}"), 60), NOW);
        }
        assert!(cache.len() > 4000, "{}", cache.len());
    }

    #[test]
    fn an_expired_token_gives_way_before_one_that_lives() {
        let cache = TokenCache { capacity: 8, ..TokenCache::new(1) };
        for number in 0..8 {
            cache.insert(entry(&format!("token-{number}"), if number == 5 { 0 } else { 60 }), NOW);
        }
        cache.insert(entry("new", 60), NOW);
        assert!(cache.find(b"token-5").is_none());
        assert!(cache.find(b"token-0").is_some());
    }

    /// D11: a steady load of tokens that expire needs a steady amount of memory.
    #[test]
    fn expired_tokens_leave_the_cache() {
        let cache = TokenCache::new(4096);
        for minute in 0..10_u64 {
            let now = NOW + Duration::from_secs(60 * minute);
            for number in 0..100 {
                cache.insert(entry(&format!("token-{minute}-{number}"), 60 * (minute + 1)), now);
            }
            cache.remove_expired(now);
            assert_eq!(cache.len(), 100, "in minute {minute}");
        }
        assert!(cache.find(b"token-9-1").is_some() && cache.find(b"token-8-1").is_none());
    }

    #[test]
    fn a_cache_without_room_keeps_nothing() {
        let cache = TokenCache::new(0);
        cache.insert(entry("a", 60), NOW);
        assert!(cache.find(b"a").is_none());
    }
}
