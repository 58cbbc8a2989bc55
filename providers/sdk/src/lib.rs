//! The contract of a scopegate identity-provider plugin.
//!
//! A plugin turns a token into a [`Principal`], or says why not: a [`Rejection`] if the token is bad, an [`Outage`] if
//! nobody can tell. What the caller may do is not its business; the policy decides that.
//!
//! This is a complete plugin. It knows its tokens by heart, which no real one should:
//!
//! ```
//! use std::sync::Arc;
//!
//! use async_trait::async_trait;
//! use scopegate_provider::*;
//!
//! #[derive(serde::Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct FixedToken {
//!     token: Secret,
//!     scopes: Vec<Scope>,
//! }
//!
//! #[derive(Debug)]
//! struct FixedTokenProvider {
//!     name: ProviderName,
//!     issuers: [Issuer; 1],
//!     token: Secret,
//!     scopes: ScopeSet,
//!     clock: Arc<dyn Clock>,
//! }
//!
//! #[async_trait]
//! impl Settings for FixedToken {
//!     const KIND: &'static str = "fixed_token";
//!
//!     async fn connect(self, context: Context) -> Result<Arc<dyn Provider>, ConnectError> {
//!         Ok(Arc::new(FixedTokenProvider {
//!             name: context.name,
//!             issuers: [Issuer::parse("fixed:token")?],
//!             token: self.token,
//!             scopes: self.scopes.into_iter().collect(),
//!             clock: context.clock,
//!         }))
//!     }
//! }
//!
//! #[async_trait]
//! impl Provider for FixedTokenProvider {
//!     fn issuers(&self) -> &[Issuer] {
//!         &self.issuers
//!     }
//!
//!     fn takes_opaque_tokens(&self) -> bool {
//!         true
//!     }
//!
//!     async fn authenticate(&self, credentials: &Credentials, _: Freshness) -> Result<Principal, AuthnFailure> {
//!         if credentials.token.reveal() != self.token.reveal() {
//!             return Err(Rejection::Inactive.into());
//!         }
//!         let now = self.clock.now();
//!         let [issuer] = &self.issuers;
//!         Ok(Principal::assert_verified(Verified {
//!             provider: self.name.clone(),
//!             issuer: issuer.clone(),
//!             subject: None,
//!             client: None,
//!             audience: Arc::default(),
//!             scopes: self.scopes.clone(),
//!             roles: Box::default(),
//!             token_id: None,
//!             session: None,
//!             issued_at: Some(now),
//!             expires_at: now + std::time::Duration::from_secs(60),
//!             leeway: std::time::Duration::ZERO,
//!             cache_until: now,
//!             claims: Claims::from_json(*b"{}"),
//!         }))
//!     }
//! }
//! # #[derive(Debug)] struct NoHttp;
//! # #[async_trait] impl HttpClient for NoHttp {
//! #     async fn send(&self, _: http::Request<bytes::Bytes>) -> Result<http::Response<bytes::Bytes>, HttpError> { unreachable!() }
//! # }
//! # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
//! # runtime.block_on(async {
//! let settings: FixedToken = serde_json::from_str(r#"{"token":"let-me-in","scopes":["items"]}"#)?;
//! # let context = Context::new(ProviderName::parse("fixed")?, Arc::new(SystemClock::new()), Arc::new(NoHttp), Arc::new(Inline));
//! let provider = settings.connect(context).await?;
//! let credentials = Credentials::bearer(BearerToken::parse("let-me-in")?);
//! let principal = provider.authenticate(&credentials, Freshness::Cached).await?;
//! assert!(principal.scopes().contains(&Scope::parse("items")?));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod capability;
mod certificate;
mod claims;
mod clock;
mod credentials;
mod error;
mod facts;
mod http;
mod names;
mod offload;
mod principal;
mod proof;
mod provider;
mod scope;
mod signals;
mod token;
mod units;

pub use capability::{
    ClientCredentials, Health, HealthReport, IntrospectionHealth, IssuerHealth, KeyControl, KeyHealth,
    RequestToken, RevokeToken, SignIn, SignInRequest, StatusListHealth, TokenRequest, TokenRequestError,
    TokenResponse,
};
pub use certificate::{CertificateFormat, CertificateHeader};
pub use claims::{ClaimPath, ClaimPathError, Claims};
pub use clock::{Clock, Sleep, SystemClock, Timestamp};
pub use credentials::{Credentials, Freshness};
pub use error::{AuthnError, AuthnFailure, Excerpt, Outage, OutageCause, Rejection};
pub use facts::{Actor, Binding, Facts, Proof, Thumbprint};
pub use http::{HttpClient, HttpError};
pub use names::{Audience, ClientId, Issuer, NameError, ProviderName, Role, SessionId, Subject, TokenId};
pub use offload::{Busy, Finished, Inline, Job, Notify, Offload};
pub use principal::{Principal, Verified};
pub use proof::{ProofRequest, ProofUse, VerifyProof};
pub use provider::{
    ConnectError, Context, DEFAULT_MAX_TOKEN_LIFETIME, Outline, Provider, Settings, TokenRequests,
};
pub use scope::{Scope, ScopeError, ScopeSet};
pub use signals::{
    EventStream, NoEffect, PollAnswer, PolledEvents, RefusedEvent, Signal, SignalEffect, SignalError,
    SignalSupport, SignalTarget, Signals, StreamDelivery, StreamError, StreamReport, StreamStatus,
    Withdrawal,
};
pub use token::{BearerToken, Secret, SecretError, TokenError};
pub use units::{ByteSize, Span, UnitError};
