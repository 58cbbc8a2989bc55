//! The revocations in memory, checked on every request.

use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, Hash, Hasher},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use scopegate_provider::{ClientId, Principal, ProviderName, SessionId, Subject, Timestamp, TokenId};

use super::{BlockCount, NewRevocation, RevocationKey, TokenHash};

/// The revocations in force, in memory. A lookup takes no lock, and costs the same for one record and for a million; while
/// there are none it is one load.
///
/// It is divided into shards, each replaced as a whole: a writer copies some hundred entries, and a reader looks into an
/// ordinary map that does not change.
///
/// A key is identified by 128 bits of a hash that is keyed anew in each process, so that a client cannot make two keys
/// collide.
pub struct RevocationIndex {
    shards: Box<[ArcSwap<Shard>]>,
    /// The kinds of the keys.
    kinds: AtomicU8,
    /// The blocks among the entries, with what they have refused since it was counted last.
    blocks: ArcSwap<HashMap<Fingerprint, Arc<Block>, AsIs>>,
    hashers: [ahash::RandomState; 2],
    /// Held by writers, so that the kinds agree with the entries. Readers do not take it.
    writer: Mutex<()>,
}

type Shard = HashMap<Fingerprint, Entry, AsIs>;

/// A power of two: with a million keys a shard has about 250.
const SHARDS: usize = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fingerprint(u128);

/// All records of one key together. Keeping the latest moments loses nothing: a record is kept until no token that it
/// matches can be valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    issued_before: Timestamp,
    expires_at: Timestamp,
}

/// The counts of a block since they were taken last.
#[derive(Debug)]
struct Block {
    provider: ProviderName,
    key: RevocationKey,
    refused: AtomicU64,
    streams_cut: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    TokenId = 1,
    Session = 2,
    Subject = 4,
    Client = 8,
    TokenHash = 16,
    Actor = 32,
}

