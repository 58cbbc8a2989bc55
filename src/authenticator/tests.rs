use std::{
    sync::atomic::{AtomicI64, AtomicUsize},
    time::Duration,
};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use scopegate_provider::{BearerToken, Claims, ScopeSet, Sleep, Timestamp, Verified};

use super::*;

#[derive(Debug, Default)]
struct HandClock(AtomicI64);

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(self.0.load(Ordering::SeqCst))
    }
    fn uptime(&self) -> Duration {
        Duration::ZERO
    }
    fn sleep(&self, _: Duration) -> Sleep<'_> {
        Box::pin(std::future::pending())
    }
}

/// Takes every token as good for ten seconds, and counts how often it is asked.
#[derive(Debug)]
struct Counting {
    issuers: [Issuer; 1],
    opaque: bool,
    asked: AtomicUsize,
    epoch: AtomicU64,
    clock: Arc<HandClock>,
}

#[async_trait]
impl Provider for Counting {
    fn issuers(&self) -> &[Issuer] {
        &self.issuers
    }
    fn takes_opaque_tokens(&self) -> bool {
        self.opaque
    }
    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }
    async fn authenticate(&self, _: &Credentials, _: Freshness) -> Result<Principal, AuthnFailure> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let until = self.clock.now() + Duration::from_secs(10);
        Ok(Principal::assert_verified(Verified {
            provider: ProviderName::parse("test").unwrap(),
            issuer: self.issuers[0].clone(),
            subject: None,
            client: None,
            audience: Arc::default(),
            scopes: ScopeSet::default(),
            roles: Box::default(),
            token_id: None,
            session: None,
            issued_at: None,
            expires_at: until,
            leeway: Duration::ZERO,
            cache_until: until,
            claims: Claims::from_json(*b"{}"),
        }))
    }
}

#[derive(Debug)]
struct AllRevoked;

impl RevocationCheck for AllRevoked {
    fn check(&self, _: &Principal, _: &Credentials, _: Timestamp) -> Result<(), AuthnError> {
        Err(Rejection::Revoked.into())
    }
}

/// Counts how often it is read.
#[derive(Debug, Default)]
struct CountedClock(HandClock, AtomicUsize);

impl Clock for CountedClock {
    fn now(&self) -> Timestamp {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.now()
    }
    fn uptime(&self) -> Duration {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.uptime()
    }
    fn sleep(&self, duration: Duration) -> Sleep<'_> {
        self.0.sleep(duration)
    }
}

#[tokio::test]
async fn the_clock_is_read_once_for_a_token_that_is_known() {
    let (house, clock) = (House::of(&[("a", false)]), Arc::new(CountedClock::default()));
    let store = crate::store::Store::open(None, clock.clone()).await.unwrap();
    let tokens = VerifiedTokens::new(16);
    let authenticator =
        Authenticator::new(house.connected(), tokens, Arc::new(store), clock.clone()).unwrap();
    authenticator.authenticate(&jwt("a"), Freshness::Cached).await.unwrap();
    let before = clock.1.load(Ordering::SeqCst);
    authenticator.policy_is_fresh().unwrap();
    authenticator.authenticate(&jwt("a"), Freshness::Cached).await.unwrap();
    assert_eq!(clock.1.load(Ordering::SeqCst) - before, 1);
}

struct House {
    clock: Arc<HandClock>,
    providers: Vec<Arc<Counting>>,
}

impl House {
    fn of(providers: &[(&str, bool)]) -> Self {
        let clock = Arc::new(HandClock::default());
        let make = |(issuer, opaque): &(&str, bool)| {
            Arc::new(Counting {
                issuers: [Issuer::parse(issuer).unwrap()],
                opaque: *opaque,
                asked: AtomicUsize::new(0),
                epoch: AtomicU64::new(0),
                clock: clock.clone(),
            })
        };
        Self { providers: providers.iter().map(make).collect(), clock }
    }

    fn connected(&self) -> Vec<Connected> {
        let name = |index: usize| ProviderName::parse(&format!("provider-{index}")).unwrap();
        self.providers.iter().enumerate().map(|(index, p)| Connected::new(name(index), p.clone())).collect()
    }

    fn with(
        &self,
        connected: Vec<Connected>,
        tokens: VerifiedTokens,
    ) -> Result<Authenticator, AuthenticatorError> {
        Authenticator::new(connected, tokens, Arc::new(NoRevocations), self.clock.clone())
    }

    fn authenticator(&self) -> Result<Authenticator, AuthenticatorError> {
        self.with(self.connected(), VerifiedTokens::new(16))
    }

    fn asked(&self, index: usize) -> usize {
        self.providers[index].asked.load(Ordering::SeqCst)
    }
}

