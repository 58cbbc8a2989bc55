//! The end of a stream whose token is no longer accepted (invariant 17).

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use scopegate_provider::{AuthnError, Clock, Credentials, OutageCause, Principal, Rejection, Timestamp};

use crate::{
    gate::{Gate, Permit, State},
    policy::{CallerAt, Decision, Policy, Target},
    telemetry::metrics::{Holder, OpenStream},
    upstream::{AbortSignal, Aborted},
};

/// The time between two checks of an open stream.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// Ends a stream when its token expires or is no longer accepted, or when its route no longer permits it.
#[derive(Clone)]
pub(super) struct StreamGuard {
    clock: Arc<dyn Clock>,
    gate: Gate,
    stream: Arc<Stream>,
}

/// The facts that a stream depends on.
struct Stream {
    caller: Option<Caller>,
    target: Target,
    upstream: Option<Box<str>>,
    opened_at: Timestamp,
}

/// The connection of a provider, and the epoch of its answers.
type Standing = (u64, u64);

struct Caller {
    principal: Principal,
    credentials: Credentials,
    /// The end of the token: `exp`, the leeway, and `streams.grace`.
    ends_at: Timestamp,
}

/// Reasons for which a stream ends before its upstream ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum StreamEnd {
    /// The token has expired.
    #[error("the token that opened the stream has expired")]
    Expired,
    /// The token was revoked, its provider is disabled or its key is distrusted.
    #[error("the token that opened the stream is no longer accepted")]
    Withdrawn,
    /// The policy no longer permits what the stream was opened for.
    #[error("the route of the stream no longer permits it")]
    Closed,
}

impl StreamGuard {
    /// Returns the guard of the stream that a permitted request may open. It may go on for `grace` after its token.
    pub(super) fn new(clock: Arc<dyn Clock>, gate: Gate, permit: Permit, grace: Duration) -> Option<Self> {
        let Permit { principal, credentials, options, target, .. } = permit;
        let caller = principal.zip(credentials).map(|(principal, credentials)| {
            let ends_at = principal.accepted_until() + grace;
            Caller { principal, credentials, ends_at }
        });
        let opened_at = clock.now();
        let stream = Stream { caller, target: target?, upstream: options.upstream.clone(), opened_at };
        Some(Self { clock, gate, stream: Arc::new(stream) })
    }

    /// Completes when the stream has to end.
    async fn ended(&self) -> StreamEnd {
        let mut checked = Weak::new();
        let mut counted = None;
        let mut standing = None;
        loop {
            let now = self.clock.now();
            if let Some(end) = self.stream.end(&self.gate.current(), now, &mut checked) {
                return end;
            }
            let left = self.stream.caller.as_ref().map(|caller| caller.ends_at.since(now));
            self.clock.sleep(left.map_or(CHECK_INTERVAL, |left| left.min(CHECK_INTERVAL))).await;
            // Most answers have ended by now: they are no streams.
            if counted.is_none() {
                counted = self.count();
            }
            let state = self.gate.current();
            if let Some(caller) =
                self.stream.caller.as_ref().filter(|caller| caller.has_to_be_verified(&state, standing))
            {
                // Boxed: this is seldom needed, and streams wait for a long time.
                match Box::pin(caller.verify(&state)).await {
                    Ok(verified) => standing = verified,
                    Err(end) => return end,
                }
            }
        }
    }

    /// Counts the stream among the open ones.
    fn count(&self) -> Option<OpenStream> {
        let holder = self.stream.caller.as_ref().map(|caller| Holder {
            principal: caller.principal.clone(),
            credentials: caller.credentials.clone(),
        });
        self.gate.current().streams().map(|streams| streams.enter(holder))
    }
}

impl Caller {
    /// Returns `true` if the provider is not as it was when it verified the token last.
    fn has_to_be_verified(&self, state: &State, standing: Option<Standing>) -> bool {
        standing.is_none() || state.authenticator().standing(self.principal.provider()) != standing
    }

