//! `shared_signals`: the settings of security events.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use scopegate_provider::{Audience, Issuer, Secret, Span};
use serde::Deserialize;

use super::{
    SettingsError,
    text::{ClaimName, Endpoint, List},
};

/// `shared_signals`: security events that the provider, or a transmitter beside it, pushes (Shared Signals Framework 1.0,
/// RFC 8935).
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SharedSignals {
    /// The transmitter's issuer, byte for byte as in `iss` of its events.
    pub issuer: Option<Issuer>,
    /// The audience of this receiver, or several, as the stream's `aud` says.
    pub audience: List<Audience>,
    /// The URL of the transmitter's keys, in place of the one that its metadata names.
    pub jwks_uri: Option<Endpoint>,
    /// The `Authorization` header that a push must carry. Without it, signatures alone are checked.
    pub authorization: Option<Secret>,
    /// The claim of access tokens that holds the subject of events, if it is not `sub`: `uid` with Okta.
    pub subject_claim: Option<ClaimName>,
    /// `true` if subjects may be named by email addresses. They match tokens that hold the address in `email` and
    /// `email_verified: true`.
    pub email: bool,
    /// The effects of events, by the last part of the event type's URI, or by the whole URI for types of other standards.
    pub events: BTreeMap<String, EventEffect>,
    /// The place from which events are fetched (RFC 8936), in place of pushes or beside them.
    pub poll: Option<PollSettings>,
    /// The management of the stream at the transmitter.
    pub stream: Option<StreamSettings>,
    /// The time without any event or verification after which the stream counts as silent; never by default.
    pub silent_after: Option<Span>,
}

/// `shared_signals.poll`: events are fetched (RFC 8936).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PollSettings {
    /// The URL that the transmitter names as the stream's `endpoint_url`.
    pub url: Endpoint,
    /// The bearer token of polls.
    pub token: Option<Secret>,
    /// The interval between two polls: 30s by default, 1s to 1h.
    pub every: Option<Span>,
}

/// `shared_signals.stream`: the management of the stream (Shared Signals Framework 1.0, section 8).
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StreamSettings {
    /// The stream's id, where the transmitter keeps several for this receiver.
    pub id: Option<String>,
    /// The bearer token of these calls, with the scopes `ssf.read` and `ssf.manage`; without it the client of the
    /// provider's settings requests one.
    pub token: Option<Secret>,
    /// The interval at which a node asks for a verification event, 1m at least; never by default.
    pub verify_every: Option<Span>,
}

/// The intervals between two polls that are accepted.
const POLL_EVERY: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(1);

/// `status_list`: the lists by which the provider withdraws tokens (Token Status List, draft 20).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatusListSettings {
    /// The URLs below which lists are fetched: a token does not decide to which host this server connects.
    pub prefixes: Vec<Endpoint>,
    /// `true` if tokens without a status are refused.
    #[serde(default)]
    pub required: bool,
}

/// The effect of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventEffect {
    /// Tokens of the subject that were issued before the event are refused.
    Revoke,
    /// Tokens of the subject are refused until an administrator lifts the block.
    Block,
    /// The event is only recorded.
    Audit,
}

impl SharedSignals {
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        if self.issuer.is_none() {
            let problem = "expected the transmitter's issuer, as `iss` of its events";
            return Err(SettingsError::kind("shared_signals.issuer", problem));
        }
        if self.audience.0.is_empty() {
            let problem =
                "expected the `aud` of the stream: without it, events for any receiver would be taken";
            return Err(SettingsError::kind("shared_signals.audience", problem));
        }
        if self.authorization.as_ref().is_some_and(|secret| secret.reveal().is_empty()) {
            let problem = "expected the whole header that a push carries, such as `Bearer s3cret`";
            return Err(SettingsError::kind("shared_signals.authorization", problem));
        }
        let every = self.poll.as_ref().and_then(|poll| poll.every).map(Span::get);
        if every.is_some_and(|every| !POLL_EVERY.contains(&every)) {
            return Err(SettingsError::range(
                "shared_signals.poll.every",
                *POLL_EVERY.start(),
                *POLL_EVERY.end(),
            ));
        }
        let verify = self.stream.as_ref().and_then(|stream| stream.verify_every).map(Span::get);
        if verify.is_some_and(|every| every < Duration::from_mins(1)) {
            let least = Duration::from_mins(1);
            return Err(SettingsError::range(
                "shared_signals.stream.verify_every",
                least,
                Duration::from_hours(24 * 31),
            ));
        }
        Ok(())
    }
}
