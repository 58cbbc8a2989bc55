//! Cross-origin requests (the Fetch standard, section 3.2), decided here for every service behind the gate.
//!
//! CORS admits and refuses no request: it says which pages may read a response. No response allows credentials, so that
//! a browser never sends its cookies along.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use crate::{
    policy::{
        Policy, Resolved, Route, RouteOptions,
        settings::{CorsHeader, CorsSettings},
    },
    problem::Problem,
    reason::Reason,
};

/// The response headers that pages of other origins may read besides those of the Fetch standard.
const EXPOSED: &str = "www-authenticate, dpop-nonce, retry-after, link, location";

/// The CORS settings of a gate, for routes that have none of their own.
#[derive(Debug, Clone)]
pub struct Cors {
    general: Option<CorsSettings>,
    exposed: HeaderValue,
}

/// The answer to a preflight.
pub(super) struct Preflight {
    /// The pattern of the route that decided.
    pub(super) route: Arc<str>,
    /// The other settings of that route.
    pub(super) options: Arc<RouteOptions>,
    /// The header fields of the answer.
    pub(super) headers: HeaderMap,
}

/// The CORS decision about one response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CorsDecision {
    /// CORS is not configured: the headers of the service stay.
    Unset,
    /// No other origin may read the response.
    Closed,
    /// Pages of this origin may read the response.
    Open { origin: HeaderValue, exposed: HeaderValue },
}

impl Cors {
    /// Uses `general` for routes without settings of their own, and lets pages read the request's id under this header.
    pub fn new(general: Option<CorsSettings>, request_id: &HeaderName) -> Self {
        let exposed = HeaderValue::try_from(format!("{EXPOSED}, {request_id}"));
        Self { general, exposed: exposed.unwrap_or(const { HeaderValue::from_static(EXPOSED) }) }
    }

    /// Returns `true` if CORS is configured under this policy.
    pub(super) fn is_enabled(&self, policy: &Policy) -> bool {
        self.general.is_some() || policy.routes().iter().any(|route| route.options().cors.is_some())
    }

