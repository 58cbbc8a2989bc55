use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, jwk::Jwk};

use super::*;

const ALL: [(SigningAlgorithm, Algorithm); 3] = [
    (SigningAlgorithm::Es256, Algorithm::ES256),
    (SigningAlgorithm::Rs256, Algorithm::RS256),
    (SigningAlgorithm::EdDsa, Algorithm::EdDSA),
];

fn claims() -> Map<String, Value> {
    json!({ "iss": "https://issuer.example", "exp": 4_102_444_800_u64, "n": [1, {"a": "ä"}] })
        .as_object()
        .unwrap()
        .clone()
}

#[test]
fn a_token_of_every_algorithm_verifies_by_the_published_key() {
    for (algorithm, theirs) in ALL {
        let signer = Signer::generate(algorithm).unwrap();
        let token = signer.sign("at+jwt", &claims()).unwrap();
        let jwk: Jwk = serde_json::from_value(signer.jwk().clone()).unwrap();
        let mut validation = Validation::new(theirs);
        validation.validate_aud = false;
        let key = DecodingKey::from_jwk(&jwk).unwrap();
        let read = decode::<Map<String, Value>>(&token, &key, &validation).unwrap();
        assert_eq!(read.claims, claims(), "{algorithm}");
    }
}

#[test]
fn the_header_names_type_algorithm_and_key() {
    let signer = Signer::generate(SigningAlgorithm::Es256).unwrap();
    let header = decode_header(signer.sign("at+jwt", &claims()).unwrap()).unwrap();
    assert_eq!(header.typ.as_deref(), Some("at+jwt"));
    assert_eq!(header.kid.as_deref(), Some(signer.kid()));
    assert_eq!(header.alg, Algorithm::ES256);
}

#[test]
fn a_key_is_called_by_its_thumbprint() {
    for (algorithm, _) in ALL {
        let signer = Signer::generate(algorithm).unwrap();
        let jwk: Jwk = serde_json::from_value(signer.jwk().clone()).unwrap();
        let hash = jsonwebtoken::jwk::ThumbprintHash::SHA256;
        assert_eq!(jwk.thumbprint(hash).unwrap(), signer.kid(), "{algorithm}");
    }
}

#[test]
fn the_published_key_holds_nothing_private() {
    for (algorithm, _) in ALL {
        let signer = Signer::generate(algorithm).unwrap();
        let jwk = signer.jwk().as_object().unwrap();
        assert!(["d", "p", "q", "dp", "dq", "qi", "k"].iter().all(|name| !jwk.contains_key(*name)));
    }
}

#[test]
fn a_signature_of_another_key_is_not_this_ones() {
    for (algorithm, _) in ALL {
        let [signer, other] = [(); 2].map(|()| Signer::generate(algorithm).unwrap());
        let signature = signer.signature(b"message").unwrap();
        assert!(signer.is_signature_of(b"message", &signature), "{algorithm}");
        assert!(!other.is_signature_of(b"message", &signature), "{algorithm}");
        assert!(!signer.is_signature_of(b"massage", &signature), "{algorithm}");
    }
}

#[tokio::test]
async fn an_rsa_key_is_made_while_others_go_on() {
    let ticks = async { tokio::task::yield_now().await };
    let (signer, ()) = tokio::join!(Signer::generate_beside(SigningAlgorithm::Rs256), ticks);
    assert_eq!(signer.unwrap().algorithm(), SigningAlgorithm::Rs256);
}

#[test]
fn invariant_11_a_private_key_is_not_in_its_debug_text() {
    let signer = Signer::generate(SigningAlgorithm::EdDsa).unwrap();
    assert_eq!(format!("{signer:?}"), format!("Signer {{ algorithm: EdDsa, kid: {:?}, .. }}", signer.kid()));
}

#[test]
fn a_key_that_was_written_down_is_the_same_key() {
    let signer = Signer::generate(SigningAlgorithm::Es256).unwrap();
    let read = Signer::es256_from_pem(&signer.to_pem().unwrap()).unwrap();
    assert_eq!((read.jwk(), read.kid()), (signer.jwk(), signer.kid()));
    assert!(signer.is_signature_of(b"message", &read.signature(b"message").unwrap()));
}

#[test]
fn a_key_as_openssl_writes_it_is_read() {
    let pem = Secret::new(include_str!("../../tests/data/openssl-p256.test-key.pem"));
    assert_eq!(Signer::es256_from_pem(&pem).unwrap().jwk()["crv"], "P-256");
}

#[test]
fn what_is_no_private_key_for_es256_is_refused_without_being_shown() {
    let rsa = include_str!("../../../testkit/data/rsa-2048-a.test-key.pem");
    let cut = "-----BEGIN PRIVATE KEY-----\naGVsbG8=\n-----END PRIVATE KEY-----";
    for text in ["", "hunter2", rsa, cut] {
        let refused = Signer::es256_from_pem(&Secret::new(text)).unwrap_err();
        assert_eq!(refused, SignerError::Pem);
        assert!(!refused.to_string().contains("hunter2"));
    }
}

#[test]
fn only_a_key_for_es256_is_written_down() {
    let signer = Signer::generate(SigningAlgorithm::EdDsa).unwrap();
    let refused = signer.to_pem().map(drop);
    assert_eq!(refused, Err(SignerError::Export { algorithm: SigningAlgorithm::EdDsa }));
}
