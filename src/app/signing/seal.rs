//! Private keys, sealed for the store: AES-256-GCM under a key of their own for each, derived from the secret of the
//! configuration (HKDF, RFC 5869). Each text holds its salt, so that no nonce is ever used twice under one key.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, KeyType, Salt},
    rand,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use scopegate_provider::Secret;

const PREFIX: &str = "sealed:1:";
const SALT: usize = 32;
const PURPOSE: &[u8] = b"scopegate signing key";

/// Errors of sealing and opening a key. They hold nothing of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The library failed.
    #[error("the key could not be sealed")]
    Seal,
    /// A sealed key, and nothing to open it with.
    #[error("it is sealed, and `identity.mint.seal` is not configured")]
    NoSecret,
    /// Another secret, another number, or a text that somebody has changed.
    #[error("it cannot be opened with `identity.mint.seal`: it was sealed with another secret, or changed")]
    Open,
}

struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        AES_256_GCM.key_len()
    }
}

/// Seals `key`, which stays what it is without a secret. It opens only under the same number.
pub(super) fn seal(key: &Secret, number: i64, secret: Option<&Secret>) -> Result<Secret, SealError> {
    let Some(secret) = secret else { return Ok(key.clone()) };
    let mut salt = [0; SALT];
    rand::fill(&mut salt).map_err(|_| SealError::Seal)?;
    let cipher = cipher(secret, &salt).ok_or(SealError::Seal)?;
    let mut text = key.reveal().as_bytes().to_vec();
    cipher.seal_in_place_append_tag(nonce(), bound(number), &mut text).map_err(|_| SealError::Seal)?;
    let sealed = [salt.as_slice(), &text].concat();
    Ok(Secret::new(format!("{PREFIX}{}", STANDARD.encode(sealed))))
}

/// Returns `true` if a key of the store was sealed, with whatever secret.
pub(super) fn is_sealed(kept: &Secret) -> bool {
    kept.reveal().starts_with(PREFIX)
}

/// Opens what was sealed; what never was stays what it is.
pub(super) fn open(kept: &Secret, number: i64, secret: Option<&Secret>) -> Result<Secret, SealError> {
    let Some(sealed) = kept.reveal().strip_prefix(PREFIX) else { return Ok(kept.clone()) };
    let secret = secret.ok_or(SealError::NoSecret)?;
    let sealed = STANDARD.decode(sealed).map_err(|_| SealError::Open)?;
    let (salt, text) = sealed.split_at_checked(SALT).ok_or(SealError::Open)?;
    let cipher = cipher(secret, salt).ok_or(SealError::Open)?;
    let mut text = text.to_vec();
    let opened = cipher.open_in_place(nonce(), bound(number), &mut text).map_err(|_| SealError::Open)?;
    std::str::from_utf8(opened).map(Secret::new).map_err(|_| SealError::Open)
}

fn cipher(secret: &Secret, salt: &[u8]) -> Option<LessSafeKey> {
    let derived = Salt::new(HKDF_SHA256, salt).extract(secret.reveal().as_bytes());
    let mut key = [0; 32];
    derived.expand(&[PURPOSE], Length).ok()?.fill(&mut key).ok()?;
    UnboundKey::new(&AES_256_GCM, &key).ok().map(LessSafeKey::new)
}

/// A key is used for one message.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

fn bound(number: i64) -> Aad<[u8; 8]> {
    Aad::from(number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text)
    }

    #[test]
    fn what_is_sealed_opens_with_the_same_secret_and_number_only() {
        let (key, ours) =
            (secret("-----BEGIN PRIVATE KEY-----"), secret("a secret of thirty-two characters"));
        let sealed = seal(&key, 7, Some(&ours)).unwrap();
        assert!(!sealed.reveal().contains("PRIVATE"));
        assert_eq!(open(&sealed, 7, Some(&ours)).unwrap().reveal(), key.reveal());
        let refused = |number, secret: Option<&Secret>| open(&sealed, number, secret).map(drop);
        assert_eq!(refused(8, Some(&ours)), Err(SealError::Open));
        assert_eq!(refused(7, Some(&secret("another"))), Err(SealError::Open));
        assert_eq!(refused(7, None), Err(SealError::NoSecret));
    }

    #[test]
    fn a_sealed_key_that_was_changed_does_not_open() {
        let ours = secret("ours");
        let sealed = seal(&secret("key"), 1, Some(&ours)).unwrap();
        for cut in [PREFIX.len(), PREFIX.len() + 8, sealed.reveal().len() - 4] {
            let changed = secret(&sealed.reveal()[..cut]);
            assert_eq!(open(&changed, 1, Some(&ours)).map(drop), Err(SealError::Open));
        }
    }

    #[test]
    fn without_a_secret_a_key_is_kept_as_it_is() {
        let key = secret("key");
        assert_eq!(seal(&key, 1, None).unwrap().reveal(), "key");
        assert_eq!(open(&key, 1, Some(&secret("ours"))).unwrap().reveal(), "key");
    }
}
