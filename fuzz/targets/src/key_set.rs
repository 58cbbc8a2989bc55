//! Key sets.

use scopegate_oidc::{Algorithm, KeySet, PublicKey};
use serde_json::{Map, Value};

/// Bytes: the document.
pub fn key_set(data: &[u8]) -> bool {
    let Ok(set) = KeySet::parse(data, &Algorithm::ALL) else { return false };
    let document: Value = serde_json::from_slice(data).unwrap();
    let listed: Vec<&Map<String, Value>> =
        document["keys"].as_array().unwrap().iter().filter_map(Value::as_object).collect();
    let public =
        |jwk: &&&Map<String, Value>| jwk.get("kty").is_some_and(|kty| kty != "oct") && !jwk.contains_key("d");
    assert!(set.keys().count() <= listed.iter().filter(public).count(), "a symmetric or private key is used");
    assert!(set.keys().count() > 0 && set.keeps_all_of(&set));
    set.keys().for_each(|key| check(key, &set, &listed));
    true
}

fn check(key: &PublicKey, set: &KeySet, listed: &[&Map<String, Value>]) {
    let named = |jwk: &&&Map<String, Value>| jwk.get("kid").and_then(Value::as_str) == key.id();
    assert!(listed.iter().any(|jwk| named(&jwk)), "nobody published {:?}", key.id());
    assert!(key.algorithms().count() > 0);
    for algorithm in key.algorithms() {
        match set.find(key.id(), algorithm) {
            Ok(candidates) => assert!(candidates.keys().any(|found| found.print() == key.print())),
            Err(_) => assert!(key.id().is_none(), "{key:?} is not found by its name"),
        }
        let said = listed
            .iter()
            .filter(named)
            .any(|jwk| jwk.get("alg").and_then(Value::as_str).is_none_or(|alg| alg == algorithm.as_str()));
        assert!(said, "{key:?} is used with an algorithm that it does not name");
    }
}
