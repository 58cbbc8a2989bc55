//! Requests that ask for another protocol on their connection (RFC 9110, section 7.8).

use http::{
    HeaderMap, HeaderValue,
    header::{CONNECTION, UPGRADE},
};

/// The protocol that a caller asks to change to, if it is one that is let through. `h2c` never is: requests would come
/// to the upstream past the gate.
pub(in crate::gate) fn upgrade(headers: &HeaderMap) -> Option<&'static str> {
    let mut protocols = headers.get_all(UPGRADE).iter();
    let websocket = protocols.next()?.as_bytes().eq_ignore_ascii_case(b"websocket");
    let asked = || headers.get_all(CONNECTION).iter().any(|value| lists(value, "upgrade"));
    (websocket && protocols.next().is_none() && asked()).then_some("websocket")
}

/// Whether a header's value lists this token.
pub(in crate::gate) fn lists(value: &HeaderValue, token: &str) -> bool {
    value.to_str().is_ok_and(|value| value.split(',').any(|item| item.trim().eq_ignore_ascii_case(token)))
}
