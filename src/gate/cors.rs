//! Cross-origin requests (the Fetch standard, section 3.2): what browsers are told, decided here for whatever stands
//! behind the gate.
//!
//! Nothing here lets a request pass or keeps one out: it says which pages may read what is answered anyway. No answer
//! allows credentials, so that a browser never sends its cookies along.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use super::{Hop, Matter, Refusal, State, denied, refusal};
use crate::{
    policy::{
        Decision, Denial, Policy, Resolved, Route, RouteOptions, Target,
        settings::{CorsHeader, CorsSettings},
    },
    problem::Problem,
};

/// What pages of other origins may read besides what the Fetch standard lets them.
const EXPOSED: &str = "www-authenticate, retry-after, link, location";

/// What a gate says about cross-origin requests, where a route says nothing else.
#[derive(Debug, Clone)]
pub struct Cors {
    general: Option<CorsSettings>,
    exposed: HeaderValue,
}

/// A preflight that may be answered.
pub(super) struct Preflight {
    /// The pattern of the route that decided.
    pub(super) route: Arc<str>,
    /// What else it says.
    pub(super) options: Arc<RouteOptions>,
    /// What the browser is told.
    pub(super) headers: HeaderMap,
}

/// What is said about one answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Crossing {
    /// Nothing is configured: the service may have its own say.
    Undecided,
    /// Nobody but pages of the same origin may read it.
    Closed,
    /// Pages of this origin may read it.
    Open { origin: HeaderValue, exposed: HeaderValue },
}

impl Cors {
    /// `general`, and pages may read the request's id under this header.
    pub fn new(general: Option<CorsSettings>, request_id: &HeaderName) -> Self {
        let exposed = HeaderValue::try_from(format!("{EXPOSED}, {request_id}"));
        Self { general, exposed: exposed.unwrap_or(const { HeaderValue::from_static(EXPOSED) }) }
    }

    /// Whether there is anything to tell, under this policy.
    pub(super) fn is_told(&self, policy: &Policy) -> bool {
        self.general.is_some() || policy.routes().iter().any(|route| route.options().cors.is_some())
    }

    /// Lets the page that asks open what no browser asks about beforehand.
    ///
    /// # Errors
    /// 403: none that is allowed asks.
    pub(super) fn admits(&self, resolved: &Resolved<'_>, headers: &HeaderMap) -> Result<(), Problem> {
        match self.judge(resolved.routes().map(Some), one(headers, &header::ORIGIN)) {
            Crossing::Open { .. } => Ok(()),
            Crossing::Undecided | Crossing::Closed => Err(foreign()),
        }
    }

    fn settings<'s>(&'s self, route: Option<&'s Route>) -> Option<&'s CorsSettings> {
        route.and_then(|route| route.options().cors.as_ref()).or(self.general.as_ref())
    }

    /// What all of these routes say: a page may read only what each of them lets it read.
    fn judge<'r>(
        &self,
        routes: impl IntoIterator<Item = Option<&'r Route>>,
        origin: Option<&HeaderValue>,
    ) -> Crossing {
        let (mut decided, mut allowed) = (false, true);
        for route in routes {
            let settings = self.settings(route);
            decided |= settings.is_some();
            allowed &= settings.zip(origin).is_some_and(|(cors, origin)| cors.allows(origin.as_bytes()));
        }
        match (decided, origin.filter(|_| allowed)) {
            (false, _) => Crossing::Undecided,
            (true, None) => Crossing::Closed,
            (true, Some(origin)) => Crossing::Open { origin: origin.clone(), exposed: self.exposed.clone() },
        }
    }
}

impl Default for Cors {
    fn default() -> Self {
        Self { general: None, exposed: const { HeaderValue::from_static(EXPOSED) } }
    }
}

