//! Signals by which a provider withdraws tokens: logout tokens and security events.

use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;

use crate::{
    AuthnError, BearerToken, ClaimPath, Excerpt, HttpError, Outage, Rejection, SessionId, Subject, Timestamp,
    TokenId, TokenRequestError,
};

/// Verifies signals of a provider. Each kind of signal has a validator of its own: a logout token is never taken as a
/// security event, nor the reverse.
///
/// ```
/// use std::time::Duration;
///
/// use async_trait::async_trait;
/// use scopegate_provider::{BearerToken, Outage, Rejection, Signal, SignalError, SignalSupport, Signals};
///
/// /// Takes no signals.
/// struct NoSignals;
///
/// #[async_trait]
/// impl Signals for NoSignals {
///     fn takes_logout_tokens(&self) -> bool {
///         false
///     }
///
///     async fn logout(&self, _: &BearerToken) -> Result<Signal, SignalError> {
///         Err(Rejection::Inactive.into())
///     }
///
///     fn takes_security_events(&self) -> bool {
///         false
///     }
///
///     fn admits_push(&self, _authorization: Option<&[u8]>) -> bool {
///         false
///     }
///
///     async fn security_event(&self, _: &BearerToken) -> Result<Signal, SignalError> {
///         Err(Rejection::Inactive.into())
///     }
///
///     fn silent_after(&self) -> Option<Duration> {
///         None
///     }
///
///     async fn support(&self) -> Result<SignalSupport, Outage> {
///         Ok(SignalSupport::default())
///     }
/// }
/// ```
#[async_trait]
pub trait Signals: Send + Sync {
    /// Returns `true` if logout tokens are taken (OpenID Connect Back-Channel Logout 1.0).
    fn takes_logout_tokens(&self) -> bool;

    /// Verifies a logout token.
    ///
    /// # Errors
    /// The first check that fails, or an outage if the provider's keys cannot be had.
    async fn logout(&self, token: &BearerToken) -> Result<Signal, SignalError>;

    /// Returns `true` if security events are taken (RFC 8417, Shared Signals Framework 1.0).
    fn takes_security_events(&self) -> bool;

    /// Returns `true` if a push with this `Authorization` header comes from the transmitter, as far as the settings ask
    /// for one.
    fn admits_push(&self, authorization: Option<&[u8]>) -> bool;

    /// Verifies a security event token.
    ///
    /// # Errors
    /// The first check that fails, or an outage if the transmitter's keys cannot be had.
    async fn security_event(&self, token: &BearerToken) -> Result<Signal, SignalError>;

    /// Returns the longest time without an event after which the stream of security events counts as silent.
    fn silent_after(&self) -> Option<Duration>;

    /// Returns the facts of the provider's metadata about signals, for checks of a configuration.
    async fn support(&self) -> Result<SignalSupport, Outage>;

    /// Returns the stream of security events, if its transmitter can be called.
    fn stream(&self) -> Option<&dyn EventStream> {
        None
    }
}

/// A stream of security events, as its transmitter keeps it: this receiver is the client (Shared Signals Framework 1.0,
/// section 8; RFC 8936).
///
/// ```
/// use std::time::Duration;
///
/// use async_trait::async_trait;
/// use scopegate_provider::{EventStream, PollAnswer, PolledEvents, StreamError, StreamReport};
///
/// /// A stream that its transmitter's operator manages: it is neither polled nor verified.
/// struct Managed;
///
/// #[async_trait]
/// impl EventStream for Managed {
///     fn poll_every(&self) -> Option<Duration> {
///         None
///     }
///
///     async fn poll(&self, _: &PollAnswer) -> Result<PolledEvents, StreamError> {
///         Err(StreamError::NotConfigured("poll"))
///     }
///
///     fn verify_every(&self) -> Option<Duration> {
///         None
///     }
///
///     async fn verify(&self, _: Option<&str>) -> Result<(), StreamError> {
///         Err(StreamError::NotConfigured("stream"))
///     }
///
///     async fn register(&self, _: Option<&str>) -> Result<StreamReport, StreamError> {
///         Err(StreamError::NotConfigured("stream"))
///     }
///
///     async fn status(&self, _: Option<&str>) -> Result<StreamReport, StreamError> {
///         Err(StreamError::NotConfigured("stream"))
///     }
/// }
/// ```
#[async_trait]
pub trait EventStream: Send + Sync {
    /// Returns the interval at which events are polled; nothing if they are only pushed.
    fn poll_every(&self) -> Option<Duration>;

    /// Polls once: acknowledges the events that were handled and fetches those that wait.
    ///
    /// # Errors
    /// The transmitter does not answer as it should. Nothing counts as acknowledged then.
    async fn poll(&self, answer: &PollAnswer) -> Result<PolledEvents, StreamError>;

