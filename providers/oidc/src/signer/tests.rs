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
