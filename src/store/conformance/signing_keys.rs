//! Signing keys.

use scopegate_provider::Secret;

use super::*;

pub(in crate::store) async fn a_signing_key_is_kept_once_and_forgotten(store: &dyn Backend) {
    let key = |number, text: &str| SigningKey { number, active_from: NOW, private_key: Secret::new(text) };
    for key in [key(2, "second"), key(1, "first"), key(1, "of another node")] {
        store.add_signing_key(key).await.unwrap();
    }
    let kept = async || {
        let keys = store.signing_keys().await.unwrap().into_iter();
        keys.map(|key| (key.number, key.active_from, key.private_key.reveal().to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(kept().await, [(1, NOW, "first".to_owned()), (2, NOW, "second".to_owned())]);
    store.forget_signing_keys(2).await.unwrap();
    assert_eq!(kept().await, [(2, NOW, "second".to_owned())]);
}

/// D5: a key that cannot be opened any more is removed by its number.
pub(in crate::store) async fn a_signing_key_is_removed_by_its_number(store: &dyn Backend) {
    for number in [1, 2] {
        let key = SigningKey { number, active_from: NOW, private_key: Secret::new("x") };
        store.add_signing_key(key).await.unwrap();
    }
    store.remove_signing_key(1).await.unwrap();
    let kept = store.signing_keys().await.unwrap();
    assert_eq!(kept.iter().map(|key| key.number).collect::<Vec<_>>(), [2]);
    let again = store.remove_signing_key(1).await;
    assert!(matches!(again, Err(StoreError::NotFound { what: "signing key", .. })), "{again:?}");
}
