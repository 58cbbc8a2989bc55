//! A JWT, parsed and not verified: strict compact serialization (RFC 7515, section 7.1).

use std::{ops::Range, sync::Arc};

use base64_simd::URL_SAFE_NO_PAD;
use scopegate_provider::{BearerToken, Claims, Credentials, Rejection};
use serde_json::{Map, Value};

use crate::{json::parse_object, key_set::KeyReference};

/// The length beyond which a token is refused unread, whatever the server's own limit is.
pub const MAX_TOKEN_BYTES: usize = 64 * 1024;

/// The form of a bearer token.
#[derive(Debug)]
pub enum Form {
    /// Three parts, the first a JSON object: a signed JWT, or one that wants to be.
    Jwt(Arc<Jwt>),
    /// Five parts, the first a JSON object: an encrypted JWT (RFC 7516, section 7.1).
    Encrypted,
    /// Anything else, which only its issuer can read.
    Opaque,
}

/// A JWT whose header and claims are parsed and of which nothing is verified.
pub struct Jwt {
    token: BearerToken,
    header: Map<String, Value>,
    /// The place of the claims in the token.
    encoded: Range<usize>,
    claims: Map<String, Value>,
    signature: Vec<u8>,
}

/// The header parameters that are read. `jwk`, `jku`, `x5u` and `x5c` are not (RFC 8725, section 3.10).
#[derive(Debug)]
pub(crate) struct Header<'a> {
    /// `alg`, which must be compared with the settings.
    pub(crate) algorithm: &'a str,
    /// `typ`.
    pub(crate) token_type: Option<&'a str>,
}

impl Form {
    /// Returns the form of a request's token, which is parsed once for all callers.
    ///
    /// # Errors
    /// As [`Jwt::parse`].
    pub fn of(credentials: &Credentials) -> Result<Self, Rejection> {
        match &*credentials.read(Self::parse) {
            Ok(Self::Jwt(jwt)) => Ok(Self::Jwt(jwt.clone())),
            Ok(Self::Encrypted) => Ok(Self::Encrypted),
            Ok(Self::Opaque) => Ok(Self::Opaque),
            Err(rejection) => Err(rejection.clone()),
        }
    }

    fn parse(token: &BearerToken) -> Result<Self, Rejection> {
        let mut parts = token.reveal().split('.');
        let header = parts.next().and_then(|first| URL_SAFE_NO_PAD.decode_to_vec(first).ok());
        match (header.filter(|json| begins_an_object(json)), parts.count()) {
            (Some(header), 2) => Jwt::with_header(token, &header).map(|jwt| Self::Jwt(jwt.into())),
            (Some(_), 4) => Ok(Self::Encrypted),
            _ => Ok(Self::Opaque),
        }
    }
}

impl Jwt {
    /// Parses a token: size, three parts of unpadded base64url (RFC 7515, section 2), JSON objects without
    /// duplicate members, not encrypted.
    ///
    /// # Errors
    /// [`Rejection::TooLong`], [`Rejection::Encrypted`], [`Rejection::Malformed`] or [`Rejection::DuplicateMember`].
    pub fn parse(token: &BearerToken) -> Result<Self, Rejection> {
        let [header, ..] = parts(token)?;
        Self::with_header(token, &decode(header, "expected a header in unpadded base64url")?)
    }

    /// Parses a document of the provider that may be longer than a token: at most `limit` bytes.
    ///
    /// # Errors
    /// As [`Jwt::parse`].
    pub(crate) fn parse_document(token: &BearerToken, limit: usize) -> Result<Self, Rejection> {
        let parts = parts_within(token, limit)?;
        let [header, ..] = parts;
        Self::of_parts(token, parts, &decode(header, "expected a header in unpadded base64url")?)
    }

    /// Parses a token whose first part is decoded.
    fn with_header(token: &BearerToken, header: &[u8]) -> Result<Self, Rejection> {
        Self::of_parts(token, parts(token)?, header)
    }

    fn of_parts(token: &BearerToken, parts: [&str; 3], header: &[u8]) -> Result<Self, Rejection> {
        let [encoded, claims, signature] = parts;
        let encoded = encoded.len() + 1..encoded.len() + 1 + claims.len();
        let header = parse_object(header, "expected the header to be a JSON object")?;
        if header.contains_key("enc") {
            return Err(Rejection::Encrypted);
        }
        let claims = decode(claims, "expected claims in unpadded base64url")?;
        let claims = parse_object(&claims, "expected the claims to be a JSON object")?;
        let signature = decode(signature, "expected a signature in unpadded base64url")?;
        Ok(Self { token: token.clone(), header, encoded, claims, signature })
    }

    /// Returns the unverified `iss`, which may only select among configured providers (invariant 1).
    ///
    /// # Errors
    /// [`Rejection::MissingClaim`] and [`Rejection::WrongType`].
    pub fn unverified_issuer(&self) -> Result<&str, Rejection> {
        match self.claims.get("iss") {
            Some(Value::String(issuer)) => Ok(issuer),
            Some(_) => Err(Rejection::WrongType { claim: "iss".into(), expected: "a string" }),
            None => Err(Rejection::MissingClaim { claim: "iss".into(), advice: "" }),
        }
    }

