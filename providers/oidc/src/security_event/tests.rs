use scopegate_provider::{BearerToken, ProviderName};
use scopegate_testkit::{MintKey, key_set};
use serde_json::json;

use super::*;
use crate::key_set::KeySet;

const ISSUER: &str = "https://idp.example";
const NOW: i64 = 1_790_000_000;
const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";
const SSF: &str = "https://schemas.openid.net/secevent/ssf/event-type/";

fn rules() -> TokenRules {
    TokenRules::new(ProviderName::parse("p").unwrap(), Issuer::parse("https://tokens.example/").unwrap())
}

fn settings(more: &Value) -> SharedSignals {
    let mut settings = json!({ "issuer": ISSUER, "audience": "https://api.example/ssf" });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(settings).unwrap()
}

fn claims(event: &str, subject: &Value) -> Value {
    json!({
        "iss": ISSUER, "aud": "https://api.example/ssf", "jti": "b7c1", "iat": NOW, "sub_id": subject,
        "events": { event: { "event_timestamp": NOW - 10 } },
    })
}

fn user() -> Value {
    json!({ "format": "iss_sub", "iss": ISSUER, "sub": "u-17" })
}

fn receive_with(
    settings: &SharedSignals,
    critical: &[Box<str>],
    typ: Option<&str>,
    claims: &Value,
) -> Result<Signal, Rejection> {
    let key = MintKey::es256("k1");
    let rules = rules();
    let issuer = Issuer::parse(ISSUER).unwrap();
    let receiver = Receiver { rules: &rules, settings, issuer: &issuer, critical, tokens_name_session: true };
    let mut header = key.header();
    match typ {
        Some(typ) => header["typ"] = json!(typ),
        None => drop(header.as_object_mut().unwrap().remove("typ")),
    }
    let token = BearerToken::parse(&key.token_with(&header, claims)).unwrap();
    let admitted = receiver.admit(Jwt::parse(&token)?)?;
    let keys = KeySet::parse(key_set(&[&key]).to_string().as_bytes(), &rules.algorithms).unwrap();
    let candidates = keys.find(admitted.key_id(), admitted.algorithm()).unwrap();
    receiver.validate(&admitted.check_signature(&candidates)?, Timestamp::from_seconds(NOW))
}

fn receive(claims: &Value) -> Result<Signal, Rejection> {
    receive_with(&settings(&json!({})), &[], Some("secevent+jwt"), claims)
}

fn effect(claims: &Value) -> SignalEffect {
    receive(claims).unwrap().effect
}

fn withdrawn(target: SignalTarget) -> SignalEffect {
    let issued_before = Some(Timestamp::from_seconds(NOW - 9));
    SignalEffect::Withdraw(vec![Withdrawal { target, issued_before }])
}

fn subject_named(name: &str) -> SignalTarget {
    SignalTarget::Subject(Subject::parse(name).unwrap())
}

fn session_named(id: &str) -> SignalTarget {
    SignalTarget::Session(SessionId::parse(id).unwrap())
}

#[test]
fn each_subject_format_names_its_tokens() {
    let event = format!("{CAEP}session-revoked");
    let session = json!({ "format": "opaque", "id": "s-1" });
    for (subject, target) in [
        (user(), subject_named("u-17")),
        (
            json!({ "format": "iss_sub", "iss": "https://tokens.example/", "sub": "u-17" }),
            subject_named("u-17"),
        ),
        (
            json!({ "subject_type": "iss-sub", "iss": "https://idp.example/", "sub": "u-17" }),
            subject_named("u-17"),
        ),
        (
            json!({ "format": "jwt_id", "iss": ISSUER, "jti": "t-1" }),
            SignalTarget::TokenId(TokenId::parse("t-1").unwrap()),
        ),
        (json!({ "format": "complex", "user": user(), "session": session }), session_named("s-1")),
        (json!({ "format": "complex", "session": session }), session_named("s-1")),
        (json!({ "user": user() }), subject_named("u-17")),
        (json!({ "format": "complex", "user": user(), "device": session }), subject_named("u-17")),
        (
            json!({ "format": "aliases", "identifiers": [{ "format": "uri", "uri": "x:y" }, user()] }),
            subject_named("u-17"),
        ),
    ] {
        assert_eq!(effect(&claims(&event, &subject)), withdrawn(target), "{subject}");
    }
}

