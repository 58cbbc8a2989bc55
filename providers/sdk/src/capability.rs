//! Optional capabilities of a provider beyond authentication.

use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;

use crate::{BearerToken, ClientId, Issuer, Outage, Rejection, ScopeSet, Secret, Timestamp};

/// Requests tokens from the provider with the client-credentials grant (RFC 6749, section 4.4).
///
/// ```
/// use async_trait::async_trait;
/// use scopegate_provider::{RequestToken, TokenRequest, TokenRequestError, TokenResponse};
///
/// /// Accepts no client.
/// struct Closed;
///
/// #[async_trait]
/// impl RequestToken for Closed {
///     async fn request_token(&self, request: TokenRequest) -> Result<TokenResponse, TokenRequestError> {
///         let _ = request.client.ok_or(TokenRequestError::NoClient)?;
///         Err(TokenRequestError::Refused {
///             status: 401,
///             error: "invalid_client".to_owned(),
///             description: None,
///             retry_after: None,
///         })
///     }
/// }
/// ```
#[async_trait]
pub trait RequestToken: Send + Sync {
    /// Requests a token.
    ///
    /// # Errors
    /// [`TokenRequestError::Refused`] holds the provider's own error, to be relayed.
    async fn request_token(&self, request: TokenRequest) -> Result<TokenResponse, TokenRequestError>;
}

/// A request for a token.
#[derive(Debug, Clone, Default)]
pub struct TokenRequest {
    /// The caller's client; without one, the client of the settings is used.
    pub client: Option<ClientCredentials>,
    /// The requested scopes; without them, those of the settings (`token_request_scope`).
    pub scopes: Option<ScopeSet>,
    /// The resources that the token is for (RFC 8707); without them, those of the settings (`token_request_resource`).
    pub resources: Vec<String>,
}

/// A client and its secret (RFC 6749, section 2.3.1).
#[derive(Debug, Clone)]
pub struct ClientCredentials {
    /// The client's id.
    pub id: ClientId,
    /// Its secret.
    pub secret: Secret,
}

/// The provider's answer (RFC 6749, section 5.1).
#[derive(Debug, Clone)]
pub struct TokenResponse {
    /// The token.
    pub access_token: BearerToken,
    /// The scheme for its use; `Bearer`.
    pub token_type: String,
    /// Its lifetime, if the provider names it.
    pub expires_in: Option<Duration>,
    /// The granted scope, if the provider names it.
    pub scope: Option<String>,
}

/// An error of a token request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenRequestError {
    /// Neither the settings nor the caller name a client.
    #[error("no client to request a token as: give a client id and secret")]
    NoClient,
    /// The provider refused (RFC 6749, section 5.2).
    #[error("the provider refused: {error}{}", description.as_deref().map(|d| format!(" ({d})")).unwrap_or_default())]
    Refused {
        /// The HTTP status of the provider's answer.
        status: u16,
        /// `error`.
        error: String,
        /// `error_description`.
        description: Option<String>,
        /// `Retry-After`, where the provider throttles.
        retry_after: Option<Duration>,
    },
    /// The ID token of a sign-in does not hold.
    #[error("the ID token of the sign-in: {0}")]
    IdToken(Rejection),
    /// The provider does not answer as it should.
    #[error(transparent)]
    Unavailable(#[from] Outage),
}

/// Signs a person in with the authorization-code flow (RFC 6749, section 4.1) and PKCE (RFC 7636), as the client of the
/// settings.
///
/// ```
/// use async_trait::async_trait;
/// use scopegate_provider::{Outage, Secret, SignIn, SignInRequest, TokenRequestError, TokenResponse};
///
/// struct Portal;
///
/// #[async_trait]
/// impl SignIn for Portal {
///     async fn authorization_url(&self, request: SignInRequest<'_>) -> Result<String, Outage> {
///         Ok(format!("https://id.example/authorize?response_type=code&state={}", request.state))
///     }
///
///     async fn redeem(
///         &self,
///         _code: &str,
///         _verifier: &Secret,
///         _redirect_uri: &str,
///         _nonce: &str,
///     ) -> Result<TokenResponse, TokenRequestError> {
///         Err(TokenRequestError::NoClient)
///     }
/// }
/// ```
#[async_trait]
pub trait SignIn: Send + Sync {
    /// Returns the URL at which a browser starts the sign-in.
    ///
    /// # Errors
    /// The provider's metadata is not known yet, or names no authorization endpoint.
    async fn authorization_url(&self, request: SignInRequest<'_>) -> Result<String, Outage>;

    /// Exchanges the code that the provider returned for a token. An ID token that comes with it must hold `nonce`.
    ///
    /// # Errors
    /// As [`RequestToken::request_token`], and [`TokenRequestError::IdToken`].
    async fn redeem(
        &self,
        code: &str,
        verifier: &Secret,
        redirect_uri: &str,
        nonce: &str,
    ) -> Result<TokenResponse, TokenRequestError>;
}

/// The start of a sign-in.
#[derive(Debug, Clone, Copy)]
pub struct SignInRequest<'a> {
    /// The URL to which the provider returns the browser.
    pub redirect_uri: &'a str,
    /// A value that the provider returns unchanged: it ties the answer to this browser.
    pub state: &'a str,
    /// A value that the provider's ID token holds: it ties the token to this sign-in.
    pub nonce: &'a str,
    /// The challenge of the code verifier, by the method S256.
    pub challenge: &'a str,
    /// The requested scopes.
    pub scopes: Option<&'a ScopeSet>,
}

