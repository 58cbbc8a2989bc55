//! The traits of a plugin.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::de::DeserializeOwned;

use crate::{
    Audience, AuthnError, Clock, Credentials, Freshness, HttpClient, Issuer, NameError, Offload, Principal,
    ProviderName, Refused,
    capability::{Health, KeyControl, RequestToken, RevokeToken},
};

/// A connected identity provider: says who a token speaks for.
#[async_trait]
pub trait Provider: Send + Sync + fmt::Debug {
    /// The issuers whose tokens this provider judges. An unverified `iss` picks the provider by them, no more.
    fn issuers(&self) -> &[Issuer];

    /// Judges a token: a [`Principal`] only if every check ran and passed.
    ///
    /// # Errors
    /// [`AuthnError::Rejected`] if the token is bad, [`AuthnError::Unavailable`] if nobody can tell. An outage is
    /// never a rejection, nor the reverse.
    async fn authenticate(
        &self,
        credentials: &Credentials,
        freshness: Freshness,
    ) -> Result<Principal, AuthnError>;

    /// As [`Provider::authenticate`], and says whose token it was that is refused, for whoever counts refusals. A provider
    /// that does not say so itself leaves that open.
    ///
    /// # Errors
    /// [`Refused`] holds what [`Provider::authenticate`] would have said.
    async fn judge(&self, credentials: &Credentials, freshness: Freshness) -> Result<Principal, Refused> {
        self.authenticate(credentials, freshness).await.map_err(Refused::from)
    }

    /// Whether tokens that are no JWTs may be sent to this provider. One provider at most may say so.
    fn takes_opaque_tokens(&self) -> bool {
        false
    }

    /// Counts up whenever something that earlier answers rested on is withdrawn: a key removed or distrusted, the
    /// provider disabled. Answers kept from an earlier epoch are not used any more.
    fn epoch(&self) -> u64 {
        0
    }

    /// The longest that a token of this provider can be valid: it bounds how long a revocation must be kept.
    fn max_token_lifetime(&self) -> Duration {
        DEFAULT_MAX_TOKEN_LIFETIME
    }

    /// Can tokens be asked of it?
    fn request_token(&self) -> Option<&dyn RequestToken> {
        None
    }

    /// Can a revocation be passed to it?
    fn revoke_token(&self) -> Option<&dyn RevokeToken> {
        None
    }

    /// Can it say how it is?
    fn health(&self) -> Option<&dyn Health> {
        None
    }

    /// Can its keys be refreshed and distrusted?
    fn key_control(&self) -> Option<&dyn KeyControl> {
        None
    }
}

/// What `max_token_lifetime` is unless the settings say otherwise: 31 days.
pub const DEFAULT_MAX_TOKEN_LIFETIME: Duration = Duration::from_hours(31 * 24);

/// The settings of a kind of provider: what stands under its name in `providers:`, without `kind` and `required`.
/// Deny unknown fields; whatever parses must be usable.
#[async_trait]
pub trait Settings: DeserializeOwned + Send + 'static {
    /// The kind's name in the configuration, such as `okta`.
    const KIND: &'static str;

    /// Makes the provider. Succeeds while the issuer cannot be reached: the provider then answers with an outage,
    /// and recovers by itself.
    ///
    /// # Errors
    /// [`ConnectError`] for what no waiting will mend.
    async fn connect(self, context: Context) -> Result<Arc<dyn Provider>, ConnectError>;

    /// What is known without connecting, for checking a configuration.
    fn outline(&self) -> Outline {
        Outline::default()
    }

    /// The settings' JSON Schema (draft 2020-12), for editors.
    fn schema() -> serde_json::Value {
        serde_json::json!({ "type": "object" })
    }
}

/// What settings say about a provider before anything is started.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Outline {
    /// The issuers, as far as they are known.
    pub issuers: Vec<Issuer>,
    /// The audiences.
    pub audiences: Vec<Audience>,
    /// Whether it can be asked about a token now (`fresh: true`).
    pub introspects: bool,
    /// Whether it takes opaque tokens.
    pub opaque_tokens: bool,
    /// Whether tokens can be asked of it, and whether the settings hold a client for that.
    pub token_requests: TokenRequests,
    /// What is allowed but deserves a warning at every start.
    pub warnings: Vec<String>,
}

/// Whether tokens can be asked of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TokenRequests {
    /// No.
    #[default]
    Unsupported,
    /// By callers with a client of their own.
    CallersClient,
    /// Also with the client of the settings.
    ConfiguredClient,
}

/// What a plugin is given.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Context {
    /// The provider's name in the configuration.
    pub name: ProviderName,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// An HTTP client with the default settings.
    pub http: Arc<dyn HttpClient>,
    /// Where signatures are checked.
    pub offload: Arc<dyn Offload>,
}

impl Context {
    /// A context.
    pub fn new(
        name: ProviderName,
        clock: Arc<dyn Clock>,
        http: Arc<dyn HttpClient>,
        offload: Arc<dyn Offload>,
    ) -> Self {
        Self { name, clock, http, offload }
    }
}

/// What no waiting will mend: the provider cannot be made from its settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// A listener cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A name in the settings is not one.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A setting cannot be used.
    #[error("`{key}`: {problem}")]
    Setting {
        /// The setting.
        key: String,
        /// What is wrong with it and what to write instead.
        problem: String,
    },
}
