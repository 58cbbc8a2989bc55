//! The suite that every kind of provider passes, against an issuer that answers like its own.

use std::{sync::Arc, time::Duration};

use scopegate_provider::{
    AuthnError, BearerToken, Context, Credentials, Freshness, HttpClient, Inline, Outage, Principal,
    Provider, ProviderName, Rejection, Settings,
};
use serde_json::{Value, json};

use crate::{Fault, MintKey, TestClock, TestIssuer, base64url};

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
        let (mut header, mut claims) = (self.header.clone(), self.claims.clone());
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
    rejects_bad_headers(&bench).await;
    rejects_bad_claims(&bench).await;
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

async fn rejects_bad_headers(bench: &Bench) {
    let header = |name: &'static str, value: Value| bench.token_with(|header, _| header[name] = value);
    let forger = MintKey::rsa(1, bench.key.algorithm(), "conformance");
    let unsigned = {
        let header = json!({ "alg": "none", "typ": bench.header["typ"] });
        format!("{}.{}.", base64url(header.to_string()), base64url(bench.claims.to_string()))
    };
    let cases = [
        ("another key", forger.token_with(&bench.header, &bench.claims), "signature_invalid"),
        ("an unknown key id", header("kid", json!("unknown")), "unknown_key"),
        ("no algorithm", typed(bench, &unsigned), "algorithm_not_allowed"),
        ("an HMAC", header("alg", json!("HS256")), "algorithm_not_allowed"),
        ("an unknown extension", header("crit", json!(["exp"])), "critical_header"),
        ("another type", header("typ", json!("secevent+jwt")), "type_not_allowed"),
    ];
    for (what, token, reason) in cases {
        bench.rejects(what, &token, reason).await;
    }
}

/// An unsigned token with the type of good ones, or without one as they.
fn typed(bench: &Bench, unsigned: &str) -> String {
    if bench.header["typ"].is_string() {
        return unsigned.to_owned();
    }
    format!("{}.{}.", base64url(r#"{"alg":"none"}"#), base64url(bench.claims.to_string()))
}

async fn rejects_bad_claims(bench: &Bench) {
    let claim = |name: &'static str, value: Value| bench.token_with(|_, claims| claims[name] = value);
    let without =
        |name: &str| bench.token_with(|_, claims| drop(claims.as_object_mut().unwrap().remove(name)));
    let slash = match bench.issuer.url().strip_suffix('/') {
        Some(shorter) => shorter.to_owned(),
        None => format!("{}/", bench.issuer.url()),
    };
    let now = 1_790_000_000;
    let cases = [
        ("expired", claim("exp", json!(now - 3600)), "expired"),
        ("an expiry in words", claim("exp", json!("never")), "wrong_claim_type"),
        ("no expiry", without("exp"), "missing_claim"),
        ("not valid yet", claim("nbf", json!(now + 3600)), "not_yet_valid"),
        ("issued in the future", claim("iat", json!(now + 3600)), "issued_in_future"),
        ("a life too long", claim("exp", json!(now + 400 * 86_400)), "lifetime_too_long"),
        ("another issuer", claim("iss", json!("https://evil.example")), "issuer_mismatch"),
        ("the issuer but for the slash", claim("iss", json!(slash)), "issuer_mismatch"),
        ("no issuer", without("iss"), "missing_claim"),
        ("an issuer among others", claim("iss", json!([bench.issuer.url()])), "wrong_claim_type"),
        ("another audience", claim("aud", json!("https://other.example")), "audience_mismatch"),
        ("bound to a key", claim("cnf", json!({ "jkt": "x" })), "sender_constrained"),
    ];
    for (what, token, reason) in cases {
        bench.rejects(what, &token, reason).await;
    }
}

async fn rejects_what_is_no_jwt(bench: &Bench) {
    let token = bench.token();
    let encrypted = format!("{}..x.y.z", base64url(r#"{"alg":"dir","enc":"A256GCM"}"#));
    let twice = bench.key.raw_token(bench.header.to_string().as_bytes(), br#"{"iss":"a","iss":"b"}"#);
    let (rest, signature) = token.rsplit_once('.').unwrap();
    let tampered = format!("{}A.{signature}", &rest[..rest.len() - 1]);
    bench.rejects("a claim twice", &twice, "duplicate_member").await;
    assert!(bench.ask(&tampered, Freshness::Cached).await.is_err(), "tampered");
    bench.rejects("without a signature", &format!("{rest}."), "signature_invalid").await;
    if !bench.provider.takes_opaque_tokens() {
        bench.rejects("encrypted", &encrypted, "encrypted_token").await;
        bench.rejects("opaque", "at_2YotnFZFEjr1zCsicMWpAA", "opaque_token").await;
    }
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
