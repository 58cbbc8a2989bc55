//! Verified tokens, kept until what they rest on has gone: bounded for ever, read without a lock.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use ahash::RandomState;
use arc_swap::ArcSwapOption;
use scopegate_provider::{BearerToken, Principal, Timestamp};

use super::beside::Things;

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
    /// What was made from it.
    pub(super) things: Things,
}

impl Entry {
    pub(super) fn new(token: BearerToken, provider: u64, epoch: u64, principal: Principal) -> Self {
        Self { token, provider, epoch, principal, things: Things::default() }
    }
}

/// A set-associative table: a token has one set of eight places, so that memory is bounded by construction, a look-up
/// is one cache line of tags, and a writer never makes a reader wait.
#[derive(Debug)]
pub(super) struct TokenCache {
    blocks: Box<[Block]>,
    /// Sets in a block: a power of two, like the number of blocks.
    block: usize,
    hasher: RandomState,
    entries: AtomicUsize,
    /// Look-ups that found what could be used, and those that did not.
    pub(super) hits: AtomicU64,
    pub(super) misses: AtomicU64,
}

/// Sets, once there is something to keep in one of them.
type Block = OnceLock<Box<[Set]>>;

#[derive(Debug, Default)]
struct Set {
    tags: [AtomicU64; WAYS],
    entries: [ArcSwapOption<Entry>; WAYS],
}

impl TokenCache {
    /// A cache with room for about `capacity` tokens; none are kept if it is 0.
    pub(super) fn new(capacity: usize) -> Self {
        // Twice the room that an even spread would need, so that few sets overflow before the cache is full.
        let sets = if capacity == 0 { 0 } else { (capacity * 2).div_ceil(WAYS).next_power_of_two() };
        let block = sets.clamp(1, BLOCK);
        Self {
            blocks: (0..sets / block).map(|_| OnceLock::new()).collect(),
            block,
            hasher: RandomState::new(),
            entries: AtomicUsize::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// How many tokens are kept, expired ones that nothing has replaced yet included.
    pub(super) fn len(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }

    /// What is known about `token`.
    pub(super) fn find(&self, token: &BearerToken) -> Option<Arc<Entry>> {
        let (block, set, tag) = self.place(token)?;
        let set = block.get()?.get(set)?;
        let matching =
            set.tags.iter().zip(&set.entries).filter(|(found, _)| found.load(Ordering::Acquire) == tag);
        matching.filter_map(|(_, entry)| entry.load_full()).find(|entry| entry.token == *token)
    }

    /// Keeps an entry, in place of an earlier one of the same token, an expired one, or the one that ends first.
    pub(super) fn insert(&self, entry: Entry, now: Timestamp) -> Arc<Entry> {
        let entry = Arc::new(entry);
        self.put(&entry, now);
        entry
    }

    fn put(&self, entry: &Arc<Entry>, now: Timestamp) {
        let Some((block, set, tag)) = self.place(&entry.token) else { return };
        let block = block.get_or_init(|| (0..self.block).map(|_| Set::default()).collect());
        let Some(set) = block.get(set) else { return };
        let until =
            |way: &ArcSwapOption<Entry>| way.load().as_ref().map(|entry| entry.principal.cache_until());
        let same =
            |way: &ArcSwapOption<Entry>| way.load().as_ref().is_some_and(|held| held.token == entry.token);
        let ways = || set.tags.iter().zip(&set.entries);
        let chosen = ways()
            .find(|(_, way)| same(way))
            .or_else(|| ways().find(|(_, way)| until(way).is_none_or(|until| until <= now)))
            .or_else(|| ways().min_by_key(|(_, way)| until(way)));
        if let Some((place, way)) = chosen {
            if way.swap(Some(entry.clone())).is_none() {
                self.entries.fetch_add(1, Ordering::Relaxed);
            }
            place.store(tag, Ordering::Release);
        }
    }

    /// The block and the set in it where a token belongs, and its tag.
    fn place(&self, token: &BearerToken) -> Option<(&Block, usize, u64)> {
        let hash = self.hasher.hash_one(token.as_bytes());
        let index = usize::try_from(hash).unwrap_or_default();
        let block = self.blocks.get((index / self.block) & self.blocks.len().checked_sub(1)?)?;
        // 0 marks a place that was never filled.
        Some((block, index & (self.block - 1), hash | 1))
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
            audience: Box::default(),
            scopes: scopegate_provider::ScopeSet::default(),
            roles: Box::default(),
            token_id: None,
            session: None,
            issued_at: None,
            expires_at: until,
            cache_until: until,
            claims: Claims::from_json(*b"{}"),
        });
        Entry::new(BearerToken::parse(token).unwrap(), 1, 0, principal)
    }

    #[test]
    fn invariant_4_a_token_is_found_by_all_of_its_bytes() {
        let cache = TokenCache::new(8);
        cache.insert(entry("a.b.c", 60), NOW);
        assert!(cache.find(&BearerToken::parse("a.b.c").unwrap()).is_some());
        assert!(cache.find(&BearerToken::parse("a.b.d").unwrap()).is_none());
    }

    #[test]
    fn however_many_tokens_come_the_cache_does_not_grow() {
        let cache = TokenCache::new(64);
        for number in 0..10_000 {
            cache.insert(entry(&format!("token-{number}"), number), NOW);
        }
        assert!(cache.len() <= 64 * 2, "{}", cache.len());
    }

    #[test]
    fn an_expired_token_gives_way_before_one_that_lives() {
        let cache = TokenCache::new(1);
        for number in 0..8 {
            cache.insert(entry(&format!("token-{number}"), if number == 5 { 0 } else { 60 }), NOW);
        }
        cache.insert(entry("new", 60), NOW);
        assert!(cache.find(&BearerToken::parse("token-5").unwrap()).is_none());
        assert!(cache.find(&BearerToken::parse("token-0").unwrap()).is_some());
    }

    #[test]
    fn a_cache_without_room_keeps_nothing() {
        let cache = TokenCache::new(0);
        cache.insert(entry("a", 60), NOW);
        assert!(cache.find(&BearerToken::parse("a").unwrap()).is_none());
    }
}
