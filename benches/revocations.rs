//! What a million revocations cost a node, against the stated limits: to load them at start, to keep them in memory, and
//! to ask them on every request. Fails where a limit is passed.
//!
//! Loading is measured in a process of its own, so that its memory is nobody else's.
#![expect(clippy::print_stdout, reason = "it prints its table")]

use std::{
    env, fs,
    hint::black_box,
    process::{Command, ExitCode},
    sync::Arc,
    time::{Duration, Instant},
};

use scopegate::store::{
    Actor, NewRevocation, RevocationIndex, RevocationKey, Revocations, Store, StoreSettings, TokenHash,
};
use scopegate_provider::{
    BearerToken, Claims, ClientId, Clock, Issuer, Principal, ProviderName, ScopeSet, SessionId, Subject,
    SystemClock, Timestamp, TokenId, Verified,
};
use scopegate_testkit::Postgres;

type Failure = Box<dyn std::error::Error>;

const MILLION: usize = 1_000_000;

const MOST_TIME: Duration = Duration::from_secs(5);
const MOST_MEMORY: f64 = 150.0;
const MOST_NANOS: f64 = 200.0;

/// Names the store that a process of this program is to load.
const LOAD: &str = "BENCH_LOAD";

fn main() -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    if let Ok(url) = env::var(LOAD) {
        runtime.block_on(load(&url))?;
        return Ok(ExitCode::SUCCESS);
    }
    println!("| {MILLION} revocations | found | limit |\n| --- | --- | --- |");
    let mut good = true;
    let folder = tempfile::tempdir()?;
    let sqlite = format!("sqlite://{}", folder.path().join("gate.db").display());
    let database = Postgres::start();
    for (name, url) in [("SQLite", sqlite), ("PostgreSQL", database.database())] {
        runtime.block_on(fill(&url))?;
        let (time, resident, peak) = measured(&url)?;
        let fast = told(&format!("loaded from {name}, in seconds"), time, MOST_TIME.as_secs_f64());
        let small = told(
            &format!("memory of that node, in MB (at most, for a moment: {peak:.0})"),
            resident,
            MOST_MEMORY,
        );
        good &= fast && small;
    }
    for count in [0, 1_000, MILLION] {
        good &= told(&format!("look-up among {count}, in ns"), look_up(count)?, MOST_NANOS);
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A line of the table.
fn told(what: &str, found: f64, limit: f64) -> bool {
    println!("| {what} | {found:.1} | {limit:.0} |");
    found < limit
}

/// Records of every kind but the hash, which tokens with an id need not be asked by.
fn record(n: usize, expires_at: Timestamp) -> Result<NewRevocation, Failure> {
    let value = format!("{n:08x}-5f1c-4d0e-9b1a-{:012x}", n.wrapping_mul(2_654_435_761));
    let key = match n % 4 {
        0 => RevocationKey::TokenId(TokenId::parse(&value)?),
        1 => RevocationKey::Session(SessionId::parse(&value)?),
        2 => RevocationKey::Subject(Subject::parse(&value)?),
        _ => RevocationKey::Client(ClientId::parse(&value)?),
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
        audience: Arc::default(),
        scopes: ScopeSet::default(),
        roles: Box::default(),
        token_id: Some(TokenId::parse(&format!("good-{n}"))?),
        session: Some(SessionId::parse(&format!("s-{n}"))?),
        issued_at: None,
        expires_at,
        leeway: Duration::ZERO,
        cache_until: expires_at,
        claims: Claims::from_json(*b"{}"),
    }))
}

async fn open(url: &str) -> Result<Store, Failure> {
    Ok(Store::open(Some(&StoreSettings::new(url.parse()?)), Arc::new(SystemClock::new())).await?)
}

async fn fill(url: &str) -> Result<(), Failure> {
    let store = open(url).await?;
    let later = store.now() + Duration::from_hours(24);
    for part in 0..MILLION / 50_000 {
        let records = (part * 50_000..(part + 1) * 50_000).map(|n| record(n, later));
        store.revoke(&Actor::System, records.collect::<Result<_, _>>()?).await?;
    }
    Ok(())
}

/// In a process of its own: opens the store, and prints how long that took and what memory it took.
async fn load(url: &str) -> Result<(), Failure> {
    let start = Instant::now();
    let store = open(url).await?;
    let took = start.elapsed().as_secs_f64();
    assert_eq!(store.revocation_index().len(), MILLION);
    println!("{took} {} {}", memory("VmRSS")?, memory("VmHWM")?);
    Ok(())
}

/// Seconds, MB that stay, MB at most.
fn measured(url: &str) -> Result<(f64, f64, f64), Failure> {
    let output = Command::new(env::current_exe()?).env(LOAD, url).output()?;
    let text = String::from_utf8(output.stdout)?;
    let numbers = text.split_whitespace().map(str::parse).collect::<Result<Vec<f64>, _>>()?;
    match numbers.as_slice() {
        [time, resident, peak] => Ok((*time, *resident, *peak)),
        _ => Err(format!("it was not loaded: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

/// A figure of this process, in MB.
fn memory(name: &str) -> Result<f64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such figure")?;
    let kilobytes: f64 = line.trim_matches(|c: char| !c.is_ascii_digit()).parse()?;
    Ok(kilobytes * 1024.0 / 1e6)
}

/// The median of some rounds, in nanoseconds.
fn look_up(count: usize) -> Result<f64, Failure> {
    let now = SystemClock::new().now();
    let later = now + Duration::from_hours(1);
    let hash = TokenHash::of(&BearerToken::parse("a.b.c")?);
    // Many callers, so that what they ask for is not all in the processor's cache.
    let callers = (0..10_000).map(|n| principal(n, later)).collect::<Result<Vec<_>, _>>()?;
    let index = RevocationIndex::new();
    let records = (0..count).map(|n| record(n, later)).collect::<Result<Vec<_>, _>>()?;
    index.extend(&records);
    drop(records);
    let mut rounds: Vec<Duration> = (0..51)
        .map(|_| {
            let start = Instant::now();
            for caller in &callers {
                assert!(!index.is_revoked(black_box(caller), now, || hash));
            }
            start.elapsed()
        })
        .collect();
    rounds.sort_unstable();
    let median = rounds.get(rounds.len() / 2).ok_or("no rounds")?;
    Ok(median.as_secs_f64() * 1e9 / 10_000.0)
}
