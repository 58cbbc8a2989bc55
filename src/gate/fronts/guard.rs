//! What stands before scopegate's own endpoints: one rule, not the policy.

use std::{fmt, sync::Arc};

use http::HeaderMap;
use poem::{Endpoint, IntoResponse, Middleware, Request, Response, Result};
use scopegate_provider::{Credentials, Freshness, Principal, Rejection};

use crate::gate::{Caller, Gate, bearer};
use crate::{policy::Rule, problem::Problem};

/// Lets callers through whose token satisfies a rule (`admin.require`, `introspection.require`), as poem middleware. A
/// handler behind it may ask for a [`Principal`](crate::gate::Principal). Clones are the same guard.
#[derive(Clone)]
pub struct Guard {
    gate: Gate,
    rule: Arc<Rule>,
}

impl Guard {
    /// Asks for `rule`, of tokens that `gate` takes.
    pub fn new(gate: Gate, rule: Rule) -> Self {
        Self { gate, rule: Arc::new(rule) }
    }

    /// Who calls, if they may.
    ///
    /// # Errors
    /// The answer to the caller.
    pub async fn admit(&self, headers: &HeaderMap) -> Result<Principal, Problem> {
        let (state, rule) = (self.gate.current(), &self.rule);
        let scopes = || rule.smallest_scopes();
        let token = bearer(headers)?.ok_or_else(|| Problem::no_token(scopes()))?;
        let limit = state.settings().token_limit;
        if token.as_bytes().len() > limit {
            return Err(Problem::rejected(&Rejection::TooLong { limit }, None));
        }
        let answer = state.authenticator().authenticate(&Credentials::bearer(token), Freshness::Cached).await;
        let principal = answer.map_err(|error| Problem::authentication(&error, scopes()))?;
        rule.decide(Some(&principal)).map_err(|denial| Problem::from(&denial))?;
        Ok(principal)
    }
}

impl<E: Endpoint> Middleware<E> for Guard {
    type Output = GuardEndpoint<E>;

    fn transform(&self, inner: E) -> Self::Output {
        GuardEndpoint { guard: self.clone(), inner }
    }
}

/// The endpoint that a [`Guard`] makes of another.
#[derive(Debug)]
pub struct GuardEndpoint<E> {
    guard: Guard,
    inner: E,
}

impl<E: Endpoint> Endpoint for GuardEndpoint<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        let principal = self.guard.admit(request.headers()).await?;
        request.extensions_mut().insert(Caller::new(Some(principal)));
        self.inner.call(request).await.map(IntoResponse::into_response)
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}
