//! Claims of one JSON type each: what is present in another is a rejection, never taken as absent (RFC 7519, section 4).

use std::{collections::HashMap, sync::Arc};

use scopegate_provider::{Audience, ClaimPath, NameError, Rejection, Role, Scope, ScopeSet, Timestamp};
use serde_json::{Map, Value};

/// A JSON object of claims.
pub(crate) type ClaimMap = Map<String, Value>;

/// A string.
pub(crate) fn text<'a>(claims: &'a ClaimMap, name: &str) -> Result<Option<&'a str>, Rejection> {
    claims.get(name).map(|value| string(value, name)).transpose()
}

/// A string that is neither empty nor holds control characters.
pub(crate) fn name<T>(
    claims: &ClaimMap,
    name: &str,
    parse: impl FnOnce(&str) -> Result<T, NameError>,
) -> Result<Option<T>, Rejection> {
    claims.get(name).map(|value| parse_name(value, name, parse)).transpose()
}

/// The same, wherever it stands.
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

/// A `NumericDate` (RFC 7519, section 2): seconds since the epoch, fractions allowed, from 0 to 2^63.
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

/// `aud`: a string or an array of strings (RFC 7519, section 4.1.3). Those that are `known` are not parsed anew.
pub(crate) fn audience(claims: &ClaimMap, known: &[Audience]) -> Result<Arc<[Audience]>, Rejection> {
    let parse = |value: &Value| -> Result<Audience, Rejection> {
        let known = known.iter().find(|audience| value == audience.as_str());
        known.map_or_else(|| parse_name(value, "aud", Audience::parse), |audience| Ok(audience.clone()))
    };
    match claims.get("aud") {
        None => Ok(Arc::default()),
        Some(one @ Value::String(_)) => Ok([parse(one)?].into()),
        Some(Value::Array(several)) => several.iter().map(parse).collect(),
        Some(_) => Err(wrong("aud", "a string or an array of strings")),
    }
}

/// The union of the scopes that stand at `paths`, in our names. What is no scope by RFC 6749, section 3.3, is left
/// out: it can be required of nobody.
pub(crate) fn scopes(
    claims: &ClaimMap,
    paths: &[ClaimPath],
    ours: &HashMap<Box<str>, Scope>,
) -> Result<ScopeSet, Rejection> {
    let to_ours = |name: &str| ours.get(name).cloned().or_else(|| Scope::parse(name).ok());
    Ok(union(claims, paths)?.into_iter().filter_map(to_ours).collect())
}

/// The union of the roles that stand at `paths`, sorted, each once.
pub(crate) fn roles(claims: &ClaimMap, paths: &[ClaimPath]) -> Result<Box<[Role]>, Rejection> {
    let mut roles: Vec<Role> =
        union(claims, paths)?.into_iter().filter_map(|name| Role::parse(name).ok()).collect();
    roles.sort_unstable();
    roles.dedup();
    Ok(roles.into())
}

fn union<'a>(claims: &'a ClaimMap, paths: &[ClaimPath]) -> Result<Vec<&'a str>, Rejection> {
    let mut all = Vec::new();
    for path in paths {
        if let Some(value) = path.find(claims) {
            let only_strings = match value {
                Value::String(_) | Value::Object(_) => true,
                Value::Array(items) => items.iter().all(Value::is_string),
                Value::Null | Value::Bool(_) | Value::Number(_) => false,
            };
            if !only_strings {
                return Err(wrong(path.as_str(), "a string, an array of strings or an object"));
            }
            all.extend(ClaimPath::values(value));
        }
    }
    Ok(all)
}

fn string<'a>(value: &'a Value, name: &str) -> Result<&'a str, Rejection> {
    value.as_str().ok_or_else(|| wrong(name, "a string"))
}

fn wrong(claim: &str, expected: &'static str) -> Rejection {
    Rejection::WrongType { claim: claim.into(), expected }
}
