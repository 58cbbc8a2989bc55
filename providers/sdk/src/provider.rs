//! The traits of a plugin.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::de::DeserializeOwned;

use crate::{
    Audience, AuthnFailure, Clock, Credentials, Freshness, HttpClient, Issuer, NameError, Offload, Principal,
    ProviderName, Scope, Signals, VerifyProof,
    capability::{Health, KeyControl, RequestToken, RevokeToken, SignIn},
};

/// A connected identity provider: turns a token into a principal.
///
/// A provider that wraps another implements [`Provider::inner`]. Every method with a default then forwards to the inner
/// provider, so that no capability and no change of the epoch is lost.
///
/// ```
/// use std::sync::Arc;
///
/// use async_trait::async_trait;
/// use scopegate_provider::{AuthnFailure, Credentials, Freshness, Issuer, Principal, Provider};
///
/// /// Counts nothing yet, and passes everything on.
/// #[derive(Debug)]
/// struct Counted(Arc<dyn Provider>);
///
/// #[async_trait]
/// impl Provider for Counted {
///     fn issuers(&self) -> &[Issuer] {
///         self.0.issuers()
///     }
///
///     async fn authenticate(&self, credentials: &Credentials, freshness: Freshness) -> Result<Principal, AuthnFailure> {
///         self.0.authenticate(credentials, freshness).await
///     }
///
///     fn inner(&self) -> Option<&dyn Provider> {
///         Some(&*self.0)
///     }
/// }
/// ```
#[async_trait]
pub trait Provider: Send + Sync + fmt::Debug {
    /// The issuers of this provider's tokens. An unverified `iss` selects the provider by them and does nothing else.
    fn issuers(&self) -> &[Issuer];

    /// Verifies a token: returns a [`Principal`] only if every check ran and passed.
    ///
    /// # Errors
    /// [`AuthnError::Rejected`](crate::AuthnError::Rejected) if the token is bad,
    /// [`AuthnError::Unavailable`](crate::AuthnError::Unavailable) if the provider cannot tell now, and the client of the
    /// token where its issuer vouches for it. Never a rejection for an outage, nor the reverse.
    async fn authenticate(
        &self,
        credentials: &Credentials,
        freshness: Freshness,
    ) -> Result<Principal, AuthnFailure>;

    /// The provider that this one wraps.
    fn inner(&self) -> Option<&dyn Provider> {
        None
    }

    /// Returns `true` if tokens of `issuer` belong to this provider. Differs from [`Provider::issuers`] only where the
    /// issuers are not a closed list, such as those of every tenant of Entra ID.
    fn serves(&self, issuer: &str) -> bool {
        match self.inner() {
            Some(inner) => inner.serves(issuer),
            None => self.issuers().iter().any(|known| known.as_str() == issuer),
        }
    }

    /// Returns `true` if tokens that are not JWTs may be sent to this provider. At most one provider may say so.
    fn takes_opaque_tokens(&self) -> bool {
        self.inner().is_some_and(Provider::takes_opaque_tokens)
    }

    /// A number that grows whenever something that earlier answers rested on is withdrawn: a key removed or distrusted,
    /// the provider disabled. Answers kept from an earlier epoch are not used any more.
    fn epoch(&self) -> u64 {
        self.inner().map_or(0, Provider::epoch)
    }

    /// The longest time for which a token of this provider can be valid. It bounds the time for which a revocation must
    /// be kept.
    fn max_token_lifetime(&self) -> Duration {
        self.inner().map_or(DEFAULT_MAX_TOKEN_LIFETIME, Provider::max_token_lifetime)
    }

    /// The time by which the issuer's clock may be ahead: a token may say that it was issued that much later than now.
    fn leeway(&self) -> Duration {
        self.inner().map_or(DEFAULT_LEEWAY, Provider::leeway)
    }

    /// The capability to request tokens, if the provider has it.
    fn request_token(&self) -> Option<&dyn RequestToken> {
        self.inner()?.request_token()
    }

    /// The capability to pass revocations on, if the provider has it.
    fn revoke_token(&self) -> Option<&dyn RevokeToken> {
        self.inner()?.revoke_token()
    }

