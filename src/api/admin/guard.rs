//! The guard of the admin endpoints: `admin.require` to change, `admin.read` to look only.

use http::Method;
use poem::{Endpoint, IntoResponse, Middleware, Request, Response, Result};

use crate::{
    gate::{Caller, Guard, Permit, Refusal},
    problem::Problem,
};

/// Admits administrators, and callers who may only look. Clones are the same guard.
#[derive(Debug, Clone)]
pub struct AdminGuard {
    change: Guard,
    read: Option<Guard>,
}

/// The rights of an admitted caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// Whether the caller may change anything.
    pub change: bool,
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
        match (self.change.admit(request).await, &self.read) {
            (Ok(permit), _) => Ok((permit, Rights { change: true })),
            (Err(_), Some(read)) if only_looks(request) => {
                Ok((read.admit(request).await?, Rights { change: false }))
            }
            (Err(refusal), _) => Err(refusal),
        }
    }
}

/// Returns `true` if a request changes nothing.
fn only_looks(request: &Request) -> bool {
    let path = request.uri().path();
    let query = request.uri().query().unwrap_or_default();
    let asks = path.ends_with("/explain") || path.ends_with("/diff");
    match *request.method() {
        Method::GET | Method::HEAD => true,
        Method::POST => {
            asks || url::form_urlencoded::parse(query.as_bytes())
                .any(|pair| pair == ("dry_run".into(), "true".into()))
        }
        _ => false,
    }
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
