//! `/admin/ui`: the operator page. Static screens over the admin API, a session cookie, and the sign-in.

mod assets;
mod pages;
mod session;
mod sign_in;

use std::{fmt, sync::Arc};

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use poem::{Body, Endpoint, Request, Response, Result};
use scopegate_oidc::is_loopback_in_browsers;
use scopegate_provider::{Clock, Provider, ScopeSet, Timestamp};
use url::Url;

use self::{
    assets::ASSETS,
    pages::{SignIn, SignInRefusal},
    session::{Purpose, cookie, lifetime, set_cookie},
    sign_in::{Pending, SignInError},
};
pub use self::{pages::Landing, session::SessionKey};
use super::AdminGuard;
use crate::{
    gate::{Gate, is_same_origin},
    problem::Problem,
};

/// Returns a file of the page at `version/name`, or 404.
pub fn asset(path: &str, request: &HeaderMap) -> Response {
    ASSETS.response(path, request)
}

/// The longest form that the sign-in reads, in bytes: a token and a path.
const FORM_LIMIT: usize = 64 * 1024;

/// The settings of the operator page.
#[derive(Clone)]
pub struct OperatorPage {
    /// The path of the admin endpoints, base path included: `/admin`.
    pub admin: Arc<str>,
    /// The URL of the node as callers see it.
    pub site: Arc<str>,
    /// The gate at whose providers people sign in.
    pub gate: Gate,
    /// The scopes that a sign-in requests: those of `admin.require`.
    pub scopes: Option<ScopeSet>,
    /// Admits whoever may look at the admin endpoints.
    pub guard: AdminGuard,
    /// The rule of `admin.require`, in words.
    pub rule: Arc<str>,
    /// The rule of `admin.read`, in words.
    pub read_rule: Option<Arc<str>>,
    /// The key of the session cookies.
    pub key: Arc<SessionKey>,
    /// The clock of the node.
    pub clock: Arc<dyn Clock>,
}

impl fmt::Debug for OperatorPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperatorPage").field("admin", &self.admin).finish_non_exhaustive()
    }
}

impl OperatorPage {
    /// Returns `true` if cookies may be sent over TLS only: everywhere but on plain loopback.
    fn is_secure(&self) -> bool {
        !is_plain_loopback(&self.site)
    }

    /// Puts the token of a session into `Authorization`, so that the guard decides about it.
    ///
    /// # Errors
    /// A change that a page of another origin asks for.
    pub fn authorize(&self, request: &mut Request) -> Result<(), Problem> {
        let method = request.method().clone();
        session::authorize(request.headers_mut(), &method, &self.key)
    }

    /// Wraps the admin API: a request with a session is decided by the token of the session.
    pub fn with_session<E: Endpoint>(self, inner: E) -> WithSession<E> {
        WithSession { page: self, inner }
    }

    async fn answer(&self, mut request: Request) -> Response {
        // A router in front has removed the base path from `uri`; links and `admin` hold it.
        let path = request.original_uri().path().to_owned();
        let below =
            path.strip_prefix(&*self.admin).and_then(|rest| rest.strip_prefix("/ui")).unwrap_or(&path);
        match (request.method(), below) {
            (&Method::GET | &Method::HEAD, _) if below.starts_with("/assets/") => {
                ASSETS.response(below.trim_start_matches("/assets/"), request.headers())
            }
            (&Method::GET, "/sign-in") => self.sign_in_page(&request, StatusCode::OK, None),
            (&Method::POST, "/sign-in") => self.sign_in(request).await,
            (&Method::GET, "/callback") => self.finish_sign_in(request).await,
            (&Method::POST, "/sign-out") => self.sign_out(&request),
            (&Method::GET, _) if below.starts_with("/sign-in/") => {
                self.begin_sign_in(&request, below.trim_start_matches("/sign-in/")).await
            }
            (&Method::GET | &Method::HEAD, _) => {
                if self.authorize(&mut request).is_err() || self.guard.admit(&request).await.is_err() {
                    return self.to_sign_in(&request, &path);
                }
                let below = below.trim_end_matches('/');
                pages::screen(&self.admin, below).unwrap_or_else(|| status(StatusCode::NOT_FOUND))
            }
            _ => status(StatusCode::METHOD_NOT_ALLOWED),
        }
    }

    /// Sends a browser without a session to the sign-in page, and back here after it.
    fn to_sign_in(&self, request: &Request, path: &str) -> Response {
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        let to: String = url::form_urlencoded::byte_serialize(format!("{path}{query}").as_bytes()).collect();
        redirect(&format!("{}/ui/sign-in?to={to}", self.admin))
    }