impl RevocationIndex {
    /// Creates an index without records.
    pub fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| ArcSwap::default()).collect(),
            kinds: AtomicU8::new(0),
            blocks: ArcSwap::default(),
            hashers: [ahash::RandomState::new(), ahash::RandomState::new()],
            writer: Mutex::new(()),
        }
    }

    /// Returns `true` if a record matches the principal's token, and counts that for a block. `token_hash` is called only
    /// if there are records by hash.
    pub fn is_revoked(
        &self,
        principal: &Principal,
        now: Timestamp,
        token_hash: impl FnOnce() -> TokenHash,
    ) -> bool {
        let matching = self.matching(principal, now, token_hash);
        if let Some(fingerprint) = matching {
            self.count(fingerprint, |block| &block.refused);
        }
        matching.is_some()
    }

    /// As [`RevocationIndex::is_revoked`], for an open stream, which is cut if it returns `true`.
    pub fn is_stream_revoked(
        &self,
        principal: &Principal,
        now: Timestamp,
        token_hash: impl FnOnce() -> TokenHash,
    ) -> bool {
        let matching = self.matching(principal, now, token_hash);
        if let Some(fingerprint) = matching {
            self.count(fingerprint, |block| &block.streams_cut);
        }
        matching.is_some()
    }

    /// Returns the fingerprint of a record that matches the principal's token.
    fn matching(
        &self,
        principal: &Principal,
        now: Timestamp,
        token_hash: impl FnOnce() -> TokenHash,
    ) -> Option<Fingerprint> {
        let kinds = Kinds(self.kinds.load(Ordering::Acquire));
        if kinds.0 == 0 {
            return None;
        }
        let values = [
            (Kind::TokenId, principal.token_id().map(TokenId::as_str)),
            (Kind::Session, principal.session().map(SessionId::as_str)),
            (Kind::Subject, principal.subject().map(Subject::as_str)),
            (Kind::Client, principal.client().map(ClientId::as_str)),
            (Kind::Actor, principal.actor().map(|actor| &*actor.id)),
        ];
        for (kind, value) in values {
            let Some(value) = value.filter(|_| kinds.contain(kind)) else { continue };
            if let Some(found) = self.find(principal, kind, value.as_bytes(), now) {
                return Some(found);
            }
        }
        for alias in principal.aliases().iter().filter(|_| kinds.contain(Kind::Subject)) {
            if let Some(found) = self.find(principal, Kind::Subject, alias.as_str().as_bytes(), now) {
                return Some(found);
            }
        }
        if kinds.contain(Kind::TokenHash) {
            return self.find(principal, Kind::TokenHash, token_hash().as_bytes(), now);
        }
        None
    }

    /// Returns `true` if a record of the same key withdraws the same tokens, until a moment that is at most a minute
    /// earlier.
    pub fn covers(&self, record: &NewRevocation) -> bool {
        let fingerprint = self.key_fingerprint(&record.provider, &record.key);
        let known =
            self.shards.get(fingerprint.shard()).and_then(|shard| shard.load().get(&fingerprint).copied());
        known.is_some_and(|known| {
            known.issued_before >= record.issued_before
                && known.expires_at + Duration::from_mins(1) >= record.expires_at
        })
    }

    /// Returns the counts of blocks since they were taken last, and sets them to 0.
    pub(crate) fn take_block_counts(&self) -> Vec<BlockCount> {
        let blocks = self.blocks.load();
        let taken = blocks.values().map(|block| BlockCount {
            provider: block.provider.clone(),
            key: block.key.clone(),
            refused: block.refused.swap(0, Ordering::Relaxed),
            streams_cut: block.streams_cut.swap(0, Ordering::Relaxed),
        });
        taken.filter(|count| count.refused > 0 || count.streams_cut > 0).collect()
    }

    /// Adds counts that could not be stored.
    pub(crate) fn put_block_counts(&self, counts: &[BlockCount]) {
        let blocks = self.blocks.load();
        for count in counts {
            let fingerprint = self.key_fingerprint(&count.provider, &count.key);
            if let Some(block) = blocks.get(&fingerprint) {
                block.refused.fetch_add(count.refused, Ordering::Relaxed);
                block.streams_cut.fetch_add(count.streams_cut, Ordering::Relaxed);
            }
        }
    }

    /// Adds a record.
    pub fn insert(&self, record: &NewRevocation) {
        self.extend([record]);
    }

    /// Adds records.
    pub fn extend<'a>(&self, records: impl IntoIterator<Item = &'a NewRevocation>) {
        let mut kinds = 0;
        let mut entries = Vec::new();
        let mut blocks = Vec::new();
        for record in records {
            let fingerprint = self.key_fingerprint(&record.provider, &record.key);
            kinds |= kind_of(&record.key) as u8;
            entries.push((fingerprint, Entry::of(record)));
            if record.is_block() {
                blocks.push((fingerprint, Block::of(record)));
            }
        }
        entries.sort_unstable_by_key(|(fingerprint, _)| fingerprint.shard());
        let _writing = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        for group in entries.chunk_by(|a, b| a.0.shard() == b.0.shard()) {
            let Some((first, _)) = group.first() else { continue };
            self.change(*first, |shard| {
                for (fingerprint, entry) in group {
                    shard
                        .entry(*fingerprint)
                        .and_modify(|known| *known = known.join(*entry))
                        .or_insert(*entry);
                }
            });
        }
        self.add_blocks(blocks);
        // After the entries: a reader that sees the kind finds them.
        self.kinds.fetch_or(kinds, Ordering::Release);
    }

    /// Replaces all records. A reader finds those that are in both at any moment.
    pub(crate) fn replace_all(&self, replacement: Replacement) {
        let Replacement { shards, kinds, blocks } = replacement;
        let _writing = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.kinds.fetch_or(kinds, Ordering::Release);
        for (known, new) in self.shards.iter().zip(shards) {
            known.store(Arc::new(new));
        }
        let known = self.blocks.load();
        let kept = blocks.into_iter().map(|(fingerprint, block)| {
            let block = known.get(&fingerprint).cloned().unwrap_or(block);
            (fingerprint, block)
        });
        self.blocks.store(Arc::new(kept.collect()));
        self.kinds.store(kinds, Ordering::Release);
    }

    /// Replaces the records of a key by `remaining`, after one of them was deleted.
    pub fn replace<'a>(
        &self,
        provider: &ProviderName,
        key: &RevocationKey,
        remaining: impl IntoIterator<Item = &'a NewRevocation>,
    ) {
        let entry = remaining.into_iter().map(Entry::of).reduce(Entry::join);
        let is_block = entry.is_some_and(|entry| entry.expires_at == Timestamp::MAX);
        let fingerprint = self.key_fingerprint(provider, key);
        let _writing = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.change(fingerprint, |shard| match entry {
            Some(entry) => drop(shard.insert(fingerprint, entry)),
            None => drop(shard.remove(&fingerprint)),
        });
        if !is_block && self.blocks.load().contains_key(&fingerprint) {
            self.blocks.rcu(|known| {
                let mut kept = HashMap::clone(known);
                kept.remove(&fingerprint);
                kept
            });
        }
    }

    /// Adds blocks to count for. Only with the writer's lock.
    fn add_blocks(&self, blocks: Vec<(Fingerprint, Arc<Block>)>) {
        if blocks.is_empty() {
            return;
        }
        let mut all = HashMap::clone(&self.blocks.load());
        for (fingerprint, block) in blocks {
            all.entry(fingerprint).or_insert(block);
        }
        self.blocks.store(Arc::new(all));
    }

    fn count(&self, fingerprint: Fingerprint, counter: fn(&Block) -> &AtomicU64) {
        if let Some(block) = self.blocks.load().get(&fingerprint) {
            counter(block).fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Removes what has expired.
    pub fn sweep(&self, now: Timestamp) {
        let _writing = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        for shard in &self.shards {
            let known = shard.load();
            if known.values().any(|entry| entry.expires_at <= now) {
                let kept = known.iter().filter(|(_, entry)| now < entry.expires_at);
                shard.store(Arc::new(kept.map(|(fingerprint, entry)| (*fingerprint, *entry)).collect()));
            }
        }
        if self.is_empty() {
            self.kinds.store(0, Ordering::Release);
        }
    }

    /// Returns the number of keys.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.load().len()).sum()
    }

    /// Returns `true` if there are no records.
    pub fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| shard.load().is_empty())
    }

    /// Replaces the shard of a fingerprint by a changed copy. Only with the writer's lock.
    fn change(&self, fingerprint: Fingerprint, change: impl FnOnce(&mut Shard)) {
        if let Some(shard) = self.shards.get(fingerprint.shard()) {
            let mut copy = Shard::clone(&shard.load());
            change(&mut copy);
            shard.store(Arc::new(copy));
        }
    }

    fn find(&self, principal: &Principal, kind: Kind, value: &[u8], now: Timestamp) -> Option<Fingerprint> {
        let fingerprint = self.fingerprint(principal.provider(), kind, value);
        let shard = self.shards.get(fingerprint.shard())?.load();
        let entry = shard.get(&fingerprint)?;
        let is_older = principal.issued_at().is_none_or(|at| at < entry.issued_before);
        (now < entry.expires_at && is_older).then_some(fingerprint)
    }

    fn key_fingerprint(&self, provider: &ProviderName, key: &RevocationKey) -> Fingerprint {
        let kind = kind_of(key);
        match key {
            RevocationKey::TokenId(id) => self.fingerprint(provider, kind, id.as_str().as_bytes()),
            RevocationKey::Session(id) => self.fingerprint(provider, kind, id.as_str().as_bytes()),
            RevocationKey::Subject(id) | RevocationKey::Actor(id) => {
                self.fingerprint(provider, kind, id.as_str().as_bytes())
            }
            RevocationKey::Client(id) => self.fingerprint(provider, kind, id.as_str().as_bytes()),
            RevocationKey::TokenHash(hash) => self.fingerprint(provider, kind, hash.as_bytes()),
        }
    }

    fn fingerprint(&self, provider: &ProviderName, kind: Kind, value: &[u8]) -> Fingerprint {
        let [low, high] = self.hashers.each_ref().map(|state| {
            let mut hasher = state.build_hasher();
            hasher.write_u8(kind as u8);
            provider.as_str().hash(&mut hasher);
            hasher.write(value);
            hasher.finish()
        });
        Fingerprint(u128::from(low) | u128::from(high) << 64)
    }
}

