//! Protected resources and the URLs of their metadata (RFC 9728).
//!
//! Where none is declared, each URL that needs a token is a resource of its own, because clients compare the resource of
//! the metadata with the URL that they called, byte for byte (section 3.3).

mod declared;
mod document;

use std::{borrow::Cow, sync::Arc};

pub use self::declared::{Resource, ResourceUrl, ResourceUrlError, Resources};
pub(in crate::gate) use self::document::answer;
#[cfg(feature = "server")]
pub(crate) use self::document::{Asked, Document, asked_path};
use crate::policy::{Route, Scheme, Target};

/// The path of the metadata, at the root whatever the base path is (RFC 9728, section 3; RFC 8615, section 3).
pub const RESOURCE_METADATA: &str = "/.well-known/oauth-protected-resource";

/// The origin (scheme, host and port) at which clients reach the gate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublicOrigin {
    /// The origin, such as `https://api.example`, if it is certain.
    pub url: Option<Box<str>>,
    /// The host that a trusted proxy names takes precedence: no `server.public_url` is configured.
    pub at_callers_host: bool,
}

impl PublicOrigin {
    /// Returns the origin that a client called. `forwarded` is the host and port that a trusted proxy names.
    pub(crate) fn of(&self, scheme: Scheme, forwarded: Option<&[u8]>) -> Option<Cow<'_, str>> {
        match forwarded.filter(|_| self.at_callers_host).map(str::from_utf8) {
            Some(Ok(host)) => Some(Cow::Owned(format!("{scheme}://{host}"))),
            _ => self.url.as_deref().map(Cow::Borrowed),
        }
    }
}

/// Returns the URL of the metadata of the resource that was called at `origin` (RFC 9728, section 3.1).
///
/// The document of the origin stands for scopegate's own endpoints, and for paths that can be read in several ways.
pub(in crate::gate) fn metadata_url(origin: &str, target: &Target, own_route: Option<&Arc<Route>>) -> String {
    let is_regular = target.irregularities().is_empty() && own_route.is_none();
    let path = if is_regular { target.path_as_sent() } else { "" };
    format!("{origin}{RESOURCE_METADATA}{}", if path == "/" { "" } else { path })
}

impl Resources {
    /// Returns the URL of the metadata of the declared resource that contains a target, if one does. The path of a resource
    /// is repeated as it was sent, with or without a final slash.
    pub(in crate::gate) fn metadata_url(&self, target: &Target) -> Option<String> {
        let url = &self.containing(target)?.url;
        let is_same = target.segments().eq(url.segments()) && target.irregularities().is_empty();
        let path = if is_same { target.path_as_sent() } else { url.path() };
        Some(format!("{}{RESOURCE_METADATA}{}", url.origin(), if path == "/" { "" } else { path }))
    }
}

#[cfg(test)]
mod derived_tests {
    use http::Method;

    use super::*;
    use crate::policy::{RawTarget, Scheme};

    fn url(path: &str) -> String {
        let target = Target::parse(RawTarget {
            method: &Method::GET,
            scheme: Scheme::Https,
            authority: None,
            hosts: ["other.example"],
            path_and_query: path.as_bytes(),
        });
        metadata_url("https://api.example:8443", &target.unwrap(), None)
    }

    /// T1.1, T1.2: each path has its own document, and the path is repeated byte for byte.
    #[test]
    fn the_path_follows_the_well_known_one_as_it_was_sent() {
        let root = "https://api.example:8443/.well-known/oauth-protected-resource";
        assert_eq!(url("/"), root);
        for path in ["/mcp", "/mcp/", "/t/1", "/caf%c3%a9", "/%7Euser"] {
            assert_eq!(url(path), format!("{root}{path}"));
        }
        assert_eq!(url("/t/1?x=y"), format!("{root}/t/1"));
    }

    /// T1.9: a path that can be read in several ways has no document of its own.
    #[test]
    fn an_irregular_path_has_the_document_of_the_origin() {
        assert_eq!(url("/a%2Fb"), "https://api.example:8443/.well-known/oauth-protected-resource");
        assert_eq!(url("/a//b"), "https://api.example:8443/.well-known/oauth-protected-resource");
    }
}

#[cfg(test)]
mod tests;
