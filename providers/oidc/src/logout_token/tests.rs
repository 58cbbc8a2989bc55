use scopegate_provider::{BearerToken, ProviderName};
use scopegate_testkit::{MintKey, key_set};
use serde_json::json;

use super::*;
use crate::key_set::KeySet;

const ISSUER: &str = "https://idp.example";
const NOW: i64 = 1_790_000_000;

fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "u-17", "sid": "s-1", "aud": "client-1", "jti": "j-1", "iat": NOW, "exp": NOW + 120,
        "events": { LOGOUT_EVENT: {} },
    })
}

fn check_typed(typ: Option<&str>, claims: &Value) -> Result<Signal, Rejection> {
    let key = MintKey::es256("k1");
    let rules = TokenRules::new(ProviderName::parse("p").unwrap(), Issuer::parse(ISSUER).unwrap());
    let mut header = key.header();
    match typ {
        Some(typ) => header["typ"] = json!(typ),
        None => drop(header.as_object_mut().unwrap().remove("typ")),
    }
    let token = BearerToken::parse(&key.token_with(&header, claims)).unwrap();
    let admitted = rules.admit_logout(Jwt::parse(&token)?)?;
    let keys = KeySet::parse(key_set(&[&key]).to_string().as_bytes(), &rules.algorithms).unwrap();
    let candidates = keys.find(admitted.key_id(), admitted.algorithm()).unwrap();
    rules.validate_logout(&admitted.check_signature(&candidates)?, "client-1", Timestamp::from_seconds(NOW))
}

fn check(claims: &Value) -> Result<Signal, Rejection> {
    check_typed(Some("logout+jwt"), claims)
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn target(claims: &Value) -> SignalTarget {
    match check(claims).unwrap().effect {
        SignalEffect::Withdraw(mut found) => found.pop().unwrap().target,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_session_is_withdrawn_also_beside_a_subject_and_else_the_subject() {
    assert_eq!(target(&claims()), SignalTarget::Session(SessionId::parse("s-1").unwrap()));
    assert_eq!(target(&without("sub")), SignalTarget::Session(SessionId::parse("s-1").unwrap()));
    assert_eq!(target(&without("sid")), SignalTarget::Subject(Subject::parse("u-17").unwrap()));
}

/// T5.7: tokens of a login after the logout are not withdrawn, however late the logout token arrives.
#[test]
fn the_moment_is_that_of_the_logout() {
    let SignalEffect::Withdraw(found) = check(&with("iat", json!(NOW - 60))).unwrap().effect else {
        panic!()
    };
    assert_eq!(found[0].issued_before, Some(Timestamp::from_seconds(NOW - 59)));
}

#[test]
fn the_types_that_providers_send_are_taken_and_no_others() {
    for typ in [Some("logout+jwt"), Some("JWT"), None, Some("application/logout+jwt")] {
        assert!(check_typed(typ, &claims()).is_ok(), "{typ:?}");
    }
    for typ in ["at+jwt", "secevent+jwt", "dpop+jwt", "id_token"] {
        assert!(matches!(check_typed(Some(typ), &claims()), Err(Rejection::TypeNotAllowed { .. })), "{typ}");
    }
}

/// T5.2: the logout event is an object.
#[test]
fn an_event_that_is_not_an_object_is_refused() {
    for events in [
        json!({ LOGOUT_EVENT: null }),
        json!({ LOGOUT_EVENT: [] }),
        json!({ LOGOUT_EVENT: "" }),
        json!({ LOGOUT_EVENT: true }),
        json!({}),
        json!([LOGOUT_EVENT]),
        json!(null),
    ] {
        let refused = check(&with("events", events.clone()));
        assert!(matches!(refused, Err(Rejection::WrongType { .. })), "{events}");
    }
    let keycloak = json!({ LOGOUT_EVENT: {}, "revoke_offline_access": true });
    assert!(check(&with("events", keycloak)).is_ok());
}

/// T5.3: the mere presence of `nonce` refuses a token, whatever its value.
#[test]
fn a_nonce_of_any_value_is_refused() {
    for nonce in [json!(""), json!("n"), json!(null), json!(0)] {
        assert!(matches!(check(&with("nonce", nonce)), Err(Rejection::Malformed { .. })));
    }
}

/// T5.4: an ID token or access token is not a logout token.
#[test]
fn an_id_token_or_access_token_is_refused() {
    assert!(matches!(check_typed(Some("JWT"), &without("events")), Err(Rejection::WrongType { .. })));
    assert!(matches!(check_typed(Some("at+jwt"), &without("events")), Err(Rejection::TypeNotAllowed { .. })));
}

/// T5.5: a token of another issuer or for another client is refused.
#[test]
fn a_token_of_another_issuer_or_for_another_client_is_refused() {
    let other = with("iss", json!("https://idp.example/"));
    assert!(matches!(check(&other), Err(Rejection::IssuerMismatch { .. })));
    for audience in [json!("items-api"), json!([]), json!(["a", "b"])] {
        assert!(matches!(check(&with("aud", audience)), Err(Rejection::AudienceMismatch { .. })));
    }
    assert!(check(&with("aud", json!(["other", "client-1"]))).is_ok());
}

#[test]
fn a_token_without_a_required_claim_is_refused() {
    for claim in ["iat", "exp", "jti"] {
        let refused = check(&without(claim));
        assert!(matches!(refused, Err(Rejection::MissingClaim { .. })), "{claim}: {refused:?}");
    }
    let mut neither = without("sid");
    neither.as_object_mut().unwrap().remove("sub");
    assert!(matches!(check(&neither), Err(Rejection::MissingClaim { .. })));
}

#[test]
fn an_expired_token_and_one_of_the_future_are_refused() {
    assert!(matches!(check(&with("exp", json!(NOW - 30))), Err(Rejection::Expired { .. })));
    assert!(matches!(check(&with("iat", json!(NOW + 31))), Err(Rejection::IssuedInFuture { .. })));
}

/// The shapes of Keycloak, Auth0, Hydra, Zitadel and Authentik.
#[test]
fn the_shapes_of_known_providers_are_taken() {
    let auth0 = json!({ "trace_id": "81b336a94a4a5707" });
    let keycloak = json!({ "typ": "Logout", "events": { LOGOUT_EVENT: {}, "revoke_offline_access": true } });
    let zitadel = json!({ "aud": ["client-1", "project"], "sid": "V1_123" });
    let authentik = json!({ "sid": "e3b0c442" });
    for (typ, shape) in [
        (Some("JWT"), auth0),
        (Some("JWT"), keycloak),
        (Some("logout+jwt"), zitadel),
        (Some("logout+jwt"), authentik),
    ] {
        let mut claims = claims();
        claims.as_object_mut().unwrap().extend(shape.as_object().unwrap().clone());
        assert!(check_typed(typ, &claims).is_ok(), "{shape}");
    }
    let mut hydra = without("sub");
    hydra["aud"] = json!(["client-1"]);
    assert!(check_typed(None, &hydra).is_ok());
}