    /// The capability to sign a person in, if the provider has it.
    fn sign_in(&self) -> Option<&dyn SignIn> {
        self.inner()?.sign_in()
    }

    /// The provider's health, if it reports it.
    fn health(&self) -> Option<&dyn Health> {
        self.inner()?.health()
    }

    /// The verification of DPoP proofs. Without it, tokens that are bound to a key are refused.
    fn verify_proof(&self) -> Option<&dyn VerifyProof> {
        self.inner()?.verify_proof()
    }

    /// Control over the provider's keys, if it has keys.
    fn key_control(&self) -> Option<&dyn KeyControl> {
        self.inner()?.key_control()
    }

    /// The provider's signals, if it takes any.
    fn signals(&self) -> Option<&dyn Signals> {
        self.inner()?.signals()
    }
}

/// The leeway of a provider that does not state one.
pub(crate) const DEFAULT_LEEWAY: Duration = Duration::from_secs(30);

/// The default of `max_token_lifetime`: 31 days.
pub const DEFAULT_MAX_TOKEN_LIFETIME: Duration = Duration::from_hours(31 * 24);

/// The settings of a kind of provider: the mapping under its name in `providers:`, without `kind` and `required`.
/// Deny unknown fields; whatever parses must be usable.
///
/// ```
/// use std::sync::Arc;
///
/// use async_trait::async_trait;
/// use scopegate_provider::{ConnectError, Context, Outline, Provider, Settings};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Corporate {
///     realm: String,
/// }
///
/// #[async_trait]
/// impl Settings for Corporate {
///     const KIND: &'static str = "corporate";
///
///     async fn connect(self, context: Context) -> Result<Arc<dyn Provider>, ConnectError> {
///         # let _ = (self.realm, context);
///         todo!("connect to the realm")
///     }
///
///     fn outline(&self) -> Outline {
///         Outline::default()
///     }
/// }
///
/// let settings: Corporate = serde_json::from_str(r#"{ "realm": "staff" }"#)?;
/// assert!(settings.outline().issuers.is_empty());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[async_trait]
pub trait Settings: DeserializeOwned + Send + 'static {
    /// The kind's name in the configuration, such as `okta`.
    const KIND: &'static str;

    /// Makes the provider. Succeeds while the issuer cannot be reached: the provider then answers with an outage,
    /// and recovers by itself.
    ///
    /// # Errors
    /// [`ConnectError`] for errors that do not pass with time.
    async fn connect(self, context: Context) -> Result<Arc<dyn Provider>, ConnectError>;

    /// The facts that are known without connecting, for checking a configuration.
    fn outline(&self) -> Outline {
        Outline::default()
    }

    /// The settings' JSON Schema (draft 2020-12), for editors.
    fn schema() -> serde_json::Value {
        serde_json::json!({ "type": "object" })
    }
}

/// A description of a provider from its settings alone, before anything is started.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "they are independent abilities of a provider")]
pub struct Outline {
    /// The issuers, as far as they are known.
    pub issuers: Vec<Issuer>,
    /// The audiences.
    pub audiences: Vec<Audience>,
    /// `true` if the provider can be asked about a token at any time (`fresh: true`).
    pub introspects: bool,
    /// The scopes that its tokens can carry, if the settings say so.
    pub scopes: Option<Vec<Scope>>,
    /// `true` if it takes opaque tokens.
    pub opaque_tokens: bool,
    /// The support for token requests, and the client that they use.
    pub token_requests: TokenRequests,
    /// `true` if it takes logout tokens (OpenID Connect Back-Channel Logout 1.0).
    pub backchannel_logout: bool,
    /// `true` if it takes security events that are pushed (RFC 8935).
    pub shared_signals: bool,
    /// Settings that are allowed but deserve a warning at every start.
    pub warnings: Vec<String>,
}

/// The support of a provider for token requests.
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

/// The services that a plugin is given.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Context {
    /// The provider's name in the configuration.
    pub name: ProviderName,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// An HTTP client with the default settings.
    pub http: Arc<dyn HttpClient>,
    /// The workers on which signatures are checked.
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

/// An error that does not pass with time: the provider cannot be made from its settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// A listener cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: String,
        /// The system's error.
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
        /// The problem, and what to write instead.
        problem: String,
    },
}
