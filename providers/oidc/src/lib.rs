//! The OIDC engine: discovery, key sets, verification, introspection, token requests.

mod algorithm;
mod claims;
mod json;
mod judge;
mod jwk;
mod jwt;
mod key_set;
mod rules;
mod signer;
mod verify;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use judge::RequiredMembers;
pub use jwk::{KeyPrint, KeyProblem, PublicKey};
pub use jwt::{Jwt, MAX_TOKEN_BYTES, Shape};
pub use key_set::{Candidates, KeySet, KeySetError, SkippedKey};
pub use rules::{RequiredClaim, TokenRules, TokenType, TokenUse};
pub use signer::{Signer, SignerError, SigningAlgorithm, signing_input};
pub use verify::{Admitted, Introspected, Signed};
