//! The audit: changes with their actors, and counts of denials.

use std::{cmp::Ordering, fmt};

use async_trait::async_trait;
use scopegate_provider::{ClientId, Principal, ProviderName, Subject, Timestamp};
use serde::Serialize;
use serde_json::Value;

use super::{ChangeNumber, Page, RecordId, StoreError};

/// The actor of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A user who can run scopegate's commands on the store itself.
    System,
    /// A verified caller.
    Caller {
        /// The provider that verified the caller.
        provider: ProviderName,
        /// The subject of the token.
        subject: Option<Subject>,
        /// The client that it was issued to.
        client: Option<ClientId>,
    },
}

impl From<&Principal> for Actor {
    fn from(principal: &Principal) -> Self {
        Self::Caller {
            provider: principal.provider().clone(),
            subject: principal.subject().cloned(),
            client: principal.client().cloned(),
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("system"),
            Self::Caller { provider, subject, client } => {
                let who = subject.as_ref().map(Subject::as_str).or(client.as_ref().map(ClientId::as_str));
                write!(f, "{provider}/{}", who.unwrap_or("-"))
            }
        }
    }
}

/// The kind of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A scope was created or replaced.
    PutScope,
    /// A scope was deleted.
    DeleteScope,
    /// A route was created.
    CreateRoute,
    /// A route was replaced.
    ReplaceRoute,
    /// A route was deleted.
    DeleteRoute,
    /// Tokens were revoked.
    Revoke,
    /// A revocation was deleted.
    DeleteRevocation,
    /// A provider was disabled.
    DisableProvider,
    /// A provider was enabled.
    EnableProvider,
    /// A key was distrusted.
    DistrustKey,
    /// A key is trusted again.
    TrustKey,
    /// A provider's signal had no effect.
    Signal,
}

impl Action {
    /// Every action.
    pub const ALL: [Action; 12] = [
        Self::PutScope,
        Self::DeleteScope,
        Self::CreateRoute,
        Self::ReplaceRoute,
        Self::DeleteRoute,
        Self::Revoke,
        Self::DeleteRevocation,
        Self::DisableProvider,
        Self::EnableProvider,
        Self::DistrustKey,
        Self::TrustKey,
        Self::Signal,
    ];

    /// Returns the action's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PutScope => "put_scope",
            Self::DeleteScope => "delete_scope",
            Self::CreateRoute => "create_route",
            Self::ReplaceRoute => "replace_route",
            Self::DeleteRoute => "delete_route",
            Self::Revoke => "revoke",
            Self::DeleteRevocation => "delete_revocation",
            Self::DisableProvider => "disable_provider",
            Self::EnableProvider => "enable_provider",
            Self::DistrustKey => "distrust_key",
            Self::TrustKey => "trust_key",
            Self::Signal => "signal",
        }
    }

    /// Parses the name that [`Action::as_str`] returns.
    ///
    /// # Errors
    /// There is no such action.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        let found = Self::ALL.into_iter().find(|action| action.as_str() == text);
        found.ok_or(StoreError::Corrupt { what: "an action" })
    }
}

/// A change, kept in the transaction that made it.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRecord {
    /// Its id.
    pub id: RecordId,
    /// The moment of the change.
    pub at: Timestamp,
    /// The actor.
    pub actor: Actor,
    /// The kind of the change.
    pub action: Action,
    /// The name of the scope or provider, or the id of the route or revocation.
    pub name: String,
    /// The content since then.
    pub detail: Value,
    /// The number of the change.
    pub change: ChangeNumber,
}

/// The number of denials of one kind in one minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DenialCount {
    /// The start of the minute.
    pub minute: Timestamp,
    /// The route that decided, if there was one.
    pub route: String,
    /// The reason in the one vocabulary.
    pub reason: String,
    /// The client of the token, if one was verified.
    pub client: String,
    /// The number of denials.
    pub count: u64,
}

impl DenialCount {
    /// Shortens the texts to a length that an index takes: PostgreSQL's, at most 2,700 bytes for all of a key.
    pub(crate) fn bounded(self) -> Self {
        Self { route: cut(self.route), reason: cut(self.reason), client: cut(self.client), ..self }
    }

    pub(crate) fn latest_first(&self, other: &Self) -> Ordering {
        let place = |denial: &Self| (denial.route.clone(), denial.reason.clone(), denial.client.clone());
        other.minute.cmp(&self.minute).then_with(|| place(self).cmp(&place(other)))
    }
}

/// At most this many bytes of a text are kept in a count of denials.
const LONGEST: usize = 800;

fn cut(mut text: String) -> String {
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST - '…'.len_utf8()));
        text.push('…');
    }
    text
}

/// A time range: from `from` on, before `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// Its first moment.
    pub from: Timestamp,
    /// The first moment after it.
    pub to: Timestamp,
}

impl Period {
    /// All of time.
    pub const ALWAYS: Period = Period { from: Timestamp::from_millis(i64::MIN), to: Timestamp::MAX };

    pub(crate) fn contains(self, at: Timestamp) -> bool {
        self.from <= at && at < self.to
    }
}

/// Access to the audit. Records of changes are written with the change itself.
#[async_trait]
pub trait Audit: Send + Sync {
    /// Returns at most `limit` records of a time range in the order of their changes, those after `after`.
    async fn audit(
        &self,
        period: Period,
        after: Option<&RecordId>,
        limit: usize,
    ) -> Result<Page<AuditRecord>, StoreError>;

    /// Records a provider's signal that changed nothing. `name` is the provider's.
    async fn record_signal(&self, by: &Actor, name: &str, detail: Value) -> Result<(), StoreError>;

    /// Adds to the counts of denials.
    async fn count_denials(&self, denials: Vec<DenialCount>) -> Result<(), StoreError>;

    /// Returns the denials of a time range, latest minutes first, at most `limit` entries.
    async fn denials(&self, period: Period, limit: usize) -> Result<Vec<DenialCount>, StoreError>;

    /// Removes records and denials from before `before`.
    async fn forget_audit(&self, before: Timestamp) -> Result<(), StoreError>;
}
