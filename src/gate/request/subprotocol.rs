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
use http::{HeaderMap, HeaderValue, StatusCode, header::SEC_WEBSOCKET_PROTOCOL};
use scopegate_provider::BearerToken;

use super::token::BearerError;

const PREFIX: &str = "base64url.bearer.authorization.k8s.io.";
const OURS: &str = "bearer";

/// The treatment of the subprotocols of a request that may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subprotocols {
    /// They go on as they came.
    Untouched,
    /// Each one that looks like a token is removed.
    Cleared,
    /// The caller's token was among them and is removed.
    HeldTheToken,
}

/// The party that selects the subprotocol of a `WebSocket`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gate) enum Selection {
    /// The service selects one, or none.
    Service,
    /// The gate selects `bearer` if the service selects none.
    Gate,
}

impl Selection {
    /// Selects `bearer` in a response that accepts the `WebSocket` and selects no subprotocol.
    pub(in crate::gate) fn apply(self, status: StatusCode, headers: &mut HeaderMap) {
        if self == Self::Gate
            && status == StatusCode::SWITCHING_PROTOCOLS
            && !headers.contains_key(SEC_WEBSOCKET_PROTOCOL)
        {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, const { HeaderValue::from_static(OURS) });
        }
    }
}

/// Finds the token among the subprotocols.
///
/// # Errors
/// There are several, or it is malformed.
pub(in crate::gate) fn token(headers: &HeaderMap) -> Result<Option<BearerToken>, BearerError> {
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

/// Returns the subprotocols that go on, without the token, and the party that selects one of them. Without a token among
/// them they stay as they were.
pub(in crate::gate) fn without_token(headers: &HeaderMap) -> (Vec<HeaderValue>, Selection) {
    let Ok(offers) = offered(headers) else { return (Vec::new(), Selection::Service) };
    if !offers.iter().any(|offer| offer.starts_with(PREFIX)) {
        return (headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().cloned().collect(), Selection::Service);
    }
    let rest = offers.iter().filter(|offer| !offer.starts_with(PREFIX) && **offer != OURS);
    let rest = rest.copied().collect::<Vec<_>>().join(", ");
    let rest = HeaderValue::try_from(rest).ok().filter(|rest| !rest.is_empty());
    let selection = if offers.contains(&OURS) { Selection::Gate } else { Selection::Service };
    (rest.into_iter().collect(), selection)
}

/// Removes the token from the subprotocols of a request.
pub(in crate::gate) fn strip(headers: &mut HeaderMap) -> Selection {
    let (rest, selection) = without_token(headers);
    headers.remove(SEC_WEBSOCKET_PROTOCOL);
    headers.extend(rest.into_iter().map(|line| (SEC_WEBSOCKET_PROTOCOL, line)));
    selection
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
    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        let lines = lines.iter().map(|line| (SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_str(line).unwrap()));
        lines.collect()
    }

    fn offer(token: &str) -> String {
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(token))
    }

    fn left(lines: &[&str]) -> (String, Selection) {
        let mut headers = headers(lines);
        let selection = strip(&mut headers);
        let lines = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().map(|line| line.to_str().unwrap());
        (lines.collect::<Vec<_>>().join("|"), selection)
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
        assert_eq!(left(&[&format!("bearer, {offer}")]), (String::new(), Selection::Gate));
        assert_eq!(
            left(&[&format!("chat, {offer}"), "bearer,superchat"]),
            ("chat, superchat".to_owned(), Selection::Gate)
        );
        assert_eq!(left(&[&offer, &offer, "chat"]), ("chat".to_owned(), Selection::Service));
    }

    #[test]
    fn without_a_token_everything_goes_on_as_it_was() {
        assert_eq!(left(&["chat,  bearer", "x"]), ("chat,  bearer|x".to_owned(), Selection::Service));
    }
}
