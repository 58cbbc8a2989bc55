//! The metadata of a protected resource (RFC 9728, section 2), made from the policy.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::{Method, Response, StatusCode, header};
use scopegate_provider::{Issuer, ProviderName, Scope};
use serde::Serialize;

use super::{
    RESOURCE_METADATA,
    declared::{Resource, parse_path},
};
use crate::{
    gate::{
        request::{Incoming, head::Head},
        state::State,
    },
    policy::{Alternative, PathPattern, Route, Scheme, Segment, TokenUse, settings::ProofRequirement},
};

/// The document.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Document {
    resource: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    authorization_servers: Vec<Issuer>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    scopes_supported: BTreeSet<Scope>,
    bearer_methods_supported: [&'static str; 1],
    resource_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_documentation: Option<Box<str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    authorization_details_types_supported: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dpop_signing_alg_values_supported: Vec<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dpop_bound_access_tokens_required: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    tls_client_certificate_bound_access_tokens: bool,
}

/// The place at which a client asks for a document.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'r> {
    /// The path behind the well-known one: that of the resource.
    pub(crate) path: &'r str,
    /// The origin at which the client called, if it is certain.
    pub(crate) origin: Option<&'r str>,
    /// The host that the request names; it only chooses among declared resources.
    pub(crate) host: &'r str,
    /// The page of the documentation, if there is one.
    pub(crate) documentation: Option<&'r str>,
}

impl Document {
    /// Returns the JSON text.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Returns the document of the resource that a client asks about; `None` if it is not a resource. Its `resource`
    /// repeats the path byte for byte, as clients compare it.
    pub(crate) fn find(state: &State, asked: &Asked<'_>) -> Option<Self> {
        let Asked { path, origin, host, documentation } = *asked;
        let target = parse_path(if path.is_empty() { "/" } else { path })?;
        let declared = &state.settings().resources;
        if declared.is_empty() {
            let segments: Vec<&str> = target.segments().collect();
            let wanting = wanting(state, &segments);
            let is_resource = path.is_empty() || !wanting.is_empty();
            let origin = origin.filter(|_| is_resource)?;
            return Some(Self::derived(state, origin, path, documentation, &wanting));
        }
        let target = target.received_at(Scheme::Https, Some(host.as_bytes())).ok()?;
        let resource = declared.of_path(&target)?;
        let segments: Vec<&str> = resource.url.segments().collect();
        let wanting = wanting(state, &segments);
        let derived = Self::derived(state, resource.url.origin(), path, documentation, &wanting);
        Some(derived.declared(state, resource))
    }

    fn derived(
        state: &State,
        origin: &str,
        path: &str,
        documentation: Option<&str>,
        wanting: &[&Route],
    ) -> Self {
        let algorithms = state.authenticator().dpop_algorithms(true);
        let host = origin.rsplit('/').next().unwrap_or_default();
        Self {
            resource: format!("{origin}{path}"),
            authorization_servers: issuers(state, wanting),
            scopes_supported: wanting.iter().flat_map(|route| route.rule().scopes().cloned()).collect(),
            bearer_methods_supported: ["header"],
            resource_name: format!("{host}{path}"),
            resource_documentation: documentation.map(Into::into),
            authorization_details_types_supported: details_types(wanting),
            dpop_signing_alg_values_supported: algorithms
                .iter()
                .flat_map(|names| names.split(' ').map(str::to_owned))
                .collect(),
            dpop_bound_access_tokens_required: requires(wanting, ProofRequirement::Dpop),
            tls_client_certificate_bound_access_tokens: requires(wanting, ProofRequirement::Certificate),
        }
    }

    /// Replaces what the declaration of a resource says itself.
    fn declared(self, state: &State, resource: &Resource) -> Self {
        let connected = state.authenticator().providers();
        let named =
            resource.providers.iter().filter_map(|name| connected.iter().find(|one| one.name() == name));
        let named = named.flat_map(|provider| provider.provider().issuers().iter().cloned());
        let admitted = &self.authorization_servers;
        let preferred: Vec<Issuer> = named.filter(|issuer| admitted.contains(issuer)).collect();
        let scopes = resource.scopes.as_ref().map(|scopes| scopes.iter().cloned().collect());
        Self {
            authorization_servers: if preferred.is_empty() { self.authorization_servers } else { preferred },
            scopes_supported: scopes.unwrap_or(self.scopes_supported),
            resource_name: resource.name.as_deref().map_or(self.resource_name, str::to_owned),
            resource_documentation: match &resource.documentation {
                Some(url) => Some(url.as_str().into()),
                None => self.resource_documentation,
            },
            ..self
        }
    }
}