impl State {
    /// The answer to a preflight; none if the request is not one, or nothing is configured for what it announces, so
    /// that it needs a rule like any other OPTIONS. It is decided as the method that it announces, and no token is
    /// looked at, as browsers send none. `target` says what it asks for, had it come with that method.
    pub(super) fn preflight(
        &self,
        method: &Method,
        headers: &HeaderMap,
        target: impl FnOnce(&Method) -> Result<Target, Problem>,
    ) -> Option<Result<Preflight, Box<Refusal>>> {
        let announced = if self.crossed { announced(method, headers) } else { None }?;
        // What cannot be read is refused like any other request.
        let matter = self.look_up(&target(&announced).ok()?, Hop::Direct);
        match self.crossing(Some(&matter), headers) {
            Crossing::Undecided => None,
            crossing => Some(self.answer(matter, &announced, crossing)),
        }
    }

    /// What is said about the answer to a request, whether it is let through or refused.
    pub(super) fn crossing(&self, matter: Option<&Matter<'_>>, headers: &HeaderMap) -> Crossing {
        if !self.crossed {
            return Crossing::Undecided;
        }
        let (origin, cors) = (one(headers, &header::ORIGIN), &self.settings.cors);
        match matter.map(|matter| &matter.found) {
            Some(Ok(resolved)) => cors.judge(resolved.routes().map(Some), origin),
            Some(Err(refused)) => cors.judge([refused.route], origin),
            None => cors.judge([None], origin),
        }
    }

    fn answer(
        &self,
        matter: Matter<'_>,
        announced: &Method,
        crossing: Crossing,
    ) -> Result<Preflight, Box<Refusal>> {
        let resolved = self.current(matter)?;
        if let Decision::Deny(refused) = resolved.decide(None)
            && refused.denial == Denial::Nobody
        {
            return Err(denied(&refused).into());
        }
        let route = resolved.route().label().clone();
        let Crossing::Open { origin, .. } = crossing else {
            return Err(refusal(foreign(), Some(route)).into());
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::VARY, const { HeaderValue::from_static("origin") });
        self.tell_terms(&resolved, announced, &mut headers);
        Ok(Preflight { route, options: resolved.route().options().clone(), headers })
    }

    /// With what the request may come that was announced.
    fn tell_terms(&self, resolved: &Resolved<'_>, method: &Method, headers: &mut HeaderMap) {
        let cors = &self.settings.cors;
        if let Ok(method) = HeaderValue::from_str(method.as_str()) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, method);
        }
        let Some(own) = cors.settings(Some(resolved.route())) else { return };
        let everywhere = |name: &&CorsHeader| {
            let mut all = resolved.routes().filter_map(|route| cors.settings(Some(route)));
            all.all(|settings| settings.headers.contains(name))
        };
        let names: Vec<&str> = own.headers.iter().filter(everywhere).map(CorsHeader::as_str).collect();
        if let Some(names) = HeaderValue::from_str(&names.join(", ")).ok().filter(|names| !names.is_empty()) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
        }
        if let Some(age) = own.max_age {
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(age.get().as_secs()));
        }
    }
}

impl Crossing {
    /// Says it, instead of whatever the service said; what the service lets pages read, they may read all the same.
    pub(super) fn tell(self, headers: &mut HeaderMap) {
        if self == Self::Undecided {
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
    Problem::new(StatusCode::FORBIDDEN, "origin_not_allowed", description)
}

/// The method that a preflight announces, if this is one.
fn announced(method: &Method, headers: &HeaderMap) -> Option<Method> {
    if method != Method::OPTIONS {
        return None;
    }
    one(headers, &header::ORIGIN)?;
    Method::from_bytes(one(headers, &header::ACCESS_CONTROL_REQUEST_METHOD)?.as_bytes()).ok()
}

/// The value of a header that is there once.
fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Whether caches are told already that the answer is another for another origin.
fn varies(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::VARY).iter().filter_map(|value| value.to_str().ok());
    let mut names = values.flat_map(|value| value.split(',')).map(str::trim);
    names.any(|name| name == "*" || name.eq_ignore_ascii_case("origin"))
}

#[cfg(test)]
mod tests;
