//! Against jsonwebtoken's own `decode`: what we take, it takes; what it takes and we refuse is listed here.

use std::{sync::LazyLock, time::SystemTime};

use jsonwebtoken::{DecodingKey, Validation, decode, jwk::Jwk};
use proptest::{collection::vec, prelude::*, sample::select};
use scopegate_provider::{Principal, Rejection, Timestamp};
use scopegate_testkit::MintKey;
use serde_json::{Value, json};

use crate::desk::{AUDIENCE, Desk, ISSUER};

static DESK: LazyLock<Desk> = LazyLock::new(Desk::new);

fn now() -> i64 {
    i64::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap()
}

/// jsonwebtoken's verdict under settings that are as strict as it knows.
fn theirs(desk: &Desk, key: &MintKey, token: &str) -> Result<Value, jsonwebtoken::errors::Error> {
    let jwk: Jwk = serde_json::from_value(key.jwk()).unwrap();
    let mut validation = Validation::new(key.algorithm());
    validation.leeway = desk.rules.leeway.as_secs();
    validation.validate_nbf = true;
    validation.set_audience(&[AUDIENCE]);
    validation.set_issuer(&[ISSUER]);
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    decode::<Value>(token, &DecodingKey::from_jwk(&jwk).unwrap(), &validation).map(|data| data.claims)
}

fn ours(desk: &Desk, token: &str) -> Result<Principal, Rejection> {
    desk.verify_at(token, now())
}

fn good_claims() -> Value {
    json!({"iss": ISSUER, "sub": "alice", "aud": AUDIENCE, "iat": now() - 60, "exp": now() + 3600})
}

/// What we refuse although jsonwebtoken takes it. Anything else that only one of the two takes fails the test.
fn known_divergence(rejection: &Rejection) -> bool {
    matches!(
        rejection,
        Rejection::CriticalHeader
            | Rejection::DuplicateMember { .. }
            | Rejection::Encrypted
            | Rejection::IdToken
            | Rejection::IssuedInFuture { .. }
            | Rejection::LifetimeTooLong
            | Rejection::SenderConstrained
            | Rejection::TypeNotAllowed { .. }
            | Rejection::WrongType { .. }
    )
}

fn agree(desk: &Desk, key: &MintKey, token: &str) -> Result<(), TestCaseError> {
    match (ours(desk, token), theirs(desk, key, token)) {
        (Ok(principal), Ok(claims)) => {
            prop_assert_eq!(principal.claims().map(), claims.as_object().unwrap());
        }
        (Err(_), Err(_)) => {}
        (Err(rejection), Ok(_)) => prop_assert!(known_divergence(&rejection), "only we refuse: {rejection}"),
        (Ok(_), Err(error)) => prop_assert!(false, "only we take it; they say: {error}"),
    }
    Ok(())
}

/// Members that change a token, most of them for the worse.
fn changes() -> impl Strategy<Value = Vec<(&'static str, Value)>> {
    let hour = 3600;
    let values = move |name: &'static str| {
        let dates: Vec<Value> = [-2 * hour, -hour, -60, 0, 60, hour]
            .into_iter()
            .flat_map(|offset| {
                let date = now() + offset;
                #[expect(clippy::cast_precision_loss, reason = "dates are far below 2^52")]
                [json!(date), json!(date as f64 + 0.5), json!(date.to_string())]
            })
            .chain([json!(-1), json!(1e30), json!(u64::MAX), Value::Null, json!([]), json!(true), json!({})])
            .collect();
        let values = match name {
            "iss" => vec![json!(ISSUER), json!("x"), json!([ISSUER]), json!(1), Value::Null, json!(["x"])],
            "aud" => {
                vec![json!(AUDIENCE), json!("x"), json!([AUDIENCE, "x"]), json!([]), json!(1), Value::Null]
            }
            "exp" | "nbf" | "iat" => dates,
            _ => vec![json!("x"), json!(1), Value::Null, json!(["x"]), json!({"x": 1})],
        };
        (Just(name), select(values))
    };
    let names = vec!["iss", "aud", "exp", "nbf", "iat", "sub", "scope", "nonce", "cnf", "custom"];
    vec(select(names).prop_flat_map(values), 0..3)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_we_take_jsonwebtoken_takes(
        changes in changes(), kind in 0..3_usize, alg in select(vec!["", "", "", "none", "HS256", "RS384", "ES256"]),
        removed in select(vec!["", "", "iss", "aud", "exp"]), flip in prop::option::weighted(0.2, (any::<prop::sample::Index>(), 0..7_u8)),
    ) {
        let desk = &*DESK;
        let key = [&desk.rsa, &desk.ec, &desk.ed][kind];
        let mut claims = good_claims();
        for (name, value) in changes {
            claims[name] = value;
        }
        claims.as_object_mut().unwrap().remove(removed);
        let mut header = key.header();
        if !alg.is_empty() {
            header["alg"] = alg.into();
        }
        let mut token = key.token_with(&header, &claims).into_bytes();
        if let Some((at, bit)) = flip {
            let at = at.index(token.len());
            token[at] ^= 1 << bit;
        }
        let text = String::from_utf8(token).unwrap();
        if scopegate_provider::BearerToken::parse(&text).is_ok() {
            agree(desk, key, &text)?;
        }
    }
}

