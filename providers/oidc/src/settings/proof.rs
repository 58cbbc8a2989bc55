//! `proof`: the proofs of possession that come with tokens.

use std::time::Duration;

use schemars::JsonSchema;
use scopegate_provider::{CertificateHeader, Secret, Span};
use serde::Deserialize;

use super::{SettingsError, text::AlgorithmName};
use crate::{
    algorithm::Algorithm,
    dpop::{DEFAULT_ALGORITHMS, DEFAULT_MAX_AGE, Dpop, Nonces},
};

/// The longest age of a proof that may be configured: every proof is remembered for that long.
const LONGEST_AGE: Duration = Duration::from_mins(10);

/// `proof`: the proofs of possession that come with tokens which are bound to a key or certificate. Such tokens are refused
/// without their proof whatever is configured here.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProofSettings {
    /// DPoP proofs (RFC 9449). With this key, challenges tell clients that DPoP is accepted.
    pub dpop: Option<DpopSettings>,
    /// The header in which trusted proxies forward the certificate of their client, for tokens that are bound to it (RFC
    /// 8705). The proxy has to set it on every request, in place of what the client sent.
    pub certificate_header: Option<CertificateHeader>,
}

/// `proof.dpop`: DPoP proofs (RFC 9449).
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DpopSettings {
    /// The accepted signature algorithms: ES256, ES384, RS256, PS256 and `EdDSA` by default.
    pub algorithms: Option<Vec<AlgorithmName>>,
    /// The age up to which a proof is accepted: 60s by default, 10m at most. The provider's leeway is added.
    pub max_age: Option<Span>,
    /// `true` if each proof must hold a nonce of this server: clients get one with the first refusal.
    pub nonce: bool,
    /// The secret from which the nonces are derived, for nodes that accept each other's. Each process has its own by default.
    pub nonce_secret: Option<Secret>,
}

impl ProofSettings {
    /// Checks that the settings can be used.
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        let Some(dpop) = &self.dpop else { return Ok(()) };
        if dpop.algorithms.as_ref().is_some_and(Vec::is_empty) {
            return Err(SettingsError::Empty { key: "proof.dpop.algorithms" });
        }
        let shortest = Duration::from_secs(1);
        if dpop.max_age.is_some_and(|age| !(shortest..=LONGEST_AGE).contains(&age.get())) {
            return Err(SettingsError::range("proof.dpop.max_age", shortest, LONGEST_AGE));
        }
        Ok(())
    }

    /// Returns the accepted DPoP proofs.
    pub(super) fn dpop(&self, leeway: Option<Span>) -> Dpop {
        let leeway = leeway.map_or(Duration::from_secs(30), Span::get);
        let Some(settings) = &self.dpop else {
            return Dpop::new(&DEFAULT_ALGORITHMS, DEFAULT_MAX_AGE, leeway)
                .with_certificate_header(self.certificate_header.clone());
        };
        let names = settings.algorithms.as_ref();
        let algorithms: Vec<Algorithm> =
            names.map_or(DEFAULT_ALGORITHMS.to_vec(), |names| names.iter().map(|name| name.0).collect());
        let nonces = match (&settings.nonce_secret, settings.nonce) {
            (_, false) => None,
            (Some(secret), true) => Some(Nonces::shared(secret.reveal().as_bytes())),
            (None, true) => Nonces::of_this_process(),
        };
        let max_age = settings.max_age.map_or(DEFAULT_MAX_AGE, Span::get);
        Dpop::new(&algorithms, max_age, leeway)
            .with_nonces(nonces)
            .advertised(true)
            .with_certificate_header(self.certificate_header.clone())
    }
}
