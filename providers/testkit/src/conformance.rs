//! The suite that every kind of provider passes, against an issuer that answers like its own.

use std::{sync::Arc, time::Duration};

use scopegate_provider::{
    AuthnError, BearerToken, Context, Credentials, Freshness, HttpClient, Inline, Outage, Principal,
    Provider, ProviderName, Rejection, Settings,
};
use serde_json::{Value, json};

use crate::{BadVariant, Fault, MintKey, TestClock, TestIssuer, bad_variants, base64url};

/// The moment at which a [`TestClock`] starts.
const NOW: i64 = 1_790_000_000;

/// What a real provider's tokens look like: its discovery document, and the header and the claims of a good token, as
/// they were recorded. The claims' times are built on the [`TestClock`]'s.
#[derive(Debug, Clone)]
pub struct Emulation {
    /// The discovery document.
    pub discovery: Value,
    /// The header of a good token; `alg` and `kid` are filled in.
    pub header: Value,
    /// The claims of a good token; `iss` is moved to the test issuer's.
    pub claims: Value,
}

impl Emulation {
    /// From recorded documents.
    pub fn recorded(discovery: &str, header: &str, claims: &str) -> Self {
        let parse = |json: &str| serde_json::from_str(json).unwrap();
        Self { discovery: parse(discovery), header: parse(header), claims: parse(claims) }
    }
}

/// A provider of the kind `S` before an issuer that answers like the real one.
pub struct Bench {
    /// The issuer.
    pub issuer: TestIssuer,
    /// The clock.
    pub clock: Arc<TestClock>,
    /// The key that the issuer publishes: RS256, as with all of the real ones.
    pub key: MintKey,
    /// The provider.
    pub provider: Arc<dyn Provider>,
    header: Value,
    claims: Value,
}

impl Bench {
    /// Sets up issuer and provider; `settings` makes the latter's from the issuer's URL. Waits for the keys, if they can
    /// be had.
    pub async fn new<S: Settings>(
        emulation: &Emulation,
        http: Arc<dyn HttpClient>,
        settings: impl FnOnce(&str) -> Value,
    ) -> Self {
        let issuer = TestIssuer::like(&emulation.discovery).await;
        let key = MintKey::rs256("conformance");
        issuer.publish(&[&key]);
        let this = Self::before::<S>(issuer, key, emulation, http, settings).await;
        if let Some(health) = this.provider.health() {
            health.ready().await;
        }
        this
    }

    async fn before<S: Settings>(
        issuer: TestIssuer,
        key: MintKey,
        emulation: &Emulation,
        http: Arc<dyn HttpClient>,
        settings: impl FnOnce(&str) -> Value,
    ) -> Self {
        let clock = Arc::new(TestClock::default());
        let name = ProviderName::parse("conformance").unwrap();
        let settings: S = serde_json::from_value(settings(issuer.url())).unwrap();
        let context = Context::new(name, clock.clone(), http, Arc::new(Inline));
        let provider = settings.connect(context).await.unwrap();
        let mut header = emulation.header.clone();
        header["alg"] = json!("RS256");
        header["kid"] = json!("conformance");
        let mut claims = emulation.claims.clone();
        claims["iss"] = json!(issuer.url());
        Self { issuer, clock, key, provider, header, claims }
    }

    /// A good token.
    pub fn token(&self) -> String {
        self.key.token_with(&self.header, &self.claims)
    }

    /// A good token but for what `change` does to header and claims.
    pub fn token_with(&self, change: impl FnOnce(&mut Value, &mut Value)) -> String {
        let mut header = self.header.clone();
        let mut claims = self.claims.clone();
        change(&mut header, &mut claims);
        self.key.token_with(&header, &claims)
    }

    /// What the provider makes of a token.
    pub async fn ask(&self, token: &str, freshness: Freshness) -> Result<Principal, AuthnError> {
        let credentials = Credentials::bearer(BearerToken::parse(token).unwrap());
        self.provider.authenticate(&credentials, freshness).await.map_err(|failure| failure.error)
    }

    async fn rejects(&self, what: &str, token: &str, reason: &str) {
        match self.ask(token, Freshness::Cached).await {
            Err(AuthnError::Rejected(rejection)) => {
                assert_eq!(rejection.reason(), reason, "{what}: {rejection}");
                assert!(!rejection.to_string().contains(token), "{what}: the rejection shows the token");
            }
            other => unreachable!("{what}: expected the rejection {reason}, found {other:?}"),
        }
    }
}

