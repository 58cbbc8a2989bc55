//! What must hold of each request.

use super::{
    case::Case,
    front::{Front, Outcome},
    generate::Tokens,
    model::{self, CLIENTS, Fault, Told, Who},
    wire::Message,
};

const SUBJECT: &str = "x-auth-subject";
const SCOPES: &str = "x-auth-scopes";

/// Headers by which some services let a caller change method or path. None may get through.
const OVERRIDES: [&str; 5] =
    ["x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url"];

/// The essential property: the policy permits what a service sees, for who it seems to come from, and what it is told
/// about the caller is the truth and nobody else's.
pub(super) fn judge(seen: &Message, front: &dyn Front, tokens: &Tokens) -> Result<(), Fault> {
    let host = seen.host().ok_or("not exactly one host")?;
    let (path, _) = seen.path();
    let truth = model::judge(&seen.method, &host, path, who(&seen.values("authorization"), tokens))?;
    if told(seen)? != truth {
        return Err(format!("the service is told {:?}, and the truth is {truth:?}", told(seen)?));
    }
    if front.serves() && [SUBJECT, SCOPES].iter().any(|name| seen.values(name).is_empty()) {
        return Err("an identity header is not set".to_owned());
    }
    let overriding = |(name, _): &&(String, Vec<u8>)| OVERRIDES.contains(&normal(name).as_str());
    match seen.fields.iter().find(overriding) {
        Some((name, _)) => Err(format!("`{name}` reached the service")),
        None => Ok(()),
    }
}

/// Whether a request is an ordinary one that the policy permits: it must pass.
pub(super) fn must_pass(case: &Case, tokens: &Tokens) -> bool {
    let target = case.target();
    let path = target.split(|byte| *byte == b'?').next().unwrap();
    let host = || String::from_utf8_lossy(case.values("host")[0]).into_owned();
    let who = || who(&case.values("authorization"), tokens);
    let ordinary = case.oddities().is_empty() && !case.is_irregular();
    ordinary && model::judge(case.method, &host(), path, who()).is_ok()
}

/// The one decision: whether a front did what the first one did. None where the front has ways of its own.
pub(super) fn compare(
    case: &Case,
    front: &dyn Front,
    outcome: &Outcome,
    first: &Outcome,
) -> Option<Result<(), Fault>> {
    let oddities = case.oddities();
    if front.own_ways().iter().any(|way| oddities.contains(way)) {
        return None;
    }
    Some(match (first, outcome) {
        (Outcome::Passed(first), Outcome::Passed(seen)) => same(first, seen),
        (Outcome::Refused { status, reason }, Outcome::Refused { status: own, reason: own_reason }) => {
            // Whoever refuses by itself has never asked.
            if own_reason.is_none() && matches!(own, 400 | 405 | 413 | 501 | 505) {
                return Some(Ok(()));
            }
            let status = if *status == 404 && !front.serves() { 403 } else { *status };
            // The answer to HEAD has no body to tell a reason in.
            let same_reason = reason == own_reason || case.method == "HEAD";
            if status == *own && same_reason { Ok(()) } else { Err("refused in another way".to_owned()) }
        }
        (Outcome::Ended, Outcome::Ended) => Ok(()),
        _ => Err("another decision".to_owned()),
    })
}

/// Both services got the same request: the same bytes once the path is decoded, and the same identity.
fn same(first: &Message, seen: &Message) -> Result<(), Fault> {
    let shown = |message: &Message| {
        let (path, query) = message.path();
        (
            message.method.clone(),
            model::decode(path),
            query.map(<[u8]>::to_vec),
            message.host(),
            told(message).ok(),
        )
    };
    if shown(first) == shown(seen) { Ok(()) } else { Err("another request reached the service".to_owned()) }
}

/// Who a request comes from, as a service would find out that verifies the token itself.
fn who(values: &[&[u8]], tokens: &Tokens) -> Who {
    let bearer = |value: &[u8]| {
        let (scheme, token) = value.split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii().to_vec())
    };
    match values {
        [] => Who::Nobody,
        [value] => match bearer(value) {
            Some(token) => {
                let known = tokens.good.iter().position(|good| good.as_bytes() == token);
                known.map_or(Who::Unknown, |client| Who::Client(&CLIENTS[client]))
            }
            None if value.eq_ignore_ascii_case(b"bearer") => Who::Unknown,
            None => Who::Nobody,
        },
        _ => Who::Unknown,
    }
}

/// What a service is told about the caller: each header once, in no other spelling. One that is not there is empty, which
/// is all that nginx can say of nobody.
fn told(seen: &Message) -> Result<Told, Fault> {
    let one = |name: &str| {
        let all: Vec<_> = seen.fields.iter().filter(|(own, _)| normal(own) == name).collect();
        match all.as_slice() {
            [] => Ok(String::new()),
            [(own, value)] if own.eq_ignore_ascii_case(name) => {
                Ok(String::from_utf8_lossy(value).into_owned())
            }
            _ => Err(format!("`{name}` as the service sees it: {all:?}")),
        }
    };
    Ok((one(SUBJECT)?, one(SCOPES)?))
}

/// A header's name as the laxest of services compares it.
fn normal(name: &str) -> String {
    name.replace('_', "-").to_ascii_lowercase()
}
