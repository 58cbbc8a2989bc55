//! One key of a key set: a JWK (RFC 7517) that can check signatures, or the reason why it is left out.

use std::fmt::Write;

use aws_lc_rs::{
    digest,
    error::KeyRejected,
    signature::{ParsedPublicKey, RsaPublicKeyComponents},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use scopegate_provider::Thumbprint;
use serde_json::{Map, Value};

use crate::algorithm::{Algorithm, KeyType};

/// A public key of an issuer, parsed once, bound to the algorithms that it may be used with.
pub struct PublicKey {
    id: Option<Box<str>>,
    certificate: Certificate,
    /// `issuer`, a member of Entra ID's own: the tenant that the key signs for.
    issuer: Option<Box<str>>,
    checks: Box<[Check]>,
    print: KeyPrint,
}

/// The thumbprints of a key's certificate (RFC 7517, sections 4.8 and 4.9).
#[derive(Default)]
struct Certificate {
    x5t: Option<Box<str>>,
    x5t_s256: Option<Box<str>>,
}

struct Check {
    algorithm: Algorithm,
    key: ParsedPublicKey,
}

/// The identity of a key apart from its name: the SHA-256 of its type and public parts. Two key sets hold the same key
/// if they hold the same print under the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyPrint([u8; 32]);

/// The reason why a JWK is left out of a key set (RFC 7517, section 5: keys that are not understood are skipped).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum KeyProblem {
    /// `alg` names an algorithm that is unknown, not allowed, or another key type's.
    #[error("its `alg` is not an allowed algorithm of its key type")]
    Algorithm,
    /// `crv` is not P-256, P-384, P-521 or Ed25519.
    #[error("its curve is not one of P-256, P-384, P-521 and Ed25519")]
    Curve,
    /// The numbers are not those of a usable key: wrong length, not on the curve, an even exponent.
    #[error("its numbers are not those of a public key")]
    Material,
    /// A member is missing or of the wrong JSON type.
    #[error("the member `{0}` is missing or has the wrong type")]
    Member(&'static str),
    /// It holds a private part, which is public now.
    #[error("it holds private key material")]
    Private,
    /// An RSA modulus of less than 2048 bits (RFC 7518, section 3.3) or more than 8192.
    #[error("its RSA modulus has {bits} bits; 2048 to 8192 are taken")]
    Size {
        /// The modulus's length.
        bits: usize,
    },
    /// A symmetric key (`kty` is `oct`).
    #[error("it is a symmetric key")]
    Symmetric,
    /// `kty` is unknown.
    #[error("its key type is not known")]
    Type,
    /// `use` is neither `sig` nor `jwt-svid`, or `key_ops` does not hold `verify`.
    #[error("it is not meant for checking signatures")]
    Use,
}

impl PublicKey {
    /// Parses one member of `keys`.
    ///
    /// # Errors
    /// The reason why it is left out.
    pub(crate) fn parse(jwk: &Value, allowed: &[Algorithm]) -> Result<Self, KeyProblem> {
        let jwk = jwk.as_object().ok_or(KeyProblem::Member("kty"))?;
        let id = optional_text(jwk, "kid")?.map(Box::from);
        let material = Material::parse(jwk)?;
        check_use(jwk)?;
        let algorithms = algorithms(jwk, material.key_type(), allowed)?;
        let checks: Result<Box<[Check]>, KeyProblem> =
            algorithms.into_iter().map(|algorithm| material.bind(algorithm)).collect();
        let issuer = optional_text(jwk, "issuer").ok().flatten().map(Box::from);
        Ok(Self { id, certificate: Certificate::of(jwk), issuer, checks: checks?, print: material.print() })
    }

    /// `x5t`: the SHA-1 thumbprint of the certificate, as the issuer writes it or as its certificate has it.
    pub(crate) fn x5t(&self) -> Option<&str> {
        self.certificate.x5t.as_deref()
    }

    /// `x5t#S256`: the SHA-256 thumbprint of the certificate.
    pub(crate) fn x5t_s256(&self) -> Option<&str> {
        self.certificate.x5t_s256.as_deref()
    }

    /// `issuer`, as Entra ID writes it.
    pub(crate) fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// `kid`.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The identity of the key, whatever its name.
    pub fn print(&self) -> KeyPrint {
        self.print
    }

    /// The algorithms that it may be used with: those of its type that the settings allow, narrowed by its `alg`.
    pub fn algorithms(&self) -> impl Iterator<Item = Algorithm> {
        self.checks.iter().map(|check| check.algorithm)
    }

    /// Returns `true` if it may be used with `algorithm`.
    pub(crate) fn fits(&self, algorithm: Algorithm) -> bool {
        self.checks.iter().any(|check| check.algorithm == algorithm)
    }

    /// Returns `true` if `signature` is this key's over `message`.
    pub(crate) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let check = self.checks.iter().find(|check| check.algorithm == algorithm);
        check.is_some_and(|check| check.key.verify_sig(message, signature).is_ok())
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let algorithms: Vec<_> = self.algorithms().collect();
        f.debug_struct("PublicKey")
            .field("id", &self.id)
            .field("algorithms", &algorithms)
            .finish_non_exhaustive()
    }
}

