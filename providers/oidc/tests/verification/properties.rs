//! What holds for every token.

use std::sync::LazyLock;

use proptest::{collection::vec, prelude::*};
use scopegate_oidc::{Algorithm, Jwt, KeySet};
use scopegate_provider::BearerToken;
use scopegate_testkit::base64url;
use serde_json::{Value, json};

use crate::desk::{Desk, NOW, claims, good_claims};

static DESK: LazyLock<Desk> = LazyLock::new(Desk::new);

fn verifies(token: &[u8]) -> bool {
    let token = BearerToken::from_bytes(token);
    token.is_ok_and(|token| DESK.verify_bearer(&token, NOW).is_ok())
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter_map("finite", |number| serde_json::Number::from_f64(number).map(Value::Number)),
        ".{0,12}".prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map("[a-z]{1,4}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

#[test]
fn every_flipped_byte_of_a_good_token_makes_it_bad() {
    for key in [&DESK.rsa, &DESK.ec, &DESK.ed] {
        let good = key.token(&good_claims()).into_bytes();
        assert!(verifies(&good));
        for at in 0..good.len() {
            for bit in [1, 2, 4, 32, 128] {
                let mut bad = good.clone();
                bad[at] ^= bit;
                assert!(!verifies(&bad), "{:?}: bit {bit} of byte {at}", key.algorithm());
            }
        }
    }
}

#[test]
fn every_shortened_token_is_bad() {
    let good = DESK.ec.token(&good_claims()).into_bytes();
    for length in 0..good.len() {
        assert!(!verifies(&good[..length]), "{length} bytes");
    }
}

proptest! {
    #[test]
    fn any_bytes_never_verify(bytes in vec(any::<u8>(), 0..300)) {
        prop_assert!(!verifies(&bytes));
    }

    #[test]
    fn any_three_parts_never_verify(header in "\\PC{0,60}", claims in "\\PC{0,60}", signature in vec(any::<u8>(), 0..80)) {
        let token = format!("{}.{}.{}", base64url(header), base64url(claims), base64url(signature));
        prop_assert!(!verifies(token.as_bytes()));
    }

    #[test]
    fn invariant_1_an_unsigned_token_never_verifies(
        alg in prop::sample::select(vec!["none", "RS256", "ES256", "EdDSA", "HS256", "PS256"]),
        kid in prop::sample::select(vec!["rsa", "ec", "ed", "x"]),
        signature in vec(any::<u8>(), 0..300),
    ) {
        let header = json!({"alg": alg, "kid": kid, "typ": "JWT"}).to_string();
        let token =
            format!("{}.{}.{}", base64url(header), base64url(good_claims().to_string()), base64url(signature));
        prop_assert!(!verifies(token.as_bytes()));
    }

    #[test]
    fn any_header_on_a_well_signed_token_does_not_panic(header in json_value()) {
        let token = DESK.ec.token_with(&header, &good_claims());
        let _ = verifies(token.as_bytes());
    }

    #[test]
    fn any_claims_on_a_well_signed_token_do_not_panic(claims in json_value()) {
        prop_assert!(!verifies(DESK.ed.token(&claims).as_bytes()));
    }

    #[test]
    fn any_value_of_any_claim_does_not_panic(
        name in prop::sample::select(vec!["iss", "aud", "exp", "nbf", "iat", "sub", "jti", "sid", "scope", "scp", "client_id", "cnf", "events"]),
        value in json_value(),
    ) {
        let mut claims = good_claims();
        claims[name] = value;
        let _ = verifies(DESK.ed.token(&claims).as_bytes());
    }

    #[test]
    fn a_token_is_taken_exactly_while_it_is_valid(
        exp in NOW - 100..NOW + 100, nbf in NOW - 100..NOW + 100, iat in NOW - 100..NOW + 100,
    ) {
        let leeway = DESK.leeway();
        let valid = NOW < exp + leeway && nbf <= NOW + leeway && iat <= NOW + leeway;
        let token = DESK.ed.token(&claims(&json!({"exp": exp, "nbf": nbf, "iat": iat})));
        prop_assert_eq!(verifies(token.as_bytes()), valid);
    }

    #[test]
    fn scopes_that_nobody_granted_are_never_there(granted in vec("[a-z]{1,3}", 0..5), asked in "[a-z]{1,3}") {
        let token = DESK.ed.token(&claims(&json!({"scope": granted.join(" ")})));
        let principal = DESK.verify(&token).unwrap();
        let asked = scopegate_provider::Scope::parse(&asked).unwrap();
        prop_assert_eq!(principal.scopes().contains(&asked), granted.iter().any(|scope| scope == asked.as_str()));
    }

    #[test]
    fn any_json_is_a_key_set_or_an_error(keys in vec(json_value(), 0..4), wrapped in any::<bool>()) {
        let document = if wrapped { json!({ "keys": keys }) } else { json!(keys) };
        prop_assert!(KeySet::parse(document.to_string().as_bytes(), &Algorithm::ALL).is_err());
    }

    #[test]
    fn any_change_to_a_key_leaves_it_out_or_makes_another(
        member in prop::sample::select(vec!["kty", "crv", "x", "y", "alg", "use", "kid", "d", "key_ops"]), value in json_value(),
    ) {
        let mut jwk = DESK.ec.jwk();
        jwk[member] = value;
        let set = json!({ "keys": [jwk] }).to_string();
        if let Ok(set) = KeySet::parse(set.as_bytes(), &Algorithm::ALL) {
            prop_assert!(set.keys().all(|key| key.algorithms().all(|algorithm| algorithm == Algorithm::Es256)));
        }
    }

    #[test]
    fn what_parses_as_a_token_is_made_of_three_parts(token in "[A-Za-z0-9_.-]{1,80}") {
        if let Ok(token) = BearerToken::parse(&token)
            && Jwt::parse(&token).is_ok()
        {
            prop_assert_eq!(token.reveal().split('.').count(), 3);
        }
    }
}
