//! Tokens as issuers in the field write them.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use scopegate_oidc::{Algorithm, Jwt, KeySet, TokenType};
use scopegate_provider::{BearerToken, ClaimPath, Principal, Proof, Rejection, Role, Thumbprint, Timestamp};
use scopegate_testkit::base64url;
use serde_json::{Value, json};

use crate::desk::{Desk, NOW, claims, good_claims, wrong};

/// V6: ES512 signs with P-521, which `jsonwebtoken` does not know.
#[test]
fn es512_is_accepted_where_it_is_configured() {
    let pair = EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING).unwrap();
    let point = pair.public_key().as_ref();
    let (x, y) = point[1..].split_at(66);
    let jwk = json!({ "kty": "EC", "crv": "P-521", "kid": "p521", "x": base64url(x), "y": base64url(y) });
    let mut desk = Desk::new();
    desk.keys = KeySet::parse(json!({ "keys": [jwk] }).to_string().as_bytes(), &Algorithm::ALL).unwrap();
    let header = json!({ "alg": "ES512", "typ": "JWT", "kid": "p521" });
    let input = format!("{}.{}", base64url(header.to_string()), base64url(good_claims().to_string()));
    let signature = pair.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
    let token = format!("{input}.{}", base64url(signature));
    let refused = desk.verify(&token).unwrap_err();
    assert_eq!(refused, Rejection::AlgorithmNotAllowed { found: "ES512".into() });
    desk.rules.algorithms.push(Algorithm::Es512);
    desk.verify(&token).unwrap();
}

/// V6: RFC 9864 gives `EdDSA` on Ed25519 a name of its own.
#[test]
fn ed25519_is_accepted_by_its_own_name_where_it_is_configured() {
    let mut desk = Desk::new();
    let mut header = desk.ed.header();
    header["alg"] = json!("Ed25519");
    let token = desk.ed.token_with(&header, &good_claims());
    let refused = desk.verify(&token).unwrap_err();
    assert_eq!(refused, Rejection::AlgorithmNotAllowed { found: "Ed25519".into() });
    desk.rules.algorithms.push(Algorithm::Ed25519);
    desk.verify(&token).unwrap();
}

/// V7: the keys of an object count only where a JSON Pointer or `role_claims` points to it.
#[test]
fn keys_of_an_object_are_scopes_only_below_a_json_pointer() {
    let mut desk = Desk::new();
    let members = json!({ "scope": { "items": { "org": "acme" } } });
    assert_eq!(desk.verify_claims(&members).unwrap_err(), wrong("scope", "a string or an array of strings"));
    desk.rules.scope_claims = vec![ClaimPath::parse("/scope").unwrap()];
    assert_eq!(desk.verify_claims(&members).unwrap().scopes().to_string(), "items");
    desk.rules.role_claims = vec![ClaimPath::parse("groups").unwrap()];
    let roles = json!({ "scope": null, "groups": { "reader": { "org": "acme" } } });
    assert_eq!(desk.verify_claims(&roles).unwrap().roles(), [Role::parse("reader").unwrap()]);
}

/// V7: a member of `false` or `null` grants nothing by its name.
#[test]
fn an_object_with_false_in_it_has_the_wrong_type() {
    let mut desk = Desk::new();
    desk.rules.role_claims = vec![ClaimPath::parse("groups").unwrap()];
    for value in [json!(false), Value::Null] {
        let refused = desk.verify_claims(&json!({ "groups": { "reader": value } })).unwrap_err();
        assert_eq!(refused.reason(), "wrong_claim_type");
    }
}

/// T7.7: an ID-JAG and other JWTs with a type of their own are refused by it, even where the settings list that type.
#[test]
fn other_kinds_of_jwt_are_refused_by_type() {
    let mut desk = Desk::new();
    for name in [
        "oauth-id-jag+jwt",
        "logout+jwt",
        "secevent+jwt",
        "dpop+jwt",
        "statuslist+jwt",
        "token-introspection+jwt",
        "oauth-authz-req+jwt",
        "application/client-authentication+jwt",
    ] {
        desk.rules.token_types = vec![TokenType::parse(name), TokenType::parse("JWT")];
        let mut header = desk.ec.header();
        header["typ"] = json!(name);
        let refused = desk.verify(&desk.ec.token_with(&header, &good_claims())).unwrap_err();
        assert_eq!(refused, Rejection::TypeNotAllowed { found: name.into() });
    }
}

