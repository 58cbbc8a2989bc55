//! Revocations: records by which tokens are refused.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use aws_lc_rs::digest;
use scopegate_provider::{
    BearerToken, ClientId, Principal, ProviderName, SessionId, Subject, Timestamp, TokenId,
};
use serde_json::{Value, json};

use super::{Actor, ChangeNumber, Page, RecordId, StoreError};

/// The key of a token that has no id: SHA-256 of a JWT's signing input (its signature may be rewritten without
/// becoming invalid), or of the whole of a token that is not a JWT.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Returns the hash of a token.
    pub fn of(token: &BearerToken) -> Self {
        let text = token.reveal();
        let is_jwt = text.bytes().filter(|byte| *byte == b'.').count() == 2;
        let input = if is_jwt { text.rsplit_once('.').map_or(text, |(input, _)| input) } else { text };
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, input.as_bytes()).as_ref());
        Self(hash)
    }

    /// Parses 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        if text.len() != 64 {
            return None;
        }
        for (index, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
        }
        Some(Self(hash))
    }

    /// Returns the bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The property by which a revocation matches tokens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RevocationKey {
    /// The one token of this id.
    TokenId(TokenId),
    /// The tokens of a session.
    Session(SessionId),
    /// The tokens of a subject.
    Subject(Subject),
    /// The tokens that were issued to a client.
    Client(ClientId),
    /// The tokens with which an actor acts for a subject (RFC 8693, section 4.1).
    Actor(Subject),
    /// The one token of this hash.
    TokenHash(TokenHash),
}

impl RevocationKey {
    /// Returns the kind's name: `token_id`, `session`, `subject`, `client`, `actor`, `token_hash`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::TokenId(_) => "token_id",
            Self::Session(_) => "session",
            Self::Subject(_) => "subject",
            Self::Client(_) => "client",
            Self::Actor(_) => "actor",
            Self::TokenHash(_) => "token_hash",
        }
    }

    /// Returns the value's text.
    pub fn value(&self) -> String {
        match self {
            Self::TokenId(id) => id.to_string(),
            Self::Session(session) => session.to_string(),
            Self::Subject(subject) | Self::Actor(subject) => subject.to_string(),
            Self::Client(client) => client.to_string(),
            Self::TokenHash(hash) => hash.to_string(),
        }
    }

    /// Parses a kind and a value as [`RevocationKey::kind`] and [`RevocationKey::value`] return them.
    pub fn from_parts(kind: &str, value: &str) -> Option<Self> {
        match kind {
            "token_id" => TokenId::parse(value).ok().map(Self::TokenId),
            "session" => SessionId::parse(value).ok().map(Self::Session),
            "subject" => Subject::parse(value).ok().map(Self::Subject),
            "client" => ClientId::parse(value).ok().map(Self::Client),
            "actor" => Subject::parse(value).ok().map(Self::Actor),
            "token_hash" => TokenHash::parse(value).map(Self::TokenHash),
            _ => None,
        }
    }

    /// Returns the keys by which a revocation matches the principal's token, beside the token's hash.
    pub fn of_principal(principal: &Principal) -> Vec<Self> {
        let actor = principal.actor().and_then(|actor| Subject::parse(&actor.id).ok());
        let keys = [
            principal.token_id().cloned().map(Self::TokenId),
            principal.session().cloned().map(Self::Session),
            principal.subject().cloned().map(Self::Subject),
            principal.client().cloned().map(Self::Client),
            actor.map(Self::Actor),
        ];
        let aliases = principal.aliases().iter().cloned().map(Self::Subject);
        keys.into_iter().flatten().chain(aliases).collect()
    }

    /// Returns `true` if it names one token, which is then refused whenever it was issued.
    pub fn is_one_token(&self) -> bool {
        match self {
            Self::TokenId(_) | Self::TokenHash(_) => true,
            Self::Session(_) | Self::Subject(_) | Self::Client(_) | Self::Actor(_) => false,
        }
    }
}

/// A revocation to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRevocation {
    /// The provider of the tokens: keys are unique for one provider only.
    pub provider: ProviderName,
    /// The property by which the tokens are matched.
    pub key: RevocationKey,
    /// Tokens issued before this moment are refused, and those that do not state when they were issued. A token's
    /// `iat` counts whole seconds, so that one issued later in the same second is refused too. Has no meaning if the
    /// key names one token.
    pub issued_before: Timestamp,
    /// The moment from which no token that it matches can be valid; [`Timestamp::MAX`] for a block.
    pub expires_at: Timestamp,
    /// The reason, for people.
    pub reason: Option<String>,
}

/// A recorded revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Its id.
    pub id: RecordId,
    /// The record.
    pub record: NewRevocation,
    /// The moment at which it was recorded.
    pub created_at: Timestamp,
    /// The change that recorded or deleted it.
    pub change: ChangeNumber,
    /// `true` if it was deleted.
    pub deleted: bool,
    /// The number of requests that a block has refused.
    pub refused: u64,
    /// The number of streams that a block has cut.
    pub streams_cut: u64,
}

/// Requests refused and streams cut by the block of a key, to be added to its counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockCount {
    /// The provider of the tokens.
    pub provider: ProviderName,
    /// The property by which the tokens are matched.
    pub key: RevocationKey,
    /// The number of requests refused.
    pub refused: u64,
    /// The number of streams cut.
    pub streams_cut: u64,
}

