//! What kind of string a token is, so that it goes to the one provider that may judge it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use scopegate_provider::{BearerToken, Excerpt, Rejection};
use serde::Deserialize;

/// What a token looks like. Nothing in it is verified.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A JWS in compact form with the issuer that it claims.
    Jwt(String),
    /// Five parts, or `enc` in the header: a JWE (RFC 7516, section 3.1).
    Encrypted,
    /// Anything else: only its issuer can read it.
    Opaque,
}

#[derive(Deserialize)]
struct Header {
    #[serde(default)]
    enc: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Payload {
    #[serde(default)]
    iss: Option<serde_json::Value>,
}

impl Shape {
    /// Looks at a token. The unverified `iss` only picks among configured providers (invariant 1).
    ///
    /// # Errors
    /// A JWT whose `iss` is missing, stands twice or is no string.
    pub(super) fn of(token: &BearerToken) -> Result<Self, Rejection> {
        let parts: Vec<&str> = token.reveal().splitn(6, '.').collect();
        let (header, payload) = match parts.as_slice() {
            [header, payload, _] => (decode::<Header>(header), *payload),
            [header, _, _, _, _] if decode::<Header>(header).is_ok() => return Ok(Self::Encrypted),
            _ => return Ok(Self::Opaque),
        };
        match header {
            Ok(Header { enc: None }) => issuer(payload).map(Self::Jwt),
            Ok(Header { enc: Some(_) }) => Ok(Self::Encrypted),
            Err(_) => Ok(Self::Opaque),
        }
    }
}

fn issuer(payload: &str) -> Result<String, Rejection> {
    match decode::<Payload>(payload) {
        Ok(Payload { iss: Some(serde_json::Value::String(iss)) }) => Ok(iss),
        Ok(Payload { iss: Some(_) }) => {
            Err(Rejection::WrongType { claim: "iss".into(), expected: "a string" })
        }
        Ok(Payload { iss: None }) => Err(Rejection::MissingClaim { claim: "iss".into() }),
        Err(Broken::DuplicateIssuer) => Err(Rejection::DuplicateMember { name: Excerpt::new("iss") }),
        Err(Broken::NotJson) => {
            Err(Rejection::Malformed { detail: "expected claims as a JSON object in base64url" })
        }
    }
}

enum Broken {
    NotJson,
    DuplicateIssuer,
}

fn decode<T: for<'a> Deserialize<'a>>(part: &str) -> Result<T, Broken> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| Broken::NotJson)?;
    serde_json::from_slice(&json).map_err(|error| {
        if error.is_data() && error.to_string().starts_with("duplicate field") {
            Broken::DuplicateIssuer
        } else {
            Broken::NotJson
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(header: &str, payload: &str) -> Result<Shape, Rejection> {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        Shape::of(&BearerToken::parse(&format!("{}.{}.c2ln", part(header), part(payload))).unwrap())
    }

    #[test]
    fn a_jwt_is_known_by_the_issuer_that_it_claims() {
        assert_eq!(
            shape("{}", r#"{"iss":"https://a.example/"}"#),
            Ok(Shape::Jwt("https://a.example/".into()))
        );
    }

    #[test]
    fn an_issuer_that_stands_twice_is_refused() {
        let found = shape("{}", r#"{"iss":"https://a.example","iss":"https://b.example"}"#);
        assert_eq!(found, Err(Rejection::DuplicateMember { name: Excerpt::new("iss") }));
    }

    #[test]
    fn an_issuer_that_is_an_array_is_refused() {
        let found = shape("{}", r#"{"iss":["https://a.example"]}"#);
        assert_eq!(found, Err(Rejection::WrongType { claim: "iss".into(), expected: "a string" }));
    }

    #[test]
    fn a_token_without_an_issuer_is_refused() {
        assert_eq!(shape("{}", "{}"), Err(Rejection::MissingClaim { claim: "iss".into() }));
    }

    #[test]
    fn five_parts_or_an_enc_header_are_an_encrypted_token() {
        assert_eq!(shape(r#"{"enc":"A256GCM"}"#, "{}"), Ok(Shape::Encrypted));
        let five = format!("{}..a.b.c", URL_SAFE_NO_PAD.encode(r#"{"alg":"dir","enc":"A256GCM"}"#));
        assert_eq!(Shape::of(&BearerToken::parse(&five).unwrap()), Ok(Shape::Encrypted));
    }

    #[test]
    fn a_string_with_dots_in_it_is_still_opaque() {
        assert_eq!(Shape::of(&BearerToken::parse("ory_at_abc.def").unwrap()), Ok(Shape::Opaque));
        assert_eq!(Shape::of(&BearerToken::parse("a.b.c").unwrap()), Ok(Shape::Opaque));
    }
}
