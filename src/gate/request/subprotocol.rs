//! A token among the subprotocols of a `WebSocket` handshake (RFC 6455, section 4.1), where browsers can send nothing else.
//!
//! The form is the one that Kubernetes has made known: a subprotocol `base64url.bearer.authorization.k8s.io.` with the
//! token behind it in base64url without padding, as a token may hold characters that no subprotocol may. It goes no
//! further: the service sees the other subprotocols only, and chooses among them. A browser that has offered any wants one
//! of them chosen; for services that speak none a page offers `bearer` too, which never goes on either and is chosen here.
//!
//! ```js
//! new WebSocket(url, ["bearer", "base64url.bearer.authorization.k8s.io." + base64url(token)])
//! ```

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{AUTHORIZATION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL},
};
use scopegate_provider::BearerToken;

use super::{BearerError, Permit, upgrade::upgrade};

const PREFIX: &str = "base64url.bearer.authorization.k8s.io.";
const OURS: &str = "bearer";

/// How a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hop {
    /// By itself.
    Direct,
    /// A proxy tells of it, and keeps to itself what belongs to its own connection.
    Told,
}

/// What is to be done with the subprotocols of a request that was let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subprotocols {
    /// They go on as they came.
    Untouched,
    /// Whatever looks like a token is taken off.
    Cleared,
    /// The same, and the token that was among them is the caller's.
    HeldTheToken,
}

impl Subprotocols {
    pub(super) fn of(searched: bool, offered: bool) -> Self {
        match (searched, offered) {
            (_, true) => Self::HeldTheToken,
            (true, false) => Self::Cleared,
            (false, false) => Self::Untouched,
        }
    }
}

/// Takes the token off a request that was let through; one that goes on does so as `Authorization`. Says whether `bearer`
/// is to be chosen if the service chooses none.
pub(super) fn clear(permit: &Permit, headers: &mut HeaderMap) -> bool {
    if permit.subprotocols == Subprotocols::Untouched {
        return false;
    }
    if let Some(authorization) = authorization(permit) {
        headers.insert(AUTHORIZATION, authorization);
    }
    strip(headers)
}

/// `Authorization` with the token that was among the subprotocols.
pub(super) fn authorization(permit: &Permit) -> Option<HeaderValue> {
    let credentials = permit.credentials.as_ref()?;
    if permit.subprotocols != Subprotocols::HeldTheToken {
        return None;
    }
    let mut value = HeaderValue::try_from(format!("Bearer {}", credentials.token.reveal())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Whether a `GET` opens a `WebSocket`.
pub(super) fn is_handshake(headers: &HeaderMap, hop: Hop) -> bool {
    match hop {
        Hop::Direct => upgrade(headers).is_some(),
        Hop::Told => headers.contains_key(SEC_WEBSOCKET_KEY),
    }
}

/// The token, if there is one.
///
/// # Errors
/// There are several, or it is malformed.
pub(super) fn token(headers: &HeaderMap) -> Result<Option<BearerToken>, BearerError> {
    let mut tokens = offered(headers)?.into_iter().filter_map(|offer| offer.strip_prefix(PREFIX));
    match (tokens.next(), tokens.next()) {
        (None, _) => Ok(None),
        (Some(encoded), None) => {
            let token = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| BearerError::Subprotocol)?;
            BearerToken::from_bytes(&token).map(Some).map_err(|_| BearerError::Subprotocol)
        }
        (Some(_), Some(_)) => Err(BearerError::Several),
    }
}

/// What goes on: the subprotocols without the token, and whether `bearer` is to be chosen if the service chooses none.
/// Nothing is changed where no token is.
pub(super) fn without_token(headers: &HeaderMap) -> (Vec<HeaderValue>, bool) {
    let as_it_was = || headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().cloned().collect();
    let Ok(offers) = offered(headers) else { return (Vec::new(), false) };
    if !offers.iter().any(|offer| offer.starts_with(PREFIX)) {
        return (as_it_was(), false);
    }
    let rest = offers.iter().filter(|offer| !offer.starts_with(PREFIX) && **offer != OURS);
    let rest = rest.copied().collect::<Vec<_>>().join(", ");
    let rest = HeaderValue::try_from(rest).ok().filter(|rest| !rest.is_empty());
    (rest.into_iter().collect(), offers.contains(&OURS))
}

/// Takes the token off a request; says whether `bearer` is to be chosen if the service chooses none.
fn strip(headers: &mut HeaderMap) -> bool {
    let (rest, chosen_here) = without_token(headers);
    headers.remove(SEC_WEBSOCKET_PROTOCOL);
    headers.extend(rest.into_iter().map(|line| (SEC_WEBSOCKET_PROTOCOL, line)));
    chosen_here
}

/// Chooses `bearer` if the service, which has agreed, has chosen none.
pub(super) fn choose(status: StatusCode, headers: &mut HeaderMap) {
    if status == StatusCode::SWITCHING_PROTOCOLS && !headers.contains_key(SEC_WEBSOCKET_PROTOCOL) {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, const { HeaderValue::from_static(OURS) });
    }
}

