//! What stands at well-known places, for anybody: the metadata of the protected resource (RFC 9728), made from the
//! policy, and the keys of minted tokens (RFC 7517).

use std::sync::Arc;

use http::{HeaderValue, Method, StatusCode, header};
use poem::{Endpoint, IntoResponse, Request, Response, Result};
use serde_json::json;

use crate::{
    gate::{Asked, Document, Gate, asked_path, mint::KeyRing, peer_scheme},
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
    /// The URL at which callers reach scopegate: scheme, host and port.
    public_url: Box<str>,
    documentation: Option<Box<str>>,
    /// The document of everything that `gate` protects, unless resources are declared.
    root: Option<Box<str>>,
}

impl ResourceMetadata {
    /// Creates the endpoint of what `gate` protects, reached at `public_url`. `documentation` is for people. The document
    /// of everything is made from the current policy: another policy needs another endpoint.
    pub fn new(gate: Gate, public_url: &str, documentation: Option<String>) -> Self {
        let documentation: Option<Box<str>> = documentation.map(Into::into);
        let state = gate.current();
        let asked =
            Asked { path: "", origin: Some(public_url), host: "", documentation: documentation.as_deref() };
        let declares = !state.settings().resources.is_empty();
        let root = Document::find(&state, &asked).filter(|_| !declares).map(|root| root.to_json().into());
        Self { gate, public_url: public_url.into(), documentation, root }
    }

    /// Returns the document for a request.
    fn find(&self, request: &Request) -> Option<String> {
        let path = asked_path(request.uri().path())?;
        let state = self.gate.current();
        let settings = state.settings();
        let trusted = &settings.trusted_proxies;
        let origin = trusted.origin(request.remote_addr(), peer_scheme(request), request.headers()).ok();
        let forwarded = origin.and_then(|origin| Some((origin.scheme, origin.host?.to_str().ok()?)));
        let origin = forwarded
            .filter(|_| settings.public_origin.at_callers_host)
            .map(|(scheme, host)| format!("{scheme}://{host}"));
        if let Some(root) = self.root.as_ref().filter(|_| path.is_empty() && origin.is_none()) {
            return Some(root.to_string());
        }
        let own = request.uri().authority().map(http::uri::Authority::as_str);
        let own = own.or_else(|| request.headers().get(header::HOST)?.to_str().ok());
        let asked = Asked {
            path,
            origin: Some(origin.as_deref().unwrap_or(&self.public_url)),
            host: forwarded.map(|(_, host)| host).or(own).unwrap_or_default(),
            documentation: self.documentation.as_deref(),
        };
        Document::find(&state, &asked).map(|document| document.to_json())
    }
}

impl Endpoint for ResourceMetadata {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let document = self.find(&request).ok_or_else(|| {
            let description = "nothing at this path wants a token: it is not a protected resource";
            Problem::new(Reason::NoSuchResource, description)
        })?;
        Ok(public(document, METADATA_AGE))
    }
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

    use scopegate_provider::Scope;

    use super::*;
    use crate::{
        gate::RESOURCE_METADATA,
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
