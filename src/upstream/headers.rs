//! Header fields that belong to one connection (RFC 9110, section 7.6.1), and what they say about it.

use std::borrow::Cow;

use http::{
    HeaderMap, HeaderName, HeaderValue, Response, Version,
    header::{CONNECTION, TE, UPGRADE},
};

#[cfg(feature = "server")]
pub(crate) use crate::server::{is_grpc, is_stream};

/// Returns `true` if a field belongs to one connection.
pub(super) fn is_connection_field(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
            | "expect"
    )
}

/// Removes the fields of a response that belong to the connection to the upstream, and those that it lists.
pub(super) fn remove_connection_fields(headers: &mut HeaderMap) {
    if contains(headers, &CONNECTION) {
        for name in listed(headers) {
            headers.remove(name);
        }
    }
    remove_matching(headers, |name| is_connection_field(name.as_str()));
}

/// Removes the fields of a request that belong to the caller's connection, and those that it lists unless they are
/// `kept`. `TE: trailers`, which gRPC needs, is set anew.
pub(crate) fn remove_request_connection_fields(headers: &mut HeaderMap, kept: &[&HeaderName]) {
    if contains(headers, &CONNECTION) {
        for name in listed(headers) {
            if !kept.contains(&&name) {
                headers.remove(name);
            }
        }
    }
    let trailers = contains(headers, &TE) && headers.get_all(TE).iter().any(|value| lists(value, "trailers"));
    remove_matching(headers, |name| *name == TE || is_connection_field(name.as_str()));
    if trailers {
        headers.insert(TE, const { HeaderValue::from_static("trailers") });
    }
}

/// Returns the protocol that a message changes to, if it is `websocket`. Others are never forwarded: with `h2c`,
/// requests would reach the upstream past the gate.
pub(crate) fn upgrade(headers: &HeaderMap) -> Option<&'static str> {
    let mut protocols = headers.get_all(UPGRADE).iter();
    let is_websocket = protocols.next()?.as_bytes().eq_ignore_ascii_case(b"websocket");
    if !is_websocket || protocols.next().is_some() {
        return None;
    }
    headers.get_all(CONNECTION).iter().any(|value| lists(value, "upgrade")).then_some("websocket")
}

/// Returns `true` if the value is a list that contains `token`.
pub(super) fn lists(value: &HeaderValue, token: &str) -> bool {
    value.to_str().is_ok_and(|value| value.split(',').any(|item| item.trim().eq_ignore_ascii_case(token)))
}

/// Returns `true` if the connection ends with this response (RFC 9112, section 9.6).
pub(super) fn closes<B>(response: &Response<B>) -> bool {
    let mut options = response.headers().get_all(CONNECTION).iter();
    response.version() != Version::HTTP_11 || options.any(|value| lists(value, "close"))
}

/// Folds a byte of a field's name as the laxest gateways do: CGI, `FastCGI` and SCGI make one character of all that are
/// not alphanumeric. This is the one definition of the same field: for heads and trailers, in every front.
pub(crate) const fn fold(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' }
}

/// Folds a field's name, so that two names that some service takes for the same field are equal.
pub(crate) fn folded(name: &str) -> Cow<'_, str> {
    // Nearly every name: names of fields hold no upper-case letters.
    if name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')) {
        return name.into();
    }
    name.bytes().map(|byte| char::from(fold(byte))).collect::<String>().into()
}

/// Returns `true` if some service takes two names for the same field.
pub(crate) fn is_same_field(left: &HeaderName, right: &HeaderName) -> bool {
    let left = left.as_str().bytes();
    let right = right.as_str().bytes();
    left.len() == right.len() && left.map(fold).eq(right.map(fold))
}

/// Returns `true` if a field has one of `names`, which are folded, in a spelling of its own.
pub(crate) fn is_misspelt(field: &HeaderName, names: &[&str]) -> bool {
    match folded(field.as_str()) {
        Cow::Borrowed(_) => false,
        Cow::Owned(folded) => names.contains(&folded.as_str()),
    }
}

/// Removes all fields whose name matches.
pub(crate) fn remove_matching(headers: &mut HeaderMap, matches: impl Fn(&HeaderName) -> bool) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| matches(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Returns `true` if a field is present. Few fields come: comparing each costs less than hashing one.
pub(crate) fn contains(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.keys().any(|held| held == name)
}

/// Returns the fields that `Connection` lists.
fn listed(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(CONNECTION).iter();
    let tokens = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    // Many responses list it, and it is removed in any case.
    let tokens = tokens.map(str::trim).filter(|token| !token.eq_ignore_ascii_case("keep-alive"));
    tokens.filter_map(|token| token.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A4: names are the same field if they differ in characters that are not alphanumeric.
    #[test]
    fn every_character_that_is_not_alphanumeric_is_the_same_in_a_name() {
        let name = HeaderName::from_static;
        for spelling in ["x-api-key", "x_api_key", "x.api!key", "x~api|key", "x*api`key"] {
            assert!(is_same_field(&name(spelling), &name("x-api-key")), "{spelling}");
            assert_eq!(is_misspelt(&name(spelling), &["x-api-key"]), spelling != "x-api-key", "{spelling}");
        }
        assert!(!is_same_field(&name("x-api-keys"), &name("x-api-key")));
        assert!(!is_misspelt(&name("x.api.keys"), &["x-api-key"]));
    }

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let fields = fields.iter();
        fields.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn upgrades_to_websocket_only() {
        for (fields, expected) in [
            (&[("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")][..], Some("websocket")),
            (&[("connection", "upgrade"), ("upgrade", "h2c")], None),
            (&[("connection", "upgrade"), ("upgrade", "websocket"), ("upgrade", "h2c")], None),
            (&[("upgrade", "websocket")], None),
        ] {
            assert_eq!(upgrade(&headers(fields)), expected, "{fields:?}");
        }
    }

    #[test]
    fn recognises_streams_by_their_media_type() {
        for (media_type, expected) in [
            ("text/event-stream", true),
            ("Text/Event-Stream; charset=utf-8", true),
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc-web+proto", true),
            ("application/grpcfoo", false),
            ("text/event-streams", false),
            ("application/json", false),
        ] {
            assert_eq!(is_stream(&headers(&[("content-type", media_type)])), expected, "{media_type}");
        }
    }

    #[test]
    fn removes_the_fields_of_the_callers_connection() {
        let mut headers = headers(&[
            ("connection", "close, X-Own"),
            ("x-own", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authenticate", "Basic"),
            ("expect", "100-continue"),
            ("proxy-authorization", "Basic YTpi"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABkAAQAoAAAAAIAAAAA"),
            ("te", "gzip"),
            ("accept", "*/*"),
        ]);
        remove_request_connection_fields(&mut headers, &[]);
        let names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["accept"]);
    }

    #[test]
    fn keeps_te_trailers_for_grpc() {
        let mut headers = headers(&[("te", "trailers")]);
        remove_request_connection_fields(&mut headers, &[]);
        assert_eq!(headers.get(TE).unwrap(), "trailers");
    }
}
