use scopegate_testkit::{MintKey, base64url};
use serde_json::json;

use super::*;

fn parse(jwk: &Value) -> Result<PublicKey, KeyProblem> {
    PublicKey::parse(jwk, &Algorithm::ALL)
}

fn with(jwk: &Value, member: &str, value: Value) -> Value {
    let mut jwk = jwk.clone();
    jwk[member] = value;
    jwk
}

fn without(jwk: &Value, member: &str) -> Value {
    let mut jwk = jwk.clone();
    jwk.as_object_mut().unwrap().remove(member);
    jwk
}

fn problem(jwk: &Value, member: &str, value: Value) -> KeyProblem {
    parse(&with(jwk, member, value)).unwrap_err()
}

fn rsa() -> Value {
    MintKey::rs256("k").jwk()
}

fn ec() -> Value {
    MintKey::es256("k").jwk()
}

fn ed() -> Value {
    MintKey::eddsa("k").jwk()
}

fn algorithms(jwk: &Value, allowed: &[Algorithm]) -> Result<Vec<Algorithm>, KeyProblem> {
    PublicKey::parse(jwk, allowed).map(|key| key.algorithms().collect())
}

#[test]
fn invariant_2_a_key_is_bound_to_its_type_its_alg_and_the_settings() {
    use Algorithm::{EdDsa, Es256, Es384, Ps256, Rs256, Rs512};
    assert_eq!(algorithms(&rsa(), &Algorithm::ALL), Ok(vec![Rs256]));
    assert_eq!(algorithms(&without(&rsa(), "alg"), &[Rs512, Es256, Ps256]), Ok(vec![Rs512, Ps256]));
    assert_eq!(algorithms(&without(&ec(), "alg"), &Algorithm::ALL), Ok(vec![Es256]));
    assert_eq!(algorithms(&without(&ed(), "alg"), &[Es256, EdDsa, EdDsa]), Ok(vec![EdDsa]));
    assert_eq!(algorithms(&MintKey::es384("k").jwk(), &Algorithm::ALL), Ok(vec![Es384]));
    assert_eq!(algorithms(&rsa(), &[Ps256, Es256]), Err(KeyProblem::Algorithm));
    assert_eq!(algorithms(&ec(), &[]), Err(KeyProblem::Algorithm));
}

#[test]
fn invariant_2_an_alg_of_another_kind_leaves_the_key_out() {
    for alg in ["HS256", "none", "RS256", "ES384", "EdDSA", "RSA-OAEP", "es256", ""] {
        assert_eq!(problem(&ec(), "alg", alg.into()), KeyProblem::Algorithm, "{alg}");
    }
    assert_eq!(problem(&ec(), "alg", json!(1)), KeyProblem::Member("alg"));
}

#[test]
fn invariant_2_a_symmetric_key_is_left_out() {
    let oct = json!({"kty": "oct", "k": "AAAA", "alg": "HS256", "use": "sig"});
    assert_eq!(parse(&oct).unwrap_err(), KeyProblem::Symmetric);
}

#[test]
fn a_key_that_shows_its_private_part_is_left_out() {
    for jwk in [rsa(), ec(), ed()] {
        assert_eq!(problem(&jwk, "d", "AAAA".into()), KeyProblem::Private);
    }
}

#[test]
fn a_key_for_encryption_is_left_out() {
    assert_eq!(problem(&rsa(), "use", "enc".into()), KeyProblem::Use);
    assert_eq!(problem(&rsa(), "use", "".into()), KeyProblem::Use);
    assert_eq!(problem(&rsa(), "use", json!(["sig"])), KeyProblem::Member("use"));
    assert!(parse(&without(&rsa(), "use")).is_ok());
}

#[test]
fn a_key_whose_operations_leave_out_verify_is_left_out() {
    for operations in [json!([]), json!(["sign"]), json!(["encrypt", "wrapKey"])] {
        assert_eq!(problem(&ec(), "key_ops", operations), KeyProblem::Use);
    }
    assert_eq!(problem(&ec(), "key_ops", "verify".into()), KeyProblem::Member("key_ops"));
    assert!(parse(&with(&ec(), "key_ops", json!(["sign", "verify"]))).is_ok());
}

#[test]
fn types_and_curves_that_are_not_known_are_left_out() {
    assert_eq!(problem(&ec(), "kty", "AKP".into()), KeyProblem::Type);
    assert_eq!(problem(&ec(), "kty", "ec".into()), KeyProblem::Type);
    for curve in ["secp256k1", "p-256", "Ed25519", ""] {
        assert_eq!(problem(&ec(), "crv", curve.into()), KeyProblem::Curve, "{curve}");
    }
    for curve in ["Ed448", "X25519", "P-256"] {
        assert_eq!(problem(&ed(), "crv", curve.into()), KeyProblem::Curve, "{curve}");
    }
}

