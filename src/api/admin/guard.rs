//! The guard of the admin endpoints: `admin.require` to change, `admin.read` to look only.

use http::Method;
use poem::{Endpoint, IntoResponse, Middleware, Request, Response, Result};
use scopegate_provider::BearerToken;

use crate::{
    gate::{Caller, Guard, Permit, Refusal},
    problem::Problem,
    reason::Reason,
};

/// Admits administrators, and callers who may only look. Clones are the same guard.
#[derive(Debug, Clone)]
pub struct AdminGuard {
    change: Guard,
    read: Option<Guard>,
}

/// The rights of an admitted caller.
#[derive(Debug, Clone)]
pub struct Rights {
    /// Set if the caller may change anything.
    pub change: bool,
    /// Set if the request is to change nothing: the effect of a change is answered instead.
    pub dry_run: bool,
    /// The token of the caller.
    pub(super) token: Option<BearerToken>,
}

impl Rights {
    /// Returns `true` if an endpoint that honours `dry_run` is to change nothing; `asked` is the parameter as the endpoint
    /// reads it.
    ///
    /// # Errors
    /// The caller may not change anything, and this is no dry run.
    pub(super) fn dry_run(&self, asked: Option<bool>) -> Result<bool, Problem> {
        let dry_run = self.dry_run || asked == Some(true);
        if dry_run || self.change {
            return Ok(dry_run);
        }
        Err(Problem::new(Reason::InsufficientScope, "the caller may look, but not change anything"))
    }
}

impl AdminGuard {
    /// Creates a guard. Without `read`, looking needs the same as changing.
    pub fn new(change: Guard, read: Option<Guard>) -> Self {
        Self { change, read }
    }

    /// Decides about a request.
    ///
    /// # Errors
    /// [`Refusal`] holds the answer to the caller.
    pub async fn admit(&self, request: &Request) -> Result<(Permit, Rights), Refusal> {
        let (permit, change) = match (self.change.admit(request).await, &self.read) {
            (Ok(permit), _) => (permit, true),
            (Err(_), Some(read)) if only_looks(request) => (read.admit(request).await?, false),
            (Err(refusal), _) => return Err(refusal),
        };
        let token = permit.credentials.as_ref().map(|credentials| credentials.token.clone());
        Ok((permit, Rights { change, dry_run: is_dry_run(request), token }))
    }
}

/// Returns `true` if a request changes nothing. Only endpoints that are known to honour `dry_run=true` may be tried with
/// it by a caller that may not change anything.
fn only_looks(request: &Request) -> bool {
    match *request.method() {
        Method::GET | Method::HEAD => true,
        Method::POST => {
            let path = request.uri().path().trim_start_matches('/');
            let segments: Vec<&str> = path.split('/').collect();
            match segments.as_slice() {
                ["admin", "explain" | "diff"] => true,
                ["admin", "revocations"]
                | ["admin", "providers", _, "disable" | "distrust"]
                | ["admin", "providers", _, "keys", _, "distrust"] => is_dry_run(request),
                _ => false,
            }
        }
        _ => false,
    }
}

/// Returns `true` if the query has `dry_run=true`, and no other value of `dry_run`.
fn is_dry_run(request: &Request) -> bool {
    let query = request.uri().query().unwrap_or_default();
    let mut values = url::form_urlencoded::parse(query.as_bytes())
        .filter_map(|(name, value)| (name == "dry_run").then_some(value));
    values.next().is_some_and(|first| first == "true") && values.all(|other| other == "true")
}

impl<E: Endpoint> Middleware<E> for AdminGuard {
    type Output = AdminGuardEndpoint<E>;

    fn transform(&self, inner: E) -> Self::Output {
        AdminGuardEndpoint { guard: self.clone(), inner }
    }
}

/// The endpoint that an [`AdminGuard`] makes of another.
#[derive(Debug)]
pub struct AdminGuardEndpoint<E> {
    guard: AdminGuard,
    inner: E,
}

impl<E: Endpoint> Endpoint for AdminGuardEndpoint<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        let (permit, rights) = self.guard.admit(&request).await?;
        let outcome = permit.outcome();
        request.extensions_mut().insert(rights);
        request.extensions_mut().insert(Caller::new(permit.principal));
        let answer = self.inner.call(request).await;
        let mut response = answer.map_or_else(Problem::error_response, IntoResponse::into_response);
        response.set_data(outcome);
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(method: Method, uri: &'static str) -> bool {
        only_looks(&Request::builder().method(method).uri(uri.parse().unwrap()).finish())
    }

    #[test]
    fn only_endpoints_that_honour_a_dry_run_may_be_tried_without_the_right_to_change() {
        for uri in [
            "/admin/explain",
            "/admin/diff",
            "/admin/revocations?dry_run=true",
            "/admin/providers/okta/disable?dry_run=true",
            "/admin/providers/okta/distrust?kid=a%2Fb&dry_run=true",
            "/admin/providers/okta/keys/k/distrust?dry_run=true",
        ] {
            assert!(looks(Method::POST, uri), "{uri}");
        }
        for uri in [
            "/admin/routes?dry_run=true",
            "/admin/revocations",
            "/admin/revocations?dry_run=false",
            "/admin/revocations?dry_run=false&dry_run=true",
            "/admin/revocations?dry_run=true&dry_run=false",
            "/admin/revocations?dry%5Frun=false&dry_run=true",
            "/admin/revocations/import?dry_run=true",
            "/admin/providers/okta/enable?dry_run=true",
            "/admin/providers/okta/refresh?dry_run=true",
            "/admin/providers/okta/keys/k/trust?dry_run=true",
            "/admin/routes/explain",
        ] {
            assert!(!looks(Method::POST, uri), "{uri}");
        }
        assert!(!looks(Method::DELETE, "/admin/revocations/1?dry_run=true"));
        assert!(!looks(Method::PUT, "/admin/scopes/explain"));
    }
}