impl NewRevocation {
    /// Creates a block: a revocation that refuses the tokens, whenever they were issued, until it is lifted (deleted).
    pub fn block(provider: ProviderName, key: RevocationKey, reason: Option<String>) -> Self {
        Self { provider, key, issued_before: Timestamp::MAX, expires_at: Timestamp::MAX, reason }
    }

    /// Returns `true` if it holds until it is lifted.
    pub fn is_block(&self) -> bool {
        self.expires_at == Timestamp::MAX
    }

    /// Returns `true` if another record of the same key adds nothing: both are blocks, or the other withdraws the same
    /// tokens until a moment that is at most a minute later.
    pub fn covers(&self, other: &Self) -> bool {
        self.is_block() == other.is_block()
            && self.issued_before >= other.issued_before
            && self.expires_at + Duration::from_mins(1) >= other.expires_at
    }
}

impl Revocation {
    /// Numbers records as one change makes them.
    pub(crate) fn numbered(
        records: Vec<NewRevocation>,
        now: Timestamp,
        change: ChangeNumber,
    ) -> impl Iterator<Item = Self> {
        records.into_iter().enumerate().map(move |(index, record)| Self {
            id: RecordId::of(change, index),
            record,
            created_at: now,
            change,
            deleted: false,
            refused: 0,
            streams_cut: 0,
        })
    }

    pub(crate) fn in_force(&self, now: Timestamp) -> bool {
        !self.deleted && now < self.record.expires_at
    }

    pub(crate) fn detail(&self) -> Value {
        if self.record.is_block() {
            return json!({
                "provider": self.record.provider,
                "kind": self.record.key.kind(),
                "value": self.record.key.value(),
                "until_lifted": true,
                "reason": self.record.reason,
            });
        }
        json!({
            "provider": self.record.provider,
            "kind": self.record.key.kind(),
            "value": self.record.key.value(),
            "issued_before": self.record.issued_before,
            "expires_at": self.record.expires_at,
            "reason": self.record.reason,
        })
    }
}

/// Access to the stored revocations. A deleted one is kept, marked, for a time, so that every node hears of it.
#[async_trait]
pub trait Revocations: Send + Sync {
    /// Records revocations: all of them or none, as one change. Many are recorded with one audit record.
    async fn revoke(&self, by: &Actor, records: Vec<NewRevocation>) -> Result<Vec<Revocation>, StoreError>;

    /// Returns at most `limit` revocations that are in force, oldest first, those after `after`. Entries that cannot be
    /// read are left out.
    async fn revocations(
        &self,
        after: Option<&RecordId>,
        limit: usize,
    ) -> Result<Page<Revocation>, StoreError>;

    /// Returns one revocation that is in force.
    async fn revocation(&self, id: &RecordId) -> Result<Revocation, StoreError>;

    /// Deletes a revocation: its tokens are accepted again, and a block is lifted.
    async fn delete_revocation(&self, by: &Actor, id: &RecordId) -> Result<ChangeNumber, StoreError>;

    /// Returns at most `limit` revocations that were recorded or deleted by a change after `seen`, in the order of
    /// (change, id), those after `after`. Expired ones and those that cannot be read are left out.
    async fn revocations_since(
        &self,
        seen: ChangeNumber,
        after: Option<(ChangeNumber, RecordId)>,
        limit: usize,
    ) -> Result<Page<Revocation>, StoreError>;

    /// Returns the revocations in force with this key: those that remain after one was deleted.
    async fn revocations_of(
        &self,
        provider: &ProviderName,
        key: &RevocationKey,
    ) -> Result<Vec<Revocation>, StoreError>;

    /// Adds to the counts of blocks.
    async fn count_blocked(&self, counts: Vec<BlockCount>) -> Result<(), StoreError>;

    /// Removes revocations that have expired. Returns their number.
    async fn purge_revocations(&self) -> Result<u64, StoreError>;
}

/// More records than this in one change share one audit record, which counts them.
pub(crate) const AUDITED_ONE_BY_ONE: usize = 100;

pub(crate) fn no_revocation(id: &RecordId) -> StoreError {
    StoreError::NotFound { what: "revocation", name: id.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(text: &str) -> TokenHash {
        TokenHash::of(&BearerToken::parse(text).unwrap())
    }

    #[test]
    fn a_jwt_with_a_rewritten_signature_has_the_same_hash() {
        assert_eq!(hash("aaaa.bbbb.cccc"), hash("aaaa.bbbb.dddd"));
        assert_ne!(hash("aaaa.bbbb.cccc"), hash("aaaa.bbbx.cccc"));
    }

    #[test]
    fn an_opaque_token_is_hashed_whole() {
        assert_ne!(hash("opaque.1"), hash("opaque.2"));
    }

    #[test]
    fn a_key_is_what_its_parts_say() {
        let keys = [
            RevocationKey::TokenId(TokenId::parse("a").unwrap()),
            RevocationKey::Session(SessionId::parse("a").unwrap()),
            RevocationKey::Subject(Subject::parse("a").unwrap()),
            RevocationKey::Client(ClientId::parse("a").unwrap()),
            RevocationKey::Actor(Subject::parse("a").unwrap()),
            RevocationKey::TokenHash(hash("a")),
        ];
        for key in keys {
            assert_eq!(RevocationKey::from_parts(key.kind(), &key.value()), Some(key));
        }
    }
}
