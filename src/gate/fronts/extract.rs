//! The caller, as a handler gets it: only from a gate.

use std::ops::Deref;

use poem::{FromRequest, Request, RequestBody};

use crate::{gate::decision::Permit, problem::Problem, reason::Reason};

/// The verified caller of a request that a [`Gate`](crate::Gate) has permitted.
///
/// As an argument of a handler it is a 401 where the route lets anonymous callers through and this one is, and a 500
/// where the handler is reached without a gate: never anonymous by mistake. Don't ask for an `Option<Principal>`: poem
/// makes `None` of every failure, so that a missing gate would look like an anonymous caller. [`Caller`] tells them apart.
///
/// ```
/// #[poem::handler]
/// fn me(principal: scopegate::Principal) -> String {
///     principal.subject().map(ToString::to_string).unwrap_or_default()
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Principal(scopegate_provider::Principal);

impl Principal {
    /// Returns the principal that the provider's plugin has established.
    pub fn into_inner(self) -> scopegate_provider::Principal {
        self.0
    }
}

impl Deref for Principal {
    type Target = scopegate_provider::Principal;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// The caller on a route under `allow: optional`. Unlike `Option<Principal>`, which poem makes `None` of any failure,
/// it is a 500 where no gate was passed.
#[derive(Debug, Clone)]
pub enum Caller {
    /// A request without a token, on a route that lets it through.
    Anonymous,
    /// The caller of a good token.
    Known(Principal),
}

impl Caller {
    pub(crate) fn new(principal: Option<scopegate_provider::Principal>) -> Self {
        principal.map_or(Self::Anonymous, |principal| Self::Known(Principal(principal)))
    }

    pub(in crate::gate) fn of(permit: &Permit) -> Self {
        Self::new(permit.principal.clone())
    }
}

impl<'a> FromRequest<'a> for Caller {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> poem::Result<Self> {
        let extensions = request.extensions();
        let told = extensions.get::<Caller>().cloned();
        let caller = told.or_else(|| extensions.get::<Permit>().map(Caller::of));
        caller.ok_or_else(|| without_gate().into())
    }
}

impl<'a> FromRequest<'a> for Principal {
    async fn from_request(request: &'a Request, body: &mut RequestBody) -> poem::Result<Self> {
        match Caller::from_request(request, body).await? {
            Caller::Known(principal) => Ok(principal),
            Caller::Anonymous => Err(Problem::no_token(None).into()),
        }
    }
}

fn without_gate() -> Problem {
    let description = "the handler asks who calls, but no gate stands before it";
    Problem::new(Reason::WithoutGate, description)
}

#[cfg(test)]
mod tests {
    use poem::{EndpointExt, Route, handler, test::TestClient};

    use http::StatusCode;

    use super::*;

    #[handler]
    fn needs_a_principal(_: Principal) {}

    #[handler]
    fn asks_who_calls(_: Caller) {}

    #[tokio::test]
    async fn a_handler_that_is_reached_without_a_gate_is_500() {
        let app = Route::new().at("/a", needs_a_principal).at("/b", asks_who_calls);
        let client = TestClient::new(app);
        client.get("/a").send().await.assert_status(StatusCode::INTERNAL_SERVER_ERROR);
        client.get("/b").send().await.assert_status(StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[tokio::test]
    async fn an_anonymous_caller_does_not_reach_a_handler_that_needs_a_principal() {
        let client = TestClient::new(needs_a_principal.data(Caller::Anonymous));
        client.get("/").send().await.assert_status(StatusCode::UNAUTHORIZED);
    }
}