/// The records that replace all those of an index. It is filled beside the index that is in use.
pub(crate) struct Replacement {
    shards: Vec<Shard>,
    kinds: u8,
    blocks: Vec<(Fingerprint, Arc<Block>)>,
}

impl Replacement {
    /// Creates an empty replacement.
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Shard::default()).collect(), kinds: 0, blocks: Vec::new() }
    }

    /// Adds a record for `index`.
    pub(crate) fn add(&mut self, index: &RevocationIndex, record: &NewRevocation) {
        let fingerprint = index.key_fingerprint(&record.provider, &record.key);
        let entry = Entry::of(record);
        self.kinds |= kind_of(&record.key) as u8;
        if let Some(shard) = self.shards.get_mut(fingerprint.shard()) {
            shard.entry(fingerprint).and_modify(|known| *known = known.join(entry)).or_insert(entry);
        }
        if record.is_block() {
            self.blocks.push((fingerprint, Block::of(record)));
        }
    }
}

/// The kinds of keys of an index, as bits.
#[derive(Clone, Copy)]
struct Kinds(u8);

impl Kinds {
    fn contain(self, kind: Kind) -> bool {
        self.0 & kind as u8 != 0
    }
}

impl Block {
    fn of(record: &NewRevocation) -> Arc<Self> {
        Arc::new(Self {
            provider: record.provider.clone(),
            key: record.key.clone(),
            refused: AtomicU64::new(0),
            streams_cut: AtomicU64::new(0),
        })
    }
}

