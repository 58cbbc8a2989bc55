//! What every implementation of the store does alike.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use scopegate_provider::{Clock, ProviderName, Scope, Sleep, Subject, SystemClock, Timestamp, TokenId};
use serde_json::json;

use super::*;

/// A clock that stands still at a moment that SQL must not take for another.
#[derive(Debug)]
pub(super) struct Still;

pub(super) const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_123);

impl Clock for Still {
    fn now(&self) -> Timestamp {
        NOW
    }
    fn uptime(&self) -> Duration {
        Duration::ZERO
    }
    fn sleep(&self, duration: Duration) -> Sleep<'_> {
        Box::pin(tokio::time::sleep(duration))
    }
}

pub(super) fn still() -> Arc<dyn Clock> {
    Arc::new(Still)
}

pub(super) fn ticking() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

fn name(text: &str) -> ItemName {
    ItemName::parse(text).unwrap()
}

pub(super) fn okta() -> ProviderName {
    ProviderName::parse("okta").unwrap()
}

pub(super) fn actor() -> Actor {
    Actor::Caller { provider: okta(), subject: Some(Subject::parse("ädmin").unwrap()), client: None }
}

pub(super) fn token_id(id: &str) -> RevocationKey {
    RevocationKey::TokenId(TokenId::parse(id).unwrap())
}

pub(super) fn record(key: RevocationKey) -> NewRevocation {
    let expires_at = NOW + Duration::from_mins(1);
    NewRevocation {
        provider: okta(), key, issued_before: NOW, expires_at, reason: Some("löst\0".to_owned())
    }
}

fn put(scope: &str, expected: Expected) -> Edit {
    Edit::PutScope {
        name: Scope::parse(scope).unwrap(),
        description: "Read \"reports\"".to_owned(),
        routes: vec!["GET /reports/**".to_owned()],
        expected,
    }
}

async fn edit(store: &dyn Backend, edit: Edit) -> Result<Edited, StoreError> {
    let before = store.stored_policy().await.unwrap();
    let (edited, after) = store.edit_policy(&actor(), &before, edit).await?;
    assert_eq!(store.stored_policy().await.unwrap(), after);
    Ok(edited)
}

async fn route(store: &dyn Backend) -> Arc<StoredRoute> {
    let definition = json!({ "match": "GET /x", "allow": "anonymous" });
    match edit(store, Edit::CreateRoute { definition }).await.unwrap() {
        Edited::Route { route, created: true } => route,
        other => panic!("{other:?}"),
    }
}

pub(super) async fn the_first_start_finds_three_items(store: &dyn Backend) {
    let page = store.list(None, 10).await.unwrap();
    let items: Vec<_> = page.items.iter().map(|item| (item.id, item.name.as_str())).collect();
    assert_eq!(items, [(1, "red ball"), (2, "blue square"), (3, "purple ellipse")]);
    assert!(!page.more);
}

pub(super) async fn items_come_in_pages(store: &dyn Backend) {
    let first = store.list(None, 2).await.unwrap();
    assert_eq!((first.items.len(), first.more), (2, true));
    let rest = store.list(Some(2), 2).await.unwrap();
    assert_eq!((rest.items.iter().map(|item| item.id).collect(), rest.more), (vec![3], false));
    assert_eq!(store.list(Some(ItemId::MAX), 2).await.unwrap().items, []);
}

pub(super) async fn an_item_lives_from_creation_to_deletion(store: &dyn Backend) {
    let made = store.create(name("grün 'x'; --")).await.unwrap();
    assert_eq!(made, Item { id: 4, name: name("grün 'x'; --"), version: Version(1) });
    assert_eq!(store.find(4).await.unwrap(), made);
    let replaced = store.replace(4, Some(Version(1)), name("b")).await.unwrap();
    assert_eq!(replaced, Item { id: 4, name: name("b"), version: Version(2) });
    assert_eq!(store.replace(4, None, name("c")).await.unwrap().version, Version(3));
    store.delete(4, Some(Version(3))).await.unwrap();
    assert!(matches!(store.find(4).await, Err(StoreError::NotFound { what: "item", .. })));
}

pub(super) async fn the_number_of_a_deleted_item_is_not_used_again(store: &dyn Backend) {
    store.delete(3, None).await.unwrap();
    assert_eq!(store.create(name("a")).await.unwrap().id, 4);
}

pub(super) async fn an_item_changed_meanwhile_is_neither_replaced_nor_deleted(store: &dyn Backend) {
    store.replace(1, None, name("a")).await.unwrap();
    let stale = |result| matches!(result, Err(StoreError::Stale { expected: Version(1), found: Version(2) }));
    assert!(stale(store.replace(1, Some(Version(1)), name("b")).await.map(drop)));
    assert!(stale(store.delete(1, Some(Version(1))).await));
    assert_eq!(store.find(1).await.unwrap().name, name("a"));
}

