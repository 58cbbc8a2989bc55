//! Wycheproof's vectors for the signatures of JWS (RFC 7518, section 3; RFC 8037): each goes the way of a key set's key.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Vectors {
    algorithm: String,
    groups: Vec<Group>,
}

/// What is signed by one key.
#[derive(Deserialize)]
struct Group {
    jwk: Value,
    tests: Vec<Vector>,
}

/// Bytes are in unpadded base64url.
#[derive(Deserialize)]
struct Vector {
    id: u32,
    comment: String,
    message: String,
    signature: String,
    result: String,
}

fn vectors(name: &str) -> Vectors {
    let path = format!("{}/tests/data/wycheproof/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Checks the vectors of an algorithm: what is `valid` verifies and nothing else does, not even what is `acceptable`, which
/// is a padding that an old encoder might have made.
fn check(name: &str, valid: usize, other: usize) {
    let vectors = vectors(name);
    let algorithm: Algorithm = vectors.algorithm.parse().unwrap();
    let mut counts = (0, 0);
    for group in vectors.groups {
        let key = PublicKey::parse(&group.jwk, &[algorithm]).unwrap();
        for vector in group.tests {
            let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
            let verified = key.verifies(algorithm, &bytes(&vector.message), &bytes(&vector.signature));
            let expected = vector.result == "valid";
            assert_eq!(verified, expected, "{name} {}: {}", vector.id, vector.comment);
            *(if expected { &mut counts.0 } else { &mut counts.1 }) += 1;
        }
    }
    assert_eq!(counts, (valid, other));
}

#[test]
fn wycheproof_es256() {
    check("es256", 173, 89);
}

#[test]
fn wycheproof_es384() {
    check("es384", 193, 87);
}

#[test]
fn wycheproof_eddsa() {
    check("eddsa", 88, 63);
}

#[test]
fn wycheproof_rs256() {
    check("rs256", 9, 250);
}

#[test]
fn wycheproof_rs384() {
    check("rs384", 7, 251);
}

#[test]
fn wycheproof_rs512() {
    check("rs512", 8, 251);
}

#[test]
fn wycheproof_ps256() {
    check("ps256", 63, 45);
}

#[test]
fn wycheproof_ps384() {
    check("ps384", 95, 46);
}

#[test]
fn wycheproof_ps512() {
    check("ps512", 132, 47);
}
