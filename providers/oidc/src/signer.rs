//! Keys of our own, and tokens signed with them.

use std::fmt;

use aws_lc_rs::{
    digest, rsa,
    signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use schemars::JsonSchema;
use scopegate_provider::Secret;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The algorithms that tokens are signed with here (RFC 7518, section 3.1; RFC 8037, section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum SigningAlgorithm {
    /// ECDSA with P-256 and SHA-256: keys are made in microseconds, and every provider's consumers know it.
    #[default]
    #[serde(rename = "ES256")]
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256 and a key of 2048 bits, which takes 70 to 200 ms to make.
    #[serde(rename = "RS256")]
    Rs256,
    /// `EdDSA` with Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl SigningAlgorithm {
    /// The name in a header's `alg`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
            Self::EdDsa => "EdDSA",
        }
    }
}

impl fmt::Display for SigningAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error of a key or a signature. It holds nothing of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignerError {
    /// The cryptographic library made no key.
    #[error("no {algorithm} key could be made")]
    Generate {
        /// For which algorithm.
        algorithm: SigningAlgorithm,
    },
    /// The cryptographic library made no signature.
    #[error("the {algorithm} key could not sign")]
    Sign {
        /// With which algorithm.
        algorithm: SigningAlgorithm,
    },
    /// Not a private key that ES256 takes.
    #[error(
        "expected a private key for ES256 (P-256) as PEM, `PRIVATE KEY` or `EC PRIVATE KEY`, found something else"
    )]
    Pem,
    /// The cryptographic library does not give the key out.
    #[error("the {algorithm} key cannot be written down")]
    Export {
        /// For which algorithm it is.
        algorithm: SigningAlgorithm,
    },
}

/// A private key with its public half and the id that both go by: made here, or read.
///
/// ```
/// use scopegate_oidc::{Signer, SigningAlgorithm};
///
/// let signer = Signer::generate(SigningAlgorithm::Es256)?;
/// let claims = serde_json::json!({ "iss": "https://issuer.example" });
/// let token = signer.sign("at+jwt", claims.as_object().unwrap())?;
/// assert_eq!(token.split('.').count(), 3);
/// assert_eq!(signer.jwk()["kid"], signer.kid());
/// # Ok::<(), scopegate_oidc::SignerError>(())
/// ```
pub struct Signer {
    algorithm: SigningAlgorithm,
    key: PrivateKey,
    kid: String,
    jwk: Value,
}

enum PrivateKey {
    Ecdsa(EcdsaKeyPair),
    Rsa(Box<rsa::KeyPair>),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    /// Makes a key on this thread. For RSA better [`Signer::generate_beside`].
    ///
    /// # Errors
    /// [`SignerError::Generate`].
    pub fn generate(algorithm: SigningAlgorithm) -> Result<Self, SignerError> {
        let failed = SignerError::Generate { algorithm };
        PrivateKey::generate(algorithm).and_then(|key| Self::of(algorithm, key)).ok_or(failed)
    }

    /// Reads a private key for ES256: PEM, PKCS #8 (RFC 5958) or SEC 1 (RFC 5915).
    ///
    /// ```
    /// use scopegate_oidc::{Signer, SignerError, SigningAlgorithm};
    ///
    /// let signer = Signer::generate(SigningAlgorithm::Es256)?;
    /// assert_eq!(Signer::es256_from_pem(&signer.to_pem()?)?.kid(), signer.kid());
    /// # Ok::<(), SignerError>(())
    /// ```
    ///
    /// # Errors
    /// [`SignerError::Pem`].
    pub fn es256_from_pem(pem: &Secret) -> Result<Self, SignerError> {
        let der = private_key_der(pem.reveal()).ok_or(SignerError::Pem)?;
        let key = EcdsaKeyPair::from_private_key_der(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, &der);
        let key = PrivateKey::Ecdsa(key.map_err(|_| SignerError::Pem)?);
        Self::of(SigningAlgorithm::Es256, key).ok_or(SignerError::Pem)
    }