/// Passes a revocation to the provider (RFC 7009).
///
/// ```
/// use std::{collections::HashSet, sync::Mutex};
///
/// use async_trait::async_trait;
/// use scopegate_provider::{BearerToken, Outage, RevokeToken};
///
/// /// Keeps its tokens in memory.
/// #[derive(Default)]
/// struct Tokens(Mutex<HashSet<Vec<u8>>>);
///
/// #[async_trait]
/// impl RevokeToken for Tokens {
///     async fn revoke_token(&self, token: &BearerToken) -> Result<(), Outage> {
///         self.0.lock().unwrap().remove(token.as_bytes());
///         Ok(())
///     }
/// }
/// ```
#[async_trait]
pub trait RevokeToken: Send + Sync {
    /// Asks the provider to revoke a token.
    async fn revoke_token(&self, token: &BearerToken) -> Result<(), Outage>;
}

/// Reports the state of a provider.
///
/// ```
/// use async_trait::async_trait;
/// use scopegate_provider::{Health, HealthReport};
///
/// /// A provider whose keys are part of its settings is always ready.
/// struct FixedKeys;
///
/// #[async_trait]
/// impl Health for FixedKeys {
///     fn report(&self) -> HealthReport {
///         HealthReport {
///             ready: true,
///             disabled: false,
///             issuers: Vec::new(),
///             introspection_latency_ms: None,
///             introspections: None,
///         }
///     }
///
///     async fn ready(&self) {}
/// }
///
/// assert!(FixedKeys.report().ready);
/// ```
#[async_trait]
pub trait Health: Send + Sync {
    /// Returns the state from memory.
    fn report(&self) -> HealthReport;

    /// Waits until the provider can verify tokens.
    async fn ready(&self);

    /// Tries out the endpoints that the settings rely on and that no metadata vouch for, such as introspection with the
    /// configured client. For checks of a configuration; sends requests. Returns nothing if there is nothing to try, and
    /// the problem in words if it fails.
    async fn probe(&self) -> Option<Result<(), String>> {
        None
    }

    /// Returns the counts of status lists, if the settings use them.
    fn status_lists(&self) -> Option<StatusListHealth> {
        None
    }
}

/// The counts of status lists since the provider was connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusListHealth {
    /// The number of lists that were fetched and hold.
    pub fetched: u64,
    /// The number of fetches without a list that holds.
    pub failed: u64,
    /// The number of tokens whose `status` names other mechanisms only, which were accepted.
    pub unknown_mechanisms: u64,
}

/// The state of a provider.
#[derive(Debug, Clone, Serialize)]
pub struct HealthReport {
    /// `true` if it can verify tokens now.
    pub ready: bool,
    /// `true` if an administrator has disabled it.
    pub disabled: bool,
    /// The state of each issuer.
    pub issuers: Vec<IssuerHealth>,
    /// The duration of the last introspection in milliseconds.
    pub introspection_latency_ms: Option<u64>,
    /// The counts of introspections, if tokens are introspected.
    pub introspections: Option<IntrospectionHealth>,
}

/// The counts of introspections since the provider was connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct IntrospectionHealth {
    /// The number of answers.
    pub answered: u64,
    /// Their total duration in milliseconds.
    pub answered_ms: u64,
    /// The number of calls without a usable answer.
    pub failed: u64,
}

/// The state of the keys of one issuer.
#[derive(Debug, Clone, Serialize)]
pub struct IssuerHealth {
    /// The issuer.
    pub issuer: Issuer,
    /// Its keys.
    pub keys: Vec<KeyHealth>,
    /// The moment of the last fetch of the keys.
    pub last_refresh: Option<Timestamp>,
    /// The moment of the next fetch.
    pub next_refresh: Option<Timestamp>,
    /// The moment from which the keys are too old to be used, unless they are fetched again before.
    pub stale_at: Option<Timestamp>,
    /// The number of fetches since the provider was connected.
    pub refreshes: u64,
    /// The number of fetches that failed.
    pub failed_refreshes: u64,
    /// The error of the last fetch, if it failed.
    pub last_error: Option<String>,
}

/// A key of an issuer.
#[derive(Debug, Clone, Serialize)]
pub struct KeyHealth {
    /// `kid`.
    pub id: Option<String>,
    /// The algorithms that it may be used with.
    pub algorithms: Vec<String>,
    /// `true` if an administrator distrusts it.
    pub distrusted: bool,
}

/// Lets an administrator act on a provider's keys.
///
/// ```
/// use std::sync::{
///     Mutex,
///     atomic::{AtomicBool, Ordering},
/// };
///
/// use async_trait::async_trait;
/// use scopegate_provider::{KeyControl, Outage};
///
/// #[derive(Default)]
/// struct Keys {
///     distrusted: Mutex<Vec<String>>,
///     disabled: AtomicBool,
/// }
///
/// #[async_trait]
/// impl KeyControl for Keys {
///     async fn refresh(&self) -> Result<(), Outage> {
///         Ok(())
///     }
///
///     fn distrust(&self, kids: &[String]) {
///         *self.distrusted.lock().unwrap() = kids.to_vec();
///     }
///
///     fn set_disabled(&self, disabled: bool) {
///         self.disabled.store(disabled, Ordering::Relaxed);
///     }
/// }
///
/// let keys = Keys::default();
/// keys.distrust(&["2024-01".to_owned()]);
/// assert_eq!(*keys.distrusted.lock().unwrap(), ["2024-01"]);
/// ```
#[async_trait]
pub trait KeyControl: Send + Sync {
    /// Fetches the keys now.
    ///
    /// # Errors
    /// The error of the fetch; the keys are as before.
    async fn refresh(&self) -> Result<(), Outage>;

    /// Distrusts these key ids and no others, whatever the issuer publishes.
    fn distrust(&self, kids: &[String]);

    /// Disables or enables the provider.
    fn set_disabled(&self, disabled: bool);
}