/// They take it, we refuse it for this reason.
fn only_we_refuse(header: &[(&str, Value)], claims: &str, expected: &Rejection) {
    let desk = Desk::new();
    let mut jose = desk.ec.header();
    for (name, value) in header {
        jose[*name] = value.clone();
    }
    let token = desk.ec.raw_token(jose.to_string().as_bytes(), claims.as_bytes());
    assert!(theirs(&desk, &desk.ec, &token).is_ok(), "jsonwebtoken refuses it by now");
    assert_eq!(&ours(&desk, &token).unwrap_err(), expected);
}

fn with(name: &str, value: &Value) -> String {
    let mut claims = good_claims();
    claims[name] = value.clone();
    claims.to_string()
}

fn wrong(claim: &str, expected: &'static str) -> Rejection {
    Rejection::WrongType { claim: claim.into(), expected }
}

#[test]
fn divergence_an_unknown_critical_extension() {
    let header = [("crit", json!(["x"])), ("x", json!(1))];
    only_we_refuse(&header, &good_claims().to_string(), &Rejection::CriticalHeader);
}

#[test]
fn divergence_an_array_of_issuers_that_holds_ours() {
    only_we_refuse(&[], &with("iss", &json!(["https://evil.example", ISSUER])), &wrong("iss", "a string"));
}

#[test]
fn divergence_a_custom_claim_that_stands_twice() {
    let claims = good_claims().to_string().replace('}', r#","scope":"items","scope":"admin"}"#);
    only_we_refuse(&[], &claims, &Rejection::DuplicateMember { name: "scope".into() });
}

#[test]
fn divergence_a_subject_that_is_no_string() {
    only_we_refuse(&[], &with("sub", &json!(1)), &wrong("sub", "a string"));
}

#[test]
fn divergence_an_iat_that_is_no_number() {
    only_we_refuse(&[], &with("iat", &json!("now")), &wrong("iat", "a number of seconds since 1970"));
}

#[test]
fn divergence_a_token_from_the_future() {
    let now = now();
    let [issued_at, now_here] = [now + 3600, now].map(Timestamp::from_seconds);
    let expected = Rejection::IssuedInFuture { issued_at, now: now_here };
    only_we_refuse(&[], &with("iat", &json!(now + 3600)), &expected);
}

#[test]
fn divergence_a_token_that_lives_for_years() {
    only_we_refuse(&[], &with("exp", &json!(now() + 10_000_000)), &Rejection::LifetimeTooLong);
}

#[test]
fn divergence_a_type_that_is_none_of_an_access_token() {
    let expected = Rejection::TypeNotAllowed { found: "logout+jwt".into() };
    only_we_refuse(&[("typ", json!("logout+jwt"))], &good_claims().to_string(), &expected);
}

#[test]
fn divergence_an_id_token_and_a_token_that_is_bound() {
    only_we_refuse(&[], &with("nonce", &json!("n")), &Rejection::IdToken);
    only_we_refuse(&[], &with("cnf", &json!({"jkt": "x"})), &Rejection::SenderConstrained);
}

#[test]
fn divergence_issuer_and_audience_that_nobody_asked_for() {
    let desk = Desk::new();
    let claims = json!({"exp": now() + 60});
    let token = desk.ec.token(&claims);
    let jwk: Jwk = serde_json::from_value(desk.ec.jwk()).unwrap();
    let mut validation = Validation::new(desk.ec.algorithm());
    validation.set_audience(&[AUDIENCE]);
    validation.set_issuer(&[ISSUER]);
    assert!(decode::<Value>(&token, &DecodingKey::from_jwk(&jwk).unwrap(), &validation).is_ok());
    assert_eq!(ours(&desk, &token).unwrap_err(), Rejection::MissingClaim { claim: "iss".into(), advice: "" });
}
