//! The places beside `Authorization` from which a token may come.

use http::{HeaderMap, HeaderName, HeaderValue, header::COOKIE};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A place beside `Authorization` from which a token may come. Query and body are not among them: both end in logs,
/// histories and the hands of other services (RFC 9700, section 4.3.2).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenSource {
    /// `Sec-WebSocket-Protocol`, for browsers, which cannot send `Authorization` there.
    WebsocketProtocol,
    /// A header, whose value is the token, with `Bearer` before it or without.
    #[schemars(with = "String")]
    Header(TokenHeader),
    /// A cookie, whose value is the token. Requests that change something, and upgrades, must come from a page of the
    /// same origin.
    #[schemars(with = "String")]
    Cookie(TokenCookie),
}

/// The name of a header that may carry a token.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenHeader(HeaderName);

/// The name of a cookie that may carry a token.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenCookie(Box<str>);

/// A name that no token may come under.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenSourceError {
    /// The text is not the name of a header.
    #[error("expected the name of a header such as `X-Goog-Iap-Jwt-Assertion`, found `{found}`")]
    Header {
        /// The text that was found.
        found: String,
    },
    /// The header has a meaning of its own.
    #[error("`{found}` has a meaning of its own in HTTP; name the header that carries the token alone")]
    Reserved {
        /// The name that was found.
        found: String,
    },
    /// `Authorization` needs no mention.
    #[error("a token is always accepted from `Authorization`; leave it out")]
    Authorization,
    /// `Cookie` carries every cookie.
    #[error("name the cookie that carries the token: `{{ cookie: NAME }}`")]
    Cookies,
    /// The text is not the name of a cookie.
    #[error("expected the name of a cookie such as `session`, found `{found}`")]
    Cookie {
        /// The text that was found.
        found: String,
    },
}

impl TokenHeader {
    /// Returns the name.
    pub fn name(&self) -> &HeaderName {
        &self.0
    }

    /// Returns `true` if a field has this name in a spelling that some service takes for it: CGI and its successors make
    /// one character of `-` and `_`.
    pub fn is_spelt(&self, field: &HeaderName) -> bool {
        let bytes = field.as_str().bytes();
        self.0.as_str().len() == field.as_str().len() && self.0.as_str().bytes().map(fold).eq(bytes.map(fold))
    }
}

impl TokenCookie {
    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Returns the values of all cookies of this name.
    pub fn values<'h>(&self, headers: &'h HeaderMap) -> impl Iterator<Item = &'h [u8]> {
        cookies(headers).filter_map(|cookie| (cookie.name == self.0.as_bytes()).then_some(cookie.value))
    }
}

impl TokenSource {
    /// Returns the fields of a request that can carry a token, each with its value without any token; `None` if nothing is
    /// left of it.
    pub fn without_tokens(sources: &[Self], headers: &HeaderMap) -> Vec<(HeaderName, Option<HeaderValue>)> {
        let fields = headers.keys().filter(|field| sources.iter().any(|source| source.is_header(field)));
        let mut changed: Vec<_> = fields.map(|field| (field.clone(), None)).collect();
        if cookies(headers).any(|cookie| sources.iter().any(|source| source.is_cookie(&cookie))) {
            let left =
                cookies(headers).filter(|cookie| !sources.iter().any(|source| source.is_cookie(cookie)));
            changed.push((COOKIE, joined(left)));
        }
        changed
    }

    /// Returns the fields of a request that can carry a token, as they are; cookies as one field.
    pub fn fields(sources: &[Self], headers: &HeaderMap) -> Vec<(HeaderName, Option<HeaderValue>)> {
        let fields = headers.iter().filter(|(field, _)| sources.iter().any(|source| source.is_header(field)));
        let mut fields: Vec<_> = fields.map(|(field, value)| (field.clone(), Some(value.clone()))).collect();
        if sources.iter().any(|source| matches!(source, Self::Cookie(_))) && headers.contains_key(COOKIE) {
            fields.push((COOKIE, joined(cookies(headers))));
        }
        fields
    }

    fn is_header(&self, field: &HeaderName) -> bool {
        matches!(self, Self::Header(header) if header.is_spelt(field))
    }

    fn is_cookie(&self, cookie: &Cookie<'_>) -> bool {
        matches!(self, Self::Cookie(named) if named.0.as_bytes() == cookie.name)
    }
}

impl TryFrom<String> for TokenHeader {
    type Error = TokenSourceError;