fn offered(headers: &HeaderMap) -> Result<Vec<&str>, BearerError> {
    let mut offers = Vec::new();
    for line in headers.get_all(SEC_WEBSOCKET_PROTOCOL) {
        let line = line.to_str().map_err(|_| BearerError::Subprotocol)?;
        offers.extend(line.split(',').map(str::trim).filter(|offer| !offer.is_empty()));
    }
    Ok(offers)
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        let lines = lines.iter().map(|line| (SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_str(line).unwrap()));
        lines.collect()
    }

    fn offer(token: &str) -> String {
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(token))
    }

    fn left(lines: &[&str]) -> (String, bool) {
        let mut headers = headers(lines);
        let chosen_here = strip(&mut headers);
        let lines = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().map(|line| line.to_str().unwrap());
        (lines.collect::<Vec<_>>().join("|"), chosen_here)
    }

    #[test]
    fn a_token_is_found_among_other_subprotocols_in_one_line_or_several() {
        let (offer, expected) = (offer("a/b+c=="), BearerToken::parse("a/b+c==").unwrap());
        for lines in [vec![format!("chat, {offer}")], vec!["chat".to_owned(), offer.clone()], vec![offer]] {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            assert_eq!(token(&headers(&lines)), Ok(Some(expected.clone())));
        }
        assert_eq!(token(&headers(&["chat, bearer"])), Ok(None));
    }

    #[test]
    fn two_tokens_are_refused_even_if_they_are_the_same() {
        let offer = offer("a");
        assert_eq!(token(&headers(&[&offer, &offer])), Err(BearerError::Several));
    }

    #[test]
    fn a_malformed_token_is_refused() {
        for bad in ["", "%", "YQ==", "YSBi"] {
            let refused = token(&headers(&[&format!("{PREFIX}{bad}")]));
            assert_eq!(refused, Err(BearerError::Subprotocol), "{bad}");
        }
    }

    #[test]
    fn neither_the_token_nor_bearer_goes_on() {
        let offer = offer("a");
        assert_eq!(left(&[&format!("bearer, {offer}")]), (String::new(), true));
        assert_eq!(
            left(&[&format!("chat, {offer}"), "bearer,superchat"]),
            ("chat, superchat".to_owned(), true)
        );
        assert_eq!(left(&[&offer, &offer, "chat"]), ("chat".to_owned(), false));
    }

    #[test]
    fn without_a_token_everything_goes_on_as_it_was() {
        assert_eq!(left(&["chat,  bearer", "x"]), ("chat,  bearer|x".to_owned(), false));
    }

    #[test]
    fn only_a_handshake_may_bring_a_token() {
        let direct = |fields: &[(&'static str, &'static str)]| {
            let headers = fields
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            let headers: HeaderMap = headers.collect();
            [Hop::Direct, Hop::Told].map(|hop| is_handshake(&headers, hop))
        };
        assert_eq!(direct(&[("connection", "Upgrade"), ("upgrade", "websocket")]), [true, false]);
        assert_eq!(direct(&[("sec-websocket-key", "x")]), [false, true]);
        assert_eq!(direct(&[("connection", "Upgrade"), ("upgrade", "h2c")]), [false, false]);
    }
}