/// An opaque subject of `session-revoked` may be that of a session; of other events it is a user.
#[test]
fn an_opaque_subject_names_a_user_and_where_a_session_is_revoked_a_session_too() {
    let opaque = json!({ "format": "opaque", "id": "u-17" });
    let both = [subject_named("u-17"), session_named("u-17")];
    let issued_before = Some(Timestamp::from_seconds(NOW - 9));
    let both = both.map(|target| Withdrawal { target, issued_before });
    assert_eq!(
        effect(&claims(&format!("{CAEP}session-revoked"), &opaque)),
        SignalEffect::Withdraw(both.into())
    );
    let disabled = effect(&claims(&format!("{RISC}account-disabled"), &opaque));
    assert_eq!(disabled, withdrawn(subject_named("u-17")));
}

#[test]
fn each_event_has_its_effect() {
    let compliance = json!({ "current_status": "not-compliant" });
    let credential = |kind: &str, change: &str| json!({ "credential_type": kind, "change_type": change });
    for (event, members, revokes) in [
        (format!("{CAEP}session-revoked"), json!({}), Ok(())),
        (format!("{CAEP}token-claims-change"), json!({ "claims": { "role": "x" } }), Ok(())),
        (format!("{CAEP}credential-change"), credential("pin", "revoke"), Ok(())),
        (format!("{CAEP}credential-change"), credential("password", "update"), Ok(())),
        (format!("{CAEP}credential-change"), credential("pin", "update"), Err(NoEffect::Harmless)),
        (format!("{CAEP}credential-change"), credential("pin", "create"), Err(NoEffect::Harmless)),
        (format!("{CAEP}assurance-level-change"), json!({ "change_direction": "decrease" }), Ok(())),
        (
            format!("{CAEP}assurance-level-change"),
            json!({ "change_direction": "increase" }),
            Err(NoEffect::Harmless),
        ),
        (format!("{CAEP}device-compliance-change"), compliance, Ok(())),
        (format!("{CAEP}session-presented"), json!({}), Err(NoEffect::AuditOnly)),
        (format!("{RISC}account-disabled"), json!({ "reason": "hijacking" }), Ok(())),
        (format!("{RISC}sessions-revoked"), json!({}), Ok(())),
        (format!("{RISC}account-enabled"), json!({}), Err(NoEffect::AuditOnly)),
        ("https://other.example/session-revoked".to_owned(), json!({}), Err(NoEffect::UnknownEvent)),
    ] {
        let mut claims = claims(&event, &user());
        claims["events"][&event] = members;
        let found = match effect(&claims) {
            SignalEffect::Withdraw(_) => Ok(()),
            SignalEffect::Nothing(reason) => Err(reason),
            other => panic!("{other:?}"),
        };
        assert_eq!(found, revokes, "{event}");
    }
}

#[test]
fn settings_change_the_effect_of_an_event() {
    let settings = settings(&json!({ "events": {
        "session-revoked": "audit", "account-disabled": "block", "https://other.example/gone": "revoke",
    } }));
    let find = |event: &str| {
        receive_with(&settings, &[], Some("secevent+jwt"), &claims(event, &user())).unwrap().effect
    };
    assert_eq!(find(&format!("{CAEP}session-revoked")), SignalEffect::Nothing(NoEffect::AuditOnly));
    assert_eq!(find("https://other.example/gone"), withdrawn(subject_named("u-17")));
    let block = Withdrawal { target: subject_named("u-17"), issued_before: None };
    assert_eq!(find(&format!("{RISC}account-disabled")), SignalEffect::Withdraw(vec![block]));
}

/// T6.1: an event for another receiver is refused, and so is one for any receiver.
#[test]
fn an_event_for_another_receiver_is_refused() {
    let mut event = claims(&format!("{CAEP}session-revoked"), &user());
    for audience in [json!("https://other.example"), json!([]), json!(null)] {
        event["aud"] = audience;
        let refused = receive(&event).unwrap_err();
        assert!(
            matches!(refused, Rejection::AudienceMismatch { .. } | Rejection::WrongType { .. }),
            "{refused:?}"
        );
    }
    event.as_object_mut().unwrap().remove("aud");
    assert!(matches!(receive(&event), Err(Rejection::AudienceMismatch { .. })));
    event["aud"] = json!(["https://other.example", "https://api.example/ssf"]);
    assert!(receive(&event).is_ok());
}

/// T6.2: `exp` and `sub`, which a logout token has, make no security event.
#[test]
fn a_security_event_has_neither_expiry_nor_subject_claim() {
    for claim in ["exp", "sub"] {
        let mut event = claims(&format!("{CAEP}session-revoked"), &user());
        event[claim] = json!(NOW + 60);
        assert!(matches!(receive(&event), Err(Rejection::Malformed { .. })), "{claim}");
    }
}

