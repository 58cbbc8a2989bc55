//! Introspection answers are checked like tokens.

use scopegate_oidc::{Introspected, RequiredMembers};
use scopegate_provider::{Issuer, Principal, Proof, Rejection, Timestamp};
use serde_json::{Value, json};

use crate::desk::{AUDIENCE, Desk, ISSUER, NOW, claims, expired, not_yet_valid, other_audience};

const KEPT_UNTIL: Timestamp = Timestamp::from_seconds(NOW + 60);

fn validate(desk: &Desk, changes: &Value, required: RequiredMembers) -> Result<Principal, Rejection> {
    let mut answer = claims(changes);
    if changes.get("active").is_none() {
        answer["active"] = true.into();
    }
    let answer = Introspected {
        claims: answer.as_object().unwrap().clone(),
        issuer: Issuer::parse(ISSUER).unwrap(),
        required,
        cache_until: KEPT_UNTIL,
        proof: Proof::default(),
    };
    desk.rules.validate_introspection(&answer, Timestamp::from_seconds(NOW))
}

fn refuse(changes: &Value) -> Rejection {
    validate(&Desk::new(), changes, RequiredMembers::ALL).unwrap_err()
}

#[test]
fn an_active_answer_becomes_a_principal_that_is_kept_as_long_as_allowed() {
    let principal = validate(&Desk::new(), &json!({"token_type": "Bearer"}), RequiredMembers::ALL).unwrap();
    assert_eq!(principal.cache_until(), KEPT_UNTIL);
    assert_eq!(principal.expires_at(), Timestamp::from_seconds(NOW + 3600));
    assert_eq!(principal.scopes().to_string(), "items items:write");
}

#[test]
fn invariant_4_an_answer_is_never_kept_longer_than_its_token_is_valid() {
    let desk = Desk::new();
    let principal = validate(&desk, &json!({"exp": NOW + 5}), RequiredMembers::ALL).unwrap();
    assert_eq!(principal.cache_until(), Timestamp::from_seconds(NOW + 5) + desk.rules.leeway);
}

#[test]
fn only_the_boolean_true_is_active() {
    for active in [json!(false), json!("true"), json!(1), json!([true])] {
        assert_eq!(refuse(&json!({ "active": active })), Rejection::Inactive);
    }
}

#[test]
fn invariant_3_another_issuer_audience_or_time_is_refused() {
    let found = "https://other.example".into();
    assert_eq!(
        refuse(&json!({"iss": "https://other.example"})),
        Rejection::IssuerMismatch { expected: ISSUER.into(), found }
    );
    assert_eq!(refuse(&json!({"aud": "https://other.example"})), other_audience("https://other.example"));
    assert_eq!(refuse(&json!({"exp": NOW - 60})), expired(NOW - 60, NOW));
    assert_eq!(refuse(&json!({"nbf": NOW + 60})), not_yet_valid(NOW + 60));
    assert_eq!(
        refuse(&json!({"exp": "1790003600"})),
        Rejection::WrongType { claim: "exp".into(), expected: "a number of seconds since 1970" }
    );
}

/// V5: the message speaks of the answer and of the setting, not of a claim of the token.
#[test]
fn invariant_3_issuer_audience_and_expiry_are_required_unless_the_settings_say_otherwise() {
    for member in ["iss", "aud", "exp"] {
        assert_eq!(refuse(&json!({ member: null })), Rejection::MissingMember { member });
    }
    let none = RequiredMembers { issuer: false, audience: false, expiry: false };
    let bare = json!({"iss": null, "aud": null, "exp": null});
    let principal = validate(&Desk::new(), &bare, none).unwrap();
    assert_eq!(principal.issuer().as_str(), ISSUER);
    assert_eq!(principal.expires_at(), KEPT_UNTIL);
    assert_eq!(principal.cache_until(), KEPT_UNTIL);
}

#[test]
fn members_that_are_not_required_are_checked_when_they_are_there() {
    let none = RequiredMembers { issuer: false, audience: false, expiry: false };
    let refused = validate(&Desk::new(), &json!({"aud": "x"}), none).unwrap_err();
    assert_eq!(refused, other_audience("x"));
    let refused = validate(&Desk::new(), &json!({"exp": NOW - 60}), none).unwrap_err();
    assert_eq!(refused, expired(NOW - 60, NOW));
}

#[test]
fn a_token_that_must_be_proved_is_refused() {
    assert_eq!(refuse(&json!({"token_type": "DPoP"})), Rejection::SenderConstrained);
    assert_eq!(refuse(&json!({"cnf": {"jkt": "x"}})), Rejection::SenderConstrained);
}

#[test]
fn a_refresh_token_is_refused() {
    for changes in [json!({"token_use": "refresh_token"}), json!({"token_type": "refresh_token"})] {
        assert_eq!(refuse(&changes), Rejection::TypeNotAllowed { found: "refresh_token".into() });
    }
}

#[test]
fn the_answer_may_name_any_issuer_of_the_provider() {
    let mut desk = Desk::new();
    desk.rules.issuers.push(Issuer::parse("https://login.example/").unwrap());
    let principal = validate(&desk, &json!({"iss": "https://login.example/"}), RequiredMembers::ALL).unwrap();
    assert_eq!(principal.issuer().as_str(), "https://login.example/");
    assert_eq!(principal.audience()[0].as_str(), AUDIENCE);
}
