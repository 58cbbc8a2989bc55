//! The OIDC engine: discovery, key sets, verification, introspection, token requests.
//!
//! An [`OidcProvider`] is made of [`Settings`] and a [`Context`](scopegate_provider::Context). From then on a task of its
//! own keeps the issuer's [`Metadata`] and [`KeySet`] fresh, and a token takes this way:
//!
//! 1. [`Form`] tells a JWT from an opaque token, which goes to the introspection endpoint or is refused.
//! 2. [`Jwt`] parses it, once for all callers; [`TokenRules::admit`] checks `typ`, `alg` and `iss`.
//! 3. The key comes from memory. An unknown one asks for a fetch, once in a cool-down.
//! 4. [`Admitted::check_signature`] runs on the calling thread within its [budget](BudgetedOffload), or on [`Workers`].
//! 5. [`TokenRules::validate`] checks every claim and makes the [`Principal`](scopegate_provider::Principal).
//! 6. Where the settings or the route say so, the provider is asked too (RFC 7662), and its answer checked like a token.
//!
//! A token that cannot be verified because a server does not answer is an [`Outage`](scopegate_provider::Outage), never a
//! [`Rejection`](scopegate_provider::Rejection).
//!
//! ```
//! use std::sync::Arc;
//!
//! use scopegate_oidc::{Http, OidcProvider, Settings, Workers};
//! use scopegate_provider::*;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let settings: Settings = serde_json::from_value(serde_json::json!({
//!     "issuer": "http://127.0.0.1:9",            // not in use
//!     "audience": "items-api",
//! }))?;
//! let clock = Arc::new(SystemClock::new());
//! let name = ProviderName::parse("example")?;
//! let context = Context::new(name, clock, Arc::new(Http::default()), Arc::new(Workers::start()?));
//! let provider = OidcProvider::connect(settings, context)?;
//!
//! let credentials = Credentials::bearer(BearerToken::parse("not-a-jwt")?);
//! let answer = provider.authenticate(&credentials, Freshness::Cached).await;
//! assert_eq!(answer.unwrap_err().error, Rejection::Opaque.into());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A kind of provider that is OIDC with a few values fixed is a [`Preset`]: it parses keys of its own beside the common
//! ones, fills in [`Common`], and passes the whole to [`Settings::check`].

mod algorithm;
mod budget;
mod claims;
mod client;
mod discovery;
mod dpop;
mod event_stream;
mod http;
mod id_token;
mod interner;
mod introspection;
mod issuers;
mod json;
mod jwk;
mod jwt;
mod key_set;
mod logout_token;
mod metadata;
mod provider;
mod refresh;
mod remote_keys;
mod retry;
mod rules;
mod security_event;
mod settings;
mod signer;
mod status_list;
mod token_request;
mod validate;
mod verify;
mod workers;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use budget::BudgetedOffload;
pub use discovery::{Discovery, DiscoveryError};
pub use dpop::{Dpop, Nonces};
pub use http::{
    BearerFile, DEFAULT_TIMEOUT, Http, HttpSettings, HttpSettingsError, MAX_ANSWER, is_loopback,
    is_loopback_in_browsers,
};
pub use issuers::{IssuerPattern, is_guid};
pub use jwk::{KeyPrint, KeyProblem, PublicKey};
pub use jwt::{Form, Jwt, MAX_TOKEN_BYTES};
pub use key_set::{Candidates, KeyParameter, KeyReference, KeySet, KeySetError, SkippedKey};
pub use metadata::{Metadata, MetadataError};
pub use provider::OidcProvider;
pub use rules::{Callers, ClaimsTest, RequiredClaim, TokenRules, TokenType, TokenUse};
pub use settings::{
    AlgorithmName, AnswerMember, ClaimName, ClientAuthenticationMethod, Common, Domain, DomainError,
    DpopSettings, Endpoint, EventEffect, IntrospectionSettings, IssuerSource, JwksSettings, KindRules, List,
    OpaqueTokens, PollSettings, Preset, PresetKind, PresetSettings, ProofSettings, ScopeText, Settings,
    SettingsError, SharedSignals, StatusListSettings, StreamSettings, TokenUseSetting, Validate, claim_names,
    claim_paths,
};
pub use signer::{Signer, SignerError, SigningAlgorithm, signing_input};
pub use validate::RequiredMembers;
pub use verify::{Admitted, Introspected, Signed};
pub use workers::{QUEUE_PER_THREAD, Workers};