/// Runs the whole suite for a kind that verifies tokens by signature.
///
/// # Panics
/// If the kind does not conform; the message names the check.
pub async fn conforms<S: Settings>(
    emulation: &Emulation,
    http: &Arc<dyn HttpClient>,
    settings: impl Fn(&str) -> Value,
) {
    let bench = Bench::new::<S>(emulation, http.clone(), &settings).await;
    accepts_good_tokens(&bench).await;
    rejects_bad_variants(&bench).await;
    rejects_what_is_no_jwt(&bench).await;
    says_whether_it_can_be_asked(&bench, serde_json::from_value::<S>(settings(bench.issuer.url())).unwrap())
        .await;
    obeys_administrators(&bench).await;
    forgets_withdrawn_keys(&bench).await;
    let outage = Bench::new::<S>(emulation, http.clone(), &settings).await;
    goes_on_through_an_outage(&outage).await;
    tells_outages_from_rejections::<S>(emulation, http.clone(), settings).await;
}

async fn accepts_good_tokens(bench: &Bench) {
    let token = bench.token();
    let principal = bench.ask(&token, Freshness::Cached).await.unwrap();
    assert_eq!(principal.issuer().as_str(), bench.issuer.url());
    assert!(bench.provider.issuers().contains(principal.issuer()));
    assert_eq!(principal.provider().as_str(), "conformance");
    assert_eq!(principal.expires_at().seconds(), bench.claims["exp"].as_i64().unwrap());
    assert!(principal.cache_until() <= principal.expires_at() + Duration::from_mins(5));
    assert_eq!(principal.subject().map(ToString::to_string).as_deref(), bench.claims["sub"].as_str());
    let shown = format!("{:?} {principal:?}", bench.provider);
    assert!(!shown.contains(&token), "the token is shown");
}

async fn rejects_bad_variants(bench: &Bench) {
    for BadVariant { fault, token, reason } in bad_variants(&bench.key, &bench.header, &bench.claims, NOW) {
        bench.rejects(fault, &token, reason).await;
    }
}

async fn rejects_what_is_no_jwt(bench: &Bench) {
    if bench.provider.takes_opaque_tokens() {
        return;
    }
    let encrypted = format!("{}..x.y.z", base64url(r#"{"alg":"dir","enc":"A256GCM"}"#));
    bench.rejects("encrypted", &encrypted, "encrypted_token").await;
    bench.rejects("opaque", "at_2YotnFZFEjr1zCsicMWpAA", "opaque_token").await;
}

async fn says_whether_it_can_be_asked<S: Settings>(bench: &Bench, settings: S) {
    if !settings.outline().introspects {
        let answer = bench.ask(&bench.token(), Freshness::Fresh).await;
        assert!(matches!(answer, Err(AuthnError::Rejected(Rejection::FreshnessUnavailable))), "{answer:?}");
    }
}

async fn obeys_administrators(bench: &Bench) {
    let Some(control) = bench.provider.key_control() else { return };
    let epoch = bench.provider.epoch();
    control.distrust(&["conformance".to_owned()]);
    bench.rejects("a distrusted key", &bench.token(), "key_distrusted").await;
    control.distrust(&[]);
    control.set_disabled(true);
    let answer = bench.ask(&bench.token(), Freshness::Cached).await;
    assert!(matches!(answer, Err(AuthnError::Unavailable(_))), "disabled: {answer:?}");
    control.set_disabled(false);
    assert!(bench.provider.epoch() >= epoch + 2, "distrust and disabling move the epoch on");
    bench.ask(&bench.token(), Freshness::Cached).await.unwrap();
}

async fn forgets_withdrawn_keys(bench: &Bench) {
    let Some(control) = bench.provider.key_control() else { return };
    let epoch = bench.provider.epoch();
    bench.issuer.publish(&[&MintKey::rsa(1, bench.key.algorithm(), "next")]);
    control.refresh().await.unwrap();
    assert!(bench.provider.epoch() > epoch, "a withdrawn key moves the epoch on");
    bench.rejects("a withdrawn key", &bench.token(), "unknown_key").await;
}

async fn goes_on_through_an_outage(bench: &Bench) {
    bench.issuer.fail("*", Fault::Close);
    bench.ask(&bench.token(), Freshness::Cached).await.unwrap();
    let unknown = bench.token_with(|header, _| header["kid"] = json!("unknown"));
    let answer = bench.ask(&unknown, Freshness::Cached).await;
    assert!(matches!(answer, Err(AuthnError::Unavailable(_))), "an unknown key in an outage: {answer:?}");
}

async fn tells_outages_from_rejections<S: Settings>(
    emulation: &Emulation,
    http: Arc<dyn HttpClient>,
    settings: impl FnOnce(&str) -> Value,
) {
    let issuer = TestIssuer::like(&emulation.discovery).await;
    issuer.fail("*", Fault::Status(503));
    let bench = Bench::before::<S>(issuer, MintKey::rs256("conformance"), emulation, http, settings).await;
    match bench.ask(&bench.token(), Freshness::Cached).await {
        Err(AuthnError::Unavailable(Outage { retry_after, .. })) => assert!(!retry_after.is_zero()),
        other => unreachable!("an issuer that is down: {other:?}"),
    }
}