/// Returns the thumbprint of a public key (RFC 7638): the SHA-256 of its required members in lexicographic order, as they
/// are written.
///
/// # Errors
/// The reason why the key cannot be used.
pub(crate) fn thumbprint(jwk: &Map<String, Value>) -> Result<Thumbprint, KeyProblem> {
    // A key that parses holds base64url in these members, which JSON writes without escapes.
    Material::parse(jwk)?;
    let members: &[&'static str] = match text(jwk, "kty")? {
        "EC" => &["crv", "kty", "x", "y"],
        "OKP" => &["crv", "kty", "x"],
        _ => &["e", "kty", "n"],
    };
    let mut json = String::from("{");
    for (index, member) in members.iter().enumerate() {
        let separator = if index == 0 { "" } else { "," };
        // A String takes every write.
        let _ = write!(json, "{separator}\"{member}\":\"{}\"", text(jwk, member)?);
    }
    json.push('}');
    let mut print = [0; 32];
    print.copy_from_slice(digest::digest(&digest::SHA256, json.as_bytes()).as_ref());
    Ok(Thumbprint::new(print))
}

/// The public numbers.
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    Point { key_type: KeyType, bytes: Vec<u8> },
}

impl Material {
    fn parse(jwk: &Map<String, Value>) -> Result<Self, KeyProblem> {
        let material = match text(jwk, "kty")? {
            "RSA" => Self::rsa(jwk),
            "EC" => Self::ec(jwk),
            "OKP" => Self::okp(jwk),
            "oct" => Err(KeyProblem::Symmetric),
            _ => Err(KeyProblem::Type),
        }?;
        if jwk.contains_key("d") { Err(KeyProblem::Private) } else { Ok(material) }
    }

    /// RFC 7518, section 6.3.1.
    fn rsa(jwk: &Map<String, Value>) -> Result<Self, KeyProblem> {
        let n = number(jwk, "n")?;
        let e = number(jwk, "e")?;
        let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
        if !(2048..=8192).contains(&bits) {
            return Err(KeyProblem::Size { bits });
        }
        let are_odd = [&n, &e].iter().all(|number| number.last().is_some_and(|byte| byte % 2 == 1));
        let exponent_fits = e.len() <= 4 && e != [1];
        if are_odd && exponent_fits { Ok(Self::Rsa { n, e }) } else { Err(KeyProblem::Material) }
    }

    /// RFC 7518, section 6.2.1: each coordinate has the full length of the field.
    fn ec(jwk: &Map<String, Value>) -> Result<Self, KeyProblem> {
        let (key_type, length) = match text(jwk, "crv")? {
            "P-256" => (KeyType::P256, 32),
            "P-384" => (KeyType::P384, 48),
            "P-521" => (KeyType::P521, 66),
            _ => return Err(KeyProblem::Curve),
        };
        let x = bytes(jwk, "x")?;
        let y = bytes(jwk, "y")?;
        if x.len() != length || y.len() != length {
            return Err(KeyProblem::Material);
        }
        Ok(Self::Point { key_type, bytes: [&[4], &*x, &*y].concat() })
    }

    /// RFC 8037, section 2.
    fn okp(jwk: &Map<String, Value>) -> Result<Self, KeyProblem> {
        if text(jwk, "crv")? != "Ed25519" {
            return Err(KeyProblem::Curve);
        }
        let bytes = bytes(jwk, "x")?;
        if bytes.len() != 32 {
            return Err(KeyProblem::Material);
        }
        Ok(Self::Point { key_type: KeyType::Ed25519, bytes })
    }

    fn key_type(&self) -> KeyType {
        match self {
            Self::Rsa { .. } => KeyType::Rsa,
            Self::Point { key_type, .. } => *key_type,
        }
    }

