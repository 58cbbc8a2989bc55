//! DPoP proofs (RFC 9449): parsing, and the checks of section 4.3 but the one for replays, which needs memory.

mod nonce;
mod target;

use std::{fmt, time::Duration};

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use scopegate_provider::{
    BearerToken, CertificateHeader, ProofRequest, ProofUse, Rejection, Thumbprint, Timestamp, VerifyProof,
};
use serde_json::{Map, Value};

pub use self::nonce::Nonces;
use crate::{
    algorithm::Algorithm,
    claims,
    jwk::{PublicKey, thumbprint},
    jwt::Jwt,
};

/// The longest proof in bytes.
const MAX_PROOF: usize = 8 * 1024;

/// The longest `jti` in bytes.
const MAX_ID: usize = 256;

/// The members of a JWK that hold private material (RFC 7518, sections 6.2.2, 6.3.2 and 6.4).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// The algorithms of proofs that are accepted by default.
pub(crate) const DEFAULT_ALGORITHMS: [Algorithm; 5] =
    [Algorithm::Es256, Algorithm::Es384, Algorithm::Rs256, Algorithm::Ps256, Algorithm::EdDsa];

/// The age up to which a proof is accepted by default.
pub(crate) const DEFAULT_MAX_AGE: Duration = Duration::from_mins(1);

/// The DPoP proofs that a provider's settings accept.
pub struct Dpop {
    algorithms: Box<[Algorithm]>,
    names: Box<str>,
    max_age: Duration,
    leeway: Duration,
    nonces: Option<Nonces>,
    is_advertised: bool,
    certificate_header: Option<CertificateHeader>,
}

impl Dpop {
    /// Accepts proofs of these algorithms and this age. `leeway` is the tolerated difference of clocks.
    pub fn new(algorithms: &[Algorithm], max_age: Duration, leeway: Duration) -> Self {
        let names: Vec<&str> = algorithms.iter().map(|algorithm| algorithm.as_str()).collect();
        let names = names.join(" ").into();
        Self {
            algorithms: algorithms.into(),
            names,
            max_age,
            leeway,
            nonces: None,
            is_advertised: false,
            certificate_header: None,
        }
    }

    /// Requires a nonce of this server in each proof.
    #[must_use]
    pub fn with_nonces(self, nonces: Option<Nonces>) -> Self {
        Self { nonces, ..self }
    }

    /// Advertises DPoP in challenges.
    #[must_use]
    pub fn advertised(self, is_advertised: bool) -> Self {
        Self { is_advertised, ..self }
    }

    /// Reads the certificates of clients from a header of trusted proxies.
    #[must_use]
    pub fn with_certificate_header(self, certificate_header: Option<CertificateHeader>) -> Self {
        Self { certificate_header, ..self }
    }

    fn check_time(&self, claims: &Map<String, Value>, now: Timestamp) -> Result<Timestamp, Rejection> {
        let issued_at = claims::date(claims, "iat").ok().flatten();
        let issued_at = issued_at.ok_or(invalid("expected `iat`, a number of seconds since 1970"))?;
        if issued_at > now + self.leeway {
            return Err(invalid("its `iat` lies in the future by this server's clock"));
        }
        let expires_at = issued_at + self.max_age + self.leeway;
        if now >= expires_at {
            return Err(invalid("its `iat` is too long ago by this server's clock"));
        }
        Ok(expires_at)
    }

    fn check_nonce(&self, claims: &Map<String, Value>, now: Timestamp) -> Result<(), Rejection> {
        let Some(nonces) = &self.nonces else { return Ok(()) };
        match claims.get("nonce").and_then(Value::as_str) {
            Some(nonce) if nonces.accepts(nonce, now) => Ok(()),
            _ => Err(Rejection::NonceRequired { nonce: nonces.issue(now) }),
        }
    }
}

impl Default for Dpop {
    fn default() -> Self {
        Self::new(&DEFAULT_ALGORITHMS, DEFAULT_MAX_AGE, Duration::from_secs(30))
    }
}

impl fmt::Debug for Dpop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dpop").field("algorithms", &self.names).finish_non_exhaustive()
    }
}

impl VerifyProof for Dpop {
    fn algorithms(&self) -> &str {
        &self.names
    }

    fn is_advertised(&self) -> bool {
        self.is_advertised
    }

    fn certificate_header(&self) -> Option<&CertificateHeader> {
        self.certificate_header.as_ref()
    }

    fn claimed_key(&self, proof: &[u8]) -> Result<Thumbprint, Rejection> {
        Proof::parse(proof).map(|proof| proof.thumbprint)
    }

