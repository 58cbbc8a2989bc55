use scopegate_testkit::{MintKey, key_set};
use serde_json::json;

use super::*;

fn parse(document: &Value) -> Result<KeySet, KeySetError> {
    KeySet::parse(document.to_string().as_bytes(), &Algorithm::ALL)
}

fn of(keys: &[&MintKey]) -> KeySet {
    parse(&key_set(keys)).unwrap()
}

fn ids(candidates: &Candidates) -> Vec<Option<&str>> {
    candidates.keys().map(PublicKey::id).collect()
}

#[test]
fn a_key_is_found_by_id_and_algorithm() {
    let set = of(&[&MintKey::rs256("a"), &MintKey::es256("b")]);
    assert_eq!(ids(&set.find(Some("b"), Algorithm::Es256).unwrap()), [Some("b")]);
    assert_eq!(set.find(Some("b"), Algorithm::Rs256).unwrap_err(), Rejection::UnknownKey);
    assert_eq!(set.find(Some("c"), Algorithm::Es256).unwrap_err(), Rejection::UnknownKey);
}

#[test]
fn one_id_may_stand_for_keys_of_several_types() {
    let set = of(&[&MintKey::rs256("a"), &MintKey::es256("a")]);
    assert_eq!(set.find(Some("a"), Algorithm::Es256).unwrap().keys().count(), 1);
    assert_eq!(set.find(Some("a"), Algorithm::Rs256).unwrap().keys().count(), 1);
}

#[test]
fn without_an_id_the_only_key_that_fits_is_found() {
    let set = of(&[&MintKey::rs256("a"), &MintKey::es256("b"), &MintKey::es256("c")]);
    assert_eq!(ids(&set.find(None, Algorithm::Rs256).unwrap()), [Some("a")]);
    assert_eq!(set.find(None, Algorithm::Es256).unwrap_err(), Rejection::AmbiguousKey);
    assert_eq!(set.find(None, Algorithm::EdDsa).unwrap_err(), Rejection::UnknownKey);
}

#[test]
fn a_key_without_an_id_is_not_found_by_one() {
    let set = of(&[&MintKey::es256("a").called(None)]);
    assert_eq!(set.find(Some("a"), Algorithm::Es256).unwrap_err(), Rejection::UnknownKey);
    assert_eq!(ids(&set.find(None, Algorithm::Es256).unwrap()), [None]);
}

#[test]
fn a_key_that_is_listed_twice_counts_once() {
    let key = MintKey::es256("a");
    let set = of(&[&key, &key]);
    assert_eq!(set.keys().count(), 1);
    assert!(set.find(None, Algorithm::Es256).is_ok());
}

#[test]
fn a_key_that_is_listed_once_for_each_algorithm_serves_them_all() {
    use jsonwebtoken::Algorithm::{PS256, RS256};
    let set = of(&[&MintKey::rsa(0, RS256, "a"), &MintKey::rsa(0, PS256, "a")]);
    for algorithm in [Algorithm::Rs256, Algorithm::Ps256] {
        assert_eq!(set.find(Some("a"), algorithm).unwrap().keys().count(), 1);
    }
}

#[test]
fn keys_that_cannot_be_used_are_left_out_and_the_rest_serves() {
    let mut document = key_set(&[&MintKey::es256("good")]);
    let others =
        [json!({"kty": "oct", "kid": "hmac"}), json!({"kty": "new", "kid": "n"}), json!(null), json!(7)];
    document["keys"].as_array_mut().unwrap().extend(others);
    let set = parse(&document).unwrap();
    assert_eq!(set.keys().count(), 1);
    assert_eq!(set.skipped()[0], SkippedKey { id: Some("hmac".into()), problem: KeyProblem::Symmetric });
    assert_eq!(set.skipped().len(), 4);
}

#[test]
fn a_set_without_a_usable_key_says_so() {
    for empty in [json!({}), json!({"keys": []})] {
        let error = parse(&empty).unwrap_err();
        assert_eq!(error.to_string(), "the key set holds no usable key (it is empty)");
    }
    let error = parse(&json!({"keys": [{"kty": "oct", "kid": "k1"}]})).unwrap_err();
    let expected = "the key set holds no usable key (1 left out; the first, `k1`: it is a symmetric key)";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn what_is_no_key_set_is_refused() {
    for document in [json!([]), json!(null), json!("keys"), json!({"keys": {}}), json!({"keys": null})] {
        assert_eq!(parse(&document).unwrap_err(), KeySetError::NotAKeySet, "{document}");
    }
    let error = KeySet::parse(b"<html>", &Algorithm::ALL).unwrap_err();
    assert_eq!(error, KeySetError::NotJson { line: 1, column: 1 });
}

#[test]
fn invariant_4_a_withdrawn_key_is_noticed() {
    let (a, b) = (MintKey::es256("a"), MintKey::es256("b"));
    let both = of(&[&a, &b]);
    assert!(both.keeps_all_of(&of(&[&b])));
    assert!(both.keeps_all_of(&of(&[&b, &a])));
    assert!(!of(&[&b]).keeps_all_of(&both));
}

#[test]
fn a_key_replaced_under_its_name_or_renamed_is_withdrawn() {
    let a = MintKey::es256("a");
    assert!(!of(&[&MintKey::es256("a")]).keeps_all_of(&of(&[&a])));
    assert!(!of(&[&a.called(Some("b"))]).keeps_all_of(&of(&[&a])));
}

#[test]
fn a_key_that_lost_an_algorithm_is_withdrawn_for_it() {
    let mut any = key_set(&[&MintKey::rs256("a")]);
    any["keys"][0].as_object_mut().unwrap().remove("alg");
    let (any, one) = (parse(&any).unwrap(), of(&[&MintKey::rs256("a")]));
    assert!(any.keeps_all_of(&one) && !one.keeps_all_of(&any));
}