    /// The private key as PEM (PKCS #8), for keeping it where only its owner reads it. ES256 only.
    ///
    /// # Errors
    /// [`SignerError::Export`].
    pub fn to_pem(&self) -> Result<Secret, SignerError> {
        let failed = SignerError::Export { algorithm: self.algorithm };
        let PrivateKey::Ecdsa(key) = &self.key else { return Err(failed) };
        let der = key.to_pkcs8v1().map_err(|_| failed)?;
        let text = STANDARD.encode(der.as_ref());
        Ok(Secret::new(format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")))
    }

    fn of(algorithm: SigningAlgorithm, key: PrivateKey) -> Option<Self> {
        let public = key.public_members()?;
        let kid = thumbprint(&public);
        Some(Self { algorithm, jwk: published(public, algorithm, &kid), key, kid })
    }

    /// Makes a key; an RSA key on a thread of its own, so that nobody else waits for it.
    ///
    /// # Errors
    /// [`SignerError::Generate`].
    pub async fn generate_beside(algorithm: SigningAlgorithm) -> Result<Self, SignerError> {
        if algorithm != SigningAlgorithm::Rs256 {
            return Self::generate(algorithm);
        }
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let thread = std::thread::Builder::new().name("rsa-key".to_owned());
        let spawned = thread.spawn(move || drop(sender.send(Self::generate(algorithm))));
        let failed = SignerError::Generate { algorithm };
        spawned.map_err(|_| failed)?;
        receiver.await.map_err(|_| failed)?
    }

    /// The algorithm.
    pub fn algorithm(&self) -> SigningAlgorithm {
        self.algorithm
    }

    /// The key's id: its thumbprint (RFC 7638).
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public half as a JWK with `kid`, `alg` and `use` (RFC 7517, section 4).
    pub fn jwk(&self) -> &Value {
        &self.jwk
    }

    /// Signs claims as a compact JWS (RFC 7515, section 7.1) with `alg`, `typ` and `kid` in its header.
    ///
    /// # Errors
    /// [`SignerError::Sign`].
    pub fn sign(&self, typ: &str, claims: &Map<String, Value>) -> Result<String, SignerError> {
        self.sign_with_header(&json!({ "alg": self.algorithm.as_str(), "typ": typ, "kid": self.kid }), claims)
    }

    /// Signs claims under a header of the caller's, which is taken as it is.
    ///
    /// # Errors
    /// [`SignerError::Sign`].
    pub fn sign_with_header(
        &self,
        header: &Value,
        claims: &Map<String, Value>,
    ) -> Result<String, SignerError> {
        let mut token = signing_input(header, claims);
        let signature = self.signature(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    /// The signature of `message`, in the form that JWS gives it (RFC 7518, section 3).
    ///
    /// # Errors
    /// [`SignerError::Sign`].
    pub fn signature(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.key.sign(message).ok_or(SignerError::Sign { algorithm: self.algorithm })
    }

    /// Returns `true` if `signature` is this key's signature of `message`.
    pub fn is_signature_of(&self, message: &[u8], signature: &[u8]) -> bool {
        let (algorithm, public): (&dyn signature::VerificationAlgorithm, &[u8]) = match &self.key {
            PrivateKey::Ecdsa(key) => (&signature::ECDSA_P256_SHA256_FIXED, key.public_key().as_ref()),
            PrivateKey::Rsa(key) => (&signature::RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref()),
            PrivateKey::Ed25519(key) => (&signature::ED25519, key.public_key().as_ref()),
        };
        signature::UnparsedPublicKey::new(algorithm, public).verify(message, signature).is_ok()
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("algorithm", &self.algorithm)
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

/// Header and claims as they are signed (RFC 7515, section 5.1): both encoded, with a dot between them.
pub fn signing_input(header: &Value, claims: &Map<String, Value>) -> String {
    let mut input = URL_SAFE_NO_PAD.encode(header.to_string());
    input.push('.');
    URL_SAFE_NO_PAD.encode_string(serde_json::to_vec(claims).unwrap_or_default(), &mut input);
    input
}

impl PrivateKey {
    fn generate(algorithm: SigningAlgorithm) -> Option<Self> {
        match algorithm {
            SigningAlgorithm::Es256 => {
                EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).ok().map(Self::Ecdsa)
            }
            SigningAlgorithm::Rs256 => {
                rsa::KeyPair::generate(rsa::KeySize::Rsa2048).ok().map(|key| Self::Rsa(Box::new(key)))
            }
            SigningAlgorithm::EdDsa => Ed25519KeyPair::generate().ok().map(Self::Ed25519),
        }
    }

    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = aws_lc_rs::rand::SystemRandom::new();
        match self {
            Self::Ecdsa(key) => key.sign(&random, message).ok().map(|made| made.as_ref().to_vec()),
            Self::Ed25519(key) => key.try_sign(message).ok().map(|made| made.as_ref().to_vec()),
            Self::Rsa(key) => {
                let mut made = vec![0; key.public_modulus_len()];
                key.sign(&signature::RSA_PKCS1_SHA256, &random, message, &mut made).ok()?;
                Some(made)
            }
        }
    }

    /// The members that make the thumbprint, in the order of RFC 7638, section 3.2: sorted by name.
    fn public_members(&self) -> Option<Vec<(&'static str, String)>> {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        Some(match self {
            Self::Ecdsa(key) => {
                // An uncompressed point: 0x04, then both coordinates (SEC 1, section 2.3.3).
                let point = key.public_key().as_ref().strip_prefix(&[4])?;
                let (x, y) = point.split_at_checked(32)?;
                vec![("crv", "P-256".into()), ("kty", "EC".into()), ("x", text(x)), ("y", text(y))]
            }
            Self::Rsa(key) => {
                let (n, e) = rsa_numbers(key.public_key().as_ref())?;
                vec![("e", text(e)), ("kty", "RSA".into()), ("n", text(n))]
            }
            Self::Ed25519(key) => {
                let x = text(key.public_key().as_ref());
                vec![("crv", "Ed25519".into()), ("kty", "OKP".into()), ("x", x)]
            }
        })
    }
}

/// Returns the content of the first block of a private key (RFC 7468). OpenSSL writes the curve's parameters before it.
fn private_key_der(pem: &str) -> Option<Vec<u8>> {
    let (_, rest) = pem
        .split_once("-----BEGIN PRIVATE KEY-----")
        .or_else(|| pem.split_once("-----BEGIN EC PRIVATE KEY-----"))?;
    let (body, _) = rest.split_once("-----END ")?;
    let body: String = body.split_ascii_whitespace().collect();
    STANDARD.decode(body).ok()
}

fn thumbprint(members: &[(&'static str, String)]) -> String {
    let pairs: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":\"{value}\"")).collect();
    let text = format!("{{{}}}", pairs.join(","));
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, text.as_bytes()))
}

fn published(members: Vec<(&'static str, String)>, algorithm: SigningAlgorithm, kid: &str) -> Value {
    let mut jwk: Map<String, Value> =
        members.into_iter().map(|(name, value)| (name.to_owned(), Value::String(value))).collect();
    for (name, value) in [("kid", kid), ("alg", algorithm.as_str()), ("use", "sig")] {
        jwk.insert(name.to_owned(), value.into());
    }
    Value::Object(jwk)
}

/// Modulus and exponent of an `RSAPublicKey` (RFC 8017, appendix A.1.1).
fn rsa_numbers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (sequence, _) = der_value(0x30, der)?;
    let (n, rest) = der_value(0x02, sequence)?;
    let (e, _) = der_value(0x02, rest)?;
    Some((n.strip_prefix(&[0]).unwrap_or(n), e))
}

/// The value under `tag` and what follows it (X.690, section 8.1).
fn der_value(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (first, rest) = der.strip_prefix(&[tag])?.split_first()?;
    if *first < 0x80 {
        return rest.split_at_checked(usize::from(*first));
    }
    let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
    let length =
        length.iter().try_fold(0_usize, |sum, byte| Some(sum.checked_mul(256)? + usize::from(*byte)))?;
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests;
