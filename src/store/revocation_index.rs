//! Which tokens are revoked: asked on every request.

use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, Hash, Hasher},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
};

use arc_swap::ArcSwap;
use scopegate_provider::{ClientId, Principal, ProviderName, SessionId, Subject, Timestamp, TokenId};

use super::{NewRevocation, RevocationKey, TokenHash};

/// The revocations in force, in memory. Asking takes no lock, and costs the same for one record and for a million; while
/// there are none it is one load.
///
/// It is divided into shards, each replaced as a whole: a writer copies some hundred entries, and a reader looks into an
/// ordinary map that nobody changes.
///
/// A key is known by 128 bits of a hash that is keyed anew in each process, so that nobody can make two keys meet.
pub struct RevocationIndex {
    shards: Box<[ArcSwap<Shard>]>,
    /// The kinds of keys that there may be.
    kinds: AtomicU8,
    hashers: [ahash::RandomState; 2],
    /// Held by writers, so that the kinds agree with the entries. Readers know nothing of it.
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

#[derive(Debug, Clone, Copy)]
enum Kind {
    TokenId = 1,
    Session = 2,
    Subject = 4,
    Client = 8,
    TokenHash = 16,
}

impl RevocationIndex {
    /// An index without records.
    pub fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| ArcSwap::default()).collect(),
            kinds: AtomicU8::new(0),
            hashers: [ahash::RandomState::new(), ahash::RandomState::new()],
            writer: Mutex::new(()),
        }
    }

    /// Whether a record matches the principal's token. `token_hash` is called only if there are records by hash.
    pub fn is_revoked(
        &self,
        principal: &Principal,
        now: Timestamp,
        token_hash: impl FnOnce() -> TokenHash,
    ) -> bool {
        let kinds = self.kinds.load(Ordering::Acquire);
        if kinds == 0 {
            return false;
        }
        let has = |kind: Kind| kinds & kind as u8 != 0;
        let by = |kind: Kind, value: Option<&str>| {
            has(kind) && value.is_some_and(|value| self.matches(principal, kind, value.as_bytes(), now))
        };
        by(Kind::TokenId, principal.token_id().map(TokenId::as_str))
            || by(Kind::Session, principal.session().map(SessionId::as_str))
            || by(Kind::Subject, principal.subject().map(Subject::as_str))
            || by(Kind::Client, principal.client().map(ClientId::as_str))
            || has(Kind::TokenHash) && self.matches(principal, Kind::TokenHash, token_hash().as_bytes(), now)
    }

    /// Adds a record.
    pub fn insert(&self, record: &NewRevocation) {
        self.extend([record]);
    }

    /// Adds records.
    pub fn extend<'a>(&self, records: impl IntoIterator<Item = &'a NewRevocation>) {
        let mut kinds = 0;
        let entry = |record: &NewRevocation| {
            kinds |= kind_of(&record.key) as u8;
            (self.key_fingerprint(&record.provider, &record.key), Entry::of(record))
        };
        let mut entries: Vec<_> = records.into_iter().map(entry).collect();
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
        // After the entries: whoever sees the kind finds them.
        self.kinds.fetch_or(kinds, Ordering::Release);
    }

    /// Takes `remaining` as all records of a key, after one of them was taken back.
    pub fn replace<'a>(
        &self,
        provider: &ProviderName,
        key: &RevocationKey,
        remaining: impl IntoIterator<Item = &'a NewRevocation>,
    ) {
        let entry = remaining.into_iter().map(Entry::of).reduce(Entry::join);
        let fingerprint = self.key_fingerprint(provider, key);
        let _writing = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.change(fingerprint, |shard| match entry {
            Some(entry) => drop(shard.insert(fingerprint, entry)),
            None => drop(shard.remove(&fingerprint)),
        });
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

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.load().len()).sum()
    }

    /// Whether there is no record.
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

    fn matches(&self, principal: &Principal, kind: Kind, value: &[u8], now: Timestamp) -> bool {
        let fingerprint = self.fingerprint(principal.provider(), kind, value);
        let Some(shard) = self.shards.get(fingerprint.shard()).map(ArcSwap::load) else { return false };
        shard.get(&fingerprint).is_some_and(|entry| {
            now < entry.expires_at && principal.issued_at().is_none_or(|at| at < entry.issued_before)
        })
    }

    fn key_fingerprint(&self, provider: &ProviderName, key: &RevocationKey) -> Fingerprint {
        let kind = kind_of(key);
        match key {
            RevocationKey::TokenId(id) => self.fingerprint(provider, kind, id.as_str().as_bytes()),
            RevocationKey::Session(id) => self.fingerprint(provider, kind, id.as_str().as_bytes()),
            RevocationKey::Subject(id) => self.fingerprint(provider, kind, id.as_str().as_bytes()),
            RevocationKey::Client(id) => self.fingerprint(provider, kind, id.as_str().as_bytes()),
            RevocationKey::TokenHash(hash) => self.fingerprint(provider, kind, hash.as_bytes()),
        }
    }

    fn fingerprint(&self, provider: &ProviderName, kind: Kind, value: &[u8]) -> Fingerprint {
        let half = |state: &ahash::RandomState| {
            let mut hasher = state.build_hasher();
            hasher.write_u8(kind as u8);
            provider.as_str().hash(&mut hasher);
            hasher.write(value);
            hasher.finish()
        };
        let [low, high] = &self.hashers;
        Fingerprint(u128::from(half(low)) | u128::from(half(high)) << 64)
    }
}

impl Fingerprint {
    /// By other bits than the map in the shard goes by.
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

/// Takes a fingerprint, which is a hash already, as its own hash.
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
