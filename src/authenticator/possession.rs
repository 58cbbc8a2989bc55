//! The proof of possession of tokens that are bound to a key or certificate (RFC 7800): one check for every front.
//!
//! The binding of the verified token decides which proof is needed, never the scheme with which the token was sent and
//! never a setting.

use http::{HeaderValue, Method};
use scopegate_provider::{
    AuthnError, Outage, OutageCause, Principal, Proof, ProofRequest, Rejection, Timestamp, VerifyProof,
};

use super::replay::{self, ReplayMemory};

/// The scheme with which a token was sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum TokenScheme {
    /// `Bearer` (RFC 6750), and every place other than `Authorization`.
    #[default]
    Bearer,
    /// `DPoP` (RFC 9449, section 7.1).
    Dpop,
}

/// The evidence of a request that its sender possesses keys.
#[derive(Debug, Clone, Default)]
pub(crate) struct Evidence {
    pub(crate) scheme: TokenScheme,
    /// The DPoP proof, if the request holds one. It is not verified yet.
    pub(crate) dpop: Option<Box<DpopEvidence>>,
    /// The keys of which the possession is proven already.
    pub(crate) proven: Proof,
    /// Set if the use of the proof is not remembered.
    pub(crate) is_unrecorded: bool,
}

/// A DPoP proof, and the request as the client sent it.
#[derive(Debug, Clone)]
pub(crate) struct DpopEvidence {
    /// The header's value; `None` if the header occurs more than once.
    pub(crate) proof: Option<HeaderValue>,
    pub(crate) method: Method,
    /// The origins at which the client may have called.
    pub(crate) origins: Box<[Box<str>]>,
    pub(crate) path: Box<str>,
    pub(crate) is_websocket: bool,
}

impl Evidence {
    /// The evidence of a caller that has verified the proof itself.
    pub(super) fn proven(proof: Proof) -> Self {
        Self { proven: proof, ..Self::default() }
    }

    /// The same evidence for a decision without effect, which leaves the proof to the one with effect.
    pub(crate) fn unrecorded(self) -> Self {
        Self { is_unrecorded: true, ..self }
    }

    /// Returns the keys that the request claims to possess, for a provider that compares them with the binding of the
    /// token, and the fault of a proof that cannot be read. [`Evidence::check`] verifies them after the token.
    pub(super) fn claimed(&self, verifier: Option<&dyn VerifyProof>) -> (Proof, Option<Rejection>) {
        if self.scheme == TokenScheme::Bearer {
            return (self.proven, None);
        }
        let Some(verifier) = verifier else { return (self.proven, None) };
        match self.single_proof().and_then(|proof| verifier.claimed_key(proof.as_bytes())) {
            Ok(key) => (Proof { key: Some(key), ..self.proven }, None),
            Err(fault) => (self.proven, Some(fault)),
        }
    }

    /// Checks that the sender possesses every key that the token is bound to, and returns them.
    ///
    /// # Errors
    /// The proof is missing, does not hold or was used before; an outage if no further proof can be remembered.
    pub(super) fn check(
        &self,
        principal: &Principal,
        token: &[u8],
        verifier: Option<&dyn VerifyProof>,
        replays: &ReplayMemory,
        now: Timestamp,
    ) -> Result<Proof, AuthnError> {
        let binding = principal.binding();
        if !binding.is_bound() {
            return match self.scheme {
                TokenScheme::Bearer => Ok(Proof::default()),
                TokenScheme::Dpop => Err(Rejection::NotBound.into()),
            };
        }
        match (binding.certificate, self.proven.certificate) {
            (Some(_), None) => return Err(Rejection::SenderConstrained.into()),
            (Some(bound), Some(found)) if bound != found => return Err(Rejection::ProofMismatch.into()),
            _ => {}
        }
        let proven = Proof { key: binding.key, certificate: binding.certificate };
        let Some(key) = binding.key.filter(|_| binding.key != self.proven.key) else { return Ok(proven) };
        // RFC 9449, section 7.2: a bound token with the scheme `Bearer` is refused, whatever else the request holds.
        let verifier = verifier.filter(|_| self.scheme == TokenScheme::Dpop);
        let verifier = verifier.ok_or(Rejection::SenderConstrained)?;
        let proof = self.single_proof()?;
        let dpop = self.dpop.as_deref().ok_or(MISSING)?;
        let used = verifier.verify_proof(&ProofRequest {
            proof: proof.as_bytes(),
            token,
            key,
            method: &dpop.method,
            origins: &dpop.origins,
            path: &dpop.path,
            is_websocket: dpop.is_websocket,
            now,
        })?;
        if self.is_unrecorded {
            return Ok(proven);
        }
        match replays.first_use(&used, now) {
            Ok(()) => Ok(proven),
            Err(replay::Refused::Replayed) => Err(Rejection::InvalidProof {
                detail: "it was used before; make a new proof for each request",
            }
            .into()),
            Err(replay::Refused::Full) => {
                Err(Outage::new(OutageCause::Overloaded, replay::RETRY_AFTER).into())
            }
        }
    }

    fn single_proof(&self) -> Result<&HeaderValue, Rejection> {
        let dpop = self.dpop.as_deref().ok_or(MISSING)?;
        let several = Rejection::InvalidProof { detail: "expected one header DPoP, found several" };
        dpop.proof.as_ref().ok_or(several)
    }
}

const MISSING: Rejection = Rejection::InvalidProof { detail: "expected one header DPoP, found none" };
