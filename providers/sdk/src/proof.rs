//! The verification of proofs of possession (RFC 9449, RFC 8705), as a provider's settings allow them.

use http::Method;

use crate::{CertificateHeader, Rejection, Thumbprint, Timestamp};

/// A DPoP proof, and the request that it came with.
#[derive(Clone, Copy)]
pub struct ProofRequest<'a> {
    /// The value of the header `DPoP`.
    pub proof: &'a [u8],
    /// The token, as it was sent.
    pub token: &'a [u8],
    /// The key that the verified token is bound to.
    pub key: Thumbprint,
    /// The method that was decided on.
    pub method: &'a Method,
    /// The origins at which the client may have called, such as `https://api.example`.
    pub origins: &'a [Box<str>],
    /// The path as the client sent it.
    pub path: &'a str,
    /// `true` for the handshake of a `WebSocket`, whose URL clients may write with `wss`.
    pub is_websocket: bool,
    /// The time of the decision.
    pub now: Timestamp,
}

/// A proof that holds, unless it was used before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProofUse {
    /// The identity of the proof among those of all keys and targets.
    pub id: [u8; 16],
    /// The moment from which the proof is too old to be accepted.
    pub expires_at: Timestamp,
}

/// Verifies proofs of possession for the tokens of one provider.
///
/// ```
/// use scopegate_provider::{ProofRequest, ProofUse, Rejection, Thumbprint, VerifyProof};
///
/// /// Accepts no proof.
/// struct NoProofs;
///
/// impl VerifyProof for NoProofs {
///     fn algorithms(&self) -> &str {
///         "ES256"
///     }
///
///     fn is_advertised(&self) -> bool {
///         false
///     }
///
///     fn claimed_key(&self, _proof: &[u8]) -> Result<Thumbprint, Rejection> {
///         Err(Rejection::Inactive)
///     }
///
///     fn verify_proof(&self, _request: &ProofRequest<'_>) -> Result<ProofUse, Rejection> {
///         Err(Rejection::Inactive)
///     }
/// }
/// ```
pub trait VerifyProof: Send + Sync {
    /// Returns the accepted algorithms, separated by spaces, as challenges name them.
    fn algorithms(&self) -> &str;

    /// Returns `true` if the settings ask for DPoP, so that clients should learn that it is accepted.
    fn is_advertised(&self) -> bool;

    /// Returns the header in which trusted proxies forward the certificates of their clients (RFC 8705).
    fn certificate_header(&self) -> Option<&CertificateHeader> {
        None
    }

    /// Returns the thumbprint of the key that a proof holds. Its signature is not verified.
    ///
    /// # Errors
    /// [`Rejection::InvalidProof`].
    fn claimed_key(&self, proof: &[u8]) -> Result<Thumbprint, Rejection>;

    /// Verifies a proof for one request and one token.
    ///
    /// # Errors
    /// [`Rejection::InvalidProof`], [`Rejection::ProofMismatch`] or [`Rejection::NonceRequired`].
    fn verify_proof(&self, request: &ProofRequest<'_>) -> Result<ProofUse, Rejection>;
}
