//! The menu of broken tokens: each is a good token but for one thing, so that the software under test can refuse it for
//! that one thing only.

use std::{fmt, time::Duration};

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use scopegate_oidc::{Signer, SignerError, signing_input};
use scopegate_provider::Timestamp;
use serde_json::{Map, Value, json};

/// The fault of a token that is requested with `fault=NAME`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// `exp` and `iat` are a day ago.
    Expired,
    /// `nbf` is in an hour.
    NotYetValid,
    /// `aud` is somebody else's API.
    WrongAudience,
    /// No `aud`.
    NoAudience,
    /// `iss` is somebody else.
    WrongIssuer,
    /// No `exp`.
    NoExpiry,
    /// `exp` is text (RFC 7519, section 2, asks for a number).
    TextExpiry,
    /// `alg` is `none` and there is no signature (RFC 8725, section 2.1).
    Unsigned,
    /// Another key's signature under this issuer's `kid`.
    BadSignature,
    /// A claim was added after signing.
    Tampered,
    /// Signed by a key that is not in the key set.
    UnknownKey,
    /// HS256 keyed with the published key: the confusion of algorithms (RFC 8725, section 2.1).
    Hmac,
    /// The header brings the key that signed it (`jwk`, RFC 8725, section 3.10).
    EmbeddedKey,
    /// The header's `crit` names what nobody understands (RFC 7515, section 4.1.11).
    CriticalHeader,
    /// An ID token's claims: `nonce` and `at_hash`.
    IdToken,
    /// Bound to a key (`cnf`, RFC 7800), and no proof of it.
    KeyBound,
}

impl Fault {
    /// The whole menu.
    pub const ALL: [Fault; 16] = [
        Self::Expired,
        Self::NotYetValid,
        Self::WrongAudience,
        Self::NoAudience,
        Self::WrongIssuer,
        Self::NoExpiry,
        Self::TextExpiry,
        Self::Unsigned,
        Self::BadSignature,
        Self::Tampered,
        Self::UnknownKey,
        Self::Hmac,
        Self::EmbeddedKey,
        Self::CriticalHeader,
        Self::IdToken,
        Self::KeyBound,
    ];

    /// The name on the menu.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::WrongAudience => "wrong_audience",
            Self::NoAudience => "no_audience",
            Self::WrongIssuer => "wrong_issuer",
            Self::NoExpiry => "no_expiry",
            Self::TextExpiry => "text_expiry",
            Self::Unsigned => "unsigned",
            Self::BadSignature => "bad_signature",
            Self::Tampered => "tampered",
            Self::UnknownKey => "unknown_key",
            Self::Hmac => "hmac",
            Self::EmbeddedKey => "embedded_key",
            Self::CriticalHeader => "critical_header",
            Self::IdToken => "id_token",
            Self::KeyBound => "key_bound",
        }
    }

    /// The fault of this name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.as_str() == name)
    }

    /// Changes the claims, where the fault is in them.
    pub(crate) fn spoil_claims(self, claims: &mut Map<String, Value>, now: Timestamp) {
        let day = Duration::from_hours(24);
        match self {
            Self::Expired => {
                claims.insert("iat".to_owned(), json!((now - day - day).seconds()));
                claims.insert("exp".to_owned(), json!((now - day).seconds()));
            }
            Self::NotYetValid => {
                claims.insert("nbf".to_owned(), json!((now + Duration::from_hours(1)).seconds()));
            }
            Self::WrongAudience => {
                claims.insert("aud".to_owned(), json!("https://another-api.example"));
            }
            Self::WrongIssuer => {
                claims.insert("iss".to_owned(), json!("https://another-issuer.example"));
            }
            Self::NoAudience => drop(claims.remove("aud")),
            Self::NoExpiry => drop(claims.remove("exp")),
            Self::TextExpiry => {
                let text = claims.get("exp").map(ToString::to_string);
                claims.insert("exp".to_owned(), json!(text));
            }
            Self::IdToken => {
                claims.insert("nonce".to_owned(), json!("n-0S6_WzA2Mj"));
                claims.insert("at_hash".to_owned(), json!("77QmUPtjPfzWtF2AnpK9RQ"));
            }
            Self::KeyBound => {
                let thumbprint = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
                claims.insert("cnf".to_owned(), json!({ "jkt": thumbprint }));
            }
            Self::Unsigned
            | Self::BadSignature
            | Self::Tampered
            | Self::UnknownKey
            | Self::Hmac
            | Self::EmbeddedKey
            | Self::CriticalHeader => {}
        }
    }

    /// Signs claims, wrongly where the fault is in header or signature.
    pub(crate) async fn sign(
        self,
        signer: &Signer,
        mut header: Value,
        mut claims: Map<String, Value>,
    ) -> Result<String, SignerError> {
        match self {
            Self::Unsigned => {
                set(&mut header, "alg", json!("none"));
                Ok(format!("{}.", signing_input(&header, &claims)))
            }
            Self::BadSignature => stranger(signer).await?.sign_with_header(&header, &claims),
            Self::UnknownKey => {
                let stranger = stranger(signer).await?;
                set(&mut header, "kid", json!(stranger.kid()));
                stranger.sign_with_header(&header, &claims)
            }
            Self::EmbeddedKey => {
                let stranger = stranger(signer).await?;
                set(&mut header, "jwk", stranger.jwk().clone());
                stranger.sign_with_header(&header, &claims)
            }
            Self::CriticalHeader => {
                set(&mut header, "crit", json!(["https://scopegate.example/unheard-of"]));
                set(&mut header, "https://scopegate.example/unheard-of", json!(true));
                signer.sign_with_header(&header, &claims)
            }
            Self::Hmac => {
                set(&mut header, "alg", json!("HS256"));
                let input = signing_input(&header, &claims);
                let key = hmac::Key::new(hmac::HMAC_SHA256, signer.jwk().to_string().as_bytes());
                Ok(with_signature(&input, hmac::sign(&key, input.as_bytes()).as_ref()))
            }
            Self::Tampered => {
                let signature = signer.signature(signing_input(&header, &claims).as_bytes())?;
                claims.insert("tampered".to_owned(), json!(true));
                Ok(with_signature(&signing_input(&header, &claims), &signature))
            }
            Self::Expired
            | Self::NotYetValid
            | Self::WrongAudience
            | Self::NoAudience
            | Self::WrongIssuer
            | Self::NoExpiry
            | Self::TextExpiry
            | Self::IdToken
            | Self::KeyBound => signer.sign_with_header(&header, &claims),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A key of the same kind that nobody publishes.
async fn stranger(signer: &Signer) -> Result<Signer, SignerError> {
    Signer::generate_beside(signer.algorithm()).await
}

fn set(header: &mut Value, name: &str, value: Value) {
    if let Some(members) = header.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}

fn with_signature(input: &str, signature: &[u8]) -> String {
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}
