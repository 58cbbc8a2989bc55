//! The session of an administrator in a browser: the access token, sealed in a cookie that scripts cannot read. Every
//! request is decided with that token by the admin rule, exactly as if it had come in `Authorization`.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, Method, header};
use scopegate_provider::Timestamp;

use crate::{gate::is_same_origin, problem::Problem, reason::Reason};

/// The name of the cookie of a session.
const SESSION: &str = "scopegate_session";

/// The name of the cookie that lives between the start and the end of a sign-in.
const SIGN_IN: &str = "scopegate_sign_in";

/// The use of a sealed text: one that was sealed for one use cannot be opened for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// An access token.
    Session,
    /// The state of a sign-in that was begun.
    SignIn,
}

impl Purpose {
    fn cookie(self) -> &'static str {
        match self {
            Self::Session => SESSION,
            Self::SignIn => SIGN_IN,
        }
    }
}

/// The key that cookies are sealed with. All nodes of a store share it.
pub struct SessionKey(LessSafeKey);

impl std::fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionKey")
    }
}

impl SessionKey {
    /// Makes a key of 32 secret bytes. Returns `None` if the cryptographic library refuses them.
    pub fn new(secret: &[u8; 32]) -> Option<Self> {
        UnboundKey::new(&AES_256_GCM, secret).ok().map(|key| Self(LessSafeKey::new(key)))
    }

    /// Seals a text for one purpose. Returns `None` if the system's random number generator fails.
    pub(super) fn seal(&self, purpose: Purpose, text: &str) -> Option<String> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut sealed = text.as_bytes().to_vec();
        let bound = Aad::from(purpose.cookie());
        self.0.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), bound, &mut sealed).ok()?;
        Some(URL_SAFE_NO_PAD.encode([nonce.as_slice(), &sealed].concat()))
    }

    /// Opens a sealed text. Returns `None` if it was not sealed with this key for this purpose.
    pub(super) fn open(&self, purpose: Purpose, sealed: &str) -> Option<String> {
        let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, mut text) =
            bytes.split_first_chunk::<NONCE_LEN>().map(|(nonce, rest)| (*nonce, rest.to_vec()))?;
        let bound = Aad::from(purpose.cookie());
        let opened = self.0.open_in_place(Nonce::assume_unique_for_key(nonce), bound, &mut text).ok()?;
        String::from_utf8(opened.to_vec()).ok()
    }
}

/// Returns the value of a cookie of ours, unless it is there several times.
pub(super) fn cookie(headers: &HeaderMap, purpose: Purpose) -> Option<&str> {
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut values = pairs
        .flat_map(|pairs| pairs.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| *name == purpose.cookie())
        .map(|(_, value)| value);
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

/// Returns `Set-Cookie` for a sealed value. `lifetime` is in seconds; 0 removes the cookie.
pub(super) fn set_cookie(
    purpose: Purpose,
    value: &str,
    admin: &str,
    secure: bool,
    lifetime: i64,
) -> Option<HeaderValue> {
    // A sign-in returns from the provider's site, on which a Strict cookie would not be sent.
    let same_site = if purpose == Purpose::Session { "Strict" } else { "Lax" };
    let secure = if secure { "; Secure" } else { "" };
    let name = purpose.cookie();
    let text =
        format!("{name}={value}; Path={admin}; HttpOnly; SameSite={same_site}; Max-Age={lifetime}{secure}");
    HeaderValue::from_str(&text).ok()
}

/// Returns how long a cookie may live until `expires`, in seconds.
pub(super) fn lifetime(now: Timestamp, expires: Timestamp) -> i64 {
    (expires.millis().saturating_sub(now.millis()) / 1000).max(0)
}

/// Puts the token of the session into `Authorization` where a request carries none of its own.
///
/// # Errors
/// A request that changes something and comes from a page of another origin: 403 `cross_site`.
pub(super) fn authorize(headers: &mut HeaderMap, method: &Method, key: &SessionKey) -> Result<(), Problem> {
    if headers.contains_key(header::AUTHORIZATION) {
        return Ok(());
    }
    let sealed = cookie(headers, Purpose::Session);
    let Some(token) = sealed.and_then(|sealed| key.open(Purpose::Session, sealed)) else { return Ok(()) };
    if !method.is_safe() && !is_same_origin(headers, headers.get(header::HOST).map(HeaderValue::as_bytes)) {
        let description = "a session may change something only from a page of scopegate itself";
        return Err(Problem::new(Reason::CrossSite, description));
    }
    if let Ok(mut value) = HeaderValue::from_str(&format!("Bearer {token}")) {
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SessionKey {
        SessionKey::new(&[7; 32]).unwrap()
    }

    fn with_session(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let sealed = key().seal(Purpose::Session, "the-token").unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, format!("a=b; {SESSION}={sealed}").parse().unwrap());
        for (name, value) in pairs {
            headers.insert(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_sealed_text_opens_for_its_purpose_and_key_only() {
        let sealed = key().seal(Purpose::Session, "the-token").unwrap();
        assert_eq!(key().open(Purpose::Session, &sealed).as_deref(), Some("the-token"));
        assert_eq!(key().open(Purpose::SignIn, &sealed), None);
        assert_eq!(SessionKey::new(&[8; 32]).unwrap().open(Purpose::Session, &sealed), None);
        assert_eq!(key().open(Purpose::Session, &sealed[1..]), None);
        assert!(!sealed.contains("the-token"));
    }

    #[test]
    fn the_session_stands_for_the_token_where_no_other_is_sent() {
        let mut headers = with_session(&[]);
        authorize(&mut headers, &Method::GET, &key()).unwrap();
        assert_eq!(headers[header::AUTHORIZATION], "Bearer the-token");
        let mut own = with_session(&[("authorization", "Bearer other")]);
        authorize(&mut own, &Method::GET, &key()).unwrap();
        assert_eq!(own[header::AUTHORIZATION], "Bearer other");
    }

    #[test]
    fn a_change_needs_a_page_of_the_same_origin() {
        let change = |pairs: &[(&'static str, &str)]| {
            authorize(&mut with_session(pairs), &Method::POST, &key()).map_err(|problem| problem.reason())
        };
        assert_eq!(change(&[("sec-fetch-site", "same-origin")]), Ok(()));
        assert_eq!(change(&[("origin", "https://a.example"), ("host", "a.example")]), Ok(()));
        for refused in [
            &[("sec-fetch-site", "cross-site")][..],
            &[("sec-fetch-site", "same-site"), ("origin", "https://a.example"), ("host", "a.example")],
            &[("origin", "https://evil.example"), ("host", "a.example")],
            &[("origin", "null"), ("host", "a.example")],
            &[],
        ] {
            assert_eq!(
                change(refused).map_err(|reason| reason.to_string()),
                Err("cross_site".to_owned()),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn a_cookie_that_is_sent_twice_is_none() {
        let mut headers = with_session(&[]);
        let more = headers[header::COOKIE].clone();
        headers.append(header::COOKIE, more);
        assert_eq!(cookie(&headers, Purpose::Session), None);
    }
}
