//! The proof of possession of tokens that are bound to a key or certificate (RFC 7800): one check for every front.
//!
//! The binding of the verified token decides which proof is needed, never the scheme with which the token was sent and
//! never a setting.

use http::{HeaderValue, Method};
use scopegate_provider::{
    AuthnError, CertificateFormat, Outage, OutageCause, Principal, Proof, ProofRequest, Rejection,
    Thumbprint, Timestamp, VerifyProof,
};

use super::{
    forwarded_certificate,
    replay::{self, ReplayMemory},
};

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
    /// The certificate of the client, if there is one. A forwarded one is not read yet.
    pub(crate) certificate: Option<CertificateEvidence>,
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

/// The certificate of a client, whose key the client possesses: the TLS handshake has shown it.
#[derive(Debug, Clone)]
pub(crate) enum CertificateEvidence {
    /// The certificate of the client's own connection.
    Own(Thumbprint),
    /// The value of the header in which a trusted proxy forwards the certificate.
    Forwarded(HeaderValue, CertificateFormat),
    /// Several headers: one may be the client's own (T3.2).
    Several,
}

impl CertificateEvidence {
    /// Returns the thumbprint of the certificate, if there is one.
    fn thumbprint(&self) -> Result<Option<Thumbprint>, Rejection> {
        match self {
            Self::Own(thumbprint) => Ok(Some(*thumbprint)),
            Self::Forwarded(value, format) => forwarded_certificate::thumbprint(value.as_bytes(), *format),
            Self::Several => Err(Rejection::InvalidCertificate {
                detail: "expected one header with the certificate, found several",
            }),
        }
    }
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
        let mut claimed = self.proven;
        let mut fault = None;
        match self.certificate() {
            Ok(certificate) => claimed.certificate = certificate,
            Err(unreadable) => fault = Some(unreadable),
        }
        let Some(verifier) = verifier.filter(|_| self.scheme == TokenScheme::Dpop) else {
            return (claimed, fault);
        };
        match self.single_proof().and_then(|proof| verifier.claimed_key(proof.as_bytes())) {
            Ok(key) => claimed.key = Some(key),
            Err(unreadable) => fault = Some(unreadable),
        }
        (claimed, fault)
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
        if let Some(bound) = binding.certificate {
            match self.certificate()? {
                None => return Err(Rejection::SenderConstrained.into()),
                Some(found) if found != bound => return Err(Rejection::ProofMismatch.into()),
                Some(_) => {}
            }
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

    /// Returns the thumbprint of the client's certificate, if it has one.
    fn certificate(&self) -> Result<Option<Thumbprint>, Rejection> {
        match (&self.certificate, self.proven.certificate) {
            (Some(certificate), None) => certificate.thumbprint(),
            (_, proven) => Ok(proven),
        }
    }

    fn single_proof(&self) -> Result<&HeaderValue, Rejection> {
        let dpop = self.dpop.as_deref().ok_or(MISSING)?;
        let several = Rejection::InvalidProof { detail: "expected one header DPoP, found several" };
        dpop.proof.as_ref().ok_or(several)
    }
}

const MISSING: Rejection = Rejection::InvalidProof { detail: "expected one header DPoP, found none" };
