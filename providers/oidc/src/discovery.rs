//! Discovery of an issuer's metadata.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::StatusCode;
use scopegate_provider::{Excerpt, HttpClient, HttpError, Issuer};
use url::Url;

use crate::{
    metadata::{Metadata, MetadataError},
    retry::retry_after,
};

/// The places where an issuer's metadata may be, and the place where it was found last.
#[derive(Debug)]
pub struct Discovery {
    issuer: Issuer,
    candidates: Vec<Url>,
    found_at: AtomicUsize,
}

/// An error of discovery.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    /// The document names another issuer.
    #[error(
        "the document at `{url}` names the issuer {found}, the settings say `{expected}`{}",
        slash(expected.as_str(), found.as_str())
    )]
    Issuer {
        /// The place of the document.
        url: Url,
        /// The configured issuer.
        expected: Issuer,
        /// The document's.
        found: Excerpt,
    },
    /// The answer is not a metadata document.
    #[error("at `{url}`: {problem}")]
    Malformed {
        /// The place.
        url: Url,
        /// The problem.
        problem: MetadataError,
    },
    /// There is no document at any of the places where it may be.
    #[error("no discovery document at {}", list(tried))]
    NotFound {
        /// The places.
        tried: Vec<Url>,
    },
    /// The issuer answers with a redirect, which is not followed.
    #[error(
        "`{url}` redirects to {to}, which is not followed; set `issuer` or `discovery_url` to the right place"
    )]
    Redirect {
        /// The place.
        url: Url,
        /// The target of the redirect.
        to: Excerpt,
    },
    /// The issuer answers with an error.
    #[error("`{url}` answered {status}")]
    Status {
        /// The place.
        url: Url,
        /// The status.
        status: StatusCode,
        /// The time that the issuer asks to wait.
        retry_after: Option<Duration>,
    },
    /// The document came by `https` and names plain `http` for the keys.
    #[error("`{url}` names the plain http `{endpoint}` for its keys; if that is meant, set `jwks_uri` to it")]
    Downgrade {
        /// The place of the document.
        url: Url,
        /// The URL that it names.
        endpoint: Box<Url>,
    },
    /// The issuer gives no answer.
    #[error(transparent)]
    Http(#[from] HttpError),
}

impl Discovery {
    /// Finds the metadata of `issuer`, at `url` only if that is given. The places, in order: `openid-configuration` after
    /// the issuer (OIDC Discovery 1.0, section 4), `oauth-authorization-server` between host and path (RFC 8414,
    /// section 3.1), and after the issuer, as some servers have it. The issuer's final slash is taken off for these URLs
    /// and nowhere else.
    ///
    /// # Errors
    /// If the issuer is no URL.
    pub fn new(issuer: Issuer, url: Option<Url>) -> Result<Self, url::ParseError> {
        let candidates = match url {
            Some(url) => vec![url],
            None => well_known(issuer.as_str())?,
        };
        Ok(Self { issuer, candidates, found_at: AtomicUsize::new(0) })
    }

    /// Finds the metadata of a transmitter of security events: `ssf-configuration` between host and path (Shared Signals
    /// Framework 1.0, section 7.2.1), or `risc-configuration` as Google and older drafts have it.
    ///
    /// # Errors
    /// If the issuer is no URL.
    pub fn of_transmitter(issuer: Issuer) -> Result<Self, url::ParseError> {
        let url = Url::parse(issuer.as_str())?;
        let path = url.path().trim_end_matches('/');
        let candidates = ["ssf-configuration", "risc-configuration"].map(|name| {
            let mut place = url.clone();
            place.set_path(&format!("/.well-known/{name}{path}"));
            place
        });
        Ok(Self { issuer, candidates: candidates.into(), found_at: AtomicUsize::new(0) })
    }