    /// Verifies the token again: its provider may have been disabled or removed, or its key withdrawn. A provider that
    /// gives no answer changes nothing yet, and is asked again.
    async fn verify(&self, state: &State) -> Result<Option<Standing>, StreamEnd> {
        let standing =
            state.authenticator().standing(self.principal.provider()).ok_or(StreamEnd::Withdrawn)?;
        match state.authenticator().reverify(&self.credentials).await {
            // The stream itself ends at its own time.
            Ok(()) | Err(AuthnError::Rejected(Rejection::Expired { .. })) => Ok(Some(standing)),
            Err(AuthnError::Rejected(_)) => Err(StreamEnd::Withdrawn),
            Err(AuthnError::Unavailable(outage)) if outage.cause == OutageCause::Disabled => {
                Err(StreamEnd::Withdrawn)
            }
            Err(AuthnError::Unavailable(_)) => Ok(None),
        }
    }
}

impl Stream {
    /// Returns the reason if the stream has to end. The route is looked up only if the policy is not the one that was
    /// `checked` last.
    fn end(&self, state: &State, now: Timestamp, checked: &mut Weak<Policy>) -> Option<StreamEnd> {
        if let Some(Caller { principal, credentials, ends_at }) = &self.caller {
            if now >= *ends_at {
                return Some(StreamEnd::Expired);
            }
            if state.authenticator().recheck(principal, credentials).is_err() {
                return Some(StreamEnd::Withdrawn);
            }
        }
        let policy = state.policy();
        if checked.as_ptr() != Arc::as_ptr(policy) {
            if !self.is_permitted(policy) {
                return Some(StreamEnd::Closed);
            }
            *checked = Arc::downgrade(policy);
        }
        None
    }

    /// Returns `true` if the policy permits the stream, and leads to the upstream that it goes to.
    fn is_permitted(&self, policy: &Policy) -> bool {
        let principal = self.caller.as_ref().map(|caller| &caller.principal);
        // A sign-in that was fresh enough when the stream began stays so.
        let caller = principal.map(|principal| CallerAt::new(principal, self.opened_at));
        match policy.resolve(&self.target).map(|routes| routes.decide(caller)) {
            Ok(Decision::Permit { route }) => route.options().upstream == self.upstream,
            Ok(Decision::Deny(_)) | Err(_) => false,
        }
    }
}

impl AbortSignal for StreamGuard {
    fn aborted(&self) -> BoxFuture<'static, Aborted> {
        let guard = self.clone();
        async move { guard.ended().await.into() }.boxed()
    }
}