/// T6.3: milliseconds are not read as seconds, and no event locks a user out for good.
#[test]
fn a_moment_in_milliseconds_is_understood_and_none_lies_after_the_token() {
    let event = format!("{CAEP}session-revoked");
    for (moment, before) in [
        (json!(NOW * 1000), NOW + 1),
        (json!(NOW + 1_000_000), NOW + 31),
        (json!(253_402_300_799_i64), 253_402_301),
        (json!(1e300), NOW + 31),
    ] {
        let mut claims = claims(&event, &user());
        claims["events"][&event]["event_timestamp"] = moment.clone();
        let SignalEffect::Withdraw(found) = effect(&claims) else { panic!("{moment}") };
        assert_eq!(found[0].issued_before, Some(Timestamp::from_seconds(before.min(NOW + 31))), "{moment}");
    }
}

/// T6.4: an email address matches only if the settings take it.
#[test]
fn an_email_address_names_a_subject_only_by_setting() {
    let claims =
        claims(&format!("{CAEP}session-revoked"), &json!({ "format": "email", "email": "Ada@Acme.Example" }));
    assert_eq!(effect(&claims), SignalEffect::Nothing(NoEffect::EmailNotEnabled));
    let found =
        receive_with(&settings(&json!({ "email": true })), &[], Some("secevent+jwt"), &claims).unwrap();
    assert_eq!(found.effect, withdrawn(subject_named("ada@acme.example")));
}

/// T6.5: a transmitter does not speak for the subjects of another issuer.
#[test]
fn a_subject_of_another_issuer_is_not_touched() {
    let subject = json!({ "format": "iss_sub", "iss": "https://other.example", "sub": "u-17" });
    let foreign = effect(&claims(&format!("{CAEP}session-revoked"), &subject));
    assert_eq!(foreign, SignalEffect::Nothing(NoEffect::ForeignSubject));
}

/// T6.6: two subjects that differ are refused.
#[test]
fn two_subjects_that_differ_are_refused() {
    let event = format!("{CAEP}session-revoked");
    let mut claims = claims(&event, &user());
    claims["events"][&event]["subject"] = user();
    assert_eq!(effect(&claims), withdrawn(subject_named("u-17")));
    claims["events"][&event]["subject"]["sub"] = json!("u-18");
    assert!(matches!(receive(&claims), Err(Rejection::Malformed { .. })));
}

/// T6.7: only `typ: secevent+jwt` makes a security event.
#[test]
fn another_type_is_no_security_event() {
    let claims = claims(&format!("{CAEP}session-revoked"), &user());
    for typ in [None, Some("JWT"), Some("at+jwt"), Some("logout+jwt")] {
        let refused = receive_with(&settings(&json!({})), &[], typ, &claims);
        assert!(matches!(refused, Err(Rejection::TypeNotAllowed { .. })), "{typ:?}");
    }
}

/// T6.8: the state of the stream is read.
#[test]
fn the_stream_speaks_of_itself() {
    let stream = json!({ "format": "opaque", "id": "stream-1" });
    let mut updated = claims(&format!("{SSF}stream-updated"), &stream);
    updated["events"] = json!({ format!("{SSF}stream-updated"): { "status": "disabled", "reason": "x" } });
    assert_eq!(effect(&updated), SignalEffect::StreamUpdated(StreamStatus::Disabled));
    let mut verified = claims(&format!("{SSF}verification"), &stream);
    verified["events"] = json!({ format!("{SSF}verification"): { "state": "abc" } });
    assert_eq!(effect(&verified), SignalEffect::Verification { state: Some("abc".into()) });
}

#[test]
fn a_critical_member_that_is_not_understood_discards_the_event() {
    let device = json!({ "format": "opaque", "id": "d-1" });
    let subject = json!({ "format": "complex", "user": user(), "device": device });
    let claims = claims(&format!("{CAEP}session-revoked"), &subject);
    let found =
        receive_with(&settings(&json!({})), &["device".into()], Some("secevent+jwt"), &claims).unwrap();
    assert_eq!(found.effect, SignalEffect::Nothing(NoEffect::CriticalMember));
}

#[test]
fn events_in_a_string_are_refused() {
    let mut claims = claims(&format!("{CAEP}session-revoked"), &user());
    claims["events"] = json!("{}");
    assert!(matches!(receive(&claims), Err(Rejection::WrongType { .. })));
}

/// Okta: the subject inside the event, in milliseconds.
#[test]
fn an_event_as_okta_sends_it_is_taken() {
    let event = format!("{CAEP}session-revoked");
    let subject = json!({ "user": { "format": "iss_sub", "iss": ISSUER, "sub": "00u1" } });
    let claims = json!({
        "iss": ISSUER, "aud": "https://api.example/ssf", "jti": "24c6", "iat": NOW,
        "events": { event: {
            "subject": subject, "event_timestamp": (NOW - 10) * 1000, "reason_admin": { "en": "User logout from Okta" },
        } },
    });
    assert_eq!(effect(&claims), withdrawn(subject_named("00u1")));
}
