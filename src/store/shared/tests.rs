mod order;

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
