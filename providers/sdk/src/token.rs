//! What must never be printed: tokens and secrets.

use std::{borrow::Cow, fmt, sync::Arc};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use serde_json::{Value, json};

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
pub struct BearerToken(Arc<str>);

/// A string that is not a bearer token. The string is not in the error.
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
        Self::from_bytes(text.as_bytes())
    }

    /// Parses a token from bytes that may be no text.
    ///
    /// # Errors
    /// As [`BearerToken::parse`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TokenError> {
        let body = bytes.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
        let body = bytes.get(..body).unwrap_or_default();
        if body.is_empty() {
            return Err(TokenError::Empty);
        }
        let strange = body.iter().fold(false, |strange, byte| strange | !is_b64token(*byte));
        match std::str::from_utf8(bytes) {
            Ok(text) if !strange => Ok(Self(text.into())),
            _ => Err(TokenError::Character),
        }
    }

    /// The token itself: for verifying it, hashing it, or sending it to the provider that issued it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The token's bytes: ASCII.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Returns `true` if a byte may stand before the final `=` of a `b64token`. Has no branch, so that many bytes are checked at once.
const fn is_b64token(byte: u8) -> bool {
    let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    let digit = byte.wrapping_sub(b'0') < 10;
    let mark = matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
    letter | digit | mark
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BearerToken([redacted, {} bytes])", self.0.len())
    }
}

/// A secret of the configuration: a client secret, a password. Written as a string, `{ env: NAME }` or `{ file: PATH }`.
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

/// An error of reading a secret. Its value is not shown.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Neither a string nor a place to read it from.
    #[error(
        "expected a secret: a string, `{{ env: NAME }}` or `{{ file: PATH }}` (what was found is not shown)"
    )]
    Shape,
    /// Nothing in it.
    #[error("expected a secret, found an empty string{}", origin.as_deref().map(|o| format!(" in {o}")).unwrap_or_default())]
    Empty {
        /// The place that it was read from.
        origin: Option<String>,
    },
    /// The environment has no such variable, or it is not UTF-8.
    #[error("the environment variable `{name}` is not set")]
    Environment {
        /// The variable.
        name: String,
    },
    /// The file cannot be read.
    #[error("cannot read the secret file `{path}`: {source}")]
    File {
        /// The file.
        path: String,
        /// The system's error.
        source: std::io::Error,
    },
}

impl Secret {
    fn from_value(value: &Value) -> Result<Self, SecretError> {
        if let Value::String(text) = value {
            return Self::not_empty(text, None);
        }
        let mut members = value.as_object().into_iter().flatten();
        match (members.next(), members.next()) {
            (Some((key, Value::String(name))), None) if key == "env" => Self::from_env(name),
            (Some((key, Value::String(path))), None) if key == "file" => Self::from_file(path),
            _ => Err(SecretError::Shape),
        }
    }

    fn from_env(name: &str) -> Result<Self, SecretError> {
        let text = std::env::var(name).map_err(|_| SecretError::Environment { name: name.to_owned() })?;
        Self::not_empty(&text, Some(format!("the environment variable `{name}`")))
    }

    fn from_file(path: &str) -> Result<Self, SecretError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| SecretError::File { path: path.to_owned(), source })?;
        Self::not_empty(text.trim_end_matches(['\r', '\n']), Some(format!("the file `{path}`")))
    }

    fn not_empty(text: &str, origin: Option<String>) -> Result<Self, SecretError> {
        if text.is_empty() { Err(SecretError::Empty { origin }) } else { Ok(Self(text.into())) }
    }
}

impl<'de> Deserialize<'de> for Secret {
    /// From a string, `{ env: NAME }` or `{ file: PATH }`; a file's final line breaks are not part of the secret.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // serde's own messages would quote a value of the wrong type, which may be the secret.
        let value = Value::deserialize(deserializer).map_err(|_| de::Error::custom(SecretError::Shape))?;
        Self::from_value(&value).map_err(de::Error::custom)
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let place = |key: &str| {
            json!({ "type": "object", "properties": { key: { "type": "string" } },
            "required": [key], "additionalProperties": false })
        };
        json_schema!({ "oneOf": [{ "type": "string", "minLength": 1 }, place("env"), place("file")] })
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
    fn a_secret_file_is_read_without_its_final_line_break() {
        let path = std::env::temp_dir().join(format!("scopegate-secret-{}", std::process::id()));
        std::fs::write(&path, "s3cret\n").unwrap();
        let secret: Secret = serde_json::from_value(json!({ "file": path })).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(secret.reveal(), "s3cret");
    }

    #[test]
    fn an_environment_variable_that_is_not_set_is_named() {
        let error = serde_json::from_str::<Secret>(r#"{"env":"SCOPEGATE_NO_SUCH"}"#).unwrap_err().to_string();
        assert_eq!(error, "the environment variable `SCOPEGATE_NO_SUCH` is not set");
    }

    #[test]
    fn a_space_in_a_token_is_refused() {
        assert_eq!(BearerToken::parse("a b"), Err(TokenError::Character));
        assert_eq!(BearerToken::parse("a=b"), Err(TokenError::Character));
        assert_eq!(BearerToken::parse("=="), Err(TokenError::Empty));
    }
}
