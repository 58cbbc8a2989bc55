//! The OIDC engine: discovery, key sets, verification, introspection, token requests.

mod algorithm;
mod claims;
mod client;
mod discovery;
mod http;
mod introspection;
mod json;
mod judge;
mod jwk;
mod jwt;
mod key_set;
mod keys;
mod metadata;
mod provider;
mod refresh;
mod retry;
mod rules;
mod settings;
mod signer;
mod token_request;
mod verify;
mod workers;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use discovery::{Discovery, DiscoveryError};
pub use http::{DEFAULT_TIMEOUT, Http, HttpSettings, HttpSettingsError, MAX_ANSWER, is_loopback};
pub use judge::RequiredMembers;
pub use jwk::{KeyPrint, KeyProblem, PublicKey};
pub use jwt::{Jwt, MAX_TOKEN_BYTES, Shape};
pub use key_set::{Candidates, KeySet, KeySetError, SkippedKey};
pub use metadata::{Metadata, MetadataError};
pub use provider::OidcProvider;
pub use rules::{RequiredClaim, TokenRules, TokenType, TokenUse};
pub use settings::{
    AlgorithmName, ClaimName, ClientAuthenticationMethod, Common, Domain, DomainError, Endpoint,
    IntrospectionSettings, JwksSettings, List, OpaqueTokens, Preset, ScopeText, Settings, SettingsError,
    TokenUseSetting, Validate,
};
pub use signer::{Signer, SignerError, SigningAlgorithm, signing_input};
pub use verify::{Admitted, Introspected, Signed};
pub use workers::{QUEUE_PER_THREAD, Workers};
