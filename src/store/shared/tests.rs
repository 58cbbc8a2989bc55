mod order;
mod poison;

use std::time::Instant;

use scopegate_provider::{BearerToken, Principal, Scope, TokenId, Verified};
use scopegate_testkit::{Cable, Postgres, SteppedClock};
use tempfile::TempDir;

use super::*;
use crate::{
    store::{
        Actor, Audit, Changes, Edit, Expected, Items, Period, Policies, ProviderStates, Revocations,
        StateChange, TokenHash,
        conformance::{actor, okta, record, ticking, token_id},
    },
    testing,
};

async fn node(url: &str) -> Store {
    Store::open(Some(&StoreSettings::new(url.parse().unwrap())), ticking()).await.unwrap()
}

fn principal(token: &str) -> Principal {
    let token_id = Some(TokenId::parse(token).unwrap());
    Principal::assert_verified(Verified { token_id, ..testing::verified("okta").unwrap() })
}

fn revocation(token: &str) -> NewRevocation {
    NewRevocation { expires_at: Timestamp::from_seconds(4_000_000_000), ..record(token_id(token)) }
}

fn is_revoked(node: &Store, token: &str) -> bool {
    let hash = || TokenHash::of(&BearerToken::parse(token).unwrap());
    node.revocation_index().is_revoked(&principal(token), node.now(), hash)
}

fn put(scope: &str) -> Edit {
    Edit::PutScope {
        name: Scope::parse(scope).unwrap(),
        description: String::new(),
        routes: vec![format!("GET /{scope}")],
        implies: Vec::new(),
        expected: Expected::Any,
    }
}

/// How long it takes until it is so.
async fn until(what: impl Fn() -> bool) -> Duration {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < Duration::from_secs(20), "it never came to be so");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    start.elapsed()
}

async fn what_one_node_changes_the_other_knows_within_a_second(url: &str) {
    let (a, b) = (node(url).await, node(url).await);
    let made = a.revoke(&actor(), vec![revocation("t")]).await.unwrap();
    assert!(is_revoked(&a, "t"), "not in force at once where it was made");
    assert!(until(|| is_revoked(&b, "t")).await < Duration::from_secs(1));
    b.delete_revocation(&actor(), &made[0].id).await.unwrap();
    assert!(!is_revoked(&b, "t"));
    assert!(until(|| !is_revoked(&a, "t")).await < Duration::from_secs(1));
    a.edit_policy(&actor(), &a.policy(), put("x")).await.unwrap();
    assert_eq!(a.policy().scopes.len(), 1);
    assert!(until(|| b.policy().scopes.len() == 1).await < Duration::from_secs(1));
    b.change_provider(&actor(), &okta(), StateChange::Disable).await.unwrap();
    assert!(b.providers().iter().any(|state| state.disabled));
    assert!(until(|| a.providers().iter().any(|state| state.disabled)).await < Duration::from_secs(1));
}

#[tokio::test]
async fn invariant_14_two_nodes_on_one_postgresql_know_of_each_others_changes_within_a_second() {
    what_one_node_changes_the_other_knows_within_a_second(&Postgres::shared().database()).await;
}

#[tokio::test]
async fn invariant_14_two_processes_on_one_sqlite_file_know_of_each_others_changes_within_a_second() {
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite://{}", folder.path().join("gate.db").display());
    what_one_node_changes_the_other_knows_within_a_second(&url).await;
}

#[tokio::test]
async fn invariant_14_without_listen_polling_is_enough() {
    let settings =
        StoreSettings { listen: false, ..StoreSettings::new(Postgres::shared().database().parse().unwrap()) };
    let a = Store::open(Some(&settings), ticking()).await.unwrap();
    let b = Store::open(Some(&settings), ticking()).await.unwrap();
    a.revoke(&actor(), vec![revocation("t")]).await.unwrap();
    assert!(until(|| is_revoked(&b, "t")).await < Duration::from_secs(1));
}

#[tokio::test]
async fn a_cut_connection_loses_no_change_and_stale_memory_is_told() {
    let server = Postgres::shared();
    let url = server.database();
    let cable = Cable::to(server).await;
    let near = node(&url).await;
    let mut settings = StoreSettings::new(cable.url(&url).parse().unwrap());
    settings.max_staleness.revocations = "600ms".parse().unwrap();
    let far = Store::open(Some(&settings), ticking()).await.unwrap();
    assert!(!far.revocations_are_stale());
    cable.cut();
    let made = (0..50).map(|n| near.revoke(&Actor::System, vec![revocation(&format!("t{n}"))]));
    let made = futures_util::future::join_all(made).await;
    assert!(made.iter().all(Result::is_ok));
    until(|| far.revocations_are_stale()).await;
    assert!(!far.policy_is_stale());
    assert!(matches!(far.revoke(&actor(), vec![revocation("x")]).await, Err(StoreError::Unavailable(_))));
    assert!(!is_revoked(&far, "x"));
    cable.mend();
    until(|| !far.revocations_are_stale()).await;
    assert!((0..50).all(|n| is_revoked(&far, &format!("t{n}"))), "fresh before it was up to date");
}

