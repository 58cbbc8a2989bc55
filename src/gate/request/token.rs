//! The token of a request: from exactly one `Authorization` header (RFC 6750, section 2.1), or from exactly one other place
//! that the route accepts. Never from query or body.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use scopegate_provider::{BearerToken, TokenError};

use crate::{
    authenticator::TokenScheme,
    policy::settings::{TokenCookie, TokenHeader},
    problem::Problem,
    reason::Reason,
};

/// Errors in the token of a request: 400 `invalid_request`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BearerError {
    /// Two tokens: which one would the upstream take?
    #[error(
        "expected one token, found several: in one Authorization header, or elsewhere where the route says so"
    )]
    Several,
    /// `Bearer` with something that is no token after it.
    #[error("malformed Authorization header: {0}")]
    Malformed(#[from] TokenError),
    /// `Bearer` is followed by something else than a space.
    #[error("malformed Authorization header: expected the scheme, one space and the token")]
    Separator,
    /// `Bearer Bearer …`.
    #[error("malformed Authorization header: `Bearer` occurs twice")]
    Repeated,
    /// A token without `Bearer`.
    #[error(
        "malformed Authorization header: it holds a token without its scheme; write `Bearer` and a space before it"
    )]
    NoScheme,
    /// The header that the route accepts holds something else than a token.
    #[error("malformed token in the header `{header}`: {error}")]
    Header {
        /// The header.
        header: HeaderName,
        /// The fault of the token.
        error: TokenError,
    },
    /// The cookie that the route accepts holds something else than a token.
    #[error("malformed token in a cookie: {0}")]
    Cookie(TokenError),
    /// A token among the subprotocols of a `WebSocket` that is none.
    #[error(
        "malformed token in Sec-WebSocket-Protocol: expected base64url, without padding, of a bearer token"
    )]
    Subprotocol,
}

impl BearerError {
    /// Returns the reason.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Several => Reason::SeveralTokens,
            Self::Malformed(_) | Self::Separator | Self::Repeated | Self::NoScheme => {
                Reason::MalformedAuthorization
            }
            Self::Header { .. } | Self::Cookie(_) => Reason::MalformedCredential,
            Self::Subprotocol => Reason::MalformedSubprotocol,
        }
    }
}

impl From<BearerError> for Problem {
    fn from(error: BearerError) -> Self {
        Problem::new(error.reason(), error.to_string())
    }
}

/// The token of a request, before it is parsed, by its source.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::gate) enum RawToken<'r> {
    /// The bytes after the scheme in `Authorization`.
    Authorization(TokenScheme, &'r [u8]),
    /// The value of another header, without its scheme.
    Header(&'r [u8], &'r HeaderName),
    /// The value of a cookie.
    Cookie(&'r [u8]),
    /// A token among the subprotocols of a `WebSocket`.
    Subprotocol(BearerToken),
}

impl RawToken<'_> {
    /// Returns the bytes of the token. They may not be those of a token at all.
    pub(in crate::gate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Authorization(_, bytes) | Self::Header(bytes, _) | Self::Cookie(bytes) => bytes,
            Self::Subprotocol(token) => token.as_bytes(),
        }
    }

    /// Returns the scheme with which the token was sent.
    pub(in crate::gate) fn scheme(&self) -> TokenScheme {
        match self {
            Self::Authorization(scheme, _) => *scheme,
            _ => TokenScheme::Bearer,
        }
    }

    /// Parses the token.
    ///
    /// # Errors
    /// [`BearerError::Malformed`], [`BearerError::Header`], [`BearerError::Cookie`].
    pub(in crate::gate) fn parse(self) -> Result<BearerToken, BearerError> {
        match self {
            Self::Authorization(_, bytes) => Ok(BearerToken::from_bytes(bytes)?),
            Self::Header(bytes, header) => BearerToken::from_bytes(bytes)
                .map_err(|error| BearerError::Header { header: header.clone(), error }),
            Self::Cookie(bytes) => BearerToken::from_bytes(bytes).map_err(BearerError::Cookie),
            Self::Subprotocol(token) => Ok(token),
        }
    }
}

