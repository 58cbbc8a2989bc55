//! The issuer over HTTP.

use std::sync::Arc;

use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{
        ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, LOCATION, ORIGIN, PRAGMA,
        REFERRER_POLICY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
    },
    uri::Authority,
};
use poem::{Body, Endpoint, Request, Response};
use serde_json::{Value, json};

use crate::{
    Fault,
    authorize::{AuthorizationRequest, Authorized, content_security_policy, error_page},
    dialect::{Document, Operation},
    form::Form,
    keys::Keys,
    refusal::Refusal,
    service::{BODY_TIMEOUT, Service},
};

const MAX_BODY: usize = 64 * 1024;

/// Lets the next key sign.
pub(crate) const ROTATE: &str = "/dev/rotate";
/// Withdraws the keys that signed earlier.
pub(crate) const FORGET: &str = "/dev/forget";
/// Says what there is.
pub(crate) const OVERVIEW: &str = "/dev";

/// An endpoint: one of the dialect's, or one for development only.
#[derive(Clone, Copy)]
enum Place {
    Dialect(Operation),
    Overview,
    Rotate,
    Forget,
}

pub(crate) struct IssuerEndpoint(pub(crate) Arc<Service>);

impl Endpoint for IssuerEndpoint {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        if !names_loopback(request.headers()) {
            // A page that a browser loaded from elsewhere may have made its own name point here.
            let body =
                json!({ "error": "misdirected_request", "error_description": "expected a Host of loopback" });
            return Ok(answer(StatusCode::MISDIRECTED_REQUEST, &body));
        }
        let path = request.original_uri().path().to_owned();
        let Some(place) = self.place(&path) else {
            return Ok(answer(StatusCode::NOT_FOUND, &self.0.tenant.dialect.nothing_at(&path)));
        };
        if !place.takes(request.method()) {
            let body = json!({ "error": "method_not_allowed" });
            return Ok(answer(StatusCode::METHOD_NOT_ALLOWED, &body).with_header(ALLOW, place.allow()));
        }
        let body = request.take_body();
        Ok(self.reply(place, &request, body).await)
    }
}

impl IssuerEndpoint {
    fn place(&self, path: &str) -> Option<Place> {
        match path {
            OVERVIEW => Some(Place::Overview),
            ROTATE => Some(Place::Rotate),
            FORGET => Some(Place::Forget),
            path => self.0.operation(path).map(Place::Dialect),
        }
    }

    async fn reply(&self, place: Place, request: &Request, body: Body) -> Response {
        let headers = request.headers();
        let done = match place {
            Place::Overview => return answer(StatusCode::OK, &overview(&self.0)),
            Place::Dialect(Operation::Metadata(document)) => return self.metadata(document),
            Place::Dialect(Operation::Jwks) => self.0.jwks().await.map(|keys| self.key_set(&keys)),
            Place::Dialect(Operation::Authorize) => return self.authorize(request, body).await,
            Place::Dialect(Operation::Token) => self.token(headers, body).await,
            Place::Dialect(Operation::Introspect) => self.introspect(headers, body).await,
            Place::Dialect(Operation::Revoke) => self.revoke(headers, body).await,
            Place::Rotate | Place::Forget if headers.contains_key(ORIGIN) => {
                return answer(StatusCode::FORBIDDEN, &json!({ "error": "not_for_pages_of_other_sites" }));
            }
            Place::Rotate => {
                self.0.memory.keys.rotate().await.map(|keys| signs_now(&keys)).map_err(Refusal::NoKey)
            }
            Place::Forget => {
                self.0.memory.keys.forget().await.map(|keys| signs_now(&keys)).map_err(Refusal::NoKey)
            }
        };
        done.unwrap_or_else(|refusal| self.refuse(&refusal))
    }

    /// Shows the sign-in page, or takes what a person has entered there.
    async fn authorize(&self, request: &Request, body: Body) -> Response {
        let parameters = match request.method() {
            &Method::POST => self.form(request.headers(), body).await,
            _ => Form::of_query(request.original_uri().query().unwrap_or_default()),
        };
        let asked = parameters.and_then(|parameters| AuthorizationRequest::parse(&self.0, parameters));
        let asked = match asked {
            Ok(asked) => asked,
            Err(refusal) => return page(StatusCode::BAD_REQUEST, error_page(&refusal), ""),
        };
        let answer = match request.method() {
            &Method::POST => asked.finish(&self.0),
            _ => asked.begin(&self.0),
        };
        match answer {
            Authorized::Page(html) => page(StatusCode::OK, html, &asked.redirect_origin()),
            Authorized::Redirect(url) => match HeaderValue::from_str(url.as_str()) {
                Ok(location) => unstored(Response::builder().status(StatusCode::SEE_OTHER).finish())
                    .with_header(LOCATION, location),
                Err(_) => self.refuse(&Refusal::RedirectUri { found: url.into() }),
            },
        }
    }

    fn metadata(&self, document: Document) -> Response {
        let cache = HeaderValue::from_static("public, max-age=300");
        answer(StatusCode::OK, &self.0.metadata(document)).with_header(CACHE_CONTROL, cache)
    }

