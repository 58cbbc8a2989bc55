//! What stands at well-known places, for anybody: the metadata of the protected resource (RFC 9728), made from the
//! policy, and the keys of minted tokens (RFC 7517).

use std::{collections::BTreeSet, sync::Arc};

use http::{HeaderValue, Method, StatusCode, header};
use poem::{Endpoint, IntoResponse, Request, Response, Result};
use scopegate_provider::{Issuer, ProviderName, Scope};
use serde::Serialize;
use serde_json::json;

use crate::{
    gate::{Gate, RESOURCE_METADATA, State, mint::KeyRing, peer_scheme},
    policy::{
        Alternative, PathPattern, RawTarget, Route, Scheme, Segment, Target, TokenUse,
        settings::ProofRequirement,
    },
    problem::Problem,
    reason::Reason,
};

/// Path of the keys of minted tokens.
pub const KEYS: &str = "/.well-known/jwks.json";

/// For how long the metadata may be kept: the policy can change at any time.
const METADATA_AGE: HeaderValue = HeaderValue::from_static("public, max-age=60");

/// For how long the keys may be kept: much shorter than a new one is published before it is used.
const KEYS_AGE: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// `GET /.well-known/oauth-protected-resource`, and the same with the path of a resource behind it (RFC 9728, section
/// 3.1): what a client must know to get a token for it.
#[derive(Debug, Clone)]
pub struct ResourceMetadata {
    gate: Gate,
    facts: Facts,
    /// The document of everything that `gate` protects: most clients ask for this one, without a token.
    root: Box<str>,
}

/// What does not come from the policy.
#[derive(Debug, Clone)]
struct Facts {
    /// Where callers reach scopegate: scheme, host and port.
    public_url: Box<str>,
    documentation: Option<Box<str>>,
}

/// The document (RFC 9728, section 2).
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Document {
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
    dpop_signing_alg_values_supported: Vec<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dpop_bound_access_tokens_required: bool,
}

impl ResourceMetadata {
    /// Creates the endpoint of what `gate` protects, reached at `public_url`. `documentation` is for people. The document
    /// of everything is made from the current policy: another policy needs another endpoint.
    pub fn new(gate: Gate, public_url: &str, documentation: Option<String>) -> Self {
        let facts = Facts { public_url: public_url.into(), documentation: documentation.map(Into::into) };
        let root = {
            let state = gate.current();
            let wanting: Vec<&Route> = wanting(&state, &[]).collect();
            json(&facts.document(&state, "", &wanting))
        };
        Self { gate, facts, root: root.into() }
    }

    /// Returns the document of the resource at this path of `origin`, or of the public URL; `None` if nothing there needs
    /// a token. Its `resource` repeats the path byte for byte, as clients compare it.
    fn find(&self, path: &str, origin: Option<&str>) -> Option<Document> {
        let resource = resource(if path.is_empty() { "/" } else { path })?;
        let segments: Vec<&str> = resource.segments().collect();
        let state = self.gate.current();
        let wanting: Vec<&Route> = wanting(&state, &segments).collect();
        if wanting.is_empty() && !path.is_empty() {
            return None;
        }
        let facts = match origin {
            Some(origin) => &Facts { public_url: origin.into(), ..self.facts.clone() },
            None => &self.facts,
        };
        Some(facts.document(&state, path, &wanting))
    }

    /// Returns the URL at which a trusted proxy received the request, if no public URL is configured.
    fn forwarded_url(&self, request: &Request) -> Option<String> {
        let state = self.gate.current();
        let settings = state.settings();
        if !settings.public_origin.at_callers_host {
            return None;
        }
        let scheme = peer_scheme(request);
        let origin =
            settings.trusted_proxies.origin(request.remote_addr(), scheme, request.headers()).ok()?;
        Some(format!("{}://{}", origin.scheme, origin.host?.to_str().ok()?))
    }
}

impl Facts {
    fn document(&self, state: &State, path: &str, wanting: &[&Route]) -> Document {
        let algorithms = state.authenticator().dpop_algorithms(true);
        let host = self.public_url.rsplit('/').next().unwrap_or_default();
        Document {
            resource: format!("{}{path}", self.public_url),
            authorization_servers: issuers(state, wanting),
            scopes_supported: wanting.iter().flat_map(|route| route.rule().scopes().cloned()).collect(),
            bearer_methods_supported: ["header"],
            resource_name: format!("{host}{path}"),
            resource_documentation: self.documentation.clone(),
            dpop_signing_alg_values_supported: algorithms
                .iter()
                .flat_map(|names| names.split(' ').map(str::to_owned))
                .collect(),
            dpop_bound_access_tokens_required: wanting.iter().all(|route| requires_dpop(route)),
        }
    }
}