    fn sign_in_page(&self, request: &Request, code: StatusCode, refusal: Option<SignInRefusal>) -> Response {
        let query = request.uri().query().unwrap_or_default();
        let to = parameter(query.as_bytes(), "to").unwrap_or_default();
        let page = SignIn {
            page: pages::sign_in_page(&self.admin),
            site: host(&self.site).to_owned(),
            rule: self.rule.to_string(),
            read_rule: self.read_rule.as_deref().map(str::to_owned),
            providers: self.sign_in_providers(),
            to: self.own_path(&to),
            version: env!("CARGO_PKG_VERSION"),
            refusal,
        };
        pages::sign_in(code, &page)
    }

    /// Returns the providers at which a person can sign in.
    fn sign_in_providers(&self) -> Vec<String> {
        let state = self.gate.current();
        let connected = state.authenticator().providers().iter();
        let able = connected.filter(|connected| connected.provider().sign_in().is_some());
        able.map(|connected| connected.name().to_string()).collect()
    }

    /// Returns the connected provider of this name.
    fn provider(&self, name: &str) -> Option<Arc<dyn Provider>> {
        let state = self.gate.current();
        state.authenticator().provider(name).map(|connected| connected.provider().clone())
    }

    /// The URL to which providers return the browser.
    fn callback(&self) -> String {
        format!("{}{}/ui/callback", self.site, self.admin)
    }

    /// Sends the browser to the provider's sign-in page.
    async fn begin_sign_in(&self, request: &Request, name: &str) -> Response {
        let query = request.uri().query().unwrap_or_default();
        let to = self.own_path(&parameter(query.as_bytes(), "to").unwrap_or_default());
        let provider = self.provider(name);
        let Some(able) = provider.as_deref().and_then(Provider::sign_in) else {
            return status(StatusCode::NOT_FOUND);
        };
        let callback = self.callback();
        let begun = sign_in::begin((name, able), &callback, to, self.scopes.as_ref(), self.clock.now()).await;
        let (url, pending) = match begun {
            Ok(begun) => begun,
            Err(error) => return self.refuse(request, &error.into()),
        };
        let sealed = serde_json::to_string(&pending)
            .ok()
            .and_then(|pending| self.key.seal(Purpose::SignIn, &pending))
            .and_then(|sealed| {
                set_cookie(Purpose::SignIn, &sealed, &self.admin, self.is_secure(), sign_in::LIFETIME)
            });
        let Some(cookie) = sealed else { return status(StatusCode::INTERNAL_SERVER_ERROR) };
        let mut response = redirect(&url);
        response.headers_mut().insert(header::SET_COOKIE, cookie);
        response
    }

    /// Takes the provider's answer: exchanges the code, and begins a session if the token may at least look.
    async fn finish_sign_in(&self, request: Request) -> Response {
        let answer = request.uri().query().unwrap_or_default().as_bytes().to_vec();
        let pending: Option<Pending> = cookie(request.headers(), Purpose::SignIn)
            .and_then(|sealed| self.key.open(Purpose::SignIn, sealed))
            .and_then(|pending| serde_json::from_str(&pending).ok());
        let Some(pending) = pending else { return self.refuse(&request, &SignInError::NotPending.into()) };
        let provider = self.provider(&pending.provider);
        let Some(provider) = provider else { return self.refuse(&request, &SignInError::NotPending.into()) };
        let to = pending.to.clone();
        match pending.finish(&*provider, &answer, &self.callback(), self.clock.now()).await {
            Ok(token) => {
                let mut response = self.admit(request, token.reveal(), &to).await;
                if let Some(done) = set_cookie(Purpose::SignIn, "", &self.admin, self.is_secure(), 0) {
                    response.headers_mut().append(header::SET_COOKIE, done);
                }
                response
            }
            Err(error) => self.refuse(&request, &error.into()),
        }
    }

    /// Returns the sign-in page with the reason why a sign-in failed.
    fn refuse(&self, request: &Request, problem: &Problem) -> Response {
        let shown = SignInRefusal {
            description: problem.description().to_owned(),
            reason: problem.reason().to_string(),
            request_id: request.header("x-request-id").unwrap_or_default().to_owned(),
        };
        self.sign_in_page(request, problem.status(), Some(shown))
    }

    /// Signs in with a pasted token: it is decided by the admin rule, and then kept in the session cookie.
    async fn sign_in(&self, mut request: Request) -> Response {
        let Ok(form) = request.take_body().into_bytes_limit(FORM_LIMIT).await else {
            return status(StatusCode::PAYLOAD_TOO_LARGE);
        };
        let token = parameter(&form, "token").unwrap_or_default();
        let to = parameter(&form, "to").unwrap_or_default();
        self.admit(request, token.trim(), &to).await
    }

