//! The policy under test, and a judgement of it that shares no code with scopegate's: short, slow, and about bytes.

use std::collections::BTreeSet;

/// Who a request speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// No bearer token.
    Nobody,
    /// The client of a good token.
    Client(&'static Client),
    /// Something that is no good token.
    Unknown,
}

/// A client of the issuer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Client {
    pub(super) id: &'static str,
    pub(super) scopes: &'static [&'static str],
}

pub(super) static CLIENTS: [Client; 3] = [
    Client { id: "reader", scopes: &["items"] },
    Client { id: "writer", scopes: &["items", "items:write"] },
    Client { id: "chief", scopes: &["admin"] },
];

/// What a route asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Anonymous,
    Optional,
    Authenticated,
    Closed,
    Scope(&'static str),
}

/// A route of the policy.
struct Row {
    methods: &'static [&'static str],
    host: &'static str,
    path: &'static str,
    rule: Rule,
    accept: bool,
}

const fn row(methods: &'static [&'static str], host: &'static str, path: &'static str, rule: Rule) -> Row {
    Row { methods, host, path, rule, accept: false }
}

const fn accepting(path: &'static str, rule: Rule) -> Row {
    Row { methods: &["GET"], host: "", path, rule, accept: true }
}

const READ: &[&str] = &["GET"];
const EVERY: &[&str] = &[];
const ROWS: &[Row] = &[
    row(READ, "", "/public/**", Rule::Anonymous),
    row(&["GET", "POST"], "", "/open/**", Rule::Optional),
    row(EVERY, "", "/me", Rule::Authenticated),
    row(READ, "", "/items/**", Rule::Scope("items")),
    row(&["POST", "PUT", "DELETE"], "", "/items/**", Rule::Scope("items:write")),
    row(EVERY, "", "/items/{id}/secret", Rule::Scope("admin")),
    row(EVERY, "", "/admin/**", Rule::Scope("admin")),
    row(EVERY, "", "/closed/**", Rule::Closed),
    row(EVERY, "", "/café/{name}", Rule::Authenticated),
    row(EVERY, "admin.example", "/**", Rule::Scope("admin")),
    row(READ, "*.tenant.example", "/public/{name}", Rule::Scope("items")),
    accepting("/mixed/**", Rule::Anonymous),
    accepting("/mixed/admin/**", Rule::Scope("admin")),
    accepting("/keys/{key}", Rule::Scope("items")),
    accepting("/keys/{group}/{name}", Rule::Scope("items")),
    accepting("/keys/locked/{name}", Rule::Scope("admin")),
];

/// The routes and scopes as scopegate's configuration has them, each path behind `prefix`; `more` stands on every route.
pub(super) fn yaml(prefix: &str, more: &str) -> String {
    let route = |row: &Row| {
        let methods = if row.methods.is_empty() { String::new() } else { row.methods.join("|") + " " };
        let rule = match row.rule {
            Rule::Anonymous => "allow: anonymous".to_owned(),
            Rule::Optional => "allow: optional".to_owned(),
            Rule::Authenticated => "allow: authenticated".to_owned(),
            Rule::Closed => "allow: nobody".to_owned(),
            Rule::Scope(scope) => format!("require: [\"{scope}\"]"),
        };
        let accept = ", accept: [encoded_slash, encoded_percent, parameters, empty_segment]";
        let accept = if row.accept { accept } else { "" };
        format!("  - {{ match: \"{methods}{}{prefix}{}\", {rule}{accept}{more} }}\n", row.host, row.path)
    };
    let routes: String = ROWS.iter().map(route).collect();
    format!(
        "scopes: {{ items: Read items, \"items:write\": Change items, admin: Administer }}\nroutes:\n{routes}"
    )
}

/// Why a request may not reach a service.
pub(super) type Fault = String;

/// What scopegate must tell a service about the caller of a request that may pass: subject and scopes.
pub(super) type Told = (String, String);

/// Judges a request that a service got: under every reading of its path, the caller must be permitted.
pub(super) fn judge(method: &str, host: &str, path: &[u8], who: Who) -> Result<Told, Fault> {
    let host = plain_host(host)?;
    let mut looked_at = false;
    for reading in readings(path)? {
        let shown = String::from_utf8_lossy(&reading).into_owned();
        let rule = find(method, &host, &reading).ok_or_else(|| format!("no route permits it as {shown}"))?;
        let permitted = match (rule, who) {
            (Rule::Anonymous, _)
            | (Rule::Optional, Who::Nobody)
            | (Rule::Optional | Rule::Authenticated, Who::Client(_)) => true,
            (Rule::Scope(scope), Who::Client(client)) => client.scopes.contains(&scope),
            _ => false,
        };
        looked_at |= rule != Rule::Anonymous;
        if !permitted {
            return Err(format!("{who:?} may not do it, read as {shown}: {rule:?}"));
        }
    }
    Ok(match who {
        Who::Client(client) if looked_at => (client.id.to_owned(), client.scopes.join(" ")),
        _ => Told::default(),
    })
}