/// T6.7, T9.6, T2.9, T5.4: other kinds of JWT are refused by their content where their type is `JWT` or absent.
#[test]
fn other_kinds_of_jwt_are_refused_by_content() {
    let desk = Desk::new();
    let caep = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
    let cases = [
        ("secevent+jwt", json!({ "events": { caep: {} } })),
        ("secevent+jwt", json!({ "events": { "http://schemas.openid.net/event/backchannel-logout": null } })),
        ("dpop+jwt", json!({ "htm": "GET", "htu": "https://api.example/" })),
        ("statuslist+jwt", json!({ "status_list": { "bits": 1, "lst": "eNrbuRgAAhcBXQ" } })),
        ("token-introspection+jwt", json!({ "token_introspection": { "active": true } })),
        ("oauth-authz-req+jwt", json!({ "response_type": "code" })),
        ("client-authentication+jwt", json!({ "sub": good_claims()["iss"] })),
    ];
    for (kind, members) in cases {
        let refused = desk.verify_claims(&members).unwrap_err();
        assert_eq!(refused, Rejection::TypeNotAllowed { found: kind.into() }, "{members}");
    }
}

const KEY: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
const CERTIFICATE: &str = "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2";

fn bound(desk: &Desk, confirmation: &Value, proof: Proof) -> Result<Principal, Rejection> {
    let token = BearerToken::parse(&desk.ec.token(&claims(&json!({ "cnf": confirmation })))).unwrap();
    let admitted = desk.rules.admit(Jwt::parse(&token)?)?;
    let keys = desk.keys.find(admitted.key_id(), admitted.algorithm())?;
    desk.rules.validate_bound(admitted.check_signature(&keys)?, Timestamp::from_seconds(NOW), proof)
}

/// T2.8: a bound token passes with the proof of every known member; unknown members count only alone.
#[test]
fn a_bound_token_needs_the_proof_of_every_known_member() {
    let desk = Desk::new();
    let key = Proof { key: Thumbprint::parse(KEY), certificate: None };
    let both = Proof { certificate: Thumbprint::parse(CERTIFICATE), ..key };
    let jkt = json!({ "jkt": KEY });
    let twice = json!({ "jkt": KEY, "x5t#S256": CERTIFICATE });
    assert!(bound(&desk, &jkt, key).unwrap().binding().is_bound());
    assert!(bound(&desk, &json!({ "jkt": KEY, "new": 1 }), key).is_ok());
    assert!(bound(&desk, &twice, both).is_ok());
    let unproven = [
        (&jkt, Proof::default()),
        (&twice, key),
        (&json!({ "new": 1 }), both),
        (&json!({}), both),
        (&json!({ "jkt": 1 }), both),
        (&json!({ "jkt": "short" }), both),
        (&json!("k"), both),
    ];
    for (confirmation, proof) in unproven {
        let refused = bound(&desk, confirmation, proof).unwrap_err();
        assert_eq!(refused, Rejection::SenderConstrained, "{confirmation}");
    }
}

/// T2.2: the proof of another key is no proof.
#[test]
fn a_proof_of_another_key_is_refused() {
    let desk = Desk::new();
    let other = Proof { key: Thumbprint::parse(CERTIFICATE), certificate: None };
    let refused = bound(&desk, &json!({ "jkt": KEY }), other).unwrap_err();
    assert_eq!(refused, Rejection::ProofMismatch);
}

#[test]
fn facts_of_sign_in_actor_and_authorization_details_reach_the_principal() {
    let principal = Desk::new()
        .verify_claims(&json!({
            "acr": "urn:acme:mfa", "auth_time": NOW - 60,
            "act": { "sub": "service", "act": { "sub": "earlier" } },
            "authorization_details": [{ "type": "payment", "actions": ["read"] }],
        }))
        .unwrap();
    assert_eq!(principal.acr(), Some("urn:acme:mfa"));
    assert_eq!(principal.auth_time(), Some(Timestamp::from_seconds(NOW - 60)));
    assert_eq!(&*principal.actor().unwrap().id, "service");
    assert_eq!(principal.authorization_details()[0]["type"], "payment");
    assert!(!principal.groups_omitted());
}

/// T10.1: facts of a wrong type are a rejection, never taken as absent.
#[test]
fn facts_of_a_wrong_type_are_refused() {
    let desk = Desk::new();
    for members in [
        json!({ "acr": 1 }),
        json!({ "auth_time": "yesterday" }),
        json!({ "act": {} }),
        json!({ "act": ["service"] }),
        json!({ "authorization_details": { "type": "payment" } }),
        json!({ "authorization_details": [{ "actions": [] }] }),
    ] {
        assert_eq!(desk.verify_claims(&members).unwrap_err().reason(), "wrong_claim_type", "{members}");
    }
}

/// O12: the holder of a good signature learns the times and the audience.
#[test]
fn times_and_audiences_are_named_in_the_rejection() {
    let desk = Desk::new();
    let expired = desk.verify_claims(&json!({ "exp": NOW - 300 })).unwrap_err().to_string();
    let text =
        "the token expired at 2026-09-21T14:10:00Z, 5m ago by this server's clock (2026-09-21T14:15:00Z)";
    assert_eq!(expired, text);
    let other = desk.verify_claims(&json!({ "aud": "other" })).unwrap_err().to_string();
    assert_eq!(other, "expected the audience `https://api.example`, found `other`");
}
