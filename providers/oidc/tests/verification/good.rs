//! What good tokens become, and how far the rules reach.

use std::time::Duration;

use jsonwebtoken::Algorithm as Jwa;
use scopegate_oidc::{Algorithm, KeySet, RequiredClaim, TokenType, TokenUse};
use scopegate_provider::{Audience, ClaimPath, Issuer, Principal, Rejection, Role, Scope, Timestamp};
use scopegate_testkit::{MintKey, key_set};
use serde_json::{Value, json};

use crate::desk::{AUDIENCE, Desk, ISSUER, NOW, claims, expired, good_claims, keys_of, missing};

fn scopes(principal: &Principal) -> String {
    principal.scopes().to_string()
}

fn roles(principal: &Principal) -> Vec<&str> {
    principal.roles().iter().map(Role::as_str).collect()
}

fn path(text: &str) -> ClaimPath {
    ClaimPath::parse(text).unwrap()
}

#[test]
fn a_principal_says_what_the_token_says() {
    let desk = Desk::new();
    let principal = desk.verify_claims(&json!({"sid": "s1"})).unwrap();
    assert_eq!(principal.provider().as_str(), "test");
    assert_eq!(principal.issuer().as_str(), ISSUER);
    assert_eq!(principal.subject().unwrap().as_str(), "alice");
    assert_eq!(principal.client().unwrap().as_str(), "client");
    assert_eq!(principal.audience(), [Audience::parse(AUDIENCE).unwrap()]);
    assert_eq!(scopes(&principal), "items items:write");
    assert_eq!(principal.token_id().unwrap().as_str(), "t1");
    assert_eq!(principal.session().unwrap().as_str(), "s1");
    assert_eq!(principal.issued_at(), Some(Timestamp::from_seconds(NOW - 60)));
    assert_eq!(principal.expires_at(), Timestamp::from_seconds(NOW + 3600));
}

#[test]
fn a_principals_claims_are_the_signed_bytes() {
    let desk = Desk::new();
    let text = good_claims().to_string().replace(",\"", " ,\n \"");
    let token = desk.ec.raw_token(desk.ec.header().to_string().as_bytes(), text.as_bytes());
    assert_eq!(desk.verify(&token).unwrap().claims().as_json(), text.as_bytes());
}

#[test]
fn every_algorithm_that_the_settings_name_is_taken() {
    for algorithm in [
        Jwa::RS256,
        Jwa::RS384,
        Jwa::RS512,
        Jwa::PS256,
        Jwa::PS384,
        Jwa::PS512,
        Jwa::ES256,
        Jwa::ES384,
        Jwa::EdDSA,
    ] {
        let mut desk = Desk::new();
        let key = MintKey::of(algorithm, "k");
        desk.rules.algorithms = Algorithm::ALL.to_vec();
        desk.keys = keys_of(&[&key]);
        assert!(desk.verify(&key.token(&good_claims())).is_ok(), "{algorithm:?}");
    }
}

#[test]
fn without_a_kid_the_only_fitting_key_is_tried() {
    let desk = Desk::new();
    for key in [&desk.rsa, &desk.ec, &desk.ed] {
        assert!(desk.verify(&key.called(None).token(&good_claims())).is_ok(), "{:?}", key.algorithm());
    }
}

#[test]
fn of_two_keys_with_one_kid_the_one_that_signed_counts() {
    let mut desk = Desk::new();
    let twin = MintKey::es256("ec");
    desk.keys = keys_of(&[&desk.ec, &twin]);
    for key in [&desk.ec, &twin] {
        assert!(desk.verify(&key.token(&good_claims())).is_ok());
    }
}

#[test]
fn a_key_without_alg_serves_every_allowed_algorithm_of_its_type() {
    let mut desk = Desk::new();
    let mut set = key_set(&[&desk.rsa]);
    set["keys"][0].as_object_mut().unwrap().remove("alg");
    desk.keys = KeySet::parse(set.to_string().as_bytes(), &desk.rules.algorithms).unwrap();
    for algorithm in [Jwa::RS256, Jwa::PS256] {
        assert!(desk.verify(&MintKey::rsa(0, algorithm, "rsa").token(&good_claims())).is_ok());
    }
    let token = MintKey::rsa(0, Jwa::RS512, "rsa").token(&good_claims());
    assert_eq!(desk.verify(&token).unwrap_err(), Rejection::AlgorithmNotAllowed { found: "RS512".into() });
}

