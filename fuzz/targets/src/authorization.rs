//! The `Authorization` headers of a request.

use http::{HeaderMap, HeaderValue, header};
use scopegate::gate::{BearerError, bearer};
use scopegate_provider::BearerToken;

/// Bytes: a value on each line.
pub fn authorization(data: &[u8]) -> bool {
    let mut headers = HeaderMap::new();
    for value in data.split(|byte| *byte == b'\n') {
        let Ok(value) = HeaderValue::from_bytes(value) else { return false };
        headers.append(header::AUTHORIZATION, value);
    }
    let values: Vec<&[u8]> =
        headers.get_all(header::AUTHORIZATION).iter().map(HeaderValue::as_bytes).collect();
    let read = bearer(&headers);
    let [value] = values[..] else {
        assert!(read.is_err(), "{} headers are {read:?}", values.len());
        return false;
    };
    let scheme = value.split(|byte| !is_token_character(*byte)).next().unwrap_or_default();
    let is_bearer = scheme.eq_ignore_ascii_case(b"bearer");
    match read {
        Ok(None) => assert!(!is_bearer && !is_joined(value), "a token is passed over"),
        Err(BearerError::NoScheme) => assert!(scheme == value && value.starts_with(b"eyJ")),
        Err(_) => assert!(is_bearer || is_joined(value)),
        Ok(Some(ref token)) => check(token, value, is_bearer),
    }
    matches!(read, Ok(Some(_)))
}

/// Returns `true` if the byte may occur in the name of a scheme (RFC 9110, section 5.6.2).
fn is_token_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Returns `true` if a bearer token follows other credentials in the same value.
fn is_joined(value: &[u8]) -> bool {
    value.split(|byte| *byte == b',').skip(1).any(|next| {
        let next = next.trim_ascii().to_ascii_lowercase();
        next == b"bearer" || next.starts_with(b"bearer ") || next.starts_with(b"bearer\t")
    })
}

fn check(token: &BearerToken, value: &[u8], is_bearer: bool) {
    assert!(is_bearer);
    let rest = value[b"bearer".len()..].trim_ascii();
    assert_eq!(token.as_bytes(), rest, "the token is not what was sent");
    let sayable = |char: char| char.is_ascii_alphanumeric() || "-._~+/=".contains(char);
    assert!(!token.reveal().is_empty() && token.reveal().chars().all(sayable));
    assert_eq!(BearerToken::parse(token.reveal()).as_ref(), Ok(token));
    assert!(!format!("{token:?}").contains(token.reveal()) || token.reveal().len() < 12, "it shows itself");
}