    /// Fetches the metadata; its `issuer` is the configured one, byte for byte (OIDC Discovery 1.0, section 4.3).
    ///
    /// # Errors
    /// [`DiscoveryError`]: of several places, the error of the one that came nearest.
    pub async fn fetch(&self, http: &dyn HttpClient) -> Result<Metadata, DiscoveryError> {
        let start = self.found_at.load(Ordering::Relaxed);
        let mut failure = None;
        for offset in 0..self.candidates.len() {
            let index = (start + offset) % self.candidates.len();
            let Some(url) = self.candidates.get(index) else { continue };
            match self.fetch_at(http, url).await {
                Ok(Some(metadata)) => {
                    self.found_at.store(index, Ordering::Relaxed);
                    return Ok(metadata);
                }
                Ok(None) => {}
                Err(error @ (DiscoveryError::Issuer { .. } | DiscoveryError::Malformed { .. })) => {
                    failure.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(failure.unwrap_or_else(|| DiscoveryError::NotFound { tried: self.candidates.clone() }))
    }

    /// Fetches the document at one place. Returns nothing if there is none.
    async fn fetch_at(&self, http: &dyn HttpClient, url: &Url) -> Result<Option<Metadata>, DiscoveryError> {
        let answer = http.send(get(url)).await?;
        let status = answer.status();
        if let Some(to) = redirect_target(&answer) {
            return Err(DiscoveryError::Redirect { url: url.clone(), to });
        }
        if status != StatusCode::OK {
            let retry_after = retry_after(answer.headers());
            let absent = status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS;
            let failed = DiscoveryError::Status { url: url.clone(), status, retry_after };
            return if absent { Ok(None) } else { Err(failed) };
        }
        let metadata = Metadata::parse(answer.body())
            .map_err(|problem| DiscoveryError::Malformed { url: url.clone(), problem })?;
        self.check(metadata, url).map(Some)
    }

    fn check(&self, metadata: Metadata, url: &Url) -> Result<Metadata, DiscoveryError> {
        if metadata.issuer != self.issuer {
            return Err(DiscoveryError::Issuer {
                url: url.clone(),
                expected: self.issuer.clone(),
                found: Excerpt::new(metadata.issuer.as_str()),
            });
        }
        if url.scheme() != "https" {
            return Ok(metadata);
        }
        match &metadata.jwks_uri {
            Some(keys) if keys.scheme() != "https" => {
                Err(DiscoveryError::Downgrade { url: url.clone(), endpoint: Box::new(keys.clone()) })
            }
            _ => Ok(metadata.without_plain_http()),
        }
    }
}

impl DiscoveryError {
    /// Returns the time that the issuer asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::Issuer { .. }
            | Self::Malformed { .. }
            | Self::NotFound { .. }
            | Self::Redirect { .. }
            | Self::Downgrade { .. }
            | Self::Http(_) => None,
        }
    }
}

/// Returns the target of an answer that is a redirect.
pub(crate) fn redirect_target(answer: &http::Response<Bytes>) -> Option<Excerpt> {
    let location = answer.headers().get(http::header::LOCATION).filter(|_| answer.status().is_redirection());
    location.map(|location| Excerpt::new(&String::from_utf8_lossy(location.as_bytes())))
}

/// Returns a request for a JSON document.
pub(crate) fn get(url: &Url) -> http::Request<Bytes> {
    let mut request = http::Request::new(Bytes::new());
    // Each `http(s)` URL is a URI; one that were not would be refused by the client as not absolute.
    *request.uri_mut() = url.as_str().parse().unwrap_or_default();
    request.headers_mut().insert(http::header::ACCEPT, http::HeaderValue::from_static("application/json"));
    request
}

fn well_known(issuer: &str) -> Result<Vec<Url>, url::ParseError> {
    let base = issuer.strip_suffix('/').unwrap_or(issuer);
    let url = Url::parse(base)?;
    let mut inserted = url.clone();
    let path = url.path().trim_end_matches('/');
    inserted.set_path(&format!("/.well-known/oauth-authorization-server{path}"));
    let openid = Url::parse(&format!("{base}/.well-known/openid-configuration"))?;
    let suffixed = Url::parse(&format!("{base}/.well-known/oauth-authorization-server"))?;
    let mut candidates = vec![openid, inserted, suffixed];
    candidates.dedup();
    Ok(candidates)
}

fn slash(expected: &str, found: &str) -> &'static str {
    if expected.strip_suffix('/') == Some(found) {
        "; they differ in the final slash: take it off in `issuer`"
    } else if found.strip_suffix('/') == Some(expected) {
        "; they differ in the final slash: add it in `issuer`"
    } else {
        ""
    }
}

fn list(urls: &[Url]) -> String {
    urls.iter().map(|url| format!("`{url}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(issuer: &str) -> Vec<String> {
        well_known(issuer).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_places_are_tried_in_the_fixed_order() {
        assert_eq!(
            urls("https://as.example/tenants/a"),
            [
                "https://as.example/tenants/a/.well-known/openid-configuration",
                "https://as.example/.well-known/oauth-authorization-server/tenants/a",
                "https://as.example/tenants/a/.well-known/oauth-authorization-server",
            ]
        );
    }

    #[test]
    fn a_final_slash_does_not_become_two() {
        assert_eq!(
            urls("https://acme.us.auth0.com/"),
            [
                "https://acme.us.auth0.com/.well-known/openid-configuration",
                "https://acme.us.auth0.com/.well-known/oauth-authorization-server",
            ]
        );
    }

    #[test]
    fn an_issuer_that_differs_in_the_slash_is_pointed_at() {
        let error = DiscoveryError::Issuer {
            url: Url::parse("https://a.example/.well-known/openid-configuration").unwrap(),
            expected: Issuer::parse("https://a.example").unwrap(),
            found: Excerpt::new("https://a.example/"),
        };
        assert!(error.to_string().ends_with("add it in `issuer`"), "{error}");
    }
}