/// Parses the token of `Authorization`; `None` if there is no such header, or one of another scheme, such as `Basic`.
///
/// # Errors
/// [`BearerError`].
pub fn bearer(headers: &HeaderMap) -> Result<Option<BearerToken>, BearerError> {
    let token = authorization(headers)?.filter(|token| token.scheme() == TokenScheme::Bearer);
    token.map(RawToken::parse).transpose()
}

/// Finds the token of `Authorization`, without parsing it.
///
/// # Errors
/// [`BearerError::Several`].
pub(in crate::gate) fn authorization(headers: &HeaderMap) -> Result<Option<RawToken<'_>>, BearerError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => credentials(value),
        (Some(_), Some(_)) => Err(BearerError::Several),
    }
}

/// Finds the token in a header that the route accepts, in any spelling, without parsing it. An empty header holds none.
///
/// # Errors
/// [`BearerError::Several`].
pub(in crate::gate) fn in_header<'r>(
    headers: &'r HeaderMap,
    header: &'r TokenHeader,
) -> Result<Option<RawToken<'r>>, BearerError> {
    let fields = headers.iter().filter(|(name, _)| header.is_spelt(name));
    let value = at_most_one(fields.map(|(_, value)| value.as_bytes()))?;
    Ok(value.map(|value| RawToken::Header(without_scheme(value), header.name())))
}

/// Finds the token in a cookie that the route accepts, without parsing it. An empty cookie holds none.
///
/// # Errors
/// [`BearerError::Several`].
pub(in crate::gate) fn in_cookie<'r>(
    headers: &'r HeaderMap,
    cookie: &TokenCookie,
) -> Result<Option<RawToken<'r>>, BearerError> {
    Ok(at_most_one(cookie.values(headers))?.map(RawToken::Cookie))
}

fn at_most_one<'r>(values: impl Iterator<Item = &'r [u8]>) -> Result<Option<&'r [u8]>, BearerError> {
    let mut values = values.map(<[u8]>::trim_ascii).filter(|value| !value.is_empty());
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(BearerError::Several),
    }
}

/// Removes `Bearer` and the spaces behind it.
fn without_scheme(value: &[u8]) -> &[u8] {
    match value.split_at_checked(7) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => token.trim_ascii_start(),
        _ => value,
    }
}

fn credentials(value: &HeaderValue) -> Result<Option<RawToken<'_>>, BearerError> {
    let bytes = value.as_bytes();
    let scheme = bytes.iter().position(|byte| !is_token_character(*byte)).unwrap_or(bytes.len());
    let (scheme, rest) = bytes.split_at(scheme);
    if scheme.eq_ignore_ascii_case(b"dpop") {
        // RFC 9449, section 7.1.
        let token = rest.strip_prefix(b" ").ok_or(BearerError::Separator)?.trim_ascii();
        return Ok(Some(RawToken::Authorization(TokenScheme::Dpop, token)));
    }
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        if holds_another(bytes) {
            return Err(BearerError::Several);
        }
        return if rest.is_empty() && is_jwt(bytes) { Err(BearerError::NoScheme) } else { Ok(None) };
    }
    if rest.first().is_some_and(|byte| *byte != b' ') {
        return Err(BearerError::Separator);
    }
    let token = rest.trim_ascii();
    match token.split_at_checked(7) {
        Some((scheme, _)) if scheme.eq_ignore_ascii_case(b"bearer ") => Err(BearerError::Repeated),
        _ => Ok(Some(RawToken::Authorization(TokenScheme::Bearer, token))),
    }
}

/// Returns `true` if the byte may occur in the name of a scheme (RFC 9110, section 5.6.2).
const fn is_token_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

