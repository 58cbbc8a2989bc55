//! Test support for programs behind a gate: the real policy and the real gate, without an issuer or network.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use http::{HeaderValue, header};
use poem::{Endpoint, Middleware, Request, Response, Result};
use scopegate_provider::{
    AuthnFailure, Claims, ClientId, Clock, Credentials, Freshness, Issuer, NameError, Principal, Provider,
    ProviderName, ScopeError, ScopeSet, Subject, SystemClock, Timestamp, Verified,
};

use crate::{
    authenticator::{Authenticator, Connected},
    gate::{Gate, GateEndpoint, GateSettings, State},
    policy::Policy,
};

/// Creates a gate to which every request is one of `principal`, or anonymous without a principal. A request that has an
/// `Authorization` header keeps it, and any bearer token is taken for one of `principal`.
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
/// let gate = testing::gate(policy, testing::principal("items")?);
/// let client = TestClient::new(Route::new().at("/me", me).with(gate));
/// client.get("/me").send().await.assert_text("items").await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn gate(policy: Policy, principal: impl Into<Option<Principal>>) -> TestGate {
    gate_with(policy, principal.into().as_ref(), GateSettings::default())
}

/// Creates a gate as [`gate`] does, with these settings.
pub(crate) fn gate_with(policy: Policy, principal: Option<&Principal>, settings: GateSettings) -> TestGate {
    let connected = principal.cloned().map(everybody);
    let authenticator = Authenticator::of_one(connected, Arc::new(SystemClock::new()));
    let state = State::new(Arc::new(policy), authenticator, settings);
    TestGate { gate: Gate::new(state), known: principal.is_some() }
}

/// Creates a provider that takes every token for one of this principal.
pub(crate) fn everybody(principal: Principal) -> Connected {
    let provider = Everybody { issuers: [principal.issuer().clone()], principal };
    Connected::new(provider.principal.provider().clone(), Arc::new(provider))
}

/// Creates a principal with these scopes (space-separated), subject and client `tester`, good for an hour.
///
/// # Errors
/// [`PrincipalError`] if one of them is not a scope.
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

/// Errors in the facts of a principal for a test.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrincipalError {
    /// A name is not valid.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A scope is not valid.
    #[error(transparent)]
    Scope(#[from] ScopeError),
}

/// Returns the facts of a token of this provider that never expires: tests add the facts that they are about.
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

/// Compiles the policy of these routes.
#[cfg(test)]
pub(crate) fn policy(routes: &serde_json::Value) -> Policy {
    let mut definition = crate::policy::Definition::default();
    for route in routes.as_array().unwrap() {
        definition.add_route(serde_json::from_value(route.clone()).unwrap());
    }
    Policy::compile(&definition).map_err(|errors| format!("{errors:?}")).unwrap().policy
}

/// A gate for tests, which [`gate`] creates.
#[derive(Debug, Clone)]
pub struct TestGate {
    gate: Gate,
    known: bool,
}

impl TestGate {
    /// Returns the gate itself, to which any bearer token is one of the principal. A request without a token is anonymous.
    pub fn gate(&self) -> Gate {
        self.gate.clone()
    }
}

impl From<TestGate> for Gate {
    fn from(test: TestGate) -> Self {
        test.gate
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

/// A provider that takes every token for one of the same caller.
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
