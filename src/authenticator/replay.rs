//! The DPoP proofs that were used, so that each is accepted once on this node (RFC 9449, section 11.1).
//!
//! The memory is bounded. A proof that cannot be remembered is not accepted.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use scopegate_provider::{ProofUse, Timestamp};

/// The number of parts, each with a lock of its own. A lock is held for one insertion into a hash map.
const PARTS: usize = 64;

/// The number of proofs that a part remembers.
const PART_CAPACITY: usize = 16 * 1024;

/// The number of proofs below which a part does not look for expired ones.
const SMALL: usize = 512;

/// The time between two searches of a full part for expired proofs, and the time after which a client may try again.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Remembers the proofs that were used.
#[derive(Debug)]
pub(super) struct ReplayMemory {
    parts: Box<[Mutex<Part>]>,
    part_capacity: usize,
}

#[derive(Debug)]
struct Part {
    uses: HashMap<[u8; 16], Timestamp, ahash::RandomState>,
    /// The number of proofs at which expired ones are removed next.
    purge_at: usize,
    purged_at: Timestamp,
}

/// Reasons against the use of a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It was used before.
    Replayed,
    /// No further proof can be remembered.
    Full,
}

impl ReplayMemory {
    /// Creates a memory of about a million proofs.
    pub(super) fn new() -> Self {
        Self::of_capacity(PART_CAPACITY)
    }

    fn of_capacity(part_capacity: usize) -> Self {
        Self { parts: (0..PARTS).map(|_| Mutex::new(Part::new())).collect(), part_capacity }
    }

    /// Remembers the use of a proof whose signature holds, unless it is remembered already.
    pub(super) fn first_use(&self, used: &ProofUse, now: Timestamp) -> Result<(), Refused> {
        let [first, ..] = used.id;
        let part = self.parts.get(usize::from(first) % PARTS).ok_or(Refused::Full)?;
        let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
        part.make_room(self.part_capacity, now);
        let is_full = part.uses.len() >= self.part_capacity;
        match part.uses.entry(used.id) {
            Entry::Occupied(known) if now < *known.get() => Err(Refused::Replayed),
            Entry::Occupied(mut expired) => {
                expired.insert(used.expires_at);
                Ok(())
            }
            Entry::Vacant(_) if is_full => Err(Refused::Full),
            Entry::Vacant(place) => {
                place.insert(used.expires_at);
                Ok(())
            }
        }
    }
}

impl Part {
    fn new() -> Self {
        Self { uses: HashMap::default(), purge_at: SMALL, purged_at: Timestamp::from_millis(i64::MIN) }
    }

    /// Removes expired proofs when the part has doubled, and at most once in a while when it is full.
    fn make_room(&mut self, capacity: usize, now: Timestamp) {
        let is_due = self.uses.len() >= self.purge_at.min(capacity);
        if !is_due || now < self.purged_at + RETRY_AFTER {
            return;
        }
        self.uses.retain(|_, expires_at| now < *expires_at);
        self.purge_at = (self.uses.len() * 2).max(SMALL);
        self.purged_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_000);

    fn used(number: u128, expires_at: Timestamp) -> ProofUse {
        ProofUse { id: number.to_le_bytes(), expires_at }
    }

    /// T2.4: a proof is accepted once until it has expired.
    #[test]
    fn accepts_a_proof_once() {
        let memory = ReplayMemory::new();
        let proof = used(1, NOW + Duration::from_secs(90));
        assert_eq!(memory.first_use(&proof, NOW), Ok(()));
        assert_eq!(memory.first_use(&proof, NOW), Err(Refused::Replayed));
        let last = Timestamp::from_millis(proof.expires_at.millis() - 1);
        assert_eq!(memory.first_use(&proof, last), Err(Refused::Replayed));
        assert_eq!(memory.first_use(&used(2, proof.expires_at), NOW), Ok(()));
    }

    /// T2.4: a full memory refuses proofs rather than forget one that could be replayed.
    #[test]
    fn a_full_memory_refuses_further_proofs_until_some_expire() {
        let memory = ReplayMemory::of_capacity(4);
        let later = NOW + Duration::from_secs(90);
        let uses = (0..4).map(|number| used(number << 8, later));
        assert!(uses.into_iter().all(|proof| memory.first_use(&proof, NOW).is_ok()));
        assert_eq!(memory.first_use(&used(9 << 8, later), NOW), Err(Refused::Full));
        assert_eq!(memory.first_use(&used(0, later), NOW), Err(Refused::Replayed));
        assert_eq!(memory.first_use(&used(9 << 8, later + RETRY_AFTER), later), Ok(()));
    }

    #[test]
    fn expired_proofs_are_forgotten() {
        let memory = ReplayMemory::new();
        for number in 0..100_000_u128 {
            let now = NOW + Duration::from_secs(u64::try_from(number / 100).unwrap());
            memory.first_use(&used(number << 8, now + Duration::from_secs(2)), now).unwrap();
        }
        let kept: usize = memory.parts.iter().map(|part| part.lock().unwrap().uses.len()).sum();
        assert!(kept < 2 * SMALL, "{kept}");
    }
}
