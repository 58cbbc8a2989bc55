//! Claims, each of one JSON type. A claim of another type is a rejection, never taken as absent (RFC 7519, section 4).

use std::sync::Arc;

use scopegate_provider::{Audience, ClaimPath, NameError, Rejection, Role, ScopeSet, Timestamp};
use serde_json::{Map, Value};

use crate::rules::TokenRules;

/// A JSON object of claims.
pub(crate) type ClaimMap = Map<String, Value>;

/// Reads a string.
pub(crate) fn text<'a>(claims: &'a ClaimMap, name: &str) -> Result<Option<&'a str>, Rejection> {
    claims.get(name).map(|value| string(value, name)).transpose()
}

/// Reads a string that is neither empty nor holds control characters.
pub(crate) fn name<T>(
    claims: &ClaimMap,
    name: &str,
    parse: impl FnOnce(&str) -> Result<T, NameError>,
) -> Result<Option<T>, Rejection> {
    claims.get(name).map(|value| parse_name(value, name, parse)).transpose()
}

/// Reads the same at any path.
pub(crate) fn name_at<T>(
    claims: &ClaimMap,
    path: &ClaimPath,
    parse: impl FnOnce(&str) -> Result<T, NameError>,
) -> Result<Option<T>, Rejection> {
    path.find(claims).map(|value| parse_name(value, path.as_str(), parse)).transpose()
}

fn parse_name<T>(
    value: &Value,
    name: &str,
    parse: impl FnOnce(&str) -> Result<T, NameError>,
) -> Result<T, Rejection> {
    parse(string(value, name)?)
        .map_err(|_| wrong(name, "a string that is neither empty nor holds control characters"))
}

/// Reads a `NumericDate` (RFC 7519, section 2): seconds since the epoch, fractions allowed, from 0 to 2^63.
pub(crate) fn date(claims: &ClaimMap, name: &str) -> Result<Option<Timestamp>, Rejection> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let date = value.as_number().and_then(|number| match number.as_i64() {
        Some(seconds) if seconds >= 0 => Some(Timestamp::from_seconds(seconds)),
        Some(_) => None,
        None => number.as_f64().and_then(fractional),
    });
    date.map(Some).ok_or_else(|| wrong(name, "a number of seconds since 1970"))
}

fn fractional(seconds: f64) -> Option<Timestamp> {
    /// 2^63.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if seconds.is_sign_negative() || seconds >= LIMIT {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a float that does not fit is taken as the last moment"
    )]
    Some(Timestamp::from_millis((seconds * 1000.0) as i64))
}

/// Reads `aud`: a string or an array of strings (RFC 7519, section 4.1.3). Audiences that are `known` share their memory.
pub(crate) fn audience(claims: &ClaimMap, known: &[Audience]) -> Result<Arc<[Audience]>, Rejection> {
    let values = match claims.get("aud") {
        None => return Ok(Arc::default()),
        Some(one @ Value::String(_)) => std::slice::from_ref(one),
        Some(Value::Array(several)) => several,
        Some(_) => return Err(wrong("aud", "a string or an array of strings")),
    };
    let mut audience = Vec::with_capacity(values.len());
    for value in values {
        audience.push(match known.iter().find(|known| value == known.as_str()) {
            Some(known) => known.clone(),
            None => parse_name(value, "aud", Audience::parse)?,
        });
    }
    Ok(audience.into())
}

/// Returns the union of the scopes in the rules' scope claims, in our names. A name that is not a scope by RFC 6749,
/// section 3.3, is left out, since no rule can require it.
pub(crate) fn scopes(claims: &ClaimMap, rules: &TokenRules) -> Result<ScopeSet, Rejection> {
    let mut scopes = Vec::new();
    for path in &rules.scope_claims {
        // The keys of an object are scopes only where the settings point into the token on purpose.
        let takes_keys = path.as_str().starts_with('/');
        let Some(value) = path.find(claims) else { continue };
        scopes.extend(strings(value, path, takes_keys)?.into_iter().filter_map(|name| rules.our_scope(name)));
    }
    Ok(scopes.into_iter().collect())
}

/// Returns the union of the roles at `paths`, sorted, each once.
pub(crate) fn roles(claims: &ClaimMap, paths: &[ClaimPath]) -> Result<Box<[Role]>, Rejection> {
    let mut roles: Vec<Role> = Vec::new();
    for path in paths {
        let Some(value) = path.find(claims) else { continue };
        roles.extend(strings(value, path, true)?.into_iter().filter_map(|name| Role::parse(name).ok()));
    }
    roles.sort_unstable();
    roles.dedup();
    Ok(roles.into())
}

/// Returns the strings of a claim: the words of a string, the items of an array, the keys of an object if it takes them.
/// A key whose value is `false` or `null` would be granted by its name alone, so such an object has the wrong type.
fn strings<'a>(value: &'a Value, path: &ClaimPath, takes_keys: bool) -> Result<Vec<&'a str>, Rejection> {
    let has_type = match value {
        Value::String(_) => true,
        Value::Array(items) => items.iter().all(Value::is_string),
        Value::Object(members) => {
            takes_keys && !members.values().any(|value| matches!(value, Value::Null | Value::Bool(false)))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    };
    if has_type {
        return Ok(ClaimPath::values(value));
    }
    let expected = if takes_keys {
        "a string, an array of strings, or an object without `false` and `null`"
    } else {
        "a string or an array of strings"
    };
    Err(wrong(path.as_str(), expected))
}

fn string<'a>(value: &'a Value, name: &str) -> Result<&'a str, Rejection> {
    value.as_str().ok_or_else(|| wrong(name, "a string"))
}

fn wrong(claim: &str, expected: &'static str) -> Rejection {
    Rejection::WrongType { claim: claim.into(), expected }
}