    /// Makes the checks of RFC 9449, section 4.3, cheap ones first.
    fn verify_proof(&self, request: &ProofRequest<'_>) -> Result<ProofUse, Rejection> {
        let proof = Proof::parse(request.proof)?;
        if proof.thumbprint != request.key {
            return Err(Rejection::ProofMismatch);
        }
        let claims = proof.jwt.claims();
        let id = text(claims, "jti").filter(|id| (1..=MAX_ID).contains(&id.len()));
        let id = id.ok_or(invalid("expected `jti`, a string of 1 to 256 bytes"))?;
        if text(claims, "htm") != Some(request.method.as_str()) {
            return Err(invalid("its `htm` is not the method of the request"));
        }
        let claimed = text(claims, "htu").ok_or(invalid("expected `htu`, the URL of the request"))?;
        let target = target::matching(claimed, request)?;
        let expires_at = self.check_time(claims, request.now)?;
        if text(claims, "ath") != Some(hash(request.token).as_str()) {
            return Err(invalid("its `ath` is not the hash of the token"));
        }
        proof.check_signature(&self.algorithms)?;
        self.check_nonce(claims, request.now)?;
        Ok(ProofUse { id: replay_id(request.key, &target, id), expires_at })
    }
}

/// A proof that is parsed. Nothing in it is verified.
struct Proof {
    jwt: Jwt,
    thumbprint: Thumbprint,
}

impl Proof {
    /// Parses a proof: one compact JWT of the type `dpop+jwt` with a public key in its header.
    fn parse(value: &[u8]) -> Result<Self, Rejection> {
        if value.len() > MAX_PROOF {
            return Err(invalid("it is longer than 8192 bytes"));
        }
        let token = BearerToken::from_bytes(value).map_err(|_| invalid("expected one compact JWT"))?;
        let jwt = Jwt::parse(&token).map_err(|_| invalid("expected one compact JWT"))?;
        let header = jwt.header().map_err(|_| invalid("its header is malformed"))?;
        let media_type = header.token_type.unwrap_or_default();
        let subtype = match media_type.split_at_checked("application/".len()) {
            Some((prefix, subtype)) if prefix.eq_ignore_ascii_case("application/") => subtype,
            _ => media_type,
        };
        if !subtype.eq_ignore_ascii_case("dpop+jwt") {
            return Err(invalid("its `typ` is not `dpop+jwt`"));
        }
        let key = public_key(&jwt)?;
        let thumbprint = thumbprint(key).map_err(|_| invalid("its `jwk` is not a usable public key"))?;
        Ok(Self { jwt, thumbprint })
    }

    fn check_signature(&self, allowed: &[Algorithm]) -> Result<(), Rejection> {
        let header = self.jwt.header().map_err(|_| invalid("its header is malformed"))?;
        let algorithm = allowed.iter().copied().find(|algorithm| algorithm.as_str() == header.algorithm);
        let algorithm = algorithm.ok_or(invalid("its `alg` is not an accepted algorithm"))?;
        let key = Value::Object(public_key(&self.jwt)?.clone());
        let key = PublicKey::parse(&key, &[algorithm])
            .map_err(|_| invalid("its `jwk` is not a usable public key of its `alg`"))?;
        if key.verifies(algorithm, self.jwt.signing_input(), self.jwt.signature()) {
            Ok(())
        } else {
            Err(invalid("its signature is invalid"))
        }
    }
}

/// Returns `jwk` of the header, which must not hold a private key.
fn public_key(jwt: &Jwt) -> Result<&Map<String, Value>, Rejection> {
    let key = jwt.header_parameter("jwk").and_then(Value::as_object);
    let key = key.ok_or(invalid("expected the public key `jwk` in its header"))?;
    if PRIVATE.iter().any(|member| key.contains_key(*member)) {
        return Err(invalid("its `jwk` holds private key material, which is public now"));
    }
    Ok(key)
}

fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    claims.get(name).and_then(Value::as_str)
}

fn invalid(detail: &'static str) -> Rejection {
    Rejection::InvalidProof { detail }
}

/// Returns `ath`: the SHA-256 of the token in base64url.
fn hash(token: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, token))
}

/// Returns the identity of a proof. It covers the key, so that a client cannot use up the identifiers of another (T2.5),
/// and each part has its length before it, so that no two triples are written alike.
fn replay_id(key: Thumbprint, target: &str, id: &str) -> [u8; 16] {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(key.as_bytes());
    for part in [target, id] {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digest = hash.finish();
    let (first, _) = digest.as_ref().split_first_chunk().unwrap_or((&[0; 16], &[]));
    *first
}

#[cfg(test)]
mod tests;
