//! Revocations.

use serde_json::json;

use super::*;

pub(in crate::store) async fn a_revocation_is_recorded_and_taken_back(store: &dyn Backend) {
    let made = store.revoke(&actor(), vec![record(token_id("a")), record(token_id("b"))]).await.unwrap();
    let [first, second] = &made[..] else { panic!("{made:?}") };
    assert_eq!(store.revocation(&first.id).await.unwrap().record.key, token_id("a"));
    assert_eq!(first.record.issued_before, NOW);
    let deleted = store.delete_revocation(&actor(), &first.id).await.unwrap();
    assert!(deleted > first.change);
    assert!(matches!(store.revocation(&first.id).await, Err(StoreError::NotFound { .. })));
    let again = store.delete_revocation(&actor(), &first.id).await;
    assert!(matches!(again, Err(StoreError::NotFound { what: "revocation", .. })));
    let listed = store.revocations(None, 10).await.unwrap().items;
    assert_eq!(listed.iter().map(|found| &found.id).collect::<Vec<_>>(), [&second.id]);
}

pub(in crate::store) async fn an_expired_revocation_is_not_found_and_purged(store: &dyn Backend) {
    let ended = NewRevocation { expires_at: NOW, ..record(token_id("a")) };
    let made = store.revoke(&actor(), vec![ended, record(token_id("b"))]).await.unwrap();
    assert!(matches!(store.revocation(&made[0].id).await, Err(StoreError::NotFound { .. })));
    assert_eq!(store.revocations(None, 10).await.unwrap().items.len(), 1);
    assert_eq!(store.revocations_since(ChangeNumber(0), None, 10).await.unwrap().items.len(), 1);
    assert_eq!(store.purge_revocations().await.unwrap(), 1);
    assert_eq!(store.purge_revocations().await.unwrap(), 0);
}

pub(in crate::store) async fn reading_on_from_a_change_misses_nothing(store: &dyn Backend) {
    let made =
        store.revoke(&actor(), (0..5).map(|n| record(token_id(&n.to_string()))).collect()).await.unwrap();
    let seen = store.heads().await.unwrap().revocations;
    store.revoke(&actor(), vec![record(token_id("x"))]).await.unwrap();
    store.delete_revocation(&actor(), &made[2].id).await.unwrap();
    let news = store.revocations_since(seen, None, 10).await.unwrap();
    let news: Vec<_> = news.items.iter().map(|found| (found.record.key.value(), found.deleted)).collect();
    assert_eq!(news, [("x".to_owned(), false), ("2".to_owned(), true)]);
}

pub(in crate::store) async fn many_revocations_are_read_in_pages(store: &dyn Backend) {
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

pub(in crate::store) async fn many_revocations_share_one_audit_record(store: &dyn Backend) {
    let records = (0..250).map(|n| record(token_id(&format!("t{n}"))));
    store.revoke(&actor(), records.collect()).await.unwrap();
    let audit = store.audit(Period::ALWAYS, None, 10).await.unwrap().items;
    assert_eq!(audit.iter().map(|record| &record.detail).collect::<Vec<_>>(), [&json!({ "count": 250 })]);
}

pub(in crate::store) async fn the_records_of_a_key_are_found(store: &dyn Backend) {
    let long = token_id(&"x".repeat(10_000));
    let other = NewRevocation { provider: ProviderName::parse("auth0").unwrap(), ..record(long.clone()) };
    store.revoke(&actor(), vec![record(long.clone()), record(token_id("y")), other]).await.unwrap();
    let found = store.revocations_of(&okta(), &long).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0].record.key, &found[0].record.provider), (&long, &okta()));
}

/// CASES O5: a block is listed, never expires, and is lifted by deleting it, of which other nodes hear.
pub(in crate::store) async fn a_block_holds_until_it_is_lifted(store: &dyn Backend) {
    let actor_key = RevocationKey::Actor(Subject::parse("agent").unwrap());
    let block = NewRevocation::block(okta(), actor_key.clone(), Some("leaked".to_owned()));
    let made = store.revoke(&actor(), vec![block.clone()]).await.unwrap().remove(0);
    assert_eq!(store.revocation(&made.id).await.unwrap().record, block);
    assert_eq!(store.purge_revocations().await.unwrap(), 0);
    let seen = store.heads().await.unwrap().revocations;
    store.delete_revocation(&actor(), &made.id).await.unwrap();
    assert_eq!(store.revocations(None, 10).await.unwrap().items, []);
    let news = store.revocations_since(seen, None, 10).await.unwrap().items;
    assert_eq!(
        news.iter().map(|found| (&found.record.key, found.deleted)).collect::<Vec<_>>(),
        [(&actor_key, true)]
    );
    let audit = store.audit(Period::ALWAYS, None, 10).await.unwrap().items;
    assert_eq!(audit[0].detail["until_lifted"], json!(true));
}

/// CASES O5: requests refused and streams cut are counted for a block, and for nothing else of its key.
pub(in crate::store) async fn refusals_of_a_block_are_added_up(store: &dyn Backend) {
    let block = NewRevocation::block(okta(), token_id("a"), None);
    let made = store.revoke(&actor(), vec![block, record(token_id("a"))]).await.unwrap();
    for (refused, streams_cut) in [(2, 0), (3, 1)] {
        let count = BlockCount { provider: okta(), key: token_id("a"), refused, streams_cut };
        store.count_blocked(vec![count]).await.unwrap();
    }
    let block = store.revocation(&made[0].id).await.unwrap();
    assert_eq!((block.refused, block.streams_cut), (5, 1));
    assert_eq!(store.revocation(&made[1].id).await.unwrap().refused, 0);
}
