//! For tests of programs that stand behind a gate: the real policy and the real gate, without issuer or network.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use http::{HeaderValue, header};
use poem::{Endpoint, Middleware, Request, Response, Result};
use scopegate_provider::{
    AuthnFailure, Claims, ClientId, Clock, Credentials, Freshness, Issuer, NameError, Principal, Provider,
    ProviderName, ScopeError, ScopeSet, Subject, SystemClock, Timestamp, Verified,
};

use crate::{
    authenticator::{Authenticator, AuthenticatorError, Connected, NoRevocations, VerifiedTokens},
    gate::{Gate, GateEndpoint, GateSettings, State},
    policy::Policy,
};

/// A gate in front of which every request is one of `principal`, or anonymous without one. A request that brings an
/// `Authorization` header of its own keeps it, and any bearer token in it speaks for `principal`.
///
/// ```
/// use poem::{EndpointExt, Route, handler, test::TestClient};
/// use scopegate::{Principal, policy::{Definition, Policy}, testing};
///
/// #[handler]
/// fn me(principal: Principal) -> String {
///     principal.scopes().to_string()
/// }
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let mut definition = Definition::default();
/// definition.add_route(serde_json::from_str(r#"{"match": "GET /me", "allow": "authenticated"}"#)?);
/// let policy = Policy::compile(&definition).map_err(|errors| errors[0].clone())?.policy;
///
/// let gate = testing::gate(policy, testing::principal("items")?)?;
/// let client = TestClient::new(Route::new().at("/me", me).with(gate));
/// client.get("/me").send().await.assert_text("items").await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// None in practice: one provider shares its issuer with no other.
pub fn gate(policy: Policy, principal: impl Into<Option<Principal>>) -> Result<TestGate, AuthenticatorError> {
    gate_with(policy, principal.into().as_ref(), GateSettings::default())
}

/// As [`gate`], told more.
pub(crate) fn gate_with(
    policy: Policy,
    principal: Option<&Principal>,
    settings: GateSettings,
) -> Result<TestGate, AuthenticatorError> {
    let connected = principal.cloned().map(everybody);
    let clock = Arc::new(SystemClock::new());
    let providers = connected.into_iter().collect();
    let authenticator =
        Authenticator::new(providers, VerifiedTokens::new(0), Arc::new(NoRevocations), clock)?;
    let state = State::new(Arc::new(policy), authenticator, settings);
    Ok(TestGate { gate: Gate::new(state), known: principal.is_some() })
}

/// What takes every token for one of this principal.
pub(crate) fn everybody(principal: Principal) -> Connected {
    let provider = Everybody { issuers: [principal.issuer().clone()], principal };
    Connected::new(provider.principal.provider().clone(), Arc::new(provider))
}

/// A principal with these scopes (space-separated), subject and client `tester`, good for an hour.
///
/// # Errors
/// [`PrincipalError`] if one of them is no scope.
pub fn principal(scopes: &str) -> Result<Principal, PrincipalError> {
    let scopes = ScopeSet::parse(scopes)?;
    let now = SystemClock::new().now();
    let expires_at = now + Duration::from_hours(1);
    Ok(Principal::assert_verified(Verified {
        subject: Some(Subject::parse("tester")?),
        client: Some(ClientId::parse("tester")?),
        scopes,
        issued_at: Some(now),
        expires_at,
        leeway: Duration::ZERO,
        cache_until: expires_at,
        ..verified("testing")?
    }))
}

/// Why there is no principal for a test.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrincipalError {
    /// A name of the principal is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// One of the scopes is none.
    #[error(transparent)]
    Scope(#[from] ScopeError),
}

/// A token of this provider that says nothing else and is good for ever: tests put in what they are about.
pub(crate) fn verified(provider: &str) -> Result<Verified, NameError> {
    Ok(Verified {
        provider: ProviderName::parse(provider)?,
        issuer: Issuer::parse(&format!("https://{provider}.example"))?,
        subject: None,
        client: None,
        audience: Arc::default(),
        scopes: ScopeSet::default(),
        roles: Box::default(),
        token_id: None,
        session: None,
        issued_at: None,
        expires_at: Timestamp::MAX,
        leeway: Duration::ZERO,
        cache_until: Timestamp::MAX,
        claims: Claims::from_json(*b"{}"),
    })
}

/// The policy of these routes.
#[cfg(test)]
pub(crate) fn policy(routes: &serde_json::Value) -> Policy {
    let mut definition = crate::policy::Definition::default();
    for route in routes.as_array().unwrap() {
        definition.add_route(serde_json::from_value(route.clone()).unwrap());
    }
    Policy::compile(&definition).map_err(|errors| format!("{errors:?}")).unwrap().policy
}

/// What [`gate`] makes.
#[derive(Debug, Clone)]
pub struct TestGate {
    gate: Gate,
    known: bool,
}

impl TestGate {
    /// The gate itself: to it any bearer token is one of the principal, and a request without one is anonymous.
    pub fn gate(&self) -> Gate {
        self.gate.clone()
    }
}

impl<E: Endpoint> Middleware<E> for TestGate {
    type Output = TestEndpoint<E>;

    fn transform(&self, inner: E) -> Self::Output {
        TestEndpoint { inner: self.gate.transform(inner), known: self.known }
    }
}

/// The endpoint that a [`TestGate`] makes of another.
#[derive(Debug)]
pub struct TestEndpoint<E> {
    inner: GateEndpoint<E>,
    known: bool,
}

impl<E: Endpoint> Endpoint for TestEndpoint<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        let headers = request.headers_mut();
        if !headers.contains_key(header::HOST) {
            headers.insert(header::HOST, HeaderValue::from_static("localhost"));
        }
        if self.known && !headers.contains_key(header::AUTHORIZATION) {
            headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer testing"));
        }
        self.inner.call(request).await
    }
}

/// Takes every token for one of the same caller.
#[derive(Debug)]
struct Everybody {
    issuers: [Issuer; 1],
    principal: Principal,
}

#[async_trait]
impl Provider for Everybody {
    fn issuers(&self) -> &[Issuer] {
        &self.issuers
    }

    fn takes_opaque_tokens(&self) -> bool {
        true
    }

    async fn authenticate(&self, _: &Credentials, _: Freshness) -> Result<Principal, AuthnFailure> {
        Ok(self.principal.clone())
    }
}