#[tokio::test]
async fn a_node_whose_clock_is_fast_neither_removes_nor_overlooks_what_is_in_force() {
    let settings = StoreSettings::new(Postgres::shared().database().parse().unwrap());
    let right = Store::open(Some(&settings), ticking()).await.unwrap();
    let soon = right.now() + Duration::from_hours(1);
    let ends = |token| vec![NewRevocation { expires_at: soon, ..revocation(token) }];
    right.revoke(&actor(), ends("before")).await.unwrap();
    let clock = Arc::new(SteppedClock::new());
    clock.step_to(Duration::from_hours(24), false);
    let fast = Store::open(Some(&settings), clock.clone()).await.unwrap();
    right.revoke(&actor(), ends("after")).await.unwrap();
    fast.refresh().await.unwrap();
    fast.0.sweep().await;
    clock.step_to(Duration::ZERO, false);
    assert!(is_revoked(&fast, "before") && is_revoked(&fast, "after"));
    assert_eq!(right.revocations(None, 10).await.unwrap().items.len(), 2);
    assert_eq!(right.audit(Period::ALWAYS, None, 10).await.unwrap().items.len(), 2);
}

#[tokio::test]
async fn invariant_14_without_a_store_nothing_is_acknowledged() {
    let store = Store::open(None, ticking()).await.unwrap();
    assert!(matches!(store.revoke(&actor(), vec![revocation("t")]).await, Err(StoreError::NoStore)));
    assert!(!is_revoked(&store, "t"));
    assert_eq!(store.list(None, 10).await.unwrap().items.len(), 3);
}

#[tokio::test]
async fn whoever_subscribes_hears_of_a_change_that_is_already_in_memory() {
    let store = node("memory:").await;
    let mut heard = store.subscribe();
    heard.mark_unchanged();
    store.edit_policy(&actor(), &store.policy(), put("x")).await.unwrap();
    heard.changed().await.unwrap();
    assert_eq!(heard.borrow().policy, store.policy().change);
}

/// A node that reads changes only when it is told to.
async fn manual(url: &str) -> Store {
    let clock = Arc::new(scopegate_testkit::TestClock::at(Timestamp::from_seconds(1_700_000_000)));
    Store::open(Some(&StoreSettings::new(url.parse().unwrap())), clock).await.unwrap()
}

/// The store as it was before the first change, as after a restore from a backup.
const RESTORE: &str = "DELETE FROM scopes; DELETE FROM revocations; DELETE FROM audit; \
    DELETE FROM stamps WHERE number > 0; \
    UPDATE heads SET last = 0, policy = 0, revocations = 0, providers = 0, stamp = 0";

async fn a_node_notices_that_the_store_went_back_in_time(url: &str) {
    for changes_afterwards in [1, 2, 3] {
        meddle(url, RESTORE).await;
        let cut_off = manual(url).await;
        let writer = manual(url).await;
        writer.revoke(&actor(), vec![revocation("before")]).await.unwrap();
        writer.edit_policy(&actor(), &writer.policy(), put("x")).await.unwrap();
        cut_off.refresh().await.unwrap();
        assert!(is_revoked(&cut_off, "before") && cut_off.policy().scopes.len() == 1);
        meddle(url, RESTORE).await;
        let writer = manual(url).await;
        for n in 0..changes_afterwards {
            writer.revoke(&actor(), vec![revocation(&format!("t{n}"))]).await.unwrap();
        }
        let mut heard = cut_off.subscribe();
        heard.mark_unchanged();
        cut_off.refresh().await.unwrap();
        for n in 0..changes_afterwards {
            assert!(is_revoked(&cut_off, &format!("t{n}")), "t{n} of {changes_afterwards}");
        }
        assert!(!is_revoked(&cut_off, "before"));
        assert!(cut_off.policy().scopes.is_empty());
        assert_eq!(heard.borrow_and_update().rereads, 1);
        // It writes again, by the store's numbers.
        cut_off.edit_policy(&actor(), &cut_off.policy(), put("y")).await.unwrap();
    }
}