impl fmt::Debug for StreamGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamGuard").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    };

    use async_trait::async_trait;
    use http::{HeaderMap, HeaderValue, Method};
    use scopegate_provider::{AuthnFailure, Freshness, Issuer, Outage, Provider, Verified};
    use scopegate_testkit::TestClock;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        authenticator::{Authenticator, Connected, NoRevocations, RevocationCheck, VerifiedTokens},
        gate::GateSettings,
        policy::{Definition, RawTarget, Scheme},
        testing,
        upstream::UpstreamSettings,
    };

    const LIFETIME: Duration = Duration::from_mins(1);
    const LEEWAY: Duration = Duration::from_secs(30);
    const GRACE: Duration = Duration::from_secs(10);

    /// Revokes every token once it is set.
    #[derive(Debug, Default)]
    struct Revoked(AtomicBool);

    impl RevocationCheck for Revoked {
        fn check(&self, _: &Principal, _: &Credentials, _: Timestamp) -> Result<(), AuthnError> {
            if self.0.load(Ordering::SeqCst) { Err(Rejection::Revoked.into()) } else { Ok(()) }
        }
    }

    /// A provider that an administrator can disable, and whose key can be withdrawn.
    #[derive(Debug)]
    struct Changing {
        issuers: [Issuer; 1],
        principal: Principal,
        epoch: AtomicU64,
        answer: Mutex<Option<AuthnError>>,
    }

    impl Changing {
        fn refuse(&self, error: impl Into<AuthnError>) {
            *self.answer.lock().unwrap() = Some(error.into());
            self.epoch.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[async_trait]
    impl Provider for Changing {
        fn issuers(&self) -> &[Issuer] {
            &self.issuers
        }

        async fn authenticate(&self, _: &Credentials, _: Freshness) -> Result<Principal, AuthnFailure> {
            match self.answer.lock().unwrap().clone() {
                Some(error) => Err(error.into()),
                None => Ok(self.principal.clone()),
            }
        }

        fn takes_opaque_tokens(&self) -> bool {
            true
        }

        fn epoch(&self) -> u64 {
            self.epoch.load(Ordering::SeqCst)
        }
    }

    /// An open stream, and what may end it.
    struct Opened {
        clock: Arc<TestClock>,
        revoked: Arc<Revoked>,
        provider: Arc<Changing>,
        gate: Gate,
        guard: StreamGuard,
    }

    fn route() -> Value {
        json!({ "match": "GET /chat", "allow": "optional", "upstream": "chat" })
    }

    fn policy(route: &Value) -> Policy {
        let mut definition = Definition::default();
        let settings = UpstreamSettings::at("http://127.0.0.1:1".parse().unwrap());
        definition.upstreams = ["chat", "other"].map(|name| settings.known_as(name)).into();
        definition.add_route(serde_json::from_value(route.clone()).unwrap());
        Policy::compile(&definition).map_err(|errors| format!("{errors:?}")).unwrap().policy
    }

    fn provider() -> Changing {
        let principal = Principal::assert_verified(Verified {
            expires_at: TestClock::default().now() + LIFETIME,
            leeway: LEEWAY,
            ..testing::verified("okta").unwrap()
        });
        let issuers = [principal.issuer().clone()];
        Changing { issuers, principal, epoch: AtomicU64::default(), answer: Mutex::default() }
    }

    fn state(
        clock: &Arc<TestClock>,
        revoked: &Arc<Revoked>,
        provider: &Arc<Changing>,
        route: &Value,
    ) -> State {
        let clock = Arc::clone(clock) as Arc<dyn Clock>;
        let revoked = Arc::clone(revoked) as Arc<dyn RevocationCheck>;
        let name = provider.principal.provider().clone();
        let providers = vec![Connected::new(name, Arc::clone(provider) as Arc<dyn Provider>)];
        let authenticator = Authenticator::new(providers, VerifiedTokens::new(8), revoked, clock);
        State::new(Arc::new(policy(route)), authenticator.unwrap(), GateSettings::default())
    }

    async fn open(token: Option<&'static str>) -> Opened {
        let clock = Arc::new(TestClock::default());
        let revoked = Arc::<Revoked>::default();
        let provider = Arc::new(provider());
        let gate = Gate::new(state(&clock, &revoked, &provider, &route()));
        let target = Target::parse(RawTarget {
            method: &Method::GET,
            scheme: Scheme::Http,
            authority: None,
            hosts: ["a.example"],
            path_and_query: b"/chat",
        });
        let target = target.unwrap();
        let mut headers = HeaderMap::new();
        headers.extend(token.map(|token| (http::header::AUTHORIZATION, HeaderValue::from_static(token))));
        let mut permit = gate.authorize(&target, &headers).await.unwrap();
        permit.target = Some(target);
        let guard = StreamGuard::new(Arc::clone(&clock) as Arc<dyn Clock>, gate.clone(), permit, GRACE);
        Opened { clock, revoked, provider, gate, guard: guard.unwrap() }
    }

    impl Opened {
        /// Returns the end of the stream if it has ended by now.
        fn end(&self) -> Option<StreamEnd> {
            self.guard.stream.end(&self.gate.current(), self.clock.now(), &mut Weak::new())
        }

        fn replace_route(&self, route: &Value) {
            self.gate.replace(state(&self.clock, &self.revoked, &self.provider, route));
        }
    }

    /// P4: the leeway and `streams.grace` count.
    #[tokio::test]
    async fn invariant_17_a_stream_ends_when_its_token_expires() {
        let stream = open(Some("Bearer testing")).await;
        stream.clock.advance((LIFETIME + LEEWAY + GRACE).checked_sub(Duration::from_millis(1)).unwrap());
        assert_eq!(stream.end(), None);
        stream.clock.advance(Duration::from_millis(1));
        assert_eq!(stream.end(), Some(StreamEnd::Expired));
        assert_eq!(stream.guard.aborted().await.to_string(), StreamEnd::Expired.to_string());
    }

    /// A10: a stream ends within a second of the revocation of its token.
    #[tokio::test]
    async fn invariant_17_a_stream_ends_within_a_second_of_the_withdrawal_of_its_token() {
        let stream = open(Some("Bearer testing")).await;
        let mut aborted = stream.guard.aborted();
        assert!((&mut aborted).now_or_never().is_none());
        stream.revoked.0.store(true, Ordering::SeqCst);
        stream.clock.advance(Duration::from_secs(1));
        assert_eq!(aborted.await.to_string(), StreamEnd::Withdrawn.to_string());
    }

    /// A10: a stream ends within a second once its provider is disabled, or the key of its token distrusted.
    #[tokio::test]
    async fn invariant_17_a_stream_ends_when_its_provider_is_disabled_or_its_key_distrusted() {
        let disabled = Outage::new(OutageCause::Disabled, Duration::from_mins(1));
        for error in [disabled.into(), AuthnError::from(Rejection::UnknownKey)] {
            let stream = open(Some("Bearer testing")).await;
            let mut aborted = stream.guard.aborted();
            assert!((&mut aborted).now_or_never().is_none());
            stream.provider.refuse(error.clone());
            stream.clock.advance(Duration::from_millis(999));
            assert_eq!(aborted.await.to_string(), StreamEnd::Withdrawn.to_string(), "{error}");
        }
    }

    /// A10: a stream ends once its provider is no longer configured.
    #[tokio::test]
    async fn invariant_17_a_stream_ends_when_its_provider_is_no_longer_configured() {
        let stream = open(Some("Bearer testing")).await;
        let mut aborted = stream.guard.aborted();
        assert!((&mut aborted).now_or_never().is_none());
        let clock = Arc::clone(&stream.clock) as Arc<dyn Clock>;
        let authenticator =
            Authenticator::new(vec![], VerifiedTokens::new(8), Arc::new(NoRevocations), clock).unwrap();
        stream.gate.replace(State::new(Arc::new(policy(&route())), authenticator, GateSettings::default()));
        stream.clock.advance(Duration::from_secs(1));
        assert_eq!(aborted.await.to_string(), StreamEnd::Withdrawn.to_string());
    }

    /// A10: a provider that gives no answer ends no stream.
    #[tokio::test]
    async fn a_stream_goes_on_while_its_provider_gives_no_answer() {
        let stream = open(Some("Bearer testing")).await;
        let mut aborted = stream.guard.aborted();
        assert!((&mut aborted).now_or_never().is_none());
        stream.provider.refuse(Outage::new(OutageCause::KeysUnavailable, Duration::from_secs(1)));
        stream.clock.advance(Duration::from_secs(1));
        assert!((&mut aborted).now_or_never().is_none());
        stream.provider.refuse(Rejection::Revoked);
        stream.clock.advance(Duration::from_secs(1));
        assert_eq!(aborted.await.to_string(), StreamEnd::Withdrawn.to_string());
    }

    /// A10: a stream ends within a second once its route is closed by a reload or an administrator.
    #[tokio::test]
    async fn invariant_17_a_stream_ends_when_its_route_is_closed() {
        for token in [None, Some("Bearer testing")] {
            let stream = open(token).await;
            let mut aborted = stream.guard.aborted();
            assert!((&mut aborted).now_or_never().is_none());
            stream.replace_route(&json!({ "match": "GET /chat", "allow": "nobody" }));
            stream.clock.advance(Duration::from_secs(1));
            assert_eq!(aborted.await.to_string(), StreamEnd::Closed.to_string(), "{token:?}");
        }
    }

    /// A10: a stream ends when its route asks for more than its caller has, or leads elsewhere.
    #[tokio::test]
    async fn invariant_17_a_stream_ends_when_its_route_no_longer_permits_it() {
        let stream = open(Some("Bearer testing")).await;
        stream.replace_route(
            &json!({ "match": "GET /chat", "require": { "roles": ["admin"] }, "upstream": "chat" }),
        );
        assert_eq!(stream.end(), Some(StreamEnd::Closed));
        stream.replace_route(&json!({ "match": "GET /chat", "allow": "optional", "upstream": "other" }));
        assert_eq!(stream.end(), Some(StreamEnd::Closed));
        stream.replace_route(&json!({ "match": "GET /**", "allow": "optional", "upstream": "chat" }));
        assert_eq!(stream.end(), None);
    }
}
