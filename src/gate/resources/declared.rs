//! The resources that the configuration declares (`resources`).

use std::{fmt, sync::Arc};

use http::Method;
use schemars::JsonSchema;
use scopegate_provider::{ProviderName, Scope};
use serde::{Deserialize, Deserializer, de};
use url::Url;

use crate::policy::{RawTarget, Scheme, Target};

/// A protected resource, for which clients get tokens (RFC 9728).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// The URL that clients call, and the identifier of the resource. Everything below its path belongs to it, unless
    /// another resource is more specific.
    #[schemars(with = "String", extend("format" = "uri"))]
    pub url: ResourceUrl,
    /// The name for people; host and path by default.
    pub name: Option<Box<str>>,
    /// The providers whose issuers the metadata names, the preferred one first; those that the rules admit by default.
    #[serde(default)]
    pub providers: Vec<ProviderName>,
    /// The scopes that the metadata names; those that the rules of the resource ask for by default. Clients request all of
    /// them where a challenge names none.
    pub scopes: Option<Vec<Scope>>,
    /// The page of its documentation.
    #[schemars(with = "Option<String>", extend("format" = "uri"))]
    pub documentation: Option<Url>,
}

/// The URL of a resource: `https`, or `http` for development, with a path that has one spelling only.
#[derive(Clone, PartialEq, Eq)]
pub struct ResourceUrl {
    /// Scheme, host and port.
    origin: Box<str>,
    host: Box<str>,
    /// The path as it is written; empty for the origin itself.
    path: Box<str>,
    segments: Box<[Box<str>]>,
}

/// Errors of the URL of a resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected the https URL that clients call, such as `https://api.example/mcp`; {0}")]
pub struct ResourceUrlError(&'static str);

impl ResourceUrl {
    /// Parses the URL of a resource.
    ///
    /// # Errors
    /// [`ResourceUrlError`].
    pub fn parse(text: &str) -> Result<Self, ResourceUrlError> {
        let url = Url::parse(text).map_err(|_| ResourceUrlError("this is not a URL"))?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(ResourceUrlError("clients cannot find the metadata of another identifier"));
        }
        let has_user = !url.username().is_empty() || url.password().is_some();
        if has_user || text.contains(['?', '#']) {
            return Err(ResourceUrlError("it has neither query, fragment nor user information"));
        }
        let host = url.host_str().ok_or(ResourceUrlError("it has no host"))?;
        // The path stays as it is written: clients compare it byte for byte.
        let (_, rest) = text.split_once("://").ok_or(ResourceUrlError("`//` is missing"))?;
        let path = rest.find('/').and_then(|start| rest.get(start..)).filter(|path| *path != "/");
        let path = path.unwrap_or_default();
        let target = parse_path(if path.is_empty() { "/" } else { path });
        let target = target.ok_or(ResourceUrlError("its path can be read in several ways"))?;
        Ok(Self {
            origin: url.origin().ascii_serialization().into(),
            host: host.to_ascii_lowercase().into(),
            path: path.into(),
            segments: target.segments().map(Into::into).collect(),
        })
    }

    /// Returns scheme, host and port.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Returns the path as it is written; empty for the origin itself.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the segments of the path.
    pub(super) fn segments(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().map(|segment| &**segment)
    }

    /// Returns `true` if the path of `target` is this one, or below it.
    fn contains(&self, target: &Target) -> bool {
        let mut segments = target.segments();
        self.segments().all(|segment| segments.next() == Some(segment))
    }

    /// Returns `true` if the path of `target` is this one, with or without a final slash.
    fn is_path_of(&self, target: &Target) -> bool {
        target.segments().eq(self.segments())
    }
}

/// Returns the target of a path that has one spelling only.
pub(super) fn parse_path(path: &str) -> Option<Target> {
    let (method, scheme) = (&Method::GET, Scheme::Https);
    let raw = RawTarget { method, scheme, authority: None, hosts: ["a"], path_and_query: path.as_bytes() };
    Target::parse(raw).ok().filter(|target| target.irregularities().is_empty())
}

impl fmt::Debug for ResourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for ResourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.path)
    }
}

impl<'de> Deserialize<'de> for ResourceUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| de::Error::custom(format_args!("{error}; found `{text}`")))
    }
}

/// The declared resources. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Resources(Arc<[Resource]>);