async fn meddle(url: &str, sql: &'static str) {
    let settings = StoreSettings::new(url.parse().unwrap());
    drop(Store::open(Some(&settings), ticking()).await.unwrap());
    let path = url.replace("sqlite://", "sqlite:");
    let mut connection = <sqlx::AnyConnection as sqlx::Connection>::connect(&path).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
}

/// D2: whatever number the restored store has reached meanwhile, a node notices, and reads everything again.
#[tokio::test]
async fn a_postgresql_that_went_back_in_time_is_read_again() {
    a_node_notices_that_the_store_went_back_in_time(&Postgres::shared().database()).await;
}

/// D2: the same for a file of SQLite that was restored.
#[tokio::test]
async fn a_sqlite_file_that_went_back_in_time_is_read_again() {
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite://{}", folder.path().join("gate.db").display());
    a_node_notices_that_the_store_went_back_in_time(&url).await;
}

/// D1: while the store takes no writes, the node says so with the innermost cause, and says when it does again.
#[tokio::test]
async fn a_store_that_takes_no_writes_is_reported() {
    let url = Postgres::shared().database();
    let store = node(&url).await;
    // A client without time limits.
    let mut holder = <sqlx::AnyConnection as sqlx::Connection>::connect(&url).await.unwrap();
    let sql = "BEGIN; UPDATE heads SET last = last WHERE id = 1";
    sqlx::raw_sql(sql).execute(&mut holder).await.unwrap();
    let refused = store.revoke(&actor(), vec![revocation("t")]).await.unwrap_err();
    assert!(refused.cause().contains("lock timeout"), "{}", refused.cause());
    assert_eq!(store.write_failure(), Some(refused.cause()));
    sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.unwrap();
    until(|| store.write_failure().is_none()).await;
}

/// D6: on a node whose clock is slow, the moment of a revocation is the store's.
#[tokio::test]
async fn a_node_whose_clock_is_slow_revokes_by_the_time_of_the_store() {
    let settings = StoreSettings::new(Postgres::shared().database().parse().unwrap());
    let clock = Arc::new(SteppedClock::new());
    let store = Store::open(Some(&settings), clock.clone()).await.unwrap();
    let right = store.now();
    clock.step_to(Duration::from_hours(1), true);
    let moment = store.revocation_moment(Duration::from_secs(30)).await.unwrap();
    assert!(moment >= right + Duration::from_secs(30), "{moment:?}");
    clock.step_to(Duration::from_hours(1), false);
    let moment = store.revocation_moment(Duration::ZERO).await.unwrap();
    assert!(moment >= right + Duration::from_mins(59), "{moment:?}");
}

/// A15: a token whose issuer's clock is ahead by the leeway is covered by a revocation of all that exist now.
#[tokio::test]
async fn a_revocation_covers_tokens_whose_issuer_is_ahead_by_the_leeway() {
    let store = node("memory:").await;
    let leeway = Duration::from_secs(30);
    let moment = store.revocation_moment(leeway).await.unwrap();
    let alice = scopegate_provider::Subject::parse("alice").unwrap();
    let key = crate::store::RevocationKey::Subject(alice.clone());
    let expires_at = moment + Duration::from_hours(1);
    let record = NewRevocation { provider: okta(), key, issued_before: moment, expires_at, reason: None };
    store.revoke(&actor(), vec![record]).await.unwrap();
    let ahead = Principal::assert_verified(Verified {
        subject: Some(alice),
        issued_at: Some(store.now() + leeway - Duration::from_secs(2)),
        ..testing::verified("okta").unwrap()
    });
    assert!(store.revocation_index().is_revoked(&ahead, store.now(), || panic!("hashed")));
}

/// CASES O5: a block refuses a token whenever it was issued, on every node, until it is lifted.
#[tokio::test]
async fn a_block_holds_on_every_node_until_it_is_lifted() {
    let url = Postgres::shared().database();
    let a = node(&url).await;
    let b = node(&url).await;
    let block = NewRevocation::block(okta(), token_id("t"), None);
    let made = a.revoke(&actor(), vec![block]).await.unwrap();
    until(|| is_revoked(&b, "t")).await;
    b.0.probe().await;
    assert!(a.revocation(&made[0].id).await.unwrap().refused > 0, "refusals are counted");
    b.delete_revocation(&actor(), &made[0].id).await.unwrap();
    assert!(!is_revoked(&b, "t"));
    until(|| !is_revoked(&a, "t")).await;
}
