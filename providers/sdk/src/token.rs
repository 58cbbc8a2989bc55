//! What must never be printed: tokens and secrets.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, de};

/// A bearer token as it came (RFC 6750, section 2.1: `b64token`). Neither `Debug` nor an error shows it.
///
/// ```
/// use scopegate_provider::BearerToken;
///
/// let token = BearerToken::parse("eyJhbGciOi.J9.c2ln")?;
/// assert_eq!(format!("{token:?}"), "BearerToken([redacted, 18 bytes])");
/// # Ok::<(), scopegate_provider::TokenError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct BearerToken(Bytes);

/// Why a string is not a bearer token. The string is not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Nothing was given.
    #[error("expected a bearer token, found nothing")]
    Empty,
    /// A character outside of RFC 6750's `b64token`.
    #[error("a bearer token may hold only letters, digits and `-._~+/=` (RFC 6750, section 2.1)")]
    Character,
}

impl BearerToken {
    /// Parses a token.
    ///
    /// # Errors
    /// [`TokenError`] says what is wrong without showing it.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        Self::from_bytes(Bytes::copy_from_slice(text.as_bytes()))
    }

    /// Parses a token without copying it.
    ///
    /// # Errors
    /// As [`BearerToken::parse`].
    pub fn from_bytes(bytes: Bytes) -> Result<Self, TokenError> {
        let body = bytes.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
        if body == 0 {
            return Err(TokenError::Empty);
        }
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte);
        if bytes.iter().take(body).all(allowed) { Ok(Self(bytes)) } else { Err(TokenError::Character) }
    }

    /// The token itself: for verifying it, hashing it, or sending it to the provider that issued it.
    pub fn reveal(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The token's bytes: ASCII.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BearerToken([redacted, {} bytes])", self.0.len())
    }
}

/// A secret of the configuration: a client secret, a password.
#[derive(Clone)]
pub struct Secret(Box<str>);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The secret itself: for sending it where it belongs.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([redacted])")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // serde's own message would quote a value of the wrong type, which may be the secret.
        match serde_json::Value::deserialize(deserializer) {
            Ok(serde_json::Value::String(text)) if !text.is_empty() => Ok(Self(text.into())),
            _ => Err(de::Error::custom(
                "expected a secret: a string that is not empty (its value is not shown)",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invariant_11_neither_token_nor_secret_is_in_its_debug_text() {
        let token = BearerToken::parse("aaaa.bbbb.cccc").unwrap();
        assert!(!format!("{token:?}").contains("bbbb"));
        assert!(!format!("{:?}", Secret::new("hunter2")).contains("hunter2"));
    }

    #[test]
    fn a_secret_of_the_wrong_type_is_not_quoted_in_the_error() {
        let error = serde_json::from_str::<Secret>("12345").unwrap_err().to_string();
        assert!(error.contains("expected a secret") && !error.contains("12345"), "{error}");
    }

    #[test]
    fn a_space_in_a_token_is_refused() {
        assert_eq!(BearerToken::parse("a b"), Err(TokenError::Character));
        assert_eq!(BearerToken::parse("a=b"), Err(TokenError::Character));
        assert_eq!(BearerToken::parse("=="), Err(TokenError::Empty));
    }
}