pub(super) async fn an_item_that_is_not_there_is_neither_replaced_nor_deleted(store: &dyn Backend) {
    let missing = |result| matches!(result, Err(StoreError::NotFound { what: "item", .. }));
    assert!(missing(store.replace(99, Some(Version(1)), name("a")).await.map(drop)));
    assert!(missing(store.delete(99, None).await));
}

pub(super) async fn a_scope_is_created_replaced_and_deleted(store: &dyn Backend) {
    assert!(matches!(
        edit(store, put("a/b", Expected::Nothing)).await,
        Ok(Edited::Scope { created: true, .. })
    ));
    let Ok(Edited::Scope { scope, created: false }) = edit(store, put("a/b", Expected::Any)).await else {
        panic!("not replaced")
    };
    assert_eq!(scope.routes, ["GET /reports/**"]);
    let expected = Expected::Version(scope.version);
    let gone = edit(store, Edit::DeleteScope { name: scope.name.clone(), expected }).await;
    assert!(matches!(gone, Ok(Edited::ScopeDeleted(_))));
    assert!(store.stored_policy().await.unwrap().scopes.is_empty());
}

pub(super) async fn a_route_is_created_replaced_and_deleted(store: &dyn Backend) {
    let made = route(store).await;
    let (id, definition) = (made.id.clone(), json!({ "match": "/y", "allow": "nobody" }));
    let expected = Expected::Version(made.version);
    let replaced =
        edit(store, Edit::ReplaceRoute { id: id.clone(), definition: definition.clone(), expected }).await;
    assert!(
        matches!(replaced, Ok(Edited::Route { route, created: false }) if route.definition == definition)
    );
    let gone = edit(store, Edit::DeleteRoute { id: id.clone(), expected }).await;
    assert!(matches!(gone, Err(StoreError::Stale { .. })));
    edit(store, Edit::DeleteRoute { id, expected: Expected::Any }).await.unwrap();
    assert!(store.stored_policy().await.unwrap().routes.is_empty());
}

pub(super) async fn what_an_edit_expects_must_be_there(store: &dyn Backend) {
    let missing = edit(store, put("a", Expected::Something)).await;
    assert!(matches!(missing, Err(StoreError::NotFound { what: "scope", .. })));
    edit(store, put("a", Expected::Any)).await.unwrap();
    let there = edit(store, put("a", Expected::Nothing)).await;
    assert!(matches!(there, Err(StoreError::Exists { what: "scope", .. })));
    let stale = edit(store, put("a", Expected::Version(Version(99)))).await;
    assert!(matches!(stale, Err(StoreError::Stale { .. })));
    let no_route = Edit::DeleteRoute { id: RecordId::from_text("x"), expected: Expected::Any };
    assert!(matches!(edit(store, no_route).await, Err(StoreError::NotFound { what: "route", .. })));
}

pub(super) async fn a_refused_edit_leaves_no_trace(store: &dyn Backend) {
    edit(store, put("a", Expected::Any)).await.unwrap();
    let before = (store.heads().await.unwrap(), store.stored_policy().await.unwrap());
    edit(store, put("a", Expected::Nothing)).await.unwrap_err();
    assert_eq!((store.heads().await.unwrap(), store.stored_policy().await.unwrap()), before);
    assert_eq!(store.audit(Period::ALWAYS, None, 10).await.unwrap().items.len(), 1);
}

pub(super) async fn an_edit_judged_against_an_older_policy_is_refused(store: &dyn Backend) {
    let old = store.stored_policy().await.unwrap();
    edit(store, put("a", Expected::Any)).await.unwrap();
    let late = store.edit_policy(&actor(), &old, put("b", Expected::Any)).await;
    assert!(matches!(late, Err(StoreError::Moved { seen: ChangeNumber(0), found: ChangeNumber(1) })));
}

pub(super) async fn each_change_has_the_next_number(store: &dyn Backend) {
    assert_eq!(store.heads().await.unwrap(), Heads::default());
    edit(store, put("a", Expected::Any)).await.unwrap();
    store.revoke(&actor(), vec![record(token_id("a"))]).await.unwrap();
    store.change_provider(&actor(), &okta(), StateChange::Disable).await.unwrap();
    let [policy, revocations, providers] = [1, 2, 3].map(ChangeNumber);
    assert_eq!(store.heads().await.unwrap(), Heads { last: providers, policy, revocations, providers });
}