    fn bind(&self, algorithm: Algorithm) -> Result<Check, KeyProblem> {
        let key: Result<_, KeyRejected> = match self {
            Self::Rsa { n, e } => RsaPublicKeyComponents { n, e }
                .to_parsed_public_key(algorithm.rsa().ok_or(KeyProblem::Algorithm)?),
            Self::Point { bytes, .. } => {
                ParsedPublicKey::new(algorithm.curve().ok_or(KeyProblem::Algorithm)?, bytes)
            }
        };
        Ok(Check { algorithm, key: key.map_err(|_| KeyProblem::Material)? })
    }

    fn print(&self) -> KeyPrint {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(&[self.key_type() as u8]);
        match self {
            Self::Rsa { n, e } => {
                hash.update(&(n.len() as u64).to_be_bytes());
                hash.update(n);
                hash.update(e);
            }
            Self::Point { bytes, .. } => hash.update(bytes),
        }
        let mut print = [0; 32];
        print.copy_from_slice(hash.finish().as_ref());
        KeyPrint(print)
    }
}

impl Certificate {
    /// Reads the thumbprints, or computes them from the first certificate of `x5c`.
    fn of(jwk: &Map<String, Value>) -> Self {
        let der = jwk.get("x5c").and_then(|chain| chain.get(0)).and_then(Value::as_str);
        let der = der.and_then(|text| STANDARD.decode(text).ok());
        let prints = [("x5t", &digest::SHA1_FOR_LEGACY_USE_ONLY), ("x5t#S256", &digest::SHA256)];
        let [x5t, x5t_s256] = prints.map(|(name, algorithm)| match optional_text(jwk, name) {
            Ok(Some(written)) => Some(written.into()),
            _ => der.as_deref().map(|der| URL_SAFE_NO_PAD.encode(digest::digest(algorithm, der)).into()),
        });
        Self { x5t, x5t_s256 }
    }
}

/// Checks `use` and `key_ops` (RFC 7517, sections 4.2 and 4.3). `jwt-svid` is the use of keys in SPIFFE bundles that sign
/// JWTs (SPIFFE Trust Domain and Bundle, section 4.2.2).
fn check_use(jwk: &Map<String, Value>) -> Result<(), KeyProblem> {
    if optional_text(jwk, "use")?.is_some_and(|meant| !matches!(meant, "sig" | "jwt-svid")) {
        return Err(KeyProblem::Use);
    }
    match jwk.get("key_ops") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Array(operations)) if operations.iter().any(|operation| operation == "verify") => Ok(()),
        Some(Value::Array(_)) => Err(KeyProblem::Use),
        Some(_) => Err(KeyProblem::Member("key_ops")),
    }
}

/// Returns the allowed algorithms of a key type, narrowed by `alg` (RFC 7517, section 4.4; RFC 8725, section 3.1).
fn algorithms(
    jwk: &Map<String, Value>,
    key_type: KeyType,
    allowed: &[Algorithm],
) -> Result<Vec<Algorithm>, KeyProblem> {
    let named = optional_text(jwk, "alg")?;
    let mut algorithms: Vec<Algorithm> =
        allowed.iter().copied().filter(|algorithm| algorithm.key_type() == key_type).collect();
    algorithms.retain(|algorithm| named.is_none_or(|name| algorithm.is_called(name)));
    algorithms.sort_unstable();
    algorithms.dedup();
    if algorithms.is_empty() { Err(KeyProblem::Algorithm) } else { Ok(algorithms) }
}

fn optional_text<'a>(
    jwk: &'a Map<String, Value>,
    member: &'static str,
) -> Result<Option<&'a str>, KeyProblem> {
    match jwk.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(KeyProblem::Member(member)),
    }
}

fn text<'a>(jwk: &'a Map<String, Value>, member: &'static str) -> Result<&'a str, KeyProblem> {
    optional_text(jwk, member)?.ok_or(KeyProblem::Member(member))
}

fn bytes(jwk: &Map<String, Value>, member: &'static str) -> Result<Vec<u8>, KeyProblem> {
    URL_SAFE_NO_PAD.decode(text(jwk, member)?).map_err(|_| KeyProblem::Member(member))
}

/// A `Base64urlUInt` (RFC 7518, section 2). Leading zeros, which it may not have and some issuers write, are dropped.
fn number(jwk: &Map<String, Value>, member: &'static str) -> Result<Vec<u8>, KeyProblem> {
    let bytes = bytes(jwk, member)?;
    Ok(bytes.into_iter().skip_while(|byte| *byte == 0).collect())
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod wycheproof;