    /// Begins a session if the token may at least look.
    async fn admit(&self, mut request: Request, token: &str, to: &str) -> Response {
        request.headers_mut().remove(header::COOKIE);
        if let Ok(mut value) = HeaderValue::from_str(&format!("Bearer {token}")) {
            value.set_sensitive(true);
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        // The guard decides about reading: a form is posted, which is no change of the policy.
        request.set_method(Method::GET);
        match self.guard.admit(&request).await {
            Ok((permit, _)) => {
                let expires = permit.principal.as_ref().map(scopegate_provider::Principal::expires_at);
                self.begin(token, expires, to).unwrap_or_else(|| status(StatusCode::INTERNAL_SERVER_ERROR))
            }
            Err(refusal) => self.refuse(&request, &refusal.problem),
        }
    }

    fn begin(&self, token: &str, expires: Option<Timestamp>, to: &str) -> Option<Response> {
        let sealed = self.key.seal(Purpose::Session, token)?;
        let lifetime = expires.map_or(0, |expires| lifetime(self.clock.now(), expires));
        let cookie = set_cookie(Purpose::Session, &sealed, &self.admin, self.is_secure(), lifetime)?;
        let mut response = pages::signed_in(&self.admin, &self.own_path(to));
        response.headers_mut().insert(header::SET_COOKIE, cookie);
        Some(response)
    }

    /// Ends the session, if a page of scopegate itself asks for it.
    fn sign_out(&self, request: &Request) -> Response {
        let host = request.headers().get(header::HOST).map(HeaderValue::as_bytes);
        if !is_same_origin(request.headers(), host) {
            return status(StatusCode::FORBIDDEN);
        }
        let mut response = redirect(&format!("{}/ui/sign-in", self.admin));
        for purpose in [Purpose::Session, Purpose::SignIn] {
            if let Some(cookie) = set_cookie(purpose, "", &self.admin, self.is_secure(), 0) {
                response.headers_mut().append(header::SET_COOKIE, cookie);
            }
        }
        response
    }

    /// Returns a path of the page itself: a sign-in never leads to another site.
    fn own_path(&self, to: &str) -> String {
        let page = format!("{}/ui", self.admin);
        let is_own = to.strip_prefix(&page).is_some_and(|rest| {
            (rest.is_empty() || rest.starts_with(['/', '?'])) && !rest.contains(['\\', '\r', '\n'])
        });
        if is_own { to.to_owned() } else { page }
    }
}

impl Endpoint for OperatorPage {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        Ok(self.answer(request).await)
    }
}

/// The admin API behind sessions; see [`OperatorPage::with_session`].
#[derive(Debug)]
pub struct WithSession<E> {
    page: OperatorPage,
    inner: E,
}

impl<E: Endpoint> Endpoint for WithSession<E> {
    type Output = E::Output;

    async fn call(&self, mut request: Request) -> Result<E::Output> {
        self.page.authorize(&mut request)?;
        self.inner.call(request).await
    }
}

/// Returns a parameter of a query or a form.
fn parameter(pairs: &[u8], name: &str) -> Option<String> {
    url::form_urlencoded::parse(pairs).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn host(site: &str) -> &str {
    site.split_once("://").map_or(site, |(_, host)| host)
}

/// Returns `true` for a URL without TLS that only this machine can reach.
fn is_plain_loopback(site: &str) -> bool {
    let Ok(url) = Url::parse(site) else { return false };
    url.scheme() == "http" && is_loopback_in_browsers(&url)
}

fn status(code: StatusCode) -> Response {
    Response::builder().status(code).header(header::CACHE_CONTROL, "no-store").body(Body::empty())
}

fn redirect(to: &str) -> Response {
    Response::builder()
        .status(StatusCode::SEE_OTHER)
        .header(header::LOCATION, to)
        .header(header::CACHE_CONTROL, "no-store")
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_go_without_tls_on_plain_loopback_only() {
        for plain in
            ["http://127.0.0.1:8000", "http://localhost", "http://[::1]:80", "http://api.localhost:8000"]
        {
            assert!(is_plain_loopback(plain), "{plain}");
        }
        for secure in
            ["https://127.0.0.1:8000", "http://10.0.0.5:8000", "http://0.0.0.0:80", "http://api.example"]
        {
            assert!(!is_plain_loopback(secure), "{secure}");
        }
    }
}
