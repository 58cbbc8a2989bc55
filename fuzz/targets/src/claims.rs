//! An issuer, its audience and a time, and what of claims must hold where they made a principal.

use scopegate_provider::{Principal, Timestamp};
use serde_json::{Map, Value};

pub(crate) const ISSUER: &str = "https://issuer.example";
pub(crate) const AUDIENCE: &str = "items-api";
/// The time, in seconds; the same as testkit's clock.
pub(crate) const NOW: i64 = 1_790_000_000;
/// How far clocks may differ, in seconds: the default.
const LEEWAY: f64 = 30.0;

/// Checks a principal against the JSON that it was made of, read by nobody's code but serde's.
pub(crate) fn check(principal: &Principal, json: &[u8]) -> Map<String, Value> {
    let claims: Map<String, Value> = serde_json::from_slice(json).unwrap();
    assert_eq!(claims.get("iss").and_then(Value::as_str), Some(ISSUER));
    assert_eq!(principal.issuer().as_str(), ISSUER);
    let audience = match claims.get("aud") {
        Some(Value::Array(several)) => several.iter().any(|one| one == AUDIENCE),
        one => one.is_some_and(|one| one == AUDIENCE),
    };
    assert!(audience, "the audience is {:?}", claims.get("aud"));
    #[expect(clippy::cast_precision_loss, reason = "dates are far below 2^52")]
    let now = NOW as f64;
    let date = |name: &str| claims.get(name).map(|date| date.as_f64().unwrap());
    assert!(date("exp").is_some_and(|exp| exp + LEEWAY >= now), "expired: {:?}", claims.get("exp"));
    assert!(date("nbf").is_none_or(|nbf| nbf <= now + LEEWAY), "not yet valid: {:?}", claims.get("nbf"));
    assert!(date("iat").is_none_or(|iat| iat <= now + LEEWAY), "from the future: {:?}", claims.get("iat"));
    assert!(!claims.contains_key("cnf"), "bound to a key");
    assert!(principal.expires_at() >= Timestamp::from_seconds(NOW - 30));
    let words: Vec<&str> =
        ["scope", "scp"].iter().filter_map(|name| claims.get(*name)).flat_map(words).collect();
    for scope in principal.scopes() {
        assert!(words.contains(&scope.as_str()), "nobody granted {scope}");
    }
    claims
}

fn words(claim: &Value) -> Vec<&str> {
    match claim {
        Value::String(text) => text.split(' ').collect(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        Value::Object(members) => members.keys().map(String::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}
