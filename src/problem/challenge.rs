//! `WWW-Authenticate: Bearer …` (RFC 6750, section 3; RFC 9728, section 5.1).

use std::fmt::Write;

use http::HeaderValue;

use super::{Challenge, ErrorCode};

/// The challenge as a header's value.
pub(super) fn header(challenge: &Challenge, code: Option<ErrorCode>, description: &str) -> HeaderValue {
    let mut text = String::from("Bearer realm=\"scopegate\"");
    let mut attribute = |name: &str, value: &str| {
        // A String takes every write.
        let _ = write!(text, ", {name}=\"{}\"", quotable(value));
    };
    if let Some(code) = code {
        attribute("error", code.as_str());
        attribute("error_description", description);
    }
    if let Some(scope) = &challenge.scope {
        attribute("scope", &scope.to_string());
    }
    if let Some(url) = &challenge.resource_metadata {
        attribute("resource_metadata", url);
    }
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("Bearer"))
}

/// `error_description` may hold printable ASCII without `"` and `\` only (RFC 6750, section 3).
fn quotable(value: &str) -> String {
    let fit = |c: char| match c {
        '"' => '\'',
        '\\' => '/',
        ' '..='~' => c,
        _ => '?',
    };
    value.chars().map(fit).collect()
}