    fn key_set(&self, keys: &Value) -> Response {
        let cache = HeaderValue::from_static(self.0.tenant.dialect.keys_cache_control());
        answer(StatusCode::OK, keys).with_header(CACHE_CONTROL, cache)
    }

    async fn token(&self, headers: &HeaderMap, body: Body) -> Result<Response, Refusal> {
        let form = self.form(headers, body).await?;
        Ok(unstored(answer(StatusCode::OK, &self.0.token(headers, &form).await?)))
    }

    async fn introspect(&self, headers: &HeaderMap, body: Body) -> Result<Response, Refusal> {
        let form = self.form(headers, body).await?;
        Ok(unstored(answer(StatusCode::OK, &self.0.introspect(headers, &form).await?)))
    }

    async fn revoke(&self, headers: &HeaderMap, body: Body) -> Result<Response, Refusal> {
        let form = self.form(headers, body).await?;
        self.0.revoke(headers, &form).await?;
        Ok(unstored(Response::builder().status(StatusCode::OK).finish()))
    }

    async fn form(&self, headers: &HeaderMap, body: Body) -> Result<Form, Refusal> {
        let read = tokio::time::timeout(BODY_TIMEOUT, body.into_bytes_limit(MAX_BODY)).await;
        let bytes = read.map_err(|_| Refusal::NotAForm)?.map_err(|error| match error {
            poem::error::ReadBodyError::PayloadTooLarge => Refusal::TooLong,
            _ => Refusal::NotAForm,
        })?;
        Form::read(headers, &bytes, self.0.tenant.dialect.takes_json())
    }

    fn refuse(&self, refusal: &Refusal) -> Response {
        let (status, body) = self.0.tenant.dialect.refusal(refusal);
        let response = unstored(answer(status, &body));
        if status != StatusCode::UNAUTHORIZED {
            return response;
        }
        response.with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"clients\""))
    }
}

impl Place {
    fn takes(self, method: &Method) -> bool {
        match self {
            Self::Overview | Self::Dialect(Operation::Metadata(_) | Operation::Jwks) => {
                method == Method::GET || method == Method::HEAD
            }
            Self::Dialect(Operation::Authorize) => {
                method == Method::GET || method == Method::HEAD || method == Method::POST
            }
            Self::Dialect(Operation::Token | Operation::Introspect | Operation::Revoke)
            | Self::Rotate
            | Self::Forget => method == Method::POST,
        }
    }

    fn allow(self) -> HeaderValue {
        HeaderValue::from_static(match (self.takes(&Method::GET), self.takes(&Method::POST)) {
            (true, true) => "GET, HEAD, POST",
            (true, false) => "GET, HEAD",
            (false, _) => "POST",
        })
    }
}

fn signs_now(keys: &Keys) -> Response {
    answer(
        StatusCode::OK,
        &json!({ "kid": keys.current.kid(), "published": keys.kids().collect::<Vec<_>>() }),
    )
}

/// Returns an overview of the issuer, without secrets.
fn overview(service: &Service) -> Value {
    let paths = service.tenant.dialect.paths();
    let at = |path: &str| format!("{}{path}", service.base);
    json!({
        "issuer": service.issuer,
        "emulates": service.tenant.dialect.name(),
        "discovery": at(&paths.discovery),
        "keys": at(&paths.jwks),
        "authorization": at(&paths.authorize),
        "token": at(&paths.token),
        "introspection": paths.introspect.as_deref().map(at),
        "revocation": at(&paths.revoke),
        "rotate": at(ROTATE),
        "forget": at(FORGET),
        "audiences": service.tenant.audiences,
        "clients": service.tenant.clients.iter()
            .map(|client| json!({ "id": client.id, "scopes": client.scopes })).collect::<Vec<_>>(),
        "faults": Fault::ALL.map(Fault::as_str),
    })
}

fn names_loopback(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST) else { return true };
    let Ok(authority) = Authority::try_from(host.as_bytes()) else { return false };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let loopback_name = host == "localhost" || host.ends_with(".localhost");
    loopback_name || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.to_canonical().is_loopback())
}

fn answer(status: StatusCode, body: &Value) -> Response {
    let json = HeaderValue::from_static("application/json");
    Response::builder().status(status).header(CONTENT_TYPE, json).body(body.to_string())
}

/// Returns a page of the sign-in, whose form may lead to `redirect_origin`.
fn page(status: StatusCode, html: String, redirect_origin: &str) -> Response {
    let policy = HeaderValue::from_str(&content_security_policy(redirect_origin));
    let mut response =
        unstored(Response::builder().status(status).content_type("text/html; charset=utf-8").body(html))
            .with_header(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))
            .with_header(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if let Ok(policy) = policy {
        response = response.with_header(CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// Marks a response that must not be kept (RFC 6749, section 5.1).
fn unstored(response: Response) -> Response {
    let response = response.with_header(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.with_header(PRAGMA, HeaderValue::from_static("no-cache"))
}

trait WithHeader {
    fn with_header(self, name: http::HeaderName, value: HeaderValue) -> Self;
}

impl WithHeader for Response {
    fn with_header(mut self, name: http::HeaderName, value: HeaderValue) -> Self {
        self.headers_mut().insert(name, value);
        self
    }
}
