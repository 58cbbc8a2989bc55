//! The trailer fields that are not forwarded (RFC 9110, section 6.5.1).

use std::sync::Arc;

use http::HeaderName;

use crate::{
    gate::{Stripped, identity::headers::is_about_origin},
    upstream::{TrailerFilter, headers::folded},
};

/// The fields that are for framing, routing, authentication, request modifiers, response control, or the content's
/// format. A recipient that merges trailers into the header would be misled by them.
const FORBIDDEN: [&str; 53] = [
    "accept",
    "accept-encoding",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "connection",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "content-security-policy",
    "content-type",
    "cookie",
    "date",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "location",
    "max-forwards",
    "origin",
    "pragma",
    "proxy",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "referer",
    "refresh",
    "retry-after",
    "set-cookie",
    "strict-transport-security",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "x-api-key",
    "x-request-id",
    "http2-settings",
];

/// Returns the filter of trailers in both directions. No spelling of a field passes that some service takes for one of
/// these, for an identity header, or for one that changes the method, the path or the origin of a request.
pub(super) fn trailer_filter(stripped: Stripped) -> TrailerFilter {
    Arc::new(move |name: &HeaderName| {
        let folded = folded(name.as_str());
        let is_access_control = folded.starts_with("access-control-") || folded.starts_with("sec-");
        FORBIDDEN.contains(&&*folded)
            || is_access_control
            || is_about_origin(&folded)
            || stripped.contains(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::IdentityHeaders;

    /// A6: trailers are filtered like headers. A4: the same names are meant.
    #[test]
    fn drops_what_no_trailer_may_say_in_every_spelling() {
        let identity =
            IdentityHeaders::compile(&[("X-Auth-Subject".to_owned(), "sub".to_owned())].into()).unwrap();
        let filter = trailer_filter(Stripped::of([&identity]));
        for name in [
            "x-auth-subject",
            "x_auth_subject",
            "x.auth.subject",
            "x-forwarded-for",
            "x!forwarded!host",
            "forwarded",
            "x-http-method-override",
            "authorization",
            "content-length",
            "cookie",
            "set_cookie",
            "host",
            "te",
            "transfer-encoding",
            "access-control-allow-origin",
            "content_type",
        ] {
            assert!(filter(&name.parse().unwrap()), "{name} is forwarded");
        }
        for name in ["grpc-status", "grpc-message", "digest", "server-timing", "x-checksum", "etag"] {
            assert!(!filter(&name.parse().unwrap()), "{name} is dropped");
        }
    }
}
