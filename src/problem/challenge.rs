//! `WWW-Authenticate` (RFC 6750, section 3; RFC 9728, section 5.1; RFC 9470, section 3; RFC 9449, section 7.1).
//!
//! Clients search the header for parameters, first hit wins, and split it at the first blank. So `Bearer` is the first
//! word, the parameters stand in one order with the description last, and no description contains what could be taken
//! for a parameter.

use std::{borrow::Cow, fmt::Write, time::Duration};

use http::HeaderValue;
use scopegate_provider::ScopeSet;

use super::ErrorCode;

/// The challenge of a refusal: the credentials that would satisfy the rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Challenge {
    pub(super) scope: Option<ScopeSet>,
    pub(super) acr_values: Option<String>,
    pub(super) max_age: Option<Duration>,
    pub(super) resource_metadata: Option<String>,
    pub(super) dpop: Option<DpopChallenge>,
}

/// The challenge of the scheme `DPoP`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DpopChallenge {
    /// The algorithms of proofs, separated by spaces.
    pub(super) algorithms: String,
    /// `true` if the token was sent with this scheme, to which the error then belongs (RFC 9449, section 7.2).
    pub(super) was_used: bool,
}

impl Challenge {
    /// Returns the header's value.
    pub(super) fn header(&self, code: Option<ErrorCode>, description: &str) -> HeaderValue {
        let code = code.map(ErrorCode::as_str);
        let scope = self.scope.as_ref().map(ToString::to_string);
        let max_age = self.max_age.map(|age| age.as_secs().to_string());
        let description = code.map(|_| plain(description));
        let of_error = [
            ("error", code),
            ("scope", scope.as_deref()),
            ("acr_values", self.acr_values.as_deref()),
            ("max_age", max_age.as_deref()),
        ];
        let metadata = ("resource_metadata", self.resource_metadata.as_deref());
        let described = ("error_description", description.as_deref());
        let dpop = self.dpop.as_ref().map(|dpop| ("algs", Some(dpop.algorithms.as_str())));
        let was_used = self.dpop.as_ref().is_some_and(|dpop| dpop.was_used);
        let [error, scope, acr_values, max_age] = of_error;
        let mut bearer = if was_used {
            parameters(&[metadata])
        } else {
            parameters(&[error, scope, acr_values, max_age, metadata, described])
        };
        if bearer.is_empty() {
            // A challenge has at least one parameter (RFC 6750, section 3).
            bearer = parameters(&[("realm", Some("scopegate"))]);
        }
        let dpop = dpop.map(|algorithms| {
            if was_used {
                parameters(&[error, scope, acr_values, max_age, algorithms, described])
            } else {
                parameters(&[algorithms])
            }
        });
        let dpop = dpop.map(|dpop| format!(", DPoP {dpop}")).unwrap_or_default();
        let value = HeaderValue::from_str(&format!("Bearer {bearer}{dpop}"));
        value.unwrap_or(const { HeaderValue::from_static("Bearer realm=\"scopegate\"") })
    }
}

/// Returns the parameters that have a value, as quoted strings.
fn parameters(parameters: &[(&str, Option<&str>)]) -> String {
    let mut text = String::new();
    for (name, value) in parameters.iter().filter_map(|(name, value)| Some((name, (*value)?))) {
        let separator = if text.is_empty() { "" } else { ", " };
        // A String takes every write.
        let _ = write!(text, "{separator}{name}=\"{}\"", quotable(value));
    }
    text
}

/// Replaces the characters that a quoted string of RFC 6750, section 3, must not contain.
fn quotable(value: &str) -> Cow<'_, str> {
    if value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\') {
        return value.into();
    }
    let quotable: String = value
        .chars()
        .map(|c| match c {
            '"' => '\'',
            '\\' => '/',
            ' '..='~' => c,
            _ => '?',
        })
        .collect();
    quotable.into()
}

/// Replaces `=`, so that nothing in a description looks like a parameter.
fn plain(description: &str) -> String {
    description.replace('=', ":")
}