    fn try_from(found: String) -> Result<Self, TokenSourceError> {
        let Ok(name) = found.parse::<HeaderName>() else { return Err(TokenSourceError::Header { found }) };
        match name.as_str() {
            "authorization" => Err(TokenSourceError::Authorization),
            "cookie" => Err(TokenSourceError::Cookies),
            reserved if is_reserved(reserved) => Err(TokenSourceError::Reserved { found }),
            _ => Ok(Self(name)),
        }
    }
}

impl TryFrom<String> for TokenCookie {
    type Error = TokenSourceError;

    fn try_from(found: String) -> Result<Self, TokenSourceError> {
        // The name of a cookie is a token of HTTP, as that of a header (RFC 6265, section 4.1.1).
        match HeaderName::from_bytes(found.as_bytes()) {
            Ok(_) => Ok(Self(found.into())),
            Err(_) => Err(TokenSourceError::Cookie { found }),
        }
    }
}

impl From<TokenHeader> for String {
    fn from(header: TokenHeader) -> Self {
        header.0.as_str().to_owned()
    }
}

impl From<TokenCookie> for String {
    fn from(cookie: TokenCookie) -> Self {
        cookie.0.into()
    }
}

/// A cookie of a request.
struct Cookie<'h> {
    /// The cookie as it was sent.
    pair: &'h [u8],
    name: &'h [u8],
    value: &'h [u8],
}

/// Returns the cookies of a request (RFC 6265, section 4.2.1).
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = Cookie<'_>> {
    let lines = headers.get_all(COOKIE).iter();
    let pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';')).map(<[u8]>::trim_ascii);
    pairs.filter(|pair| !pair.is_empty()).map(|pair| {
        let mut parts = pair.splitn(2, |byte| *byte == b'=').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        Cookie { pair, name, value: parts.next().unwrap_or_default() }
    })
}

/// Joins cookies; `None` if there are none.
fn joined<'h>(cookies: impl Iterator<Item = Cookie<'h>>) -> Option<HeaderValue> {
    let pairs: Vec<_> = cookies.map(|cookie| cookie.pair).collect();
    HeaderValue::from_bytes(&pairs.join(&b"; "[..])).ok().filter(|value| !value.is_empty())
}

const fn fold(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' }
}

/// Returns `true` if HTTP, or the gate itself, gives the header a meaning.
fn is_reserved(name: &str) -> bool {
    const NAMES: [&str; 17] = [
        "accept",
        "connection",
        "dpop",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "origin",
        "referer",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
    ];
    let prefixes = ["access-control-", "content-", "proxy-", "sec-", "x-original-"];
    NAMES.contains(&name) || prefixes.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str) -> Result<TokenHeader, TokenSourceError> {
        name.to_owned().try_into()
    }

    fn sources() -> [TokenSource; 2] {
        let cookie = TokenCookie::try_from("session".to_owned()).unwrap();
        [TokenSource::Header(header("X-Token").unwrap()), TokenSource::Cookie(cookie)]
    }

    #[test]
    fn headers_with_a_meaning_of_their_own_carry_no_token() {
        assert_eq!(header("Authorization"), Err(TokenSourceError::Authorization));
        assert_eq!(header("Cookie"), Err(TokenSourceError::Cookies));
        for name in
            ["Host", "Proxy-Authorization", "Sec-WebSocket-Protocol", "X-Forwarded-Host", "Content-Type"]
        {
            assert_eq!(header(name), Err(TokenSourceError::Reserved { found: name.to_owned() }));
        }
        assert_eq!(header("a b"), Err(TokenSourceError::Header { found: "a b".to_owned() }));
        assert!(header("X-Forwarded-Access-Token").is_ok());
        assert!(TokenCookie::try_from("a=b".to_owned()).is_err());
    }

    #[test]
    fn tokens_are_removed_in_every_spelling_and_other_cookies_stay() {
        let mut headers = HeaderMap::new();
        headers.append("x-token", HeaderValue::from_static("a"));
        headers.append("x_token", HeaderValue::from_static("b"));
        headers.append(COOKIE, HeaderValue::from_static("theme=dark; session=a"));
        headers.append(COOKIE, HeaderValue::from_static("session=b;sessions=c"));
        let mut changed = TokenSource::without_tokens(&sources(), &headers);
        changed.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
        let cookie = HeaderValue::from_static("theme=dark; sessions=c");
        let (dashed, underlined) = (HeaderName::from_static("x-token"), HeaderName::from_static("x_token"));
        assert_eq!(changed, [(COOKIE, Some(cookie)), (dashed, None), (underlined, None)]);
        headers.remove(COOKIE);
        headers.insert(COOKIE, HeaderValue::from_static("theme=dark"));
        assert_eq!(TokenSource::without_tokens(&sources()[1..], &headers), []);
    }
}