    /// Returns the header parameters.
    ///
    /// # Errors
    /// [`Rejection::CriticalHeader`] for an extension (RFC 7515, section 4.1.11; RFC 7797, section 3): none is understood
    /// here; [`Rejection::Malformed`] without `alg`, [`Rejection::WrongType`] for a parameter that is no string.
    pub(crate) fn header(&self) -> Result<Header<'_>, Rejection> {
        if self.header.contains_key("crit") || self.header.contains_key("b64") {
            return Err(Rejection::CriticalHeader);
        }
        let no_algorithm = Rejection::Malformed { detail: "expected `alg` in the header" };
        let algorithm = parameter(&self.header, "alg")?.ok_or(no_algorithm)?;
        for name in ["kid", "x5t", "x5t#S256"] {
            parameter(&self.header, name)?;
        }
        Ok(Header { algorithm, token_type: parameter(&self.header, "typ")? })
    }

    /// `kid`.
    pub(crate) fn key_id(&self) -> Option<&str> {
        self.key_reference().kid
    }

    /// The header parameters that name the key.
    pub(crate) fn key_reference(&self) -> KeyReference<'_> {
        let [kid, x5t, x5t_s256] =
            ["kid", "x5t", "x5t#S256"].map(|name| self.header.get(name).and_then(Value::as_str));
        KeyReference { kid, x5t, x5t_s256 }
    }

    /// Returns a header parameter. Only the key of a proof is read this way.
    pub(crate) fn header_parameter(&self, name: &str) -> Option<&Value> {
        self.header.get(name)
    }

    /// The bytes that the signature covers (RFC 7515, section 5.1, step 8).
    pub(crate) fn signing_input(&self) -> &[u8] {
        self.token.as_bytes().get(..self.encoded.end).unwrap_or_default()
    }

    /// The signature.
    pub(crate) fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// The claims. The caller has checked the signature.
    pub(crate) fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// The claims, to be kept with the principal.
    pub(crate) fn kept_claims(&self) -> Claims {
        Claims::within(&self.token, self.encoded.clone())
    }
}

impl std::fmt::Debug for Jwt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jwt").field("token", &self.token).finish_non_exhaustive()
    }
}

fn parameter<'a>(header: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Rejection> {
    match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Rejection::WrongType { claim: name.into(), expected: "a string" }),
    }
}

fn parts(token: &BearerToken) -> Result<[&str; 3], Rejection> {
    parts_within(token, MAX_TOKEN_BYTES)
}

fn parts_within(token: &BearerToken, limit: usize) -> Result<[&str; 3], Rejection> {
    if token.as_bytes().len() > limit {
        return Err(Rejection::TooLong { limit });
    }
    let mut parts = token.reveal().split('.');
    match (parts.next(), parts.next(), parts.next(), parts.count()) {
        (Some(header), Some(claims), Some(signature), 0) => Ok([header, claims, signature]),
        (Some(_), Some(_), Some(_), 2) => Err(Rejection::Encrypted),
        _ => Err(Rejection::Malformed { detail: "expected three parts separated by dots" }),
    }
}

fn decode(part: &str, expected: &'static str) -> Result<Vec<u8>, Rejection> {
    URL_SAFE_NO_PAD.decode_to_vec(part).map_err(|_| Rejection::Malformed { detail: expected })
}

fn begins_an_object(json: &[u8]) -> bool {
    json.trim_ascii_start().starts_with(b"{")
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use proptest::prelude::*;
    use scopegate_provider::Excerpt;

    use super::*;

    fn form(token: &str) -> Result<Form, Rejection> {
        Form::of(&Credentials::bearer(BearerToken::parse(token).unwrap()))
    }

    fn jwt(header: &str, claims: &str) -> Result<Form, Rejection> {
        let part = |text: &str| URL_SAFE_NO_PAD.encode_to_string(text);
        form(&format!("{}.{}.c2ln", part(header), part(claims)))
    }

    #[test]
    fn a_jwt_is_known_by_its_first_part_and_how_many_there_are() {
        assert!(matches!(jwt("{}", "{}"), Ok(Form::Jwt(_))));
        let five = format!("{}..a.b.c", URL_SAFE_NO_PAD.encode_to_string(r#"{"alg":"dir","enc":"A256GCM"}"#));
        assert!(matches!(form(&five), Ok(Form::Encrypted)));
    }

    #[test]
    fn a_string_with_dots_in_it_is_still_opaque() {
        for opaque in ["ory_at_abc.def", "a.b.c", "a.b.c.d.e", "opaque"] {
            assert!(matches!(form(opaque), Ok(Form::Opaque)), "{opaque}");
        }
    }

    #[test]
    fn an_issuer_that_stands_twice_is_refused() {
        let refused = jwt("{}", r#"{"iss":"https://a.example","iss":"https://b.example"}"#).unwrap_err();
        assert_eq!(refused, Rejection::DuplicateMember { name: Excerpt::new("iss") });
    }

    #[test]
    fn three_parts_that_say_how_they_are_encrypted_are_no_signed_token() {
        assert_eq!(jwt(r#"{"enc":"A256GCM"}"#, "{}").unwrap_err(), Rejection::Encrypted);
    }

    #[test]
    fn an_issuer_that_is_no_string_or_is_missing_is_refused() {
        let issuer = |claims| match jwt("{}", claims) {
            Ok(Form::Jwt(jwt)) => jwt.unverified_issuer().map(str::to_owned),
            other => panic!("expected a JWT, found {other:?}"),
        };
        assert_eq!(issuer(r#"{"iss":"https://a.example/"}"#), Ok("https://a.example/".to_owned()));
        let wrong = Rejection::WrongType { claim: "iss".into(), expected: "a string" };
        assert_eq!(issuer(r#"{"iss":["https://a.example"]}"#), Err(wrong));
        assert_eq!(issuer("{}"), Err(Rejection::MissingClaim { claim: "iss".into(), advice: "" }));
    }

    proptest! {
        /// Bits behind the last byte and padding are refused: else one token would have several spellings.
        #[test]
        fn base64_is_decoded_as_strictly_as_by_the_scalar_crate(text in "[A-Za-z0-9_=+/-]{0,70}") {
            let scalar = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(&text).ok();
            prop_assert_eq!(decode(&text, "").ok(), scalar);
        }
    }
}
