//! The metadata of an issuer: OIDC Discovery 1.0 section 3, RFC 8414 section 2, or less.

use scopegate_provider::{Issuer, NameError};
use serde_json::{Map, Value};
use url::Url;

/// The metadata of an issuer, read tolerantly: only `issuer` must be there. A member that is `null`, a URI
/// template, a URN or of another JSON type is taken as absent, since metadata is a hint; unknown members are passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// `issuer`.
    pub issuer: Issuer,
    /// `jwks_uri`: where the key set is.
    pub jwks_uri: Option<Url>,
    /// `authorization_endpoint`: the page at which a person signs in.
    pub authorization_endpoint: Option<Url>,
    /// `token_endpoint`; workload issuers such as GitHub Actions have none.
    pub token_endpoint: Option<Url>,
    /// `introspection_endpoint` (RFC 7662); Hydra has one without saying so.
    pub introspection_endpoint: Option<Url>,
    /// `revocation_endpoint` (RFC 7009).
    pub revocation_endpoint: Option<Url>,
    /// `backchannel_logout_supported` (OpenID Connect Back-Channel Logout 1.0, section 2.1).
    pub backchannel_logout: Option<bool>,
    /// `backchannel_logout_session_supported`: logout tokens name the session.
    pub backchannel_logout_session: Option<bool>,
    /// `critical_subject_members` (Shared Signals Framework 1.0, section 7.1): an event whose subject has one of them that
    /// cannot be processed is discarded.
    pub critical_subject_members: Vec<Box<str>>,
    /// `configuration_endpoint` of a transmitter (Shared Signals Framework 1.0, section 7.1).
    pub configuration_endpoint: Option<Url>,
    /// `status_endpoint` of a transmitter.
    pub status_endpoint: Option<Url>,
    /// `verification_endpoint` of a transmitter.
    pub verification_endpoint: Option<Url>,
}

/// Returns the strings of a list; other values are passed over.
fn strings(members: &Map<String, Value>, name: &str) -> Vec<Box<str>> {
    let values = members.get(name).and_then(Value::as_array).into_iter().flatten();
    values.filter_map(Value::as_str).map(Box::from).collect()
}

/// An error of bytes that are not metadata.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// Not a JSON object.
    #[error("expected a JSON object, found {found}")]
    NotAnObject {
        /// The kind of value that was found.
        found: &'static str,
    },
    /// `issuer` is absent or no string.
    #[error("expected the member `issuer` with a string")]
    NoIssuer,
    /// `issuer` cannot be one.
    #[error(transparent)]
    Issuer(#[from] NameError),
}

impl Metadata {
    /// Reads the document.
    ///
    /// # Errors
    /// [`MetadataError`].
    pub fn parse(json: &[u8]) -> Result<Self, MetadataError> {
        let members = object(json)?;
        let issuer = members.get("issuer").and_then(Value::as_str).ok_or(MetadataError::NoIssuer)?;
        Ok(Self {
            issuer: Issuer::parse(issuer)?,
            jwks_uri: url(&members, "jwks_uri"),
            authorization_endpoint: url(&members, "authorization_endpoint"),
            token_endpoint: url(&members, "token_endpoint"),
            introspection_endpoint: url(&members, "introspection_endpoint"),
            revocation_endpoint: url(&members, "revocation_endpoint"),
            configuration_endpoint: url(&members, "configuration_endpoint"),
            status_endpoint: url(&members, "status_endpoint"),
            verification_endpoint: url(&members, "verification_endpoint"),
            backchannel_logout: members.get("backchannel_logout_supported").and_then(Value::as_bool),
            backchannel_logout_session: members
                .get("backchannel_logout_session_supported")
                .and_then(Value::as_bool),
            critical_subject_members: strings(&members, "critical_subject_members"),
        })
    }

    /// Without endpoints that are reached by plain `http`: no secret goes there because of a document that came by
    /// `https`.
    #[must_use]
    pub(crate) fn without_plain_http(mut self) -> Self {
        let endpoints = [
            &mut self.authorization_endpoint,
            &mut self.token_endpoint,
            &mut self.introspection_endpoint,
            &mut self.revocation_endpoint,
            &mut self.configuration_endpoint,
            &mut self.status_endpoint,
            &mut self.verification_endpoint,
        ];
        for endpoint in endpoints {
            if endpoint.as_ref().is_some_and(|url| url.scheme() != "https") {
                *endpoint = None;
            }
        }
        self
    }
}

