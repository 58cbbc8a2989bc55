use scopegate_provider::SystemClock;
use serde_json::Value;

use super::*;
use crate::store::MemoryStore;

const START: Timestamp = Timestamp::from_seconds(1_790_000_000);
const HOUR: Duration = Duration::from_hours(1);

fn settings() -> MintSettings {
    MintSettings::default()
}

fn memory() -> MemoryStore {
    MemoryStore::new(Arc::new(SystemClock::new()))
}

async fn prepare(signing: &Signing, settings: &MintSettings, store: &dyn SigningKeys, now: Timestamp) {
    let keys = signing.prepare(settings, store, now).await.unwrap();
    signing.activate(&keys);
}

fn published(signing: &Signing) -> Vec<String> {
    let document: Value = serde_json::from_str(&signing.ring.published().unwrap()).unwrap();
    let keys = document["keys"].as_array().unwrap();
    assert!(keys.iter().all(|key| key.get("d").is_none()), "a private part is published");
    keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn nodes_of_one_store_have_one_key() {
    let (store, one, other) = (memory(), Signing::default(), Signing::default());
    let settings = settings();
    tokio::join!(prepare(&one, &settings, &store, START), prepare(&other, &settings, &store, START));
    assert_eq!(published(&one).len(), 1);
    prepare(&one, &settings, &store, START).await;
    assert_eq!(published(&one), published(&other));
}

#[tokio::test]
async fn a_key_is_published_long_before_it_is_used_and_after_it() {
    let (store, signing, settings) = (memory(), Signing::default(), settings());
    let rotation = settings.rotation.get();
    let mut changes = Vec::new();
    for hour in 0..24 * 64_u32 {
        let now = START + HOUR * hour;
        prepare(&signing, &settings, &store, now).await;
        let (used, all) = (signing.ring.key_used(now).unwrap(), published(&signing));
        if changes.last().is_none_or(|(_, last): &(u32, Vec<String>)| *last != all) {
            changes.push((hour, all.clone()));
        }
        assert!(all.contains(&used));
    }
    let turn = u32::try_from(rotation.as_secs() / 3600).unwrap();
    let sizes: Vec<_> = changes.iter().map(|(hour, all)| (*hour, all.len())).collect();
    assert_eq!(
        sizes,
        [(0, 1), (turn - 24, 2), (turn + 2, 1), (2 * turn - 24, 2), (2 * turn + 2, 1)],
        "published a day before its use, forgotten two hours after it"
    );
}

#[test]
fn a_key_that_is_made_late_is_still_published_first() {
    let signer = Signer::generate(SigningAlgorithm::Es256).unwrap();
    let old = UsableKey { number: 4, active_from: START, signer };
    let rotation = Duration::from_hours(24 * 30);
    let now = START + rotation * 3;
    assert_eq!(due(&[old], rotation, now), Some((5, now + AHEAD)));
}

#[tokio::test]
async fn without_a_store_a_process_has_a_key_of_its_own_and_keeps_it() {
    let store = MemoryStore::read_only(Arc::new(SystemClock::new()));
    let (one, other) = (Signing::default(), Signing::default());
    prepare(&one, &settings(), &store, START).await;
    prepare(&other, &settings(), &store, START).await;
    let first = published(&one);
    prepare(&one, &settings(), &store, START + HOUR).await;
    assert_eq!(published(&one), first);
    assert_ne!(published(&other), first);
}

#[tokio::test]
async fn a_key_of_the_configuration_signs_and_further_ones_are_published_beside_it() {
    let pem = || Signer::generate(SigningAlgorithm::Es256).unwrap().to_pem().unwrap();
    let (ours, next) = (pem(), pem());
    let signing = Signing::default();
    let settings =
        MintSettings { key: Some(ours.clone()), further_keys: vec![next.clone()], ..MintSettings::default() };
    prepare(&signing, &settings, &memory(), START).await;
    let kid = |pem| Signer::es256_from_pem(pem).unwrap().kid().to_owned();
    assert_eq!(published(&signing), [kid(&ours), kid(&next)]);
    assert_eq!(signing.ring.key_used(START), Some(kid(&ours)));
}

/// D5: a seal that was changed or removed leaves keys that cannot be opened; a node starts all the same.
#[tokio::test]
async fn keys_that_cannot_be_opened_are_left_out_and_another_is_made() {
    let store = memory();
    let sealed =
        |text: &str| MintSettings { seal: Some(Secret::new(text.repeat(32))), ..MintSettings::default() };
    let first = Signing::default();
    prepare(&first, &sealed("x"), &store, START).await;
    assert!(!store.signing_keys().await.unwrap()[0].private_key.reveal().contains("PRIVATE"));
    for settings in [settings(), sealed("y")] {
        let signing = Signing::default();
        prepare(&signing, &settings, &store, START + HOUR).await;
        assert_eq!(published(&signing).len(), 1);
        assert_ne!(published(&signing), published(&first), "the key that cannot be opened is not used");
    }
    let numbers: Vec<_> = store.signing_keys().await.unwrap().iter().map(|key| key.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    let again = Signing::default();
    prepare(&again, &sealed("x"), &store, START + HOUR).await;
    assert_eq!(published(&again), published(&first), "the node with the seal keeps its key");
}

#[tokio::test]
async fn where_keys_are_sealed_one_that_is_not_is_neither_used_nor_published() {
    let (store, bare, signing) = (memory(), Signing::default(), Signing::default());
    prepare(&bare, &settings(), &store, START).await;
    let sealed = MintSettings { seal: Some(Secret::new("x".repeat(32))), ..MintSettings::default() };
    prepare(&signing, &sealed, &store, START).await;
    assert_eq!(published(&signing).len(), 1);
    assert_ne!(published(&signing), published(&bare));
    assert_eq!(signing.ring.key_used(START), published(&signing).pop());
}