pub(super) async fn a_revocation_is_recorded_and_taken_back(store: &dyn Backend) {
    let made = store.revoke(&actor(), vec![record(token_id("a")), record(token_id("b"))]).await.unwrap();
    let [first, second] = &made[..] else { panic!("{made:?}") };
    assert_eq!(store.revocation(&first.id).await.unwrap().record.key, token_id("a"));
    assert_eq!(first.record.issued_before, NOW);
    let deleted = store.delete_revocation(&actor(), &first.id).await.unwrap();
    assert!(deleted.deleted && deleted.change > first.change);
    assert!(matches!(store.revocation(&first.id).await, Err(StoreError::NotFound { .. })));
    let again = store.delete_revocation(&actor(), &first.id).await;
    assert!(matches!(again, Err(StoreError::NotFound { what: "revocation", .. })));
    let listed = store.revocations(None, 10).await.unwrap().items;
    assert_eq!(listed.iter().map(|found| &found.id).collect::<Vec<_>>(), [&second.id]);
}

pub(super) async fn an_expired_revocation_is_not_found_and_purged(store: &dyn Backend) {
    let ended = NewRevocation { expires_at: NOW, ..record(token_id("a")) };
    let made = store.revoke(&actor(), vec![ended, record(token_id("b"))]).await.unwrap();
    assert!(matches!(store.revocation(&made[0].id).await, Err(StoreError::NotFound { .. })));
    assert_eq!(store.revocations(None, 10).await.unwrap().items.len(), 1);
    assert_eq!(store.revocations_since(ChangeNumber(0), None, 10).await.unwrap().items.len(), 1);
    assert_eq!(store.purge_revocations().await.unwrap(), 1);
    assert_eq!(store.purge_revocations().await.unwrap(), 0);
}

pub(super) async fn who_reads_on_from_a_change_misses_nothing(store: &dyn Backend) {
    let made =
        store.revoke(&actor(), (0..5).map(|n| record(token_id(&n.to_string()))).collect()).await.unwrap();
    let seen = store.heads().await.unwrap().revocations;
    store.revoke(&actor(), vec![record(token_id("x"))]).await.unwrap();
    store.delete_revocation(&actor(), &made[2].id).await.unwrap();
    let news = store.revocations_since(seen, None, 10).await.unwrap();
    let news: Vec<_> = news.items.iter().map(|found| (found.record.key.value(), found.deleted)).collect();
    assert_eq!(news, [("x".to_owned(), false), ("2".to_owned(), true)]);
}

pub(super) async fn many_revocations_are_read_in_pages(store: &dyn Backend) {
    let records = (0..250).map(|n| record(token_id(&format!("t{n}"))));
    let made = store.revoke(&actor(), records.collect()).await.unwrap();
    let (mut read, mut after) = (Vec::new(), None);
    loop {
        let page = store.revocations_since(ChangeNumber(0), after, 100).await.unwrap();
        after = page.items.last().map(|last| (last.change, last.id.clone()));
        read.extend(page.items.into_iter().map(|found| found.id));
        if !page.more {
            break;
        }
    }
    assert_eq!(read, made.iter().map(|made| made.id.clone()).collect::<Vec<_>>());
}

pub(super) async fn many_revocations_share_one_audit_record(store: &dyn Backend) {
    let records = (0..250).map(|n| record(token_id(&format!("t{n}"))));
    store.revoke(&actor(), records.collect()).await.unwrap();
    let audit = store.audit(Period::ALWAYS, None, 10).await.unwrap().items;
    assert_eq!(audit.iter().map(|record| &record.detail).collect::<Vec<_>>(), [&json!({ "count": 250 })]);
}

pub(super) async fn the_records_of_a_key_are_found(store: &dyn Backend) {
    let long = token_id(&"x".repeat(10_000));
    let other = NewRevocation { provider: ProviderName::parse("auth0").unwrap(), ..record(long.clone()) };
    store.revoke(&actor(), vec![record(long.clone()), record(token_id("y")), other]).await.unwrap();
    let found = store.revocations_of(&okta(), &long).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0].record.key, &found[0].record.provider), (&long, &okta()));
}

pub(super) async fn decisions_about_providers_add_up(store: &dyn Backend) {
    let changes =
        [StateChange::Disable, StateChange::Distrust("k1".into()), StateChange::Distrust("k2".into())];
    for change in changes.into_iter().chain([StateChange::Trust("k1".into())]) {
        store.change_provider(&actor(), &okta(), change).await.unwrap();
    }
    let distrusted = BTreeSet::from(["k2".to_owned()]);
    let state = ProviderState { provider: okta(), disabled: true, distrusted };
    assert_eq!(store.provider_states().await.unwrap(), [state]);
}

