//! Scopes and routes.

use serde_json::json;

use super::*;

fn put(scope: &str, expected: Expected) -> Edit {
    Edit::PutScope {
        name: Scope::parse(scope).unwrap(),
        description: "Read \"reports\"".to_owned(),
        routes: vec!["GET /reports/**".to_owned()],
        implies: vec![Scope::parse("narrow").unwrap()],
        expected,
    }
}

pub(in crate::store) async fn a_scope_is_created_replaced_and_deleted(store: &dyn Backend) {
    assert!(matches!(
        edit(store, put("a/b", Expected::Nothing)).await,
        Ok(Edited::Scope { created: true, .. })
    ));
    let Ok(Edited::Scope { scope, created: false }) = edit(store, put("a/b", Expected::Any)).await else {
        panic!("not replaced")
    };
    assert_eq!(scope.routes, ["GET /reports/**"]);
    let stored = store.stored_policy().await.unwrap();
    assert_eq!(stored.scopes[&scope.name].implies, [Scope::parse("narrow").unwrap()]);
    let expected = Expected::Version(scope.version);
    let gone = edit(store, Edit::DeleteScope { name: scope.name.clone(), expected }).await;
    assert!(matches!(gone, Ok(Edited::ScopeDeleted(_))));
    assert!(store.stored_policy().await.unwrap().scopes.is_empty());
}

pub(in crate::store) async fn a_route_is_created_replaced_and_deleted(store: &dyn Backend) {
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

pub(in crate::store) async fn what_an_edit_expects_must_be_there(store: &dyn Backend) {
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

pub(in crate::store) async fn a_refused_edit_leaves_no_trace(store: &dyn Backend) {
    edit(store, put("a", Expected::Any)).await.unwrap();
    let before = (store.heads().await.unwrap(), store.stored_policy().await.unwrap());
    edit(store, put("a", Expected::Nothing)).await.unwrap_err();
    assert_eq!((store.heads().await.unwrap(), store.stored_policy().await.unwrap()), before);
    assert_eq!(store.audit(Period::ALWAYS, None, 10).await.unwrap().items.len(), 1);
}

pub(in crate::store) async fn an_edit_judged_against_an_older_policy_is_refused(store: &dyn Backend) {
    let old = store.stored_policy().await.unwrap();
    edit(store, put("a", Expected::Any)).await.unwrap();
    let late = store.edit_policy(&actor(), &old, put("b", Expected::Any)).await;
    assert!(matches!(late, Err(StoreError::Moved { seen: ChangeNumber(0), found: ChangeNumber(1) })));
}

pub(in crate::store) async fn each_change_has_the_next_number(store: &dyn Backend) {
    assert_eq!(store.heads().await.unwrap(), Heads::default());
    edit(store, put("a", Expected::Any)).await.unwrap();
    store.revoke(&actor(), vec![record(token_id("a"))]).await.unwrap();
    store.change_provider(&actor(), &okta(), StateChange::Disable).await.unwrap();
    let [policy, revocations, providers] = [1, 2, 3].map(ChangeNumber);
    let heads = store.heads().await.unwrap();
    assert_eq!((heads.last, heads.policy), (providers, policy));
    assert_eq!((heads.revocations, heads.providers), (revocations, providers));
}

/// D2: each change renews a random stamp beside its number, and the stamps of earlier changes are kept.
pub(in crate::store) async fn each_change_has_a_stamp_of_its_own(store: &dyn Backend) {
    let mut stamps = Vec::new();
    for scope in ["a", "b", "c"] {
        edit(store, put(scope, Expected::Any)).await.unwrap();
        stamps.push(store.heads().await.unwrap().stamp);
    }
    assert!(stamps[0] != stamps[1] && stamps[1] != stamps[2], "{stamps:?}");
    assert_eq!(store.stamp_of(ChangeNumber(2)).await.unwrap(), Some(stamps[1]));
    assert_eq!(store.stamp_of(ChangeNumber(4)).await.unwrap(), None);
}

/// D9: a name that one database could not index is refused by all of them.
pub(in crate::store) async fn a_scope_name_that_is_too_long_is_refused(store: &dyn Backend) {
    // Of letters that do not compress.
    let hex = |n: u64| format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let name = (0..63).map(hex).collect::<String>();
    let longest = edit(store, put(&name[..MAX_SCOPE_NAME], Expected::Any)).await;
    assert!(longest.is_ok(), "{longest:?}");
    let longer = edit(store, put(&name[..=MAX_SCOPE_NAME], Expected::Any)).await;
    assert!(
        matches!(longer, Err(StoreError::TooLong { what: "scope", limit: 1000, found: 1001 })),
        "{longer:?}"
    );
}

/// D10: reading only what differs gives the same as reading everything.
pub(in crate::store) async fn a_policy_is_read_on_from_any_earlier_one(store: &dyn Backend) {
    let mut earlier = vec![store.stored_policy().await.unwrap()];
    let made = route(store).await;
    edit(store, put("a", Expected::Any)).await.unwrap();
    earlier.push(store.stored_policy().await.unwrap());
    for n in 0..60 {
        edit(store, put(&format!("s{n}"), Expected::Any)).await.unwrap();
    }
    earlier.push(store.stored_policy().await.unwrap());
    let definition = json!({ "match": "/y", "allow": "nobody" });
    let replace = Edit::ReplaceRoute { id: made.id.clone(), definition, expected: Expected::Any };
    edit(store, replace).await.unwrap();
    let name = Scope::parse("s7").unwrap();
    edit(store, Edit::DeleteScope { name, expected: Expected::Any }).await.unwrap();
    let now = store.stored_policy().await.unwrap();
    for known in earlier {
        assert_eq!(store.stored_policy_after(&known).await.unwrap(), now);
    }
}
