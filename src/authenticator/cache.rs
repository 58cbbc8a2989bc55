//! Verified tokens, kept until what they rest on has gone: bounded for ever, read without a lock.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use ahash::RandomState;
use arc_swap::ArcSwapOption;
use scopegate_provider::{BearerToken, Principal, Timestamp};

use super::derived::DerivedTokens;

/// How many tokens share a place. Eight tags fill one cache line.
const WAYS: usize = 8;

/// How many sets get their memory at once, when the first token comes that belongs to one of them: a node that has
/// seen few tokens is small.
const BLOCK: usize = 64;

/// What is known about a token (invariant 4: a fact, never a decision).
#[derive(Debug)]
pub(super) struct Entry {
    /// The whole token: nothing less identifies it.
    pub(super) token: BearerToken,
    /// The connected provider, which stands for its settings.
    pub(super) provider: u64,
    /// The provider's epoch when the token was verified.
    pub(super) epoch: u64,
    /// Who it speaks for.
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
/// never makes a reader wait. Once it is full, whatever comes takes the place of something.
#[derive(Debug)]
pub(super) struct TokenCache {
    blocks: Box<[Block]>,
    /// Sets in a block: a power of two, like the number of blocks.
    block: usize,
    hasher: RandomState,
    /// How many tokens may be kept.
    capacity: usize,
    entries: AtomicUsize,
    /// Look-ups that found what could be used, and those that did not.
    pub(super) hits: AtomicU64,
    pub(super) misses: AtomicU64,
}

/// Sets, once there is something to keep in one of them.
type Block = OnceLock<Box<[Set]>>;

/// A token's tag, and what is known about it.
type Place<'a> = (&'a AtomicU64, &'a ArcSwapOption<Entry>);

#[derive(Debug, Default)]
struct Set {
    tags: [AtomicU64; WAYS],
    entries: [ArcSwapOption<Entry>; WAYS],
}

impl TokenCache {
    /// A cache with room for `capacity` tokens; none are kept if it is 0.
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

    /// How many tokens are kept, expired ones that nothing has replaced yet included.
    pub(super) fn len(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }

    /// What is known about the token that is these bytes.
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

    fn sets(&self) -> usize {
        self.blocks.len() * self.block
    }

    /// A set, if it has its memory.
    fn set(&self, index: usize) -> Option<&Set> {
        self.blocks.get(index / self.block)?.get()?.get(index % self.block)
    }

    /// The number of the set where a token belongs, and its tag.
    fn place(&self, token: &[u8]) -> Option<(usize, u64)> {
        let hash = self.hasher.hash_one(token);
        let index = usize::try_from(hash).unwrap_or_default();
        // 0 marks a place that was never filled.
        Some((index & self.sets().checked_sub(1)?, hash | 1))
    }
}

impl Set {
    /// The place for an entry: that of the same token, of one that has expired, a free one or, once the cache is full, that
    /// of the one that ends first.
    fn place_for(&self, entry: &Entry, now: Timestamp, is_full: bool) -> Option<Place<'_>> {
        let rank = |(_, held): &Place<'_>| match held.load().as_ref() {
            Some(held) if held.token == entry.token => (0, None),
            Some(held) if held.principal.cache_until() <= now => (1, None),
            None if !is_full => (2, None),
            Some(held) => (3, Some(held.principal.cache_until())),
            None => (4, None),
        };
        self.places().min_by_key(rank)
    }

    /// Takes out the one that ends first, if there is any.
    fn take_first(&self) -> Option<Arc<Entry>> {
        let until = |(_, held): &Place<'_>| held.load().as_ref().map(|held| held.principal.cache_until());
        let ending = self.places().filter_map(|place| Some((until(&place)?, place)));
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

    #[test]
    fn a_cache_without_room_keeps_nothing() {
        let cache = TokenCache::new(0);
        cache.insert(entry("a", 60), NOW);
        assert!(cache.find(b"a").is_none());
    }
}