#[test]
fn typ_is_compared_without_case_and_without_its_prefix() {
    let desk = Desk::new();
    for typ in ["JWT", "jwt", "Jwt", "at+jwt", "AT+JWT", "application/at+jwt", "Application/JWT"] {
        let mut header = desk.ec.header();
        header["typ"] = typ.into();
        assert!(desk.verify(&desk.ec.token_with(&header, &good_claims())).is_ok(), "{typ}");
    }
    let mut header = desk.ec.header();
    header.as_object_mut().unwrap().remove("typ");
    assert!(desk.verify(&desk.ec.token_with(&header, &good_claims())).is_ok());
}

#[test]
fn no_typ_is_refused_where_the_settings_want_one() {
    let mut desk = Desk::new();
    desk.rules.token_types = vec![TokenType::parse("at+jwt")];
    let token = desk.ec.token_with(&json!({"alg": "ES256", "kid": "ec"}), &good_claims());
    assert_eq!(desk.verify(&token).unwrap_err(), Rejection::TypeNotAllowed { found: "none".into() });
}

#[test]
fn unknown_header_parameters_are_ignored() {
    let desk = Desk::new();
    let mut header = desk.ec.header();
    header["x"] = json!({"a": [1, 2]});
    header["cty"] = json!("JWT");
    header["x5t"] = json!("qAT4VOkVJ_O_BO1aC3UXmS6hLG4");
    assert!(desk.verify(&desk.ec.token_with(&header, &good_claims())).is_ok());
}

#[test]
fn a_token_is_taken_until_expiry_and_leeway_have_passed() {
    let desk = Desk::new();
    let (token, edge) = (desk.ec.token(&good_claims()), NOW + 3600 + desk.leeway());
    assert!(desk.verify_at(&token, edge - 1).is_ok());
    assert!(matches!(desk.verify_at(&token, edge).unwrap_err(), Rejection::Expired { .. }));
}

#[test]
fn invariant_4_a_principal_is_kept_no_longer_than_its_token_is_taken() {
    let desk = Desk::new();
    let principal = desk.verify_claims(&json!({})).unwrap();
    assert_eq!(principal.cache_until(), principal.expires_at() + desk.rules.leeway);
}

#[test]
fn a_token_from_the_near_future_is_taken_within_the_leeway() {
    let desk = Desk::new();
    let soon = NOW + desk.leeway();
    assert!(desk.verify_claims(&json!({"nbf": soon, "iat": soon})).is_ok());
}

#[test]
fn a_token_without_nbf_and_iat_is_taken() {
    let desk = Desk::new();
    let principal = desk.verify_claims(&json!({"nbf": null, "iat": null})).unwrap();
    assert_eq!(principal.issued_at(), None);
}

#[test]
fn a_numeric_date_may_have_a_fraction() {
    let desk = Desk::new();
    let principal = desk.verify_claims(&json!({"exp": 1_790_003_600.25, "iat": 1_790_000_000.5})).unwrap();
    assert_eq!(principal.expires_at(), Timestamp::from_millis(1_790_003_600_250));
    assert_eq!(principal.issued_at(), Some(Timestamp::from_millis(1_790_000_000_500)));
}

#[test]
fn a_token_may_live_exactly_as_long_as_allowed() {
    let desk = Desk::new();
    let lifetime = i64::try_from(desk.rules.max_token_lifetime.as_secs()).unwrap();
    assert!(desk.verify_claims(&json!({"iat": NOW, "exp": NOW + lifetime})).is_ok());
    let latest = NOW + desk.leeway() + lifetime;
    assert!(desk.verify_claims(&json!({"iat": null, "exp": latest})).is_ok());
}

#[test]
fn one_audience_of_several_suffices_and_all_are_kept() {
    let desk = Desk::new();
    let principal = desk.verify_claims(&json!({"aud": ["https://other.example", AUDIENCE]})).unwrap();
    assert_eq!(principal.audience().len(), 2);
}

#[test]
fn nesting_up_to_the_limit_is_taken() {
    let desk = Desk::new();
    let deep = (0..15).fold(json!(1), |inner, _| json!([inner]));
    assert!(desk.verify_claims(&json!({ "x": deep })).is_ok());
}

#[test]
fn a_token_without_a_subject_is_taken() {
    let desk = Desk::new();
    assert_eq!(desk.verify_claims(&json!({"sub": null})).unwrap().subject(), None);
}

