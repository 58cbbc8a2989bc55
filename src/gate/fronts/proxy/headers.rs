//! Which headers go on.

use http::{
    HeaderMap, HeaderName, HeaderValue, Response, Version,
    header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, TE, UPGRADE},
};

use super::Forwarded;
use crate::gate::request::upgrade::lists;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Whether a header belongs to one connection (RFC 9110, section 7.6.1).
fn is_hop_by_hop(name: &str) -> bool {
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

/// Makes a caller's headers the upstream's: hop-by-hop ones off, `X-Forwarded-…` ours.
pub(super) fn towards_upstream(headers: &mut HeaderMap, forwarded: &Forwarded) {
    let trailers = has(headers, &TE) && headers.get_all(TE).iter().any(|value| lists(value, "trailers"));
    take_off(headers, |name| name == "te" || is_hop_by_hop(name) || speaks_of_origin(name));
    if trailers {
        headers.insert(TE, const { HeaderValue::from_static("trailers") });
    }
    if let Some(client) = &forwarded.client {
        headers.insert(FORWARDED_FOR, client.clone());
    }
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(forwarded.scheme.as_str()));
    if !has(headers, &HOST) {
        headers.insert(HOST, forwarded.host.clone());
    }
    headers.insert(FORWARDED_HOST, forwarded.host.clone());
}

/// Takes off what a caller's `Connection` lists, and the list itself: nothing that is set afterwards can be taken off by
/// the caller.
pub(in crate::gate) fn unlist(headers: &mut HeaderMap) {
    if !has(headers, &CONNECTION) {
        return;
    }
    let upgrades = headers.get_all(CONNECTION).iter().any(|value| lists(value, "upgrade"));
    for name in listed(headers).into_iter().filter(|name| *name != UPGRADE) {
        headers.remove(name);
    }
    headers.remove(CONNECTION);
    if upgrades {
        headers.insert(CONNECTION, const { HeaderValue::from_static("upgrade") });
    }
}

/// Whether an upstream's connection ends with this answer (RFC 9112, section 9.6).
pub(super) fn closes<B>(answer: &Response<B>) -> bool {
    let asks = |value| lists(value, "close");
    answer.version() != Version::HTTP_11 || answer.headers().get_all(CONNECTION).iter().any(asks)
}

/// Makes an upstream's headers the caller's.
pub(super) fn towards_caller(headers: &mut HeaderMap) {
    take_off(headers, is_hop_by_hop);
}

/// Takes off what `Connection` lists, and these.
fn take_off(headers: &mut HeaderMap, taken: impl Fn(&str) -> bool) {
    let mut names: Vec<HeaderName> = headers.keys().filter(|name| taken(name.as_str())).cloned().collect();
    if names.contains(&CONNECTION) {
        names.extend(listed(headers));
    }
    for name in names {
        headers.remove(name);
    }
}

/// Few headers come: looking at each costs less than looking for one.
fn has(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.keys().any(|held| held == name)
}

/// What `Connection` lists, save what the message needs and the token that was decided on: a caller could otherwise have
/// it taken off.
fn listed(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(CONNECTION).iter();
    let tokens = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    // Every answer of some upstreams lists it, and it is taken off in any case.
    let tokens = tokens.map(str::trim).filter(|token| !token.eq_ignore_ascii_case("keep-alive"));
    let names = tokens.filter_map(|token| token.parse().ok());
    names.filter(|name| ![HOST, CONTENT_LENGTH, AUTHORIZATION].contains(name)).collect()
}

/// Whether a header says where a request came from, in any spelling that a service may take for it.
fn speaks_of_origin(name: &str) -> bool {
    if name == "forwarded" {
        return true;
    }
    let is_x = |rest: &str| {
        let spelt =
            |prefix: &str| rest.get(..prefix.len()).is_some_and(|start| start.replace('_', "-") == prefix);
        spelt("forwarded-") || (spelt("real-ip") && rest.len() == 7) || spelt("original-")
    };
    name.strip_prefix("x-").or_else(|| name.strip_prefix("x_")).is_some_and(is_x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        gate::{Origin, request::upgrade::upgrade},
        policy::Scheme,
    };

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let fields = fields.iter();
        fields.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn sent_on(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = headers(fields);
        let client = Some("203.0.113.9".parse().unwrap());
        let origin = Origin { client, scheme: Scheme::Https, host: None };
        towards_upstream(&mut headers, &Forwarded::new(&origin, HeaderValue::from_static("a.example")));
        headers
    }

    #[test]
    fn what_belongs_to_one_connection_does_not_go_on() {
        let sent = sent_on(&[
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
        let mut names: Vec<_> = sent.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"]);
    }

    #[test]
    fn a_caller_cannot_have_the_host_or_length_taken_off() {
        let sent = sent_on(&[("connection", "host, content-length"), ("host", "b"), ("content-length", "3")]);
        assert_eq!(sent.get(HOST).unwrap(), "b");
        assert_eq!(sent.get(CONTENT_LENGTH).unwrap(), "3");
    }

    #[test]
    fn a_caller_cannot_have_the_token_taken_off_that_was_decided_on() {
        let sent = sent_on(&[("connection", "authorization"), ("authorization", "Bearer a")]);
        assert_eq!(sent.get(AUTHORIZATION).unwrap(), "Bearer a");
    }

    #[test]
    fn once_the_list_is_gone_nothing_else_can_be_taken_off_by_it() {
        let mut headers =
            headers(&[("connection", "X-User, Upgrade"), ("upgrade", "websocket"), ("x-user", "a")]);
        unlist(&mut headers);
        assert_eq!((headers.get("x-user"), upgrade(&headers)), (None, Some("websocket")));
        headers.insert("x-user", HeaderValue::from_static("ours"));
        take_off(&mut headers, is_hop_by_hop);
        assert_eq!(headers.get("x-user").unwrap(), "ours");
    }

    #[test]
    fn what_a_caller_says_about_its_origin_is_replaced_in_every_spelling() {
        let sent = sent_on(&[
            ("x-forwarded-for", "10.0.0.1"),
            ("x_forwarded_for", "10.0.0.1"),
            ("x-forwarded_proto", "gopher"),
            ("x-forwarded-prefix", "/admin"),
            ("forwarded", "for=10.0.0.1"),
            ("x-real-ip", "10.0.0.1"),
            ("x-original-url", "/admin"),
        ]);
        assert_eq!(sent.get("x-forwarded-for").unwrap(), "203.0.113.9");
        assert_eq!(sent.get("x-forwarded-proto").unwrap(), "https");
        assert_eq!(sent.get("x-forwarded-host").unwrap(), "a.example");
        assert_eq!(sent.len(), 4, "{sent:?}");
    }

    #[test]
    fn grpc_keeps_its_te() {
        assert_eq!(sent_on(&[("te", "trailers")]).get(TE).unwrap(), "trailers");
    }

    #[test]
    fn only_websockets_change_the_protocol() {
        let asked = |fields: &[_]| upgrade(&headers(fields));
        assert_eq!(
            asked(&[("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")]),
            Some("websocket")
        );
        assert_eq!(asked(&[("connection", "upgrade"), ("upgrade", "h2c")]), None);
        assert_eq!(asked(&[("connection", "upgrade"), ("upgrade", "websocket"), ("upgrade", "h2c")]), None);
        assert_eq!(asked(&[("upgrade", "websocket")]), None);
    }
}
