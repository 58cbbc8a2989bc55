//! Items.

use super::*;

fn name(text: &str) -> ItemName {
    ItemName::parse(text).unwrap()
}

pub(in crate::store) async fn the_first_start_finds_three_items(store: &dyn Backend) {
    let page = store.list(None, 10).await.unwrap();
    let items: Vec<_> = page.items.iter().map(|item| (item.id, item.name.as_str())).collect();
    assert_eq!(items, [(1, "red ball"), (2, "blue square"), (3, "purple ellipse")]);
    assert!(!page.more);
}

pub(in crate::store) async fn items_come_in_pages(store: &dyn Backend) {
    let first = store.list(None, 2).await.unwrap();
    assert_eq!((first.items.len(), first.more), (2, true));
    let rest = store.list(Some(2), 2).await.unwrap();
    assert_eq!((rest.items.iter().map(|item| item.id).collect(), rest.more), (vec![3], false));
    assert_eq!(store.list(Some(ItemId::MAX), 2).await.unwrap().items, []);
}

pub(in crate::store) async fn an_item_lives_from_creation_to_deletion(store: &dyn Backend) {
    let made = store.create(name("grün 'x'; --")).await.unwrap();
    assert_eq!(made, Item { id: 4, name: name("grün 'x'; --"), version: Version(1) });
    assert_eq!(store.find(4).await.unwrap(), made);
    let replaced = store.replace(4, Some(Version(1)), name("b")).await.unwrap();
    assert_eq!(replaced, Item { id: 4, name: name("b"), version: Version(2) });
    assert_eq!(store.replace(4, None, name("c")).await.unwrap().version, Version(3));
    store.delete(4, Some(Version(3))).await.unwrap();
    assert!(matches!(store.find(4).await, Err(StoreError::NotFound { what: "item", .. })));
}

pub(in crate::store) async fn the_number_of_a_deleted_item_is_not_used_again(store: &dyn Backend) {
    store.delete(3, None).await.unwrap();
    assert_eq!(store.create(name("a")).await.unwrap().id, 4);
}

pub(in crate::store) async fn an_item_changed_meanwhile_is_neither_replaced_nor_deleted(store: &dyn Backend) {
    store.replace(1, None, name("a")).await.unwrap();
    let stale = |result| matches!(result, Err(StoreError::Stale { expected: Version(1), found: Version(2) }));
    assert!(stale(store.replace(1, Some(Version(1)), name("b")).await.map(drop)));
    assert!(stale(store.delete(1, Some(Version(1))).await));
    assert_eq!(store.find(1).await.unwrap().name, name("a"));
}

pub(in crate::store) async fn an_item_that_is_not_there_is_neither_replaced_nor_deleted(store: &dyn Backend) {
    let missing = |result| matches!(result, Err(StoreError::NotFound { what: "item", .. }));
    assert!(missing(store.replace(99, Some(Version(1)), name("a")).await.map(drop)));
    assert!(missing(store.delete(99, None).await));
}
