//! What it costs to ask whether a token is revoked, by how many records there are: asked on every request.
//! Compare the three; absolute figures are this machine's.

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use scopegate::store::{NewRevocation, RevocationIndex, RevocationKey, TokenHash};
use scopegate_provider::{
    BearerToken, Claims, ClientId, Clock, Issuer, Principal, ProviderName, ScopeSet, SessionId, Subject,
    SystemClock, Timestamp, TokenId, Verified,
};

type Failure = Box<dyn std::error::Error>;

/// Records of every kind but the hash, which tokens with an id need not be asked by.
fn record(n: usize, expires_at: Timestamp) -> Result<NewRevocation, Failure> {
    let key = match n % 4 {
        0 => RevocationKey::TokenId(TokenId::parse(&format!("token-{n}"))?),
        1 => RevocationKey::Session(SessionId::parse(&format!("session-{n}"))?),
        2 => RevocationKey::Subject(Subject::parse(&format!("subject-{n}"))?),
        _ => RevocationKey::Client(ClientId::parse(&format!("client-{n}"))?),
    };
    let provider = ProviderName::parse("okta")?;
    Ok(NewRevocation { provider, key, issued_before: Timestamp::MAX, expires_at, reason: None })
}

/// A caller of whom nothing is revoked: every kind of record is looked for.
fn principal(n: usize, expires_at: Timestamp) -> Result<Principal, Failure> {
    Ok(Principal::assert_verified(Verified {
        provider: ProviderName::parse("okta")?,
        issuer: Issuer::parse("https://okta.example")?,
        subject: Some(Subject::parse(&format!("alice-{n}"))?),
        client: Some(ClientId::parse("web")?),
        audience: Box::default(),
        scopes: ScopeSet::default(),
        roles: Box::default(),
        token_id: Some(TokenId::parse(&format!("good-{n}"))?),
        session: Some(SessionId::parse(&format!("s-{n}"))?),
        issued_at: None,
        expires_at,
        cache_until: expires_at,
        claims: Claims::from_json(*b"{}"),
    }))
}

fn look_ups(criterion: &mut Criterion) -> Result<(), Failure> {
    let now = SystemClock::new().now();
    let later = now + Duration::from_hours(1);
    let hash = TokenHash::of(&BearerToken::parse("a.b.c")?);
    // Many callers, so that what they ask for is not all in the processor's cache.
    let callers = (0..10_000).map(|n| principal(n, later)).collect::<Result<Vec<_>, _>>()?;
    let mut group = criterion.benchmark_group("revocations");
    for count in [0, 1_000, 1_000_000] {
        let index = RevocationIndex::new();
        let records = (0..count).map(|n| record(n, later)).collect::<Result<Vec<_>, _>>()?;
        index.extend(&records);
        drop(records);
        let mut callers = callers.iter().cycle();
        group.bench_function(format!("{count} records"), |bencher| {
            bencher.iter(|| {
                let Some(caller) = callers.next() else { return };
                assert!(!index.is_revoked(black_box(caller), now, || hash));
            });
        });
    }
    group.finish();
    Ok(())
}

fn benchmarks(criterion: &mut Criterion) {
    assert!(look_ups(criterion).is_ok());
}

criterion_group!(benches, benchmarks);
criterion_main!(benches);
