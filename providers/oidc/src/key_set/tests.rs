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
fn without_an_id_the_keys_that_fit_are_found() {
    let set = of(&[&MintKey::rs256("a"), &MintKey::es256("b"), &MintKey::es256("c")]);
    assert_eq!(ids(&set.find(None, Algorithm::Rs256).unwrap()), [Some("a")]);
    assert_eq!(ids(&set.find(None, Algorithm::Es256).unwrap()), [Some("b"), Some("c")]);
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

/// A set of two RSA keys without `kid`, of which the second is named by its certificate.
fn with_certificate(member: &str, value: &Value) -> KeySet {
    use jsonwebtoken::Algorithm::RS256;
    let keys = [MintKey::rsa(0, RS256, "a").called(None), MintKey::rsa(1, RS256, "b").called(None)];
    let mut document = key_set(&[&keys[0], &keys[1]]);
    document["keys"][1][member] = value.clone();
    parse(&document).unwrap()
}

fn by_x5t(x5t: &str) -> KeyReference<'_> {
    KeyReference { x5t: Some(x5t), ..KeyReference::default() }
}

/// V1: AD FS names its key by `x5t` and writes no `kid`.
#[test]
fn a_key_is_found_by_the_thumbprint_of_its_certificate() {
    let set = with_certificate("x5t", &json!("qAT4VOkVJ_O_BO1aC3UXmS6hLG4"));
    let found =
        set.find_by(by_x5t("qAT4VOkVJ_O_BO1aC3UXmS6hLG4"), &KeyParameter::ALL, Algorithm::Rs256).unwrap();
    assert_eq!(found.keys().count(), 1);
    let other = set.find_by(by_x5t("AAAA"), &KeyParameter::ALL, Algorithm::Rs256);
    assert_eq!(other.unwrap_err(), Rejection::UnknownKey);
}

/// V1: a certificate's thumbprints are computed where the key set has only the certificate.
#[test]
fn thumbprints_are_computed_from_the_certificate() {
    let der = b"stands for a certificate";
    let certificate = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
    let set = with_certificate("x5c", &json!([certificate]));
    let print = |algorithm| scopegate_testkit::base64url(aws_lc_rs::digest::digest(algorithm, der));
    let sha1 = print(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY);
    let sha256 = print(&aws_lc_rs::digest::SHA256);
    let strong = KeyReference { x5t_s256: Some(&sha256), ..KeyReference::default() };
    for reference in [by_x5t(&sha1), strong] {
        let found = set.find_by(reference, &KeyParameter::ALL, Algorithm::Rs256).unwrap();
        assert_eq!(found.keys().count(), 1);
    }
}

/// V1: the setting decides which parameters name a key.
#[test]
fn a_parameter_that_is_not_configured_is_ignored() {
    let set = of(&[&MintKey::es256("a")]);
    let reference = KeyReference { kid: Some("unknown"), x5t: Some("AAAA"), x5t_s256: None };
    assert!(set.find_by(reference, &[KeyParameter::Kid], Algorithm::Es256).is_err());
    assert!(set.find_by(reference, &[KeyParameter::X5tS256], Algorithm::Es256).is_ok());
}

/// V6: the bundles of SPIFFE name the use of a key `jwt-svid`.
#[test]
fn a_key_for_jwt_svids_checks_signatures() {
    let mut document = key_set(&[&MintKey::es256("a")]);
    document["keys"][0]["use"] = json!("jwt-svid");
    assert!(parse(&document).is_ok());
    document["keys"][0]["use"] = json!("x509-svid");
    assert!(parse(&document).is_err());
}