impl Fingerprint {
    /// Returns the shard, from other bits than the map in the shard uses.
    fn shard(self) -> usize {
        (self.0 >> 116) as usize % SHARDS
    }
}

impl Entry {
    fn of(record: &NewRevocation) -> Self {
        let issued_before = if record.key.is_one_token() { Timestamp::MAX } else { record.issued_before };
        Self { issued_before, expires_at: record.expires_at }
    }

    fn join(self, other: Self) -> Self {
        Self {
            issued_before: self.issued_before.max(other.issued_before),
            expires_at: self.expires_at.max(other.expires_at),
        }
    }
}

fn kind_of(key: &RevocationKey) -> Kind {
    match key {
        RevocationKey::TokenId(_) => Kind::TokenId,
        RevocationKey::Session(_) => Kind::Session,
        RevocationKey::Subject(_) => Kind::Subject,
        RevocationKey::Client(_) => Kind::Client,
        RevocationKey::TokenHash(_) => Kind::TokenHash,
        RevocationKey::Actor(_) => Kind::Actor,
    }
}

impl Default for RevocationIndex {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RevocationIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RevocationIndex({} keys)", self.len())
    }
}

/// A hasher that returns a fingerprint, which is a hash already, unchanged.
#[derive(Debug, Clone, Copy, Default)]
struct AsIs(u64);

impl Hash for Fingerprint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        #[expect(clippy::cast_possible_truncation, reason = "half of the hash is a hash")]
        state.write_u64(self.0 as u64);
    }
}

impl BuildHasher for AsIs {
    type Hasher = Self;
    fn build_hasher(&self) -> Self {
        *self
    }
}

impl Hasher for AsIs {
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests;