impl Endpoint for ResourceMetadata {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let path = request.uri().path().strip_prefix(RESOURCE_METADATA).unwrap_or_default();
        let forwarded = self.forwarded_url(&request);
        if path.is_empty() && forwarded.is_none() {
            return Ok(public(self.root.to_string(), METADATA_AGE));
        }
        let document = self.find(path, forwarded.as_deref()).ok_or_else(|| {
            Problem::new(
                Reason::NoSuchResource,
                "nothing at this path wants a token: it is no protected resource",
            )
        })?;
        Ok(public(json(&document), METADATA_AGE))
    }
}

fn json(document: &Document) -> String {
    serde_json::to_string(document).unwrap_or_default()
}

/// The routes at a path that begins with these segments, or below it, that want a token.
fn wanting<'s>(state: &'s State, segments: &[&str]) -> impl Iterator<Item = &'s Route> {
    let routes = state.policy().routes().iter();
    let routes = routes.filter(|route| reaches_below(&route.pattern().host_path.path, segments));
    routes.filter(|route| route.rule().token_use() != TokenUse::Ignored)
}

/// A resource's path, if it is one way only to write it.
fn resource(path: &str) -> Option<Target> {
    let (method, scheme) = (&Method::GET, Scheme::Https);
    let raw = RawTarget { method, scheme, authority: None, hosts: ["a"], path_and_query: path.as_bytes() };
    Target::parse(raw).ok().filter(|target| target.irregularities().is_empty())
}

/// Whether a pattern matches a path that begins with these segments.
fn reaches_below(pattern: &PathPattern, segments: &[&str]) -> bool {
    let fits = |(pattern, given): (&Segment, &&str)| match pattern {
        Segment::Literal(text) => **text == **given,
        Segment::Parameter(_) => true,
    };
    let long_enough = pattern.takes_rest() || pattern.segments().len() >= segments.len();
    long_enough && pattern.segments().iter().zip(segments).all(fits)
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

/// Returns `true` if each way to satisfy the rule needs a token that is bound to a DPoP key.
fn requires_dpop(route: &Route) -> bool {
    let alternatives = route.rule().alternatives();
    let requires = |alternative: &Alternative| alternative.proof == Some(ProofRequirement::Dpop);
    !alternatives.is_empty() && alternatives.iter().all(requires)
}

/// `GET /.well-known/jwks.json`: the keys that minted tokens verify by (RFC 7517, section 5).
#[derive(Debug, Clone)]
pub struct Keys(pub Arc<KeyRing>);

impl Endpoint for Keys {
    type Output = Response;

    async fn call(&self, _: Request) -> Result<Response> {
        let keys = self.0.published().ok_or_else(|| {
            let description = "there are no keys yet";
            Problem::new(Reason::MintUnavailable, description)
        })?;
        Ok(public(keys.to_string(), KEYS_AGE))
    }
}

/// The metadata of the issuer of minted tokens: nobody asks it for tokens, so that all it tells is where its keys are.
#[derive(Debug, Clone)]
pub struct IssuerMetadata(Arc<str>);

impl IssuerMetadata {
    /// Creates the metadata of the issuer at `public_url`.
    pub fn new(public_url: &str) -> Self {
        let document = json!({
            "issuer": public_url,
            "jwks_uri": format!("{public_url}{KEYS}"),
            "response_types_supported": [],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        });
        Self(document.to_string().into())
    }
}

impl Endpoint for IssuerMetadata {
    type Output = Response;

    async fn call(&self, _: Request) -> Result<Response> {
        Ok(public(self.0.to_string(), KEYS_AGE))
    }
}

/// A document that anyone may read, pages of every origin included: it answers their preflights, too.
#[derive(Debug, Clone)]
pub struct Public<E>(pub E);

impl<E: Endpoint<Output = Response>> Endpoint for Public<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        match *request.method() {
            Method::GET => self.0.call(request).await,
            Method::HEAD => self.0.call(request).await.map(|response| {
                let (parts, _) = response.into_parts();
                Response::from_parts(parts, poem::Body::empty())
            }),
            Method::OPTIONS => Ok(Response::builder()
                .status(StatusCode::NO_CONTENT)
                .header(header::ALLOW, ALLOWED)
                .header(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")
                .header(header::ACCESS_CONTROL_ALLOW_METHODS, ALLOWED)
                .header(header::ACCESS_CONTROL_ALLOW_HEADERS, "*")
                .header(header::ACCESS_CONTROL_MAX_AGE, "7200")
                .finish()),
            _ => {
                let refused = Response::builder().status(StatusCode::METHOD_NOT_ALLOWED);
                Ok(refused.header(header::ALLOW, ALLOWED).finish())
            }
        }
    }
}

