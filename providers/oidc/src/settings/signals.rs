//! `shared_signals`: the settings of security events.

use std::collections::BTreeMap;

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
    /// The time without any event or verification after which the stream counts as silent; never by default.
    pub silent_after: Option<Span>,
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
        Ok(())
    }
}