#[test]
fn an_issuers_token_is_judged_under_each_of_the_providers_issuers() {
    let mut desk = Desk::new();
    let custom = "https://login.example/";
    desk.rules.issuers.push(Issuer::parse(custom).unwrap());
    assert_eq!(desk.verify_claims(&json!({"iss": custom})).unwrap().issuer().as_str(), custom);
    assert!(desk.verify_claims(&json!({})).is_ok());
}

#[test]
fn allowed_clients_add_to_the_audience() {
    let mut desk = Desk::new();
    desk.allow_clients(&["client"]);
    assert!(desk.verify_claims(&json!({})).is_ok());
    assert_eq!(desk.verify_claims(&json!({"aud": null})).unwrap_err(), missing("aud"));
    let refused = desk.verify_claims(&json!({"client_id": "other"})).unwrap_err();
    assert_eq!(refused, Rejection::ClientNotAllowed { found: "other".into() });
    assert_eq!(desk.verify_claims(&json!({"client_id": null})).unwrap_err(), missing("client_id"));
}

#[test]
fn invariant_3_without_audiences_the_client_must_be_allowed_and_the_token_carry_none() {
    let mut desk = Desk::new();
    desk.rules.audiences = Vec::new();
    assert_eq!(desk.verify_claims(&json!({"aud": null})).unwrap_err(), missing("aud"));
    desk.allow_clients(&["client"]);
    assert!(desk.verify_claims(&json!({"aud": null})).is_ok());
    let refused = desk.verify_claims(&json!({})).unwrap_err();
    let expected = Rejection::AudienceMismatch { found: AUDIENCE.into(), expected: "".into(), advice: "" };
    assert_eq!(refused, expected);
}

#[test]
fn the_first_client_claim_that_is_present_counts() {
    let mut desk = Desk::new();
    desk.rules.client_claims = vec![path("cid"), path("azp"), path("/client/id")];
    let client = |changes: Value| desk.verify_claims(&changes).unwrap().client().map(ToString::to_string);
    assert_eq!(client(json!({"azp": "b", "cid": "a"})).as_deref(), Some("a"));
    assert_eq!(client(json!({"azp": "b"})).as_deref(), Some("b"));
    assert_eq!(client(json!({"client": {"id": "c"}})).as_deref(), Some("c"));
    assert_eq!(client(json!({})), None);
}

#[test]
fn scopes_are_the_union_of_the_claims_that_are_present() {
    let mut desk = Desk::new();
    desk.rules.scope_claims = vec![path("scope"), path("scp"), path("/permissions"), path("/a/b")];
    let changes =
        json!({"scope": "x y", "scp": ["y", "z"], "permissions": {"p": {}, "q": 1}, "a": {"b": "deep"}});
    assert_eq!(scopes(&desk.verify_claims(&changes).unwrap()), "deep p q x y z");
    assert_eq!(scopes(&desk.verify_claims(&json!({"scope": null})).unwrap()), "");
}

#[test]
fn a_claim_that_scope_claims_do_not_name_grants_nothing() {
    let desk = Desk::new();
    let principal = desk.verify_claims(&json!({"permissions": ["admin"], "roles": ["admin"]})).unwrap();
    assert_eq!(scopes(&principal), "items items:write");
    assert!(principal.roles().is_empty());
}

#[test]
fn what_is_no_scope_is_left_out_and_never_split() {
    let desk = Desk::new();
    let principal =
        desk.verify_claims(&json!({"scope": null, "scp": ["a b", "c\"", "ä", "ok", ""]})).unwrap();
    assert_eq!(scopes(&principal), "ok");
}

#[test]
fn scopes_get_our_names() {
    let mut desk = Desk::new();
    desk.rules.map_scopes = [("Items Read", "items"), ("api/write", "items:write")]
        .map(|(theirs, ours)| (theirs.into(), Scope::parse(ours).unwrap()))
        .into();
    let principal = desk.verify_claims(&json!({"scope": "api/write other", "scp": ["Items Read"]})).unwrap();
    assert_eq!(scopes(&principal), "items items:write other");
}

#[test]
fn roles_come_from_their_claims_sorted_and_once() {
    let mut desk = Desk::new();
    desk.rules.role_claims = vec![path("/realm_access/roles"), path("cognito:groups"), path("urn:roles")];
    let changes = json!({
        "realm_access": {"roles": ["b", "a b"]}, "cognito:groups": ["b"], "urn:roles": {"c": {}}
    });
    assert_eq!(roles(&desk.verify_claims(&changes).unwrap()), ["a b", "b", "c"]);
}

