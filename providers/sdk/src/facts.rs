//! Facts about a verified token beyond its identity: how the caller signed in, for whom it acts, what it is bound to.

use std::{fmt, sync::Arc};

use base64::{
    Engine,
    alphabet::URL_SAFE,
    engine::{GeneralPurpose, general_purpose},
};
use serde_json::{Map, Value};

use crate::{Issuer, Subject, Timestamp};

/// Base64url without padding. Bits after the last byte are ignored: the sample of RFC 8705, section 3.1, has some.
const BASE64URL: GeneralPurpose =
    GeneralPurpose::new(&URL_SAFE, general_purpose::NO_PAD.with_decode_allow_trailing_bits(true));

/// Facts that a token may state beside the identity of its caller. All are optional; the default states nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// `acr`: the authentication context class (OpenID Connect Core 1.0, section 2).
    pub acr: Option<Box<str>>,
    /// `auth_time`: the moment of the last sign-in.
    pub auth_time: Option<Timestamp>,
    /// The outermost `act`: the current actor (RFC 8693, section 4.1). Nested actors are history and never count.
    pub actor: Option<Actor>,
    /// `authorization_details` (RFC 9396), each with its `type`.
    pub authorization_details: Arc<[Map<String, Value>]>,
    /// `cnf`: the keys that the token is bound to.
    pub binding: Binding,
    /// `true` if the provider left the groups out and pointed to another place instead (Entra ID above 200 groups), so
    /// that a missing role or group says nothing about the caller.
    pub groups_omitted: bool,
    /// Further names by which the provider's signals know the subject. A revocation of one of them matches the token.
    pub aliases: Box<[Subject]>,
}

/// The party that acts on behalf of a token's subject (RFC 8693, section 4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The actor's `sub`, or its client id if it has no `sub`.
    pub id: Box<str>,
    /// The actor's issuer, if it is named.
    pub issuer: Option<Issuer>,
}

/// The keys that a token is bound to (RFC 7800). A token that is bound is refused without a matching [`Proof`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Binding {
    /// `jkt`: the thumbprint of a DPoP key (RFC 9449, section 6.1).
    pub key: Option<Thumbprint>,
    /// `x5t#S256`: the thumbprint of a client certificate (RFC 8705, section 3.1).
    pub certificate: Option<Thumbprint>,
}

/// Keys that the sender of a request has proven to possess. Only verified proofs go in here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Proof {
    /// The thumbprint of the key that signed a DPoP proof for this token and request.
    pub key: Option<Thumbprint>,
    /// The thumbprint of the client certificate of the connection.
    pub certificate: Option<Thumbprint>,
}

impl Binding {
    /// Returns `true` if the token is bound to a key or certificate.
    pub fn is_bound(&self) -> bool {
        self.key.is_some() || self.certificate.is_some()
    }

    /// Returns `true` if `proof` covers every key that the token is bound to. An unbound token needs no proof.
    pub fn is_proven_by(&self, proof: &Proof) -> bool {
        let key = self.key.is_none() || self.key == proof.key;
        let certificate = self.certificate.is_none() || self.certificate == proof.certificate;
        key && certificate
    }
}

/// A SHA-256 thumbprint of a key (RFC 7638) or of a certificate's DER.
///
/// ```
/// use scopegate_provider::Thumbprint;
///
/// let text = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
/// assert_eq!(Thumbprint::parse(text).map(|print| print.to_string()).as_deref(), Some(text));
/// assert_eq!(Thumbprint::parse("0ZcOCORZNYy"), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Thumbprint([u8; 32]);

impl Thumbprint {
    /// Wraps a SHA-256 digest.
    pub const fn new(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// Parses base64url without padding, as `jkt` and `x5t#S256` are written.
    pub fn parse(text: &str) -> Option<Self> {
        BASE64URL.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// The digest.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64URL.encode(self.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thumbprint({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Thumbprint = Thumbprint::new([1; 32]);
    const CERTIFICATE: Thumbprint = Thumbprint::new([2; 32]);

    /// T2.2: a proof by another key than the bound one proves nothing.
    #[test]
    fn a_proof_by_another_key_does_not_cover_the_binding() {
        let binding = Binding { key: Some(KEY), certificate: None };
        assert!(binding.is_proven_by(&Proof { key: Some(KEY), certificate: None }));
        assert!(!binding.is_proven_by(&Proof { key: Some(CERTIFICATE), certificate: None }));
        assert!(!binding.is_proven_by(&Proof { key: None, certificate: Some(KEY) }));
    }

    /// T2.8: a token bound to a key and to a certificate needs both proofs.
    #[test]
    fn a_token_bound_twice_needs_both_proofs() {
        let binding = Binding { key: Some(KEY), certificate: Some(CERTIFICATE) };
        assert!(binding.is_proven_by(&Proof { key: Some(KEY), certificate: Some(CERTIFICATE) }));
        assert!(!binding.is_proven_by(&Proof { key: Some(KEY), certificate: None }));
        assert!(!binding.is_proven_by(&Proof::default()));
    }

    #[test]
    fn an_unbound_token_needs_no_proof() {
        assert!(Binding::default().is_proven_by(&Proof::default()) && !Binding::default().is_bound());
    }
}
