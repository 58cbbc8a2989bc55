//! `POST /revoke` (RFC 7009): who holds a token withdraws it, here and at its provider.

use http::{StatusCode, header};
use poem::{Body, Endpoint, Request, Response, Result};
use scopegate_provider::{AuthnError, BearerToken, Credentials, Freshness};

use super::{form::Form, withdraw};
use crate::{
    gate::Gate,
    problem::Problem,
    reason::Reason,
    store::{Actor, Revocations, Store},
};

/// The endpoint.
#[derive(Debug, Clone)]
pub struct RevokeEndpoint {
    gate: Gate,
    store: Store,
}

impl RevokeEndpoint {
    /// Records in `store` what `gate` shall not let pass any more.
    pub fn new(gate: Gate, store: Store) -> Self {
        Self { gate, store }
    }

    async fn revoke(&self, request: &Request, body: Body) -> Result<(), Problem> {
        let form = Form::read(request, body).await?;
        let token = form.one("token")?;
        let token =
            token.ok_or_else(|| Problem::new(Reason::MalformedForm, "expected the parameter `token`"))?;
        // What is no token is withdrawn already (RFC 7009, section 2.2).
        let Ok(token) = BearerToken::parse(token) else { return Ok(()) };
        let state = self.gate.current();
        if token.as_bytes().len() > state.settings().token_limit {
            return Ok(());
        }
        let credentials = Credentials::bearer(token);
        let principal = match state.authenticator().authenticate(&credentials, Freshness::Cached).await {
            Ok(principal) => principal,
            Err(AuthnError::Rejected(_)) => return Ok(()),
            Err(AuthnError::Unavailable(outage)) => return Err(Problem::unavailable(&outage)),
        };
        let record = withdraw::of_token(&principal, &credentials.token, self.store.now(), None);
        self.store.revoke(&Actor::from(&principal), vec![record]).await?;
        let provider = state.authenticator().provider(principal.provider().as_str());
        if let Some(revoker) = provider.and_then(|connected| connected.provider().revoke_token()) {
            // It holds here whatever the provider says.
            if let Err(outage) = revoker.revoke_token(&credentials.token).await {
                tracing::warn!(provider = %principal.provider(), %outage, "a revocation was not passed on");
            }
        }
        Ok(())
    }
}

impl Endpoint for RevokeEndpoint {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        let body = request.take_body();
        self.revoke(&request, body).await?;
        Ok(Response::builder().status(StatusCode::OK).header(header::CACHE_CONTROL, "no-store").finish())
    }
}