/// Returns `true` if the text looks like a JWT: three parts, of which the first begins like a JSON object.
fn is_jwt(text: &[u8]) -> bool {
    text.starts_with(b"eyJ") && text.split(|byte| *byte == b'.').count() == 3
}

/// Returns `true` if a token follows credentials of another scheme: Envoy joins several headers into one by a comma, and what is
/// behind it may take the last.
fn holds_another(value: &[u8]) -> bool {
    let mut joined = value.split(|byte| *byte == b',').skip(1).map(<[u8]>::trim_ascii_start);
    joined.any(|next| {
        ["bearer", "dpop"].iter().any(|known| {
            next.split_at_checked(known.len()).is_some_and(|(scheme, rest)| {
                scheme.eq_ignore_ascii_case(known.as_bytes())
                    && matches!(rest.first(), None | Some(b' ' | b'\t'))
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Result<Option<BearerToken>, BearerError> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        bearer(&headers)
    }

    #[test]
    fn the_scheme_is_compared_without_case() {
        for scheme in ["Bearer", "bearer", "BEARER"] {
            assert_eq!(read(&[&format!("{scheme} a.b.c")]), Ok(Some(BearerToken::parse("a.b.c").unwrap())));
        }
    }

    #[test]
    fn another_scheme_is_no_token() {
        assert_eq!(read(&["Basic YTpi"]), Ok(None));
        assert_eq!(read(&["Bearerish abc"]), Ok(None));
        assert_eq!(read(&[]), Ok(None));
    }

    #[test]
    fn two_headers_are_malformed_even_if_they_are_the_same() {
        assert_eq!(read(&["Bearer a", "Bearer a"]), Err(BearerError::Several));
        assert_eq!(read(&["Bearer a", "Basic YTpi"]), Err(BearerError::Several));
    }

    #[test]
    fn two_tokens_in_one_header_are_malformed() {
        assert_eq!(read(&["Bearer a, Bearer b"]), Err(BearerError::Malformed(TokenError::Character)));
    }

    #[test]
    fn a_token_that_a_proxy_has_joined_to_other_credentials_is_not_overlooked() {
        for joined in ["Basic YTpi,Bearer a", "Basic YTpi, bearer a", "Basic YTpi , BEARER", "a,b, Bearer c"]
        {
            assert_eq!(read(&[joined]), Err(BearerError::Several), "{joined}");
        }
        assert_eq!(read(&["Digest realm=\"bearers\", nonce=\"bearer\""]), Ok(None));
    }

    /// A17: services that split on white space or at other characters would find a token where the gate found none.
    #[test]
    fn the_scheme_ends_at_the_first_byte_that_cannot_be_part_of_it() {
        for value in
            ["Bearer\tx", "Bearer,x", "bearer\u{a0}x", "Bearer=x", "BEARER:x", "Bearer/x", "Bearer\"x"]
        {
            assert_eq!(read(&[value]), Err(BearerError::Separator), "{value:?}");
        }
    }

    /// O11: the answer says what is wrong with the header.
    #[test]
    fn a_token_without_its_scheme_and_one_with_two_are_named_as_such() {
        assert_eq!(read(&["eyJhbGciOiJSUzI1NiJ9.e30.c2ln"]), Err(BearerError::NoScheme));
        assert_eq!(read(&["Bearer Bearer eyJhbGciOiJSUzI1NiJ9.e30.c2ln"]), Err(BearerError::Repeated));
    }

    #[test]
    fn the_scheme_alone_is_malformed() {
        assert_eq!(read(&["Bearer"]), Err(BearerError::Malformed(TokenError::Empty)));
        assert_eq!(read(&["Bearer   "]), Err(BearerError::Malformed(TokenError::Empty)));
    }

    #[test]
    fn bytes_outside_of_ascii_are_malformed() {
        assert_eq!(read(&["Bearer tökén"]), Err(BearerError::Malformed(TokenError::Character)));
    }
}