const ALLOWED: &str = "GET, HEAD, OPTIONS";

/// Returns the response of a public document.
fn public(json: String, age: HeaderValue) -> Response {
    let mut response = json.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, const { HeaderValue::from_static("application/json") });
    headers.insert(header::CACHE_CONTROL, age);
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, const { HeaderValue::from_static("*") });
    response
}

#[cfg(test)]
mod tests {
    use poem::test::TestClient;
    use serde_json::Value;

    use http::StatusCode;

    use super::*;
    use crate::{
        policy::{Definition, Policy},
        testing,
    };

    fn endpoint() -> ResourceMetadata {
        let mut definition = Definition::default();
        for scope in ["items", "items:write", "ledger", "unused"] {
            definition.add_scope(Scope::parse(scope).unwrap(), serde_json::from_value(json!("")).unwrap());
        }
        let routes = json!([
            { "match": "GET /items/**", "require": "items" },
            { "match": "POST /items", "require": { "any": ["items", "items:write"], "roles": ["clerk"] } },
            { "match": "/ledger/{year}", "require": "ledger" },
            { "match": "/public", "allow": "anonymous" },
        ]);
        for route in routes.as_array().unwrap() {
            definition.add_route(serde_json::from_value(route.clone()).unwrap());
        }
        let policy = Policy::compile(&definition).map_err(|errors| format!("{errors:?}")).unwrap().policy;
        let gate = testing::gate(policy, testing::principal("items").unwrap()).gate();
        ResourceMetadata::new(gate, "https://api.example", None)
    }

    async fn read(path: &str) -> Option<Value> {
        let answer = TestClient::new(endpoint())
            .get(format!("/.well-known/oauth-protected-resource{path}"))
            .send()
            .await;
        if answer.0.status() == StatusCode::NOT_FOUND {
            return None;
        }
        answer.assert_status_is_ok();
        Some(answer.json().await.value().deserialize())
    }

    #[tokio::test]
    async fn the_metadata_names_issuers_and_the_scopes_that_are_really_required() {
        let expected = json!({
            "resource": "https://api.example",
            "authorization_servers": ["https://testing.example"],
            "scopes_supported": ["items", "items:write", "ledger"],
            "bearer_methods_supported": ["header"],
            "resource_name": "api.example",
        });
        assert_eq!(read("").await, Some(expected));
    }

    #[tokio::test]
    async fn a_resource_below_the_root_has_its_own() {
        let read = read("/items/7").await.unwrap();
        assert_eq!(read["resource"], "https://api.example/items/7");
        assert_eq!(read["scopes_supported"], json!(["items"]));
        let read = self::read("/items").await.unwrap();
        assert_eq!(read["scopes_supported"], json!(["items", "items:write"]));
        assert_eq!(self::read("/ledger").await.unwrap()["scopes_supported"], json!(["ledger"]));
    }

    /// CASES I10: pages of every origin may read the metadata, whatever headers they send.
    #[tokio::test]
    async fn a_preflight_of_the_metadata_is_answered_for_every_origin() {
        let client = TestClient::new(Public(endpoint()));
        let answer = client
            .options(RESOURCE_METADATA)
            .header("Origin", "https://app.example")
            .header("Access-Control-Request-Method", "GET")
            .header("Access-Control-Request-Headers", "mcp-protocol-version")
            .send()
            .await;
        answer.assert_status(StatusCode::NO_CONTENT);
        answer.assert_header("access-control-allow-origin", "*");
        answer.assert_header("access-control-allow-headers", "*");
        client.post(RESOURCE_METADATA).send().await.assert_status(StatusCode::METHOD_NOT_ALLOWED);
        client.get(RESOURCE_METADATA).send().await.assert_status_is_ok();
    }

    /// T1.2: the resource is the path as it was asked for, byte for byte.
    #[tokio::test]
    async fn the_resource_repeats_the_path_byte_for_byte() {
        for path in ["/items", "/items/", "/items/%7Ea", "/items/caf%c3%a9"] {
            let expected = format!("https://api.example{path}");
            assert_eq!(read(path).await.unwrap()["resource"], expected.as_str());
        }
    }

    /// T1.9: an unknown or irregular path is no resource.
    #[tokio::test]
    async fn what_wants_no_token_is_no_protected_resource() {
        for path in ["/public", "/nowhere", "/items/..", "/items%2F7", "/items//7", "/items/%2e%2e/x", "x"] {
            assert_eq!(read(path).await, None, "{path}");
        }
    }
}