    /// Returns the interval at which a node asks for a verification event; nothing if it does not.
    fn verify_every(&self) -> Option<Duration>;

    /// Returns `true` if the settings say how the stream is managed at its transmitter: then its state is read now and then.
    fn is_managed(&self) -> bool {
        false
    }

    /// Asks the transmitter for a verification event, which then arrives as every event does. `endpoint` is the URL to
    /// which events are pushed.
    ///
    /// # Errors
    /// The transmitter does not answer as it should.
    async fn verify(&self, endpoint: Option<&str>) -> Result<(), StreamError>;

    /// Creates the stream, with pushes to `endpoint` unless the settings poll.
    ///
    /// # Errors
    /// As [`EventStream::verify`], and [`StreamError::Exists`].
    async fn register(&self, endpoint: Option<&str>) -> Result<StreamReport, StreamError>;

    /// Reads the stream and its status.
    ///
    /// # Errors
    /// As [`EventStream::verify`], and [`StreamError::NoStream`].
    async fn status(&self, endpoint: Option<&str>) -> Result<StreamReport, StreamError>;
}

/// The receiver's answer about events of earlier polls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PollAnswer {
    /// The ids of events whose effect is durable.
    pub handled: Vec<Box<str>>,
    /// The ids of events that were refused.
    pub refused: Vec<(Box<str>, RefusedEvent)>,
    /// `true` if no further events are fetched.
    pub only_acknowledge: bool,
}

/// The reason why an event was refused (RFC 8935, section 2.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedEvent {
    /// The code.
    pub code: &'static str,
    /// The description, for people.
    pub description: String,
}

/// The events of a poll.
#[derive(Debug, Clone, Default)]
pub struct PolledEvents {
    /// The events by their ids; nothing for what cannot be a token.
    pub events: Vec<(Box<str>, Option<BearerToken>)>,
    /// `true` if more of them wait.
    pub more: bool,
}

/// A stream, as its transmitter describes it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct StreamReport {
    /// Its id.
    pub id: String,
    /// The issuer of its events.
    pub issuer: String,
    /// Their audience.
    pub audience: Vec<String>,
    /// The way in which they are delivered, if the transmitter names it.
    pub delivery: Option<StreamDelivery>,
    /// The URL to which they are pushed.
    pub endpoint: Option<String>,
    /// The types of events.
    pub events: Vec<String>,
    /// Its state, if the transmitter has said it.
    pub status: Option<StreamStatus>,
    /// The reason of its state.
    pub reason: Option<String>,
    /// The differences because of which its events would be refused.
    pub problems: Vec<String>,
}

/// The way in which events are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamDelivery {
    /// The transmitter sends them (RFC 8935).
    Push,
    /// The receiver fetches them (RFC 8936).
    Poll,
}

/// An error of a call to a transmitter.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StreamError {
    /// A setting that the call needs is missing.
    #[error("set `{0}`")]
    NotConfigured(&'static str),
    /// The transmitter's metadata cannot be fetched.
    #[error("the transmitter's metadata: {0}")]
    Metadata(String),
    /// The transmitter's metadata names no such endpoint.
    #[error("the transmitter's metadata name no `{0}`: it offers no such call")]
    NoEndpoint(&'static str),
    /// The transmitter gives no answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The transmitter answers with an error.
    #[error("`{url}` answered {status}{}{hint}", said.as_ref().map(|said| format!(": {said}")).unwrap_or_default())]
    Status {
        /// The URL.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The transmitter's own words.
        said: Option<Excerpt>,
        /// Advice.
        hint: &'static str,
    },
    /// The answer is not what the standard asks for.
    #[error("the answer of `{url}` is not a JSON object as the Shared Signals Framework describes it")]
    Malformed {
        /// The URL.
        url: String,
    },
    /// The transmitter keeps one stream for each receiver, and has one.
    #[error("the transmitter has a stream for this receiver already; see `status`")]
    Exists,
    /// None of the transmitter's streams is this receiver's.
    #[error(
        "none of the transmitter's {count} streams leads here; register one, or set `shared_signals.stream.id`"
    )]
    NoStream {
        /// The number of streams.
        count: usize,
    },
    /// The provider gives no token for these calls.
    #[error("no token for the stream's management: {0}; set `shared_signals.stream.token`")]
    Token(TokenRequestError),
}

/// A verified signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// `jti`.
    pub id: Box<str>,
    /// `iat`.
    pub issued_at: Timestamp,
    /// `exp`, which security events do not have.
    pub expires_at: Option<Timestamp>,
    /// The type of the event: a URI.
    pub event: Box<str>,
    /// The effect.
    pub effect: SignalEffect,
    /// The reason why the effect probably matches no token.
    pub doubt: Option<NoEffect>,
}

