//! What a provider may be able to do beyond judging tokens, each asked for by name.

use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;

use crate::{BearerToken, ClientId, Issuer, Outage, ScopeSet, Secret, Timestamp};

/// Asks the provider for a token with the client-credentials grant (RFC 6749, section 4.4).
#[async_trait]
pub trait RequestToken: Send + Sync {
    /// Asks for a token.
    ///
    /// # Errors
    /// [`TokenRequestError::Refused`] holds the provider's own error, to be relayed.
    async fn request_token(&self, request: TokenRequest) -> Result<TokenResponse, TokenRequestError>;
}

/// A request for a token.
#[derive(Debug, Clone, Default)]
pub struct TokenRequest {
    /// The caller's client; none asks with the client of the settings.
    pub client: Option<ClientCredentials>,
    /// What is asked for; none asks for what the settings say (`token_request_scope`).
    pub scopes: Option<ScopeSet>,
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
    /// How it is to be used; `Bearer`.
    pub token_type: String,
    /// How long it lives, if the provider says so.
    pub expires_in: Option<Duration>,
    /// What was granted, if the provider says so.
    pub scope: Option<String>,
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenRequestError {
    /// The settings hold no client to ask with, and the caller brought none.
    #[error("no client to ask with: give a client id and secret")]
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
    /// The provider does not answer as it should.
    #[error(transparent)]
    Unavailable(#[from] Outage),
}

/// Passes a revocation to the provider (RFC 7009).
#[async_trait]
pub trait RevokeToken: Send + Sync {
    /// Asks the provider to revoke the token.
    async fn revoke_token(&self, token: &BearerToken) -> Result<(), Outage>;
}

/// Says how a provider is.
#[async_trait]
pub trait Health: Send + Sync {
    /// How it is now, from memory.
    fn report(&self) -> HealthReport;

    /// Waits until it can judge tokens for the first time.
    async fn ready(&self);
}

/// How a provider is.
#[derive(Debug, Clone, Serialize)]
pub struct HealthReport {
    /// Whether it can judge tokens now.
    pub ready: bool,
    /// Whether an administrator has disabled it.
    pub disabled: bool,
    /// A part for each issuer.
    pub issuers: Vec<IssuerHealth>,
    /// How long the last introspection took, in milliseconds.
    pub introspection_latency_ms: Option<u64>,
    /// How introspections have gone, where tokens are introspected.
    pub introspections: Option<IntrospectionHealth>,
}

/// How introspections have gone since the provider was connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct IntrospectionHealth {
    /// How many the provider answered.
    pub answered: u64,
    /// How long these took together, in milliseconds.
    pub answered_ms: u64,
    /// How many brought no answer that could be used.
    pub failed: u64,
}

/// How the keys of one issuer are.
#[derive(Debug, Clone, Serialize)]
pub struct IssuerHealth {
    /// The issuer.
    pub issuer: Issuer,
    /// Its keys.
    pub keys: Vec<KeyHealth>,
    /// When the keys were fetched last.
    pub last_refresh: Option<Timestamp>,
    /// When they will be fetched next.
    pub next_refresh: Option<Timestamp>,
    /// How often the keys were fetched since the provider was connected.
    pub refreshes: u64,
    /// How often they could not be fetched.
    pub failed_refreshes: u64,
    /// Why the last fetch failed, if it did.
    pub last_error: Option<String>,
}

/// A key of an issuer.
#[derive(Debug, Clone, Serialize)]
pub struct KeyHealth {
    /// `kid`.
    pub id: Option<String>,
    /// The algorithms that it may be used with.
    pub algorithms: Vec<String>,
    /// Whether an administrator distrusts it.
    pub distrusted: bool,
}

/// Lets an administrator act on a provider's keys.
#[async_trait]
pub trait KeyControl: Send + Sync {
    /// Fetches the keys now.
    ///
    /// # Errors
    /// Why it could not; the keys are as before.
    async fn refresh(&self) -> Result<(), Outage>;

    /// Takes these key ids, and only these, as distrusted, whatever the issuer publishes.
    fn distrust(&self, kids: &[String]);

    /// Lets the provider judge tokens or not.
    fn set_disabled(&self, disabled: bool);
}