/// The rule of the most specific route.
fn find(method: &str, host: &str, path: &[u8]) -> Option<Rule> {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let segments: Vec<&[u8]> = path.split(|byte| *byte == b'/').skip(1).collect();
    let fitting = ROWS.iter().filter(|row| host_fits(row.host, host) && path_fits(row.path, &segments));
    let best = fitting.clone().map(specificity).min()?;
    let of_method = |method: &str| {
        let mut place = fitting.clone().filter(|row| specificity(row) == best);
        place.find(|row| row.methods.is_empty() || row.methods.contains(&method)).map(|row| row.rule)
    };
    of_method(method).or_else(|| if method == "HEAD" { of_method("GET") } else { None })
}

/// Less is more specific: exact host, wildcard host, any; then each segment literal, `{name}`, `**`.
fn specificity(row: &Row) -> (u8, Vec<u8>) {
    let host = match row.host {
        "" => 2,
        host if host.starts_with('*') => 1,
        _ => 0,
    };
    let segment = |text: &str| match text {
        "**" => 2,
        text if text.starts_with('{') => 1,
        _ => 0,
    };
    (host, row.path.split('/').skip(1).map(segment).collect())
}

fn host_fits(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(parent) => host.split_once('.').is_some_and(|(_, rest)| rest == parent),
        None => pattern.is_empty() || pattern == host,
    }
}

fn path_fits(pattern: &str, segments: &[&[u8]]) -> bool {
    let own: Vec<&str> = pattern.split('/').skip(1).collect();
    let (own, rest) = match own.split_last() {
        Some((&"**", before)) => (before, true),
        _ => (own.as_slice(), false),
    };
    let fits = |(own, given): (&&str, &&[u8])| own.starts_with('{') || own.as_bytes() == *given;
    (segments.len() == own.len() || (rest && segments.len() > own.len()))
        && own.iter().zip(segments).all(fits)
}

fn plain_host(host: &str) -> Result<String, Fault> {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.[]:".contains(&byte);
    if name.is_empty() || !name.bytes().all(good) {
        return Err(format!("the host {host:?} can be read in several ways"));
    }
    Ok(name)
}

/// Everything that a service may take a path for: parameters cut off, slashes merged, two at the start taken for those of
/// an authority, decoded once, and then any of these again.
fn readings(path: &[u8]) -> Result<BTreeSet<Vec<u8>>, Fault> {
    let raw = closure([path.to_vec()].into(), &[drop_parameters, merge_slashes, drop_authority]);
    let decoded = raw.iter().map(|path| decode(path)).collect();
    let all = closure(decoded, &[decode, drop_parameters, merge_slashes, drop_authority]);
    for reading in &all {
        let dots = |segment: &str| segment == "." || segment == "..";
        let unsafe_char = |char: char| char.is_control() || matches!(char, '\\' | '#');
        let good =
            |text: &str| text.starts_with('/') && !text.contains(unsafe_char) && !text.split('/').any(dots);
        let wrong = !std::str::from_utf8(reading).is_ok_and(good);
        if wrong {
            return Err(format!("a service may read the path as {:?}", String::from_utf8_lossy(reading)));
        }
    }
    Ok(all)
}

/// What a service may do to a path.
type Way = fn(&[u8]) -> Vec<u8>;

fn closure(mut all: BTreeSet<Vec<u8>>, ways: &[Way]) -> BTreeSet<Vec<u8>> {
    loop {
        let more: Vec<Vec<u8>> = all.iter().flat_map(|path| ways.iter().map(move |way| way(path))).collect();
        let before = all.len();
        all.extend(more);
        if all.len() == before {
            return all;
        }
    }
}

/// Percent-decoded once; what encodes nothing stays.
pub(super) fn decode(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((byte, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let value = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match value.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(value) if *byte == b'%' => {
                decoded.push(value);
                rest = &after[2..];
            }
            _ => {
                decoded.push(*byte);
                rest = after;
            }
        }
    }
    decoded
}

fn drop_parameters(path: &[u8]) -> Vec<u8> {
    let segments = path.split(|byte| *byte == b'/');
    let kept: Vec<&[u8]> =
        segments.map(|segment| segment.split(|byte| *byte == b';').next().unwrap()).collect();
    kept.join(&b'/')
}

fn merge_slashes(path: &[u8]) -> Vec<u8> {
    let mut merged = path.to_vec();
    merged.dedup_by(|a, b| *a == b'/' && *b == b'/');
    merged
}

fn drop_authority(path: &[u8]) -> Vec<u8> {
    let Some(rest) = path.strip_prefix(b"//") else { return path.to_vec() };
    rest.iter().position(|byte| *byte == b'/').map_or(b"/".to_vec(), |at| rest[at..].to_vec())
}