/// The effect of a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignalEffect {
    /// Tokens are withdrawn.
    Withdraw(Vec<Withdrawal>),
    /// The transmitter shows that the stream works (Shared Signals Framework 1.0, section 8.1.4).
    Verification {
        /// The state of the receiver's request.
        state: Option<Box<str>>,
    },
    /// The state of the stream has changed (section 8.1.5).
    StreamUpdated(StreamStatus),
    /// None.
    Nothing(NoEffect),
}

/// The tokens that a signal withdraws.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawal {
    /// The property by which they are matched.
    pub target: SignalTarget,
    /// The moment before which they were issued; nothing blocks the target until an administrator lifts the block.
    pub issued_before: Option<Timestamp>,
}

/// The property by which a signal matches tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignalTarget {
    /// The token of this id.
    TokenId(TokenId),
    /// The tokens of a session.
    Session(SessionId),
    /// The tokens of a subject, by its `sub` or one of its aliases.
    Subject(Subject),
}

/// The state of a stream of security events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamStatus {
    /// Events are sent.
    Enabled,
    /// Events are kept, and sent later.
    Paused,
    /// Events are neither sent nor kept.
    Disabled,
}

impl StreamStatus {
    /// Parses the name that the standard uses.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Enabled, Self::Paused, Self::Disabled].into_iter().find(|status| status.as_str() == name)
    }

    /// Returns the name that the standard uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
        }
    }
}

/// The reason why a verified signal has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NoEffect {
    /// The type of the event is unknown.
    UnknownEvent,
    /// The settings only record events of this type.
    AuditOnly,
    /// The event's values call for no effect, such as a credential that was created.
    Harmless,
    /// The subject belongs to another issuer.
    ForeignSubject,
    /// No token can be matched by the subject's format.
    UnsupportedSubject,
    /// Subjects are named by email addresses, which the settings do not take.
    EmailNotEnabled,
    /// The subject has a member that the transmitter declares critical and that cannot be matched.
    CriticalMember,
    /// The signal names a session only, and no token seen so far names its session.
    NoSessionInTokens,
}

impl NoEffect {
    /// Returns the reason's name in metrics and the audit.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownEvent => "unknown_event",
            Self::AuditOnly => "audit_only",
            Self::Harmless => "harmless",
            Self::ForeignSubject => "foreign_subject",
            Self::UnsupportedSubject => "unsupported_subject",
            Self::EmailNotEnabled => "email_not_enabled",
            Self::CriticalMember => "critical_member",
            Self::NoSessionInTokens => "no_session_in_tokens",
        }
    }
}

/// The facts about signals in a provider's metadata and settings.
#[derive(Debug, Clone, Default)]
pub struct SignalSupport {
    /// `backchannel_logout_supported`.
    pub backchannel_logout: Option<bool>,
    /// `backchannel_logout_session_supported`: logout tokens name the session.
    pub backchannel_logout_session: Option<bool>,
    /// The claim that names the session in access tokens.
    pub session_claim: Option<ClaimPath>,
    /// The error of the transmitter's metadata or keys, if they could not be fetched.
    pub transmitter_problem: Option<String>,
}

/// An error of a signal.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SignalError {
    /// It does not hold.
    #[error("{0}")]
    Rejected(Rejection),
    /// The keys that verify it cannot be had now.
    #[error(transparent)]
    Unavailable(#[from] Outage),
    /// A verification event brings a `state` that this receiver has not sent.
    #[error("the `state` of the verification is not one that this receiver has sent in the last hour")]
    InvalidState,
}

impl From<Rejection> for SignalError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<AuthnError> for SignalError {
    fn from(error: AuthnError) -> Self {
        match error {
            AuthnError::Rejected(rejection) => Self::Rejected(rejection),
            AuthnError::Unavailable(outage) => Self::Unavailable(outage),
        }
    }
}

impl SignalError {
    /// Returns the error code of RFC 8935, section 2.4, of a rejection.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Self::Unavailable(_) => None,
            Self::InvalidState => Some("invalid_state"),
            Self::Rejected(Rejection::IssuerMismatch { .. }) => Some("invalid_issuer"),
            Self::Rejected(Rejection::AudienceMismatch { .. }) => Some("invalid_audience"),
            Self::Rejected(
                Rejection::UnknownKey
                | Rejection::AmbiguousKey
                | Rejection::SignatureInvalid
                | Rejection::KeyDistrusted
                | Rejection::AlgorithmNotAllowed { .. },
            ) => Some("invalid_key"),
            Self::Rejected(_) => Some("invalid_request"),
        }
    }
}
