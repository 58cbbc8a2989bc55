//! Tokens for tests, good and bad, made without any of scopegate's own code.

use std::sync::{Arc, LazyLock};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, crypto, jwk::Jwk};
use serde_json::{Value, json};

/// A private key that signs tokens, its `alg` and its `kid`.
///
/// ```
/// use scopegate_testkit::MintKey;
/// use serde_json::json;
///
/// let key = MintKey::es256("k1");
/// let token = key.token(&json!({"iss": "https://issuer.example", "sub": "alice"}));
/// assert_eq!(token.split('.').count(), 3);
/// assert_eq!(key.jwk()["kid"], "k1");
/// ```
#[derive(Clone)]
pub struct MintKey {
    id: Option<String>,
    algorithm: Algorithm,
    key: Arc<EncodingKey>,
}

/// The RSA keys that lie in `data/`: making new ones takes too long for a test.
static RSA: LazyLock<[Arc<EncodingKey>; 3]> = LazyLock::new(|| {
    [
        include_bytes!("../data/rsa-2048-a.test-key.pem").as_slice(),
        include_bytes!("../data/rsa-2048-b.test-key.pem"),
        include_bytes!("../data/rsa-2048-c.test-key.pem"),
    ]
    .map(|pem| Arc::new(EncodingKey::from_rsa_pem(pem).unwrap()))
});

impl MintKey {
    /// A 2048-bit RSA key for RS256, always the same one.
    pub fn rs256(id: &str) -> Self {
        Self::rsa(0, Algorithm::RS256, id)
    }

    /// The RSA key of this number, from 0 to 2, for one of RSA's algorithms.
    pub fn rsa(number: usize, algorithm: Algorithm, id: &str) -> Self {
        Self { id: Some(id.to_owned()), algorithm, key: Arc::clone(&RSA[number]) }
    }

    /// A new key on P-256.
    pub fn es256(id: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self::ec(&pair, Algorithm::ES256, id)
    }

    /// A new key on P-384.
    pub fn es384(id: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
        Self::ec(&pair, Algorithm::ES384, id)
    }

    /// A new key on Ed25519.
    pub fn eddsa(id: &str) -> Self {
        let der = Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap();
        let key = Arc::new(EncodingKey::from_ed_der(der.as_ref()));
        Self { id: Some(id.to_owned()), algorithm: Algorithm::EdDSA, key }
    }

    /// A key for this algorithm: RSA's first, or a new one on its curve.
    pub fn of(algorithm: Algorithm, id: &str) -> Self {
        match algorithm {
            Algorithm::ES256 => Self::es256(id),
            Algorithm::ES384 => Self::es384(id),
            Algorithm::EdDSA => Self::eddsa(id),
            rsa => Self::rsa(0, rsa, id),
        }
    }

    fn ec(pair: &EcdsaKeyPair, algorithm: Algorithm, id: &str) -> Self {
        let der = pair.to_pkcs8v1().unwrap();
        Self { id: Some(id.to_owned()), algorithm, key: Arc::new(EncodingKey::from_ec_der(der.as_ref())) }
    }

    /// The same key under another `kid`, or none.
    #[must_use]
    pub fn called(&self, id: Option<&str>) -> Self {
        Self { id: id.map(str::to_owned), ..self.clone() }
    }

    /// `kid`.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// `alg`.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The public key as a JWK with `kid`, `alg` and `use`.
    pub fn jwk(&self) -> Value {
        let jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        let mut jwk = serde_json::to_value(jwk).unwrap();
        jwk["use"] = "sig".into();
        if let Some(id) = &self.id {
            jwk["kid"] = id.as_str().into();
        }
        jwk
    }

    /// The usual header: `alg`, `typ` of `JWT`, and `kid`.
    pub fn header(&self) -> Value {
        let mut header = json!({"alg": self.algorithm, "typ": "JWT"});
        if let Some(id) = &self.id {
            header["kid"] = id.as_str().into();
        }
        header
    }

    /// A token with the usual header.
    pub fn token(&self, claims: &Value) -> String {
        self.token_with(&self.header(), claims)
    }

    /// A token with any header.
    pub fn token_with(&self, header: &Value, claims: &Value) -> String {
        self.raw_token(header.to_string().as_bytes(), claims.to_string().as_bytes())
    }

    /// A token of any bytes, well signed.
    pub fn raw_token(&self, header: &[u8], claims: &[u8]) -> String {
        self.signed(&format!("{}.{}", base64url(header), base64url(claims)))
    }

    /// Any text with a dot and its signature after it.
    pub fn signed(&self, signing_input: &str) -> String {
        let signature = crypto::sign(signing_input.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{signing_input}.{signature}")
    }
}

/// A key set of these keys.
pub fn key_set(keys: &[&MintKey]) -> Value {
    json!({ "keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>() })
}

/// Base64url without padding (RFC 7515, section 2).
pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