pub(super) async fn every_change_has_its_audit_record(store: &dyn Backend) {
    let made = route(store).await;
    store.revoke(&Actor::System, vec![record(token_id("a"))]).await.unwrap();
    store.change_provider(&actor(), &okta(), StateChange::Distrust("k".into())).await.unwrap();
    let audit = store.audit(Period::ALWAYS, None, 10).await.unwrap().items;
    let done: Vec<_> = audit.iter().map(|record| (record.action, record.change.0)).collect();
    assert_eq!(done, [(Action::CreateRoute, 1), (Action::Revoke, 2), (Action::DistrustKey, 3)]);
    assert_eq!((&audit[0].actor, audit[0].name.as_str()), (&actor(), made.id.as_str()));
    assert_eq!((&audit[1].actor, audit[0].at), (&Actor::System, NOW));
    assert_eq!(audit[2].detail, json!({ "kid": "k" }));
}

pub(super) async fn the_audit_is_read_by_time_and_in_pages(store: &dyn Backend) {
    for _ in 0..3 {
        route(store).await;
    }
    let first = store.audit(Period::ALWAYS, None, 2).await.unwrap();
    assert_eq!((first.items.len(), first.more), (2, true));
    let rest = store.audit(Period::ALWAYS, Some(&first.items[1].id), 2).await.unwrap();
    assert_eq!((rest.items.len(), rest.more), (1, false));
    let before = Period { from: Timestamp::from_seconds(0), to: NOW };
    assert_eq!(store.audit(before, None, 10).await.unwrap().items, []);
    store.forget_audit(NOW).await.unwrap();
    assert_eq!(store.audit(Period::ALWAYS, None, 10).await.unwrap().items.len(), 3);
    store.forget_audit(NOW + Duration::from_millis(1)).await.unwrap();
    assert_eq!(store.audit(Period::ALWAYS, None, 10).await.unwrap().items, []);
}

pub(super) async fn denials_are_added_up(store: &dyn Backend) {
    let denial = |minute, count| DenialCount {
        minute: Timestamp::from_seconds(minute),
        route: "GET /items/**".to_owned(),
        reason: "missing_scope".to_owned(),
        client: "web".to_owned(),
        count,
    };
    store.count_denials(vec![denial(60, 2), denial(120, 1)]).await.unwrap();
    store.count_denials(vec![denial(60, 3)]).await.unwrap();
    assert_eq!(store.denials(Period::ALWAYS, 10).await.unwrap(), [denial(120, 1), denial(60, 5)]);
    store.forget_audit(Timestamp::from_seconds(61)).await.unwrap();
    assert_eq!(store.denials(Period::ALWAYS, 10).await.unwrap(), [denial(120, 1)]);
}

pub(super) async fn denials_of_very_long_routes_are_counted(store: &dyn Backend) {
    // Of letters that do not compress.
    let route = |end| {
        let hex = (0..2_000_u64).map(|n| format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        format!("GET /ü{}{end}", hex.collect::<String>())
    };
    let denial = |end| DenialCount {
        minute: Timestamp::from_seconds(60),
        route: route(end),
        reason: "x".repeat(3000),
        client: route(end),
        count: 1,
    };
    store.count_denials(vec![denial("a"), denial("b")]).await.unwrap();
    let found = store.denials(Period::ALWAYS, 10).await.unwrap();
    // Alike as far as they are kept.
    let [found] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((found.count, found.route.len(), found.route.chars().last()), (2, 800, Some('…')));
}

/// Makes a test of each of these for an implementation; `$open` opens an empty store and what keeps it alive.
macro_rules! conformance {
    ($open:ident) => {
        conformance!($open:
            the_first_start_finds_three_items,
            items_come_in_pages,
            an_item_lives_from_creation_to_deletion,
            the_number_of_a_deleted_item_is_not_used_again,
            an_item_changed_meanwhile_is_neither_replaced_nor_deleted,
            an_item_that_is_not_there_is_neither_replaced_nor_deleted,
            a_scope_is_created_replaced_and_deleted,
            a_route_is_created_replaced_and_deleted,
            what_an_edit_expects_must_be_there,
            a_refused_edit_leaves_no_trace,
            an_edit_judged_against_an_older_policy_is_refused,
            each_change_has_the_next_number,
            a_revocation_is_recorded_and_taken_back,
            an_expired_revocation_is_not_found_and_purged,
            who_reads_on_from_a_change_misses_nothing,
            many_revocations_are_read_in_pages,
            many_revocations_share_one_audit_record,
            the_records_of_a_key_are_found,
            decisions_about_providers_add_up,
            every_change_has_its_audit_record,
            the_audit_is_read_by_time_and_in_pages,
            denials_are_added_up,
            denials_of_very_long_routes_are_counted,
        );
    };
    ($open:ident: $($name:ident),+ $(,)?) => {
        mod conformance {
            $(#[tokio::test]
            async fn $name() {
                let (store, _keep) = super::$open().await;
                $crate::store::conformance::$name(&store).await;
            })+
        }
    };
}
pub(super) use conformance;
