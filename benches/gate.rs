//! What a call costs at the gate: a route that looks at no token, and one whose token has been verified before.
//! Compare the two; absolute figures are this machine's.

use std::{hint::black_box, sync::Arc, time::Duration};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue, Method, header};
use scopegate::{
    authenticator::{Authenticator, Connected, NoRevocations, VerifiedTokens},
    gate::{Gate, GateSettings, State},
    policy::{Definition, Policy, RawTarget, Scheme, Target},
};
use scopegate_provider::{
    AuthnFailure, Claims, Clock, Credentials, Freshness, Issuer, Principal, Provider, ProviderName, Scope,
    ScopeSet, SystemClock, Verified,
};

#[derive(Debug)]
struct Good([Issuer; 1]);

#[async_trait]
impl Provider for Good {
    fn issuers(&self) -> &[Issuer] {
        &self.0
    }

    async fn authenticate(&self, _: &Credentials, _: Freshness) -> Result<Principal, AuthnFailure> {
        let [issuer] = &self.0;
        let until = SystemClock::new().now() + Duration::from_hours(1);
        Ok(Principal::assert_verified(Verified {
            provider: ProviderName::parse("good").unwrap_or_else(|_| unreachable!()),
            issuer: issuer.clone(),
            subject: None,
            client: None,
            audience: Arc::default(),
            scopes: ScopeSet::from_iter(Scope::parse("items")),
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

fn gate() -> Result<Gate, Box<dyn std::error::Error>> {
    let mut definition = Definition::default();
    definition.add_scope(Scope::parse("items")?, serde_json::from_str(r#""Read items""#)?);
    definition.add_route(serde_json::from_str(r#"{"match": "GET /public/**", "allow": "anonymous"}"#)?);
    definition.add_route(serde_json::from_str(r#"{"match": "GET /items/**", "require": "items"}"#)?);
    let compiled = Policy::compile(&definition).map_err(|errors| format!("{errors:?}"))?;
    let provider = Arc::new(Good([Issuer::parse("https://issuer.example")?]));
    let connected = vec![Connected::new(ProviderName::parse("good")?, provider)];
    let (tokens, clock) = (VerifiedTokens::new(1000), Arc::new(SystemClock::new()));
    let authenticator = Authenticator::new(connected, tokens, Arc::new(NoRevocations), clock)?;
    Ok(Gate::new(State::new(Arc::new(compiled.policy), authenticator, GateSettings::default())))
}

fn target(path: &str) -> Option<Target> {
    let raw = RawTarget {
        method: &Method::GET,
        scheme: Scheme::Http,
        authority: None,
        hosts: ["api.example.com"],
        path_and_query: path.as_bytes(),
    };
    Target::parse(raw).ok()
}

/// A token as long as those of real providers.
fn headers() -> Option<HeaderMap> {
    let payload = format!(r#"{{"iss":"https://issuer.example","padding":"{}"}}"#, "x".repeat(500));
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let token = format!("Bearer {}.{}.{}", part(r#"{"alg":"RS256"}"#), part(&payload), "s".repeat(342));
    Some(HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_str(&token).ok()?)]))
}

fn calls(criterion: &mut Criterion) {
    let (Ok(gate), Some(headers)) = (gate(), headers()) else { return };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() else { return };
    let mut group = criterion.benchmark_group("gate");
    for (name, path) in [("anonymous", "/public/1"), ("hot token", "/items/1")] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let Some(target) = target(black_box(path)) else { return };
                assert!(runtime.block_on(gate.authorize(&target, &headers)).is_ok());
            });
        });
    }
    group.finish();
}

criterion_group!(benches, calls);
criterion_main!(benches);