fn object(json: &[u8]) -> Result<Map<String, Value>, MetadataError> {
    let found = match serde_json::from_slice(json) {
        Ok(Value::Object(members)) => return Ok(members),
        Ok(_) => "another JSON value",
        Err(_) if json.trim_ascii_start().starts_with(b"<") => "HTML or XML",
        Err(_) => "something that is not JSON",
    };
    Err(MetadataError::NotAnObject { found })
}

/// Returns the URL of a member.
fn url(members: &Map<String, Value>, name: &str) -> Option<Url> {
    members.get(name).and_then(Value::as_str).and_then(endpoint)
}

/// A URL that can be called: Auth0 lists a URI template among its endpoints, EKS a URN.
fn endpoint(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let callable = matches!(url.scheme(), "https" | "http") && url.has_host() && !text.contains(['{', '}']);
    callable.then_some(url)
}

#[cfg(test)]
mod tests {
    use openidconnect::core::CoreProviderMetadata;
    use proptest::prelude::*;

    use super::*;

    /// Every discovery document of the recorded providers.
    fn fixtures() -> Vec<(String, Vec<u8>)> {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/fixtures");
        let mut found = Vec::new();
        for provider in std::fs::read_dir(root).unwrap().map(Result::unwrap) {
            for file in std::fs::read_dir(provider.path()).unwrap().map(Result::unwrap) {
                let name = file.file_name().into_string().unwrap();
                if name.starts_with("discovery") && !name.contains("headers") {
                    found.push((format!("{}", file.path().display()), std::fs::read(file.path()).unwrap()));
                }
            }
        }
        found
    }

    #[test]
    fn every_recorded_discovery_document_is_read() {
        let found = fixtures();
        assert!(found.len() >= 24, "only {} documents", found.len());
        for (path, json) in found {
            let metadata = Metadata::parse(&json).unwrap_or_else(|error| panic!("{path}: {error}"));
            assert!(metadata.jwks_uri.is_some(), "{path}");
        }
    }

    #[test]
    fn what_openidconnect_reads_is_read_alike() {
        let mut compared = 0;
        for (path, json) in fixtures() {
            let Ok(theirs) = serde_json::from_slice::<CoreProviderMetadata>(&json) else { continue };
            let ours = Metadata::parse(&json).unwrap();
            assert_eq!(ours.issuer.as_str(), theirs.issuer().as_str(), "{path}");
            assert_eq!(ours.jwks_uri.as_ref(), Some(theirs.jwks_uri().url()), "{path}");
            assert_eq!(
                ours.token_endpoint.as_ref(),
                theirs.token_endpoint().map(openidconnect::TokenUrl::url),
                "{path}"
            );
            compared += 1;
        }
        assert!(compared >= 12, "only {compared} were compared");
    }

    #[test]
    fn what_cannot_be_called_is_taken_as_absent() {
        let metadata = Metadata::parse(
            br#"{"issuer":"https://a.example","jwks_uri":null,"token_endpoint":"urn:kubernetes:x",
                "introspection_endpoint":"https://a.example/{id}","revocation_endpoint":7}"#,
        )
        .unwrap();
        let endpoints = [
            metadata.jwks_uri,
            metadata.token_endpoint,
            metadata.introspection_endpoint,
            metadata.revocation_endpoint,
        ];
        assert_eq!(endpoints, [None, None, None, None]);
    }

    #[test]
    fn plain_http_is_taken_out_of_a_document_that_came_by_https() {
        let json = br#"{"issuer":"https://a.example","token_endpoint":"http://127.0.0.1/token",
            "introspection_endpoint":"https://a.example/introspect"}"#;
        let metadata = Metadata::parse(json).unwrap().without_plain_http();
        assert!(metadata.token_endpoint.is_none() && metadata.introspection_endpoint.is_some());
    }

    #[test]
    fn a_page_in_place_of_a_document_is_named_as_such() {
        let error = Metadata::parse(b"\n<!doctype html>").unwrap_err();
        assert_eq!(error.to_string(), "expected a JSON object, found HTML or XML");
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange_to_be_refused_in_peace(json in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Metadata::parse(&json);
        }
    }
}