#[test]
fn a_role_claim_of_the_wrong_type_is_refused() {
    let mut desk = Desk::new();
    desk.rules.role_claims = vec![path("/realm_access/roles")];
    let refused = desk.verify_claims(&json!({"realm_access": {"roles": [1]}})).unwrap_err();
    let expected = "a string, an array of strings, or an object without `false` and `null`";
    assert_eq!(refused, Rejection::WrongType { claim: "/realm_access/roles".into(), expected });
}

#[test]
fn required_claims_must_hold_one_of_the_values() {
    let mut desk = Desk::new();
    desk.rules.required_claims =
        vec![RequiredClaim { path: path("org"), any_of: vec![json!("acme"), json!(7)] }];
    for good in [json!("acme"), json!(7), json!(["x", "acme"])] {
        assert!(desk.verify_claims(&json!({ "org": good })).is_ok());
    }
    for bad in [json!("ACME"), json!("7"), json!(["x"]), json!([]), json!({"acme": 1}), json!([["acme"]])] {
        let refused = desk.verify_claims(&json!({ "org": bad })).unwrap_err();
        assert_eq!(refused, Rejection::RequiredClaim { claim: "org".into() });
    }
    assert_eq!(desk.verify_claims(&json!({})).unwrap_err(), missing("org"));
}

#[test]
fn an_id_token_is_taken_where_the_provider_says_so() {
    let mut desk = Desk::new();
    desk.rules.token_use = TokenUse::Id;
    assert!(desk.verify_claims(&json!({"nonce": "n", "at_hash": "h", "token_use": "id"})).is_ok());
}

#[test]
fn a_claim_named_events_that_is_no_security_event_is_nothing_special() {
    let desk = Desk::new();
    assert!(desk.verify_claims(&json!({"events": ["concert"]})).is_ok());
    assert!(desk.verify_claims(&json!({"events": {"concert": 1}})).is_ok());
}

#[test]
fn the_session_stands_where_the_settings_say() {
    let mut desk = Desk::new();
    desk.rules.session_claim = Some(path("session_id"));
    let principal = desk.verify_claims(&json!({"session_id": "s2", "sid": "s1"})).unwrap();
    assert_eq!(principal.session().unwrap().as_str(), "s2");
    desk.rules.session_claim = None;
    assert_eq!(desk.verify_claims(&json!({"session_id": "s2"})).unwrap().session(), None);
}

#[test]
fn a_leeway_of_nothing_is_exact() {
    let mut desk = Desk::new();
    desk.rules.leeway = Duration::ZERO;
    assert!(desk.verify_claims(&json!({"exp": NOW + 1, "nbf": NOW, "iat": NOW})).is_ok());
    assert_eq!(desk.verify_claims(&json!({"exp": NOW})).unwrap_err(), expired(NOW, NOW));
}

#[test]
fn the_key_that_signed_is_known() {
    let desk = Desk::new();
    let token = scopegate_provider::BearerToken::parse(&desk.ec.called(None).token(&claims(&json!({}))));
    let admitted = desk.rules.admit(scopegate_oidc::Jwt::parse(&token.unwrap()).unwrap()).unwrap();
    let candidates = desk.keys.find(admitted.key_id(), admitted.algorithm()).unwrap();
    assert_eq!(admitted.check_signature(&candidates).unwrap().key().id(), Some("ec"));
}

#[test]
fn invariant_1_a_signature_by_another_issuers_rules_is_not_judged() {
    let desk = Desk::new();
    let mut others = Desk::new();
    others.rules.issuers = vec![Issuer::parse("https://other.example").unwrap()];
    let token = scopegate_provider::BearerToken::parse(&desk.ec.token(&good_claims())).unwrap();
    let admitted = desk.rules.admit(scopegate_oidc::Jwt::parse(&token).unwrap()).unwrap();
    let candidates = desk.keys.find(admitted.key_id(), admitted.algorithm()).unwrap();
    let signed = admitted.check_signature(&candidates).unwrap();
    let refused = others.rules.validate(signed, Timestamp::from_seconds(NOW)).unwrap_err();
    assert!(matches!(refused, Rejection::IssuerMismatch { .. }), "{refused}");
}
