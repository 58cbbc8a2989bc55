//! An issuer, a clock and a provider that talks to it.

use std::{sync::Arc, time::Duration};

use scopegate_oidc::{Http, OidcProvider, Settings};
use scopegate_provider::{
    AuthnError, AuthnFailure, BearerToken, Context, Credentials, Freshness, Health, Inline, Outage,
    OutageCause, Principal, Provider, ProviderName, Rejection,
};
use scopegate_testkit::{MintKey, TestClock, TestIssuer};
use serde_json::{Value, json};

/// What a test needs.
pub(crate) struct Harness {
    pub(crate) issuer: TestIssuer,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) key: MintKey,
    pub(crate) provider: Arc<OidcProvider>,
}

impl Harness {
    /// A plain issuer with one key, and a provider whose settings are its issuer, an audience, and `more`.
    pub(crate) async fn new(more: &Value) -> Self {
        let issuer = TestIssuer::start().await;
        let key = MintKey::es256("first");
        issuer.publish(&[&key]);
        let this = Self::with(issuer, key, more);
        this.provider.ready().await;
        this
    }

    /// A provider of `issuer`, whatever state that is in.
    pub(crate) fn with(issuer: TestIssuer, key: MintKey, more: &Value) -> Self {
        let clock = Arc::new(TestClock::default());
        let provider = connect(&issuer, &clock, more);
        Self { issuer, clock, key, provider }
    }

    /// The claims of a good token.
    pub(crate) fn claims(&self) -> Value {
        json!({
            "iss": self.issuer.url(), "aud": "items-api", "sub": "alice", "client_id": "web", "scope": "items",
            "iat": 1_790_000_000, "exp": 1_790_000_600,
        })
    }

    /// The same with other members.
    pub(crate) fn claims_with(&self, members: &Value) -> Value {
        let mut claims = self.claims();
        claims.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        claims
    }

    /// A good token.
    pub(crate) fn token(&self) -> String {
        self.key.token(&self.claims())
    }

    pub(crate) async fn authenticate(&self, token: &str) -> Result<Principal, AuthnError> {
        self.ask(token, Freshness::Cached).await
    }

    pub(crate) async fn ask(&self, token: &str, freshness: Freshness) -> Result<Principal, AuthnError> {
        let credentials = Credentials::bearer(BearerToken::parse(token).unwrap());
        self.provider.authenticate(&credentials, freshness).await.map_err(|failure| failure.error)
    }

    pub(crate) async fn failure(&self, token: &str) -> AuthnFailure {
        let credentials = Credentials::bearer(BearerToken::parse(token).unwrap());
        self.provider.authenticate(&credentials, Freshness::Cached).await.unwrap_err()
    }

    /// Moves the clock on, once somebody sleeps; whoever wakes is done, or waits for the network, when this returns.
    pub(crate) async fn advance(&self, by: Duration) {
        self.until(|harness| harness.clock.sleepers() > 0).await;
        self.clock.advance(by);
        tokio::time::sleep(Duration::from_millis(30)).await;
    }

    /// Waits until `condition` holds; at most 20 seconds of real time.
    pub(crate) async fn until(&self, condition: impl Fn(&Self) -> bool) {
        for _ in 0..4000 {
            if condition(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("it did not come about");
    }

    /// How often the keys were fetched.
    pub(crate) fn fetches(&self) -> usize {
        self.issuer.count(&self.issuer.paths().keys)
    }
}

pub(crate) fn connect(issuer: &TestIssuer, clock: &Arc<TestClock>, more: &Value) -> Arc<OidcProvider> {
    let mut settings = json!({ "issuer": issuer.url(), "audience": "items-api" });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let settings: Settings = serde_json::from_value(settings).unwrap();
    let name = ProviderName::parse("test").unwrap();
    OidcProvider::connect(
        settings,
        Context::new(name, clock.clone(), Arc::new(Http::default()), Arc::new(Inline)),
    )
    .unwrap()
}

pub(crate) fn rejection(result: Result<Principal, AuthnError>) -> Rejection {
    match result {
        Err(AuthnError::Rejected(rejection)) => rejection,
        other => panic!("expected a rejection, found {other:?}"),
    }
}

pub(crate) fn outage(result: Result<Principal, AuthnError>) -> OutageCause {
    match result {
        Err(AuthnError::Unavailable(Outage { cause, .. })) => cause,
        other => panic!("expected an outage, found {other:?}"),
    }
}
