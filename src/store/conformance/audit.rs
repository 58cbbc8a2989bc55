//! Decisions about providers, and who has decided what.

use std::collections::BTreeSet;

use serde_json::json;

use super::*;

pub(in crate::store) async fn decisions_about_providers_add_up(store: &dyn Backend) {
    let changes =
        [StateChange::Disable, StateChange::Distrust("k1".into()), StateChange::Distrust("k2".into())];
    for change in changes.into_iter().chain([StateChange::Trust("k1".into())]) {
        store.change_provider(&actor(), &okta(), change).await.unwrap();
    }
    let distrusted = BTreeSet::from(["k2".to_owned()]);
    let state = ProviderState { provider: okta(), disabled: true, distrusted };
    assert_eq!(store.provider_states().await.unwrap(), [state]);
}

pub(in crate::store) async fn every_change_has_its_audit_record(store: &dyn Backend) {
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

pub(in crate::store) async fn the_audit_is_read_by_time_and_in_pages(store: &dyn Backend) {
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

pub(in crate::store) async fn denials_are_added_up(store: &dyn Backend) {
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

pub(in crate::store) async fn denials_of_very_long_routes_are_counted(store: &dyn Backend) {
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