    /// Decides which pages may read a response: those that each of the routes lets read it.
    pub(super) fn decide<'r>(
        &self,
        routes: impl IntoIterator<Item = Option<&'r Route>>,
        headers: &HeaderMap,
    ) -> CorsDecision {
        let origin = one(headers, &header::ORIGIN);
        let mut is_configured = false;
        let mut is_allowed = true;
        // The header fields that every route exposes.
        let mut exposed: Option<Vec<&CorsHeader>> = None;
        for route in routes {
            let settings = self.settings(route);
            let own = settings.map_or(&[][..], |cors| cors.expose.as_slice());
            match &mut exposed {
                None => exposed = Some(own.iter().collect()),
                Some(exposed) => exposed.retain(|name| own.contains(name)),
            }
            is_configured |= settings.is_some();
            is_allowed &= settings.zip(origin).is_some_and(|(cors, origin)| cors.allows(origin.as_bytes()));
        }
        match origin.filter(|_| is_allowed) {
            _ if !is_configured => CorsDecision::Unset,
            None => CorsDecision::Closed,
            Some(origin) => CorsDecision::Open {
                origin: origin.clone(),
                exposed: self.exposed(&exposed.unwrap_or_default()),
            },
        }
    }

    /// Returns the header fields that pages may read, with those that the routes expose.
    fn exposed(&self, names: &[&CorsHeader]) -> HeaderValue {
        let Some(general) = self.exposed.to_str().ok().filter(|_| !names.is_empty()) else {
            return self.exposed.clone();
        };
        let names = std::iter::once(general).chain(names.iter().map(|name| name.as_str()));
        let joined = names.collect::<Vec<_>>().join(", ");
        HeaderValue::try_from(joined).unwrap_or_else(|_| self.exposed.clone())
    }

    /// Checks that the page that sends a request may call these routes, for requests that browsers send without a
    /// preflight.
    ///
    /// # Errors
    /// 403: its origin is not allowed.
    pub(super) fn admits(&self, routes: &Resolved<'_>, headers: &HeaderMap) -> Result<(), Problem> {
        match self.decide(routes.routes().map(Some), headers) {
            CorsDecision::Open { .. } => Ok(()),
            CorsDecision::Unset | CorsDecision::Closed => Err(foreign()),
        }
    }

    /// Answers a preflight that announces `method`.
    ///
    /// # Errors
    /// 403: its origin is not allowed.
    pub(super) fn preflight(
        &self,
        routes: &Resolved<'_>,
        method: &Method,
        decision: CorsDecision,
    ) -> Result<Preflight, Problem> {
        let CorsDecision::Open { origin, .. } = decision else { return Err(foreign()) };
        let route = routes.route();
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::VARY, const { HeaderValue::from_static("origin") });
        self.set_terms(routes, method, &mut headers);
        Ok(Preflight { route: route.label().clone(), options: route.options().clone(), headers })
    }

    /// Sets the method and the header fields with which the announced request may come.
    fn set_terms(&self, routes: &Resolved<'_>, method: &Method, headers: &mut HeaderMap) {
        if let Ok(method) = HeaderValue::from_str(method.as_str()) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, method);
        }
        let Some(own) = self.settings(Some(routes.route())) else { return };
        let names = own.headers.iter().filter(|name| self.allows_header(routes, name));
        let names: Vec<&str> = names.map(CorsHeader::as_str).collect();
        if let Some(names) = HeaderValue::from_str(&names.join(", ")).ok().filter(|names| !names.is_empty()) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
        }
        if let Some(age) = own.max_age {
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(age.get().as_secs()));
        }
    }

    fn allows_header(&self, routes: &Resolved<'_>, name: &CorsHeader) -> bool {
        let mut settings = routes.routes().filter_map(|route| self.settings(Some(route)));
        settings.all(|settings| settings.headers.contains(name))
    }

    fn settings<'s>(&'s self, route: Option<&'s Route>) -> Option<&'s CorsSettings> {
        route.and_then(|route| route.options().cors.as_ref()).or(self.general.as_ref())
    }
}

impl Default for Cors {
    fn default() -> Self {
        Self { general: None, exposed: const { HeaderValue::from_static(EXPOSED) } }
    }
}

impl CorsDecision {
    /// Sets the CORS headers of a response in place of those of the service. Header fields that the service exposes stay
    /// exposed.
    pub(super) fn apply(self, headers: &mut HeaderMap) {
        if self == Self::Unset {
            return;
        }
        let names = headers.get_all(header::ACCESS_CONTROL_EXPOSE_HEADERS);
        let names: Vec<HeaderValue> = names.iter().cloned().collect();
        while let Some(name) =
            headers.keys().find(|name| name.as_str().starts_with("access-control-")).cloned()
        {
            headers.remove(name);
        }
        if !varies(headers) {
            headers.append(header::VARY, const { HeaderValue::from_static("origin") });
        }
        if let Self::Open { origin, exposed } = self {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            for value in std::iter::once(exposed).chain(names) {
                headers.append(header::ACCESS_CONTROL_EXPOSE_HEADERS, value);
            }
        }
    }
}

fn foreign() -> Problem {
    let description = "pages of this origin may not call this";
    Problem::new(Reason::OriginNotAllowed, description)
}

/// Returns the method that a preflight announces; `None` for any other request.
pub(super) fn announced_method(method: &Method, headers: &HeaderMap) -> Option<Method> {
    if method != Method::OPTIONS {
        return None;
    }
    one(headers, &header::ORIGIN)?;
    Method::from_bytes(one(headers, &header::ACCESS_CONTROL_REQUEST_METHOD)?.as_bytes()).ok()
}

/// Returns the value of a header that occurs exactly once.
fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Returns `true` if `Vary` names the origin already.
fn varies(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::VARY).iter().filter_map(|value| value.to_str().ok());
    let mut names = values.flat_map(|value| value.split(',')).map(str::trim);
    names.any(|name| name == "*" || name.eq_ignore_ascii_case("origin"))
}

#[cfg(test)]
mod tests;
