//! The headers of a request on its way to an upstream, and its trailers.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, CONTENT_LENGTH, COOKIE, HOST},
};

use super::forwarded::Forwarded;
use crate::{
    gate::identity::headers::is_about_origin,
    policy::settings::TokenSource,
    upstream::headers::{
        contains, folded, is_misspelt, is_same_field, remove_matching, remove_request_connection_fields,
    },
};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The fields that describe the message itself. A service that reads one of them in another spelling would read another
/// message than was sent.
const FRAMING: [&str; 9] = [
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "keep-alive",
    "http2-settings",
    "proxy-authorization",
    "proxy-authenticate",
    "proxy-connection",
];

/// Removes what a caller's headers say about its connection and its origin. A caller cannot have removed, by listing
/// it in `Connection`, what the message needs, the token that was decided on, and the request's id.
pub(super) fn remove_callers_own(headers: &mut HeaderMap, request_id: &HeaderName, sources: &[TokenSource]) {
    let tokens = sources.iter().filter_map(|source| match source {
        TokenSource::Header(header) => Some(header.name()),
        TokenSource::WebsocketProtocol | TokenSource::Cookie(_) => None,
    });
    let kept: Vec<_> =
        [&HOST, &CONTENT_LENGTH, &AUTHORIZATION, request_id].into_iter().chain(tokens).collect();
    remove_request_connection_fields(headers, &kept);
    remove_matching(headers, |name| {
        name.as_str() == "proxy"
            || (is_about_origin(&folded(name.as_str())) && !kept.contains(&name))
            || is_misspelt(name, &FRAMING)
            || (name != request_id && is_same_field(name, request_id))
    });
    join_cookies(headers);
}

/// Sets the headers that tell the upstream how the request came.
pub(super) fn set_forwarded(headers: &mut HeaderMap, forwarded: &Forwarded) {
    if let Some(client) = &forwarded.client {
        headers.insert(FORWARDED_FOR, client.clone());
    }
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(forwarded.scheme.as_str()));
    if !contains(headers, &HOST) {
        headers.insert(HOST, forwarded.host.clone());
    }
    headers.insert(FORWARDED_HOST, forwarded.host.clone());
}

/// Joins several `Cookie` fields (RFC 9113, section 8.2.3): HTTP/2 callers may send one for each cookie.
fn join_cookies(headers: &mut HeaderMap) {
    let values = headers.get_all(COOKIE).iter();
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let joined = values.map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b"; "[..]);
    // Parts of valid values are valid together.
    if let Ok(joined) = HeaderValue::from_bytes(&joined) {
        headers.insert(COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{gate::Origin, policy::Scheme};

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    fn sent_on(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = headers(fields);
        let client = Some("203.0.113.9".parse().unwrap());
        let origin = Origin { client, scheme: Scheme::Https, host: None };
        remove_callers_own(&mut headers, &HeaderName::from_static("x-request-id"), &[]);
        set_forwarded(&mut headers, &Forwarded::new(&origin, HeaderValue::from_static("a.example")));
        headers
    }

    #[test]
    fn a_caller_cannot_have_the_host_or_length_removed() {
        let sent = sent_on(&[("connection", "host, content-length"), ("host", "b"), ("content-length", "3")]);
        assert_eq!(sent.get(HOST).unwrap(), "b");
        assert_eq!(sent.get(CONTENT_LENGTH).unwrap(), "3");
    }

    #[test]
    fn a_caller_cannot_have_the_token_removed_that_was_decided_on() {
        let sent = sent_on(&[("connection", "authorization"), ("authorization", "Bearer a")]);
        assert_eq!(sent.get(AUTHORIZATION).unwrap(), "Bearer a");
    }

    /// A21: a caller cannot have the request's id removed.
    #[test]
    fn a_caller_cannot_have_the_request_id_removed() {
        let sent = sent_on(&[("connection", "x-request-id"), ("x-request-id", "ours")]);
        assert_eq!(sent.get("x-request-id").unwrap(), "ours");
    }

    /// A12: cookies that came as several fields are joined.
    #[test]
    fn joins_cookies_that_came_as_several_fields() {
        let sent = sent_on(&[("cookie", "session=abc"), ("accept", "*/*"), ("cookie", "theme=dark; a=b")]);
        let cookies: Vec<_> = sent.get_all(COOKIE).iter().collect();
        assert_eq!(cookies, ["session=abc; theme=dark; a=b"]);
    }

    /// A22: services that follow CGI take `Proxy` for the variable `HTTP_PROXY`.
    #[test]
    fn removes_the_proxy_header() {
        assert_eq!(sent_on(&[("proxy", "http://evil.example")]).get("proxy"), None);
    }

    #[test]
    fn replaces_what_a_caller_says_about_its_origin_in_every_spelling() {
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
}
