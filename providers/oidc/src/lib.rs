//! The OIDC engine: discovery, key sets, verification, introspection, token requests.

mod signer;

pub use signer::{Signer, SignerError, SigningAlgorithm, signing_input};