#[test]
fn members_that_are_missing_or_of_another_type_are_named() {
    for (jwk, members) in [(rsa(), vec!["kty", "n", "e"]), (ec(), vec!["crv", "x", "y"]), (ed(), vec!["x"])] {
        for member in members {
            let missing = parse(&without(&jwk, member)).unwrap_err();
            assert_eq!(
                missing.to_string(),
                format!("the member `{member}` is missing or has the wrong type")
            );
            assert_eq!(problem(&jwk, member, json!(1)), missing);
        }
    }
    assert_eq!(problem(&ec(), "kid", json!(1)), KeyProblem::Member("kid"));
    assert_eq!(problem(&ec(), "x", "not base64!".into()), KeyProblem::Member("x"));
    assert_eq!(parse(&json!("key")).unwrap_err(), KeyProblem::Member("kty"));
}

#[test]
fn null_members_are_as_good_as_absent() {
    let jwk = with(&with(&with(&rsa(), "use", Value::Null), "kid", Value::Null), "key_ops", Value::Null);
    assert_eq!(parse(&jwk).unwrap().id(), None);
}

#[test]
fn an_rsa_key_of_less_than_2048_bits_is_left_out() {
    let modulus = |bits: usize| {
        let mut bytes = vec![0xff; bits.div_ceil(8)];
        bytes[0] = 0xff >> (bits.div_ceil(8) * 8 - bits);
        Value::from(base64url(bytes))
    };
    for bits in [1, 512, 1024, 2047, 8193, 16384] {
        assert_eq!(problem(&rsa(), "n", modulus(bits)), KeyProblem::Size { bits });
    }
    for bits in [2048, 3072, 4096, 8192] {
        assert!(parse(&with(&rsa(), "n", modulus(bits))).is_ok(), "{bits}");
    }
    assert_eq!(problem(&rsa(), "n", "".into()), KeyProblem::Size { bits: 0 });
}

#[test]
fn an_rsa_key_whose_numbers_cannot_be_is_left_out() {
    for exponent in [vec![], vec![0], vec![1], vec![2], vec![1, 0, 0], vec![1, 0, 0, 0, 1]] {
        assert_eq!(problem(&rsa(), "e", base64url(exponent).into()), KeyProblem::Material);
    }
    assert_eq!(problem(&rsa(), "n", base64url([0xfe; 256]).into()), KeyProblem::Material);
}

#[test]
fn leading_zeros_of_an_rsa_modulus_are_dropped() {
    let modulus = URL_SAFE_NO_PAD.decode(rsa()["n"].as_str().unwrap()).unwrap();
    let padded = with(&rsa(), "n", base64url([&[0, 0], &*modulus].concat()).into());
    assert_eq!(parse(&padded).unwrap().print(), parse(&rsa()).unwrap().print());
}

#[test]
fn a_point_that_is_not_on_the_curve_is_left_out() {
    assert_eq!(problem(&ec(), "x", base64url([1; 32]).into()), KeyProblem::Material);
    assert_eq!(problem(&ec(), "y", base64url([0; 32]).into()), KeyProblem::Material);
    for length in [0, 31, 33, 48] {
        assert_eq!(problem(&ec(), "x", base64url(vec![1; length]).into()), KeyProblem::Material);
        assert_eq!(problem(&ed(), "x", base64url(vec![1; length]).into()), KeyProblem::Material);
    }
}

#[test]
fn a_key_is_the_same_under_every_name_and_another_is_another() {
    let key = MintKey::es256("a");
    let print = |key: &MintKey| parse(&key.jwk()).unwrap().print();
    assert_eq!(print(&key), print(&key.called(Some("b"))));
    assert_ne!(print(&key), print(&MintKey::es256("a")));
}

/// RFC 7515, appendices A.2 and A.3, sign the same claims.
const CLAIMS: &str =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

fn verifies(jwk: &Value, algorithm: Algorithm, input: &str, signature: &str) -> bool {
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    parse(jwk).unwrap().verifies(algorithm, input.as_bytes(), &signature)
}

#[test]
fn the_signature_of_rfc_7515_appendix_a_2_is_good() {
    let modulus = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
    let signature = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let jwk = json!({"kty": "RSA", "n": modulus, "e": "AQAB"});
    let input = format!("eyJhbGciOiJSUzI1NiJ9.{CLAIMS}");
    assert!(verifies(&jwk, Algorithm::Rs256, &input, signature));
    assert!(!verifies(&jwk, Algorithm::Ps256, &input, signature));
    assert!(!verifies(&jwk, Algorithm::Rs384, &input, signature));
}

#[test]
fn the_signature_of_rfc_7515_appendix_a_3_is_good() {
    let jwk = json!({
        "kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    });
    let signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    assert!(verifies(&jwk, Algorithm::Es256, &format!("eyJhbGciOiJFUzI1NiJ9.{CLAIMS}"), signature));
}

#[test]
fn the_signature_of_rfc_8037_appendix_a_4_is_good() {
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    let input = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    assert!(verifies(&jwk, Algorithm::EdDsa, input, signature));
}