impl Resources {
    /// Returns `true` if none is declared: then each URL that needs a token is a resource of its own.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the most specific resource that contains `target`.
    pub(super) fn containing(&self, target: &Target) -> Option<&Resource> {
        let containing = self.at(target.host()).filter(|resource| resource.url.contains(target));
        containing.max_by_key(|resource| resource.url.segments.len())
    }

    /// Returns the resource whose path is that of `target`, with or without a final slash.
    pub(super) fn of_path(&self, target: &Target) -> Option<&Resource> {
        self.at(target.host()).find(|resource| resource.url.is_path_of(target))
    }

    /// Returns the origins of the resources at a host.
    pub(in crate::gate) fn origins(&self, host: &str) -> Vec<&str> {
        let here = self.0.iter().filter(|resource| resource.url.host.eq_ignore_ascii_case(host));
        let mut origins: Vec<&str> = here.map(|resource| resource.url.origin()).collect();
        origins.dedup();
        origins
    }

    /// Returns the resources at a host. Where none has this host, a proxy may have replaced the name: then they are the
    /// resources of the only origin that is declared.
    fn at(&self, host: &str) -> impl Iterator<Item = &Resource> {
        let has_host = |resource: &Resource| resource.url.host.eq_ignore_ascii_case(host);
        let is_known = self.0.iter().any(has_host);
        let mut origins = self.0.iter().map(|resource| resource.url.origin());
        let first = origins.next();
        let has_one_origin = origins.all(|origin| Some(origin) == first);
        self.0.iter().filter(move |resource| if is_known { has_host(resource) } else { has_one_origin })
    }
}

impl FromIterator<Resource> for Resources {
    fn from_iter<T: IntoIterator<Item = Resource>>(resources: T) -> Self {
        Self(resources.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resources(urls: &[&str]) -> Resources {
        let resource = |url: &&str| Resource {
            url: ResourceUrl::parse(url).unwrap(),
            name: None,
            providers: Vec::new(),
            scopes: None,
            documentation: None,
        };
        urls.iter().map(resource).collect()
    }

    fn target(host: &str, path: &str) -> Target {
        Target::parse(RawTarget {
            method: &Method::GET,
            scheme: Scheme::Https,
            authority: None,
            hosts: [host],
            path_and_query: path.as_bytes(),
        })
        .unwrap()
    }

    fn containing(resources: &Resources, host: &str, path: &str) -> Option<String> {
        resources.containing(&target(host, path)).map(|resource| resource.url.to_string())
    }

    /// T1.1: the most specific resource of the host that was called contains a target.
    #[test]
    fn the_most_specific_resource_contains_a_target() {
        let all = resources(&["https://a.example", "https://a.example/mcp", "https://b.example/mcp/x"]);
        assert_eq!(containing(&all, "a.example", "/mcp/x/y").unwrap(), "https://a.example/mcp");
        assert_eq!(containing(&all, "a.example", "/mcpx").unwrap(), "https://a.example");
        assert_eq!(containing(&all, "B.example", "/mcp/x").unwrap(), "https://b.example/mcp/x");
        assert_eq!(containing(&all, "b.example", "/mcp"), None);
        assert_eq!(containing(&all, "c.example", "/mcp"), None, "two origins, and neither was called");
    }

    #[test]
    fn a_host_that_a_proxy_replaced_leaves_the_only_origin() {
        let all = resources(&["https://a.example/mcp", "https://a.example/other"]);
        assert_eq!(containing(&all, "backend:8080", "/mcp/x").unwrap(), "https://a.example/mcp");
    }

    /// T1.4: an identifier that is no URL has no metadata, and neither has one with a query or a fragment.
    #[test]
    fn rejects_identifiers_whose_metadata_clients_cannot_find() {
        for wrong in [
            "urn:example:api",
            "api.example",
            "https://a.example/r#f",
            "https://a.example/r?x=y",
            "https://me@a.example/",
            "https://a.example/a/../b",
            "https://a.example/a//b",
            "ftp://a.example",
        ] {
            assert!(ResourceUrl::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            ResourceUrl::parse("https://A.example:443/MCP/").unwrap().to_string(),
            "https://a.example/MCP/"
        );
        assert_eq!(ResourceUrl::parse("https://a.example/").unwrap().to_string(), "https://a.example");
    }
}
