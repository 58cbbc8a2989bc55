//! A JWT as it came, taken apart and not believed: strict compact serialization (RFC 7515, section 7.1).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use scopegate_provider::{BearerToken, Rejection};
use serde_json::{Map, Value};

use crate::json::parse_object;

/// No token that is longer is looked at, whatever the server's own limit says.
pub const MAX_TOKEN_BYTES: usize = 64 * 1024;

/// What a bearer token looks like from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Three parts, the first a JSON object: a signed JWT, or one that wants to be.
    Jwt,
    /// Five parts, the first a JSON object: an encrypted JWT (RFC 7516, section 7.1).
    Encrypted,
    /// Anything else, of which only its issuer can make something.
    Opaque,
}

/// A JWT whose header and claims are parsed and of which nothing is verified.
pub struct Jwt {
    token: BearerToken,
    signed_bytes: usize,
    header: Header,
    claims_json: Vec<u8>,
    claims: Map<String, Value>,
    signature: Vec<u8>,
}

/// What of a header is looked at. `jwk`, `jku`, `x5u` and `x5c` are not (RFC 8725, section 3.10).
#[derive(Debug)]
struct Header {
    algorithm: Box<str>,
    key_id: Option<Box<str>>,
    token_type: Option<Box<str>>,
}

impl Shape {
    /// Looks at a token.
    pub fn of(token: &BearerToken) -> Self {
        let text = token.reveal();
        let parts = text.split('.').count();
        let jose = text.split('.').next().is_some_and(begins_an_object);
        match (jose, parts) {
            (true, 3) => Self::Jwt,
            (true, 5) => Self::Encrypted,
            _ => Self::Opaque,
        }
    }
}

impl Jwt {
    /// Takes a token apart: size, three parts of unpadded base64url (RFC 7515, section 2), JSON objects without
    /// duplicate members, no `crit`, not encrypted.
    ///
    /// # Errors
    /// [`Rejection::TooLong`], [`Rejection::Encrypted`], [`Rejection::Malformed`], [`Rejection::DuplicateMember`],
    /// [`Rejection::CriticalHeader`], or [`Rejection::WrongType`] for a header parameter.
    pub fn parse(token: &BearerToken) -> Result<Self, Rejection> {
        let text = token.reveal();
        if text.len() > MAX_TOKEN_BYTES {
            return Err(Rejection::TooLong { limit: MAX_TOKEN_BYTES });
        }
        let [header, claims, signature] = parts(text)?;
        let header_json = decode(header, "expected a header in unpadded base64url")?;
        let header = Header::parse(&parse_object(&header_json, "expected the header to be a JSON object")?)?;
        let claims_json = decode(claims, "expected claims in unpadded base64url")?;
        let claims = parse_object(&claims_json, "expected the claims to be a JSON object")?;
        let signed_bytes = text.len() - signature.len() - 1;
        let signature = decode(signature, "expected a signature in unpadded base64url")?;
        Ok(Self { token: token.clone(), signed_bytes, header, claims_json, claims, signature })
    }

    /// What the token says is its issuer. It may only pick among configured providers (invariant 1).
    ///
    /// # Errors
    /// [`Rejection::MissingClaim`] and [`Rejection::WrongType`].
    pub fn unverified_issuer(&self) -> Result<&str, Rejection> {
        match self.claims.get("iss") {
            Some(Value::String(issuer)) => Ok(issuer),
            Some(_) => Err(Rejection::WrongType { claim: "iss".into(), expected: "a string" }),
            None => Err(Rejection::MissingClaim { claim: "iss".into() }),
        }
    }

    /// `alg`, which says nothing before it was compared with the settings.
    pub(crate) fn algorithm(&self) -> &str {
        &self.header.algorithm
    }

    /// `kid`.
    pub(crate) fn key_id(&self) -> Option<&str> {
        self.header.key_id.as_deref()
    }

    /// `typ`.
    pub(crate) fn token_type(&self) -> Option<&str> {
        self.header.token_type.as_deref()
    }

    /// What the signature covers (RFC 7515, section 5.1, step 8).
    pub(crate) fn signing_input(&self) -> &[u8] {
        self.token.as_bytes().get(..self.signed_bytes).unwrap_or_default()
    }

    /// The signature.
    pub(crate) fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// The claims' bytes, and what they say.
    pub(crate) fn into_claims(self) -> (Vec<u8>, Map<String, Value>) {
        (self.claims_json, self.claims)
    }
}

impl std::fmt::Debug for Jwt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jwt")
            .field("token", &self.token)
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

impl Header {
    fn parse(header: &Map<String, Value>) -> Result<Self, Rejection> {
        if header.contains_key("enc") {
            return Err(Rejection::Encrypted);
        }
        // RFC 7515, section 4.1.11, and RFC 7797, section 3: no extension is understood here.
        if header.contains_key("crit") || header.contains_key("b64") {
            return Err(Rejection::CriticalHeader);
        }
        let no_algorithm = Rejection::Malformed { detail: "expected `alg` in the header" };
        Ok(Self {
            algorithm: parameter(header, "alg")?.ok_or(no_algorithm)?,
            key_id: parameter(header, "kid")?,
            token_type: parameter(header, "typ")?,
        })
    }
}

fn parameter(header: &Map<String, Value>, name: &str) -> Result<Option<Box<str>>, Rejection> {
    match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str().into())),
        Some(_) => Err(Rejection::WrongType { claim: name.into(), expected: "a string" }),
    }
}

fn parts(text: &str) -> Result<[&str; 3], Rejection> {
    let mut parts = text.split('.');
    match (parts.next(), parts.next(), parts.next(), parts.count()) {
        (Some(header), Some(claims), Some(signature), 0) => Ok([header, claims, signature]),
        (Some(_), Some(_), Some(_), 2) => Err(Rejection::Encrypted),
        _ => Err(Rejection::Malformed { detail: "expected three parts separated by dots" }),
    }
}

fn decode(part: &str, expected: &'static str) -> Result<Vec<u8>, Rejection> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Rejection::Malformed { detail: expected })
}

fn begins_an_object(part: &str) -> bool {
    URL_SAFE_NO_PAD.decode(part).is_ok_and(|json| json.trim_ascii_start().starts_with(b"{"))
}