/// Answers a request for metadata in a program that embeds the gate. Other requests, and those for which there is no
/// document, go on to the policy: `None`.
pub(in crate::gate) fn answer(state: &State, head: &Head<'_>) -> Option<Response<Bytes>> {
    let path = asked_path(head.sent.unwrap_or(head.seen).path())?;
    let settings = state.settings();
    let trusted = &settings.trusted_proxies;
    let scheme = head.peer.and_then(|peer| trusted.origin(peer, head.scheme, head.headers).ok());
    let scheme = scheme.map_or(head.scheme, |origin| origin.scheme);
    let origin = settings.public_origin.of(scheme, head.forwarded_authority(trusted));
    let host = head.authority(trusted).and_then(|host| str::from_utf8(host).ok()).unwrap_or_default();
    let asked = Asked { path, origin: origin.as_deref(), host, documentation: None };
    let document = Document::find(state, &asked)?.to_json();
    let response = Response::builder().header(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    let response = match *head.method {
        Method::GET | Method::HEAD => response
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CACHE_CONTROL, "public, max-age=60")
            .body(if head.method == Method::HEAD { Bytes::new() } else { document.into() }),
        Method::OPTIONS => response
            .status(StatusCode::NO_CONTENT)
            .header(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS)
            .header(header::ACCESS_CONTROL_ALLOW_HEADERS, "*")
            .header(header::ALLOW, METHODS)
            .body(Bytes::new()),
        _ => {
            response.status(StatusCode::METHOD_NOT_ALLOWED).header(header::ALLOW, METHODS).body(Bytes::new())
        }
    };
    response.ok()
}

const METHODS: &str = "GET, HEAD, OPTIONS";

/// Returns the path of the resource that a request for metadata is about; `None` for other requests.
pub(crate) fn asked_path(path: &str) -> Option<&str> {
    let rest = path.strip_prefix(RESOURCE_METADATA)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// Returns the routes at a path that begins with these segments, or below it, that want a token.
fn wanting<'s>(state: &'s State, segments: &[&str]) -> Vec<&'s Route> {
    let routes = state.policy().routes().iter();
    let routes = routes.filter(|route| reaches_below(&route.pattern().host_path.path, segments));
    routes.filter(|route| route.rule().token_use() != TokenUse::Ignored).collect()
}

/// Returns `true` if a pattern matches a path that begins with these segments.
fn reaches_below(pattern: &PathPattern, segments: &[&str]) -> bool {
    let is_long_enough = pattern.takes_rest() || pattern.segments().len() >= segments.len();
    is_long_enough
        && pattern.segments().iter().zip(segments).all(|(pattern, given)| match pattern {
            Segment::Literal(text) => **text == **given,
            Segment::Parameter(_) => true,
        })
}

/// Returns the issuers of the providers that one of the rules admits: those that a rule names first, in its order.
fn issuers(state: &State, wanting: &[&Route]) -> Vec<Issuer> {
    let mut named: Vec<&ProviderName> = Vec::new();
    let mut admits_all = wanting.is_empty();
    for route in wanting {
        let alternatives = route.rule().alternatives();
        admits_all |= alternatives.is_empty();
        for alternative in alternatives {
            admits_all |= alternative.providers.is_empty();
            named.extend(
                alternative.providers.iter().filter(|name| !named.contains(name)).collect::<Vec<_>>(),
            );
        }
    }
    let connected = state.authenticator().providers();
    let preferred = named.iter().filter_map(|name| connected.iter().find(|found| found.name() == *name));
    let others = connected.iter().filter(|found| admits_all && !named.contains(&found.name()));
    preferred.chain(others).flat_map(|found| found.provider().issuers().iter().cloned()).collect()
}

/// Returns `true` if each way to satisfy each of the rules needs a token that is bound in this way.
fn requires(wanting: &[&Route], proof: ProofRequirement) -> bool {
    let needs_it = |route: &&Route| {
        let alternatives = route.rule().alternatives();
        !alternatives.is_empty()
            && alternatives.iter().all(|alternative: &Alternative| alternative.proof == Some(proof))
    };
    !wanting.is_empty() && wanting.iter().all(needs_it)
}

/// Returns the types of the authorization details that the rules ask for (RFC 9396, section 10).
fn details_types(wanting: &[&Route]) -> Vec<String> {
    let alternatives = wanting.iter().flat_map(|route| route.rule().alternatives());
    let types: BTreeSet<&str> =
        alternatives.flat_map(|alternative| &alternative.details).map(|detail| &*detail.kind).collect();
    types.into_iter().map(str::to_owned).collect()
}