fn jwt(issuer: &str) -> Credentials {
    let payload = URL_SAFE_NO_PAD.encode(format!(r#"{{"iss":"{issuer}"}}"#));
    Credentials::bearer(
        BearerToken::parse(&format!("{}.{payload}.c2ln", URL_SAFE_NO_PAD.encode("{}"))).unwrap(),
    )
}

fn opaque_token() -> Credentials {
    Credentials::bearer(BearerToken::parse("ory_at_opaque").unwrap())
}

#[tokio::test]
async fn a_token_that_is_known_is_not_asked_about_again_until_it_expires() {
    let house = House::of(&[("a", false)]);
    let authenticator = house.authenticator().unwrap();
    for _ in 0..3 {
        authenticator.authenticate(&jwt("a"), Freshness::Cached).await.unwrap();
    }
    assert_eq!(house.asked(0), 1);
    house.clock.0.store(10, Ordering::SeqCst);
    authenticator.authenticate(&jwt("a"), Freshness::Cached).await.unwrap();
    assert_eq!(house.asked(0), 2);
}

#[tokio::test]
async fn a_fresh_answer_is_asked_for_every_time() {
    let house = House::of(&[("a", false)]);
    let authenticator = house.authenticator().unwrap();
    for _ in 0..3 {
        authenticator.authenticate(&jwt("a"), Freshness::Fresh).await.unwrap();
    }
    assert_eq!(house.asked(0), 3);
}

#[tokio::test]
async fn invariant_4_a_new_epoch_of_the_provider_ends_what_was_known() {
    let house = House::of(&[("a", false)]);
    let authenticator = house.authenticator().unwrap();
    authenticator.authenticate(&jwt("a"), Freshness::Cached).await.unwrap();
    house.providers[0].epoch.store(1, Ordering::SeqCst);
    authenticator.authenticate(&jwt("a"), Freshness::Cached).await.unwrap();
    assert_eq!(house.asked(0), 2);
}

#[tokio::test]
async fn invariant_4_a_provider_connected_with_other_settings_shares_no_answers() {
    let house = House::of(&[("a", false)]);
    let tokens = VerifiedTokens::new(16);
    let before = house.with(house.connected(), tokens.clone()).unwrap();
    before.authenticate(&jwt("a"), Freshness::Cached).await.unwrap();
    let same = house.with(before.providers().to_vec(), tokens.clone()).unwrap();
    same.authenticate(&jwt("a"), Freshness::Cached).await.unwrap();
    assert_eq!(house.asked(0), 1, "an unchanged provider keeps its answers through a reload");
    let changed = house.with(house.connected(), tokens).unwrap();
    changed.authenticate(&jwt("a"), Freshness::Cached).await.unwrap();
    assert_eq!(house.asked(0), 2);
}

#[tokio::test]
async fn a_revocation_is_heeded_for_a_token_that_is_known() {
    let house = House::of(&[("a", false)]);
    let tokens = VerifiedTokens::new(16);
    let before = house.with(house.connected(), tokens.clone()).unwrap();
    before.authenticate(&jwt("a"), Freshness::Cached).await.unwrap();
    let providers = before.providers().to_vec();
    let after = Authenticator::new(providers, tokens, Arc::new(AllRevoked), house.clock.clone()).unwrap();
    let refused = after.authenticate(&jwt("a"), Freshness::Cached).await.unwrap_err();
    assert_eq!(refused, AuthnError::Rejected(Rejection::Revoked));
    let Lookup::Cached(cached) =
        after.lookup(jwt("a").token.as_bytes(), Freshness::Cached, &Evidence::default())
    else {
        panic!("the token is cached")
    };
    assert!(cached.unwrap_err().provider.is_some(), "the provider verified it");
    let refused = after.verify(&jwt("x"), Freshness::Cached, &Evidence::default()).await.unwrap_err();
    assert!(refused.provider.is_none(), "no provider verified it");
}

#[tokio::test]
async fn a_token_goes_to_the_provider_of_its_issuer_only() {
    let house = House::of(&[("a", false), ("b", true)]);
    let authenticator = house.authenticator().unwrap();
    authenticator.authenticate(&jwt("b"), Freshness::Cached).await.unwrap();
    assert_eq!((house.asked(0), house.asked(1)), (0, 1));
}

#[tokio::test]
async fn invariant_12_a_jwt_of_an_unknown_issuer_is_not_shown_to_the_provider_of_opaque_tokens() {
    let house = House::of(&[("a", true)]);
    let refused =
        house.authenticator().unwrap().authenticate(&jwt("x"), Freshness::Cached).await.unwrap_err();
    assert_eq!(refused, AuthnError::Rejected(Rejection::UnknownIssuer { found: Excerpt::new("x") }));
    assert_eq!(house.asked(0), 0);
}

#[tokio::test]
async fn invariant_12_an_opaque_token_goes_to_the_one_provider_that_takes_them() {
    let house = House::of(&[("a", false), ("b", true)]);
    house.authenticator().unwrap().authenticate(&opaque_token(), Freshness::Cached).await.unwrap();
    assert_eq!((house.asked(0), house.asked(1)), (0, 1));
}

#[tokio::test]
async fn invariant_12_without_such_a_provider_an_opaque_token_is_refused() {
    let house = House::of(&[("a", false)]);
    let refused =
        house.authenticator().unwrap().authenticate(&opaque_token(), Freshness::Cached).await.unwrap_err();
    assert_eq!(refused, AuthnError::Rejected(Rejection::Opaque));
}

#[test]
fn two_providers_of_one_issuer_are_refused() {
    let refused = House::of(&[("a", false), ("a", false)]).authenticator().unwrap_err();
    assert!(matches!(refused, AuthenticatorError::SharedIssuer { .. }), "{refused}");
}

#[test]
fn invariant_12_two_providers_for_opaque_tokens_are_refused() {
    let refused = House::of(&[("a", true), ("b", true)]).authenticator().unwrap_err();
    assert!(matches!(refused, AuthenticatorError::SharedOpaque { .. }), "{refused}");
}
