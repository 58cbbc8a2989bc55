//! Texts that cannot mean what their author thinks (invariant 13): placeholders left in, `*` where texts are compared
//! literally, issuers that are not issuers. Each is reported and redacted, so that its section reports it no second time.

use super::diagnostics::{ConfigError, Conflict};
use crate::yaml::{Location, Node, Step, Value, placeholder};

/// The keys of a provider whose texts are compared literally.
const LITERAL: [&str; 8] = [
    "audience",
    "issuer",
    "issuers",
    "allowed_clients",
    "client_id",
    "domain",
    "authorization_server",
    "tenants",
];

/// Paths of endpoints that are copied in place of the issuer.
const ENDPOINTS: [&str; 12] = [
    "/v1/keys",
    "/v1/token",
    "/v1/introspect",
    "/v1/authorize",
    "/protocol/openid-connect/certs",
    "/protocol/openid-connect/token",
    "/protocol/openid-connect",
    "/oauth/token",
    "/oauth2/token",
    "/oauth2/v2.0/token",
    "/discovery/v2.0/keys",
    "/jwks.json",
];

/// Reports and redacts every text that cannot mean what its author thinks. `secrets` are the locations of secrets.
pub(super) fn check(root: &mut Node, secrets: &[Location], errors: &mut Vec<ConfigError>) {
    Checker { secrets, errors }.node(root, &mut Vec::new());
}

struct Checker<'a> {
    secrets: &'a [Location],
    errors: &'a mut Vec<ConfigError>,
}

impl Checker<'_> {
    fn node(&mut self, node: &mut Node, path: &mut Vec<Step>) {
        let conflict = node.text().and_then(|text| {
            let is_secret = self.secrets.contains(&node.location);
            conflict(text, path, is_secret)
        });
        if let Some(conflict) = conflict {
            self.errors.push(ConfigError::new(conflict, node.location.clone(), path));
            node.value = Value::Redacted;
        }
        match &mut node.value {
            Value::Map(entries) => {
                for entry in entries {
                    path.push(Step::Key(entry.key.clone()));
                    self.node(&mut entry.node, path);
                    path.pop();
                }
            }
            Value::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    path.push(Step::Index(index));
                    self.node(item, path);
                    path.pop();
                }
            }
            Value::Null | Value::Scalar(_) | Value::Redacted => {}
        }
    }
}

fn conflict(text: &str, path: &[Step], is_secret: bool) -> Option<Conflict> {
    // Texts that people read, and `{ equals: … }`, which means the text itself.
    let is_prose = match path {
        [Step::Key(section), Step::Key(_)] => section == "scopes",
        _ => ["description", "equals"].contains(&last_key(path)),
    };
    if is_prose {
        return None;
    }
    let found = placeholder(text).filter(|found| !is_secret || *found == text || text.contains("://"));
    if let Some(found) = found {
        let advice = advice(found, path, is_secret);
        return Some(Conflict::Placeholder { found: found.to_owned(), advice });
    }
    let [Step::Key(section), ..] = path else { return None };
    let key = last_key(path);
    let is_literal = section == "providers" && LITERAL.contains(&key) && path.len() < 5;
    if is_secret {
        return None;
    }
    if text.contains('*') && (is_literal || (text == "*" && !takes_star(section, key))) {
        return Some(Conflict::Wildcard { key: key.to_owned(), found: text.to_owned() });
    }
    if let Some(template) = template(text)
        && (is_literal || (section != "routes" && section != "scopes" && text.contains("://")))
    {
        return Some(Conflict::Template { found: template.to_owned() });
    }
    if is_literal && (key == "issuer" || key == "issuers") { issuer(text) } else { None }
}

/// Returns `true` where `*` has a meaning, or where the policy itself says what to write.
fn takes_star(section: &str, key: &str) -> bool {
    ["routes", "scopes", "policy_from", "admin", "tests"].contains(&section)
        || ["origins", "include", "required_claims", "headers"].contains(&key)
        || section == "introspection" && key == "require"
}

/// The key that a text belongs to; the items of a list belong to the list's.
fn last_key(path: &[Step]) -> &str {
    let mut keys = path.iter().rev().filter_map(|step| match step {
        Step::Key(key) => Some(key.as_str()),
        Step::Index(_) => None,
    });
    keys.next().unwrap_or_default()
}

/// Returns `{name}` in a text, as documentation of providers writes the parts of a URL that differ.
fn template(text: &str) -> Option<&str> {
    let start = text.find('{')?;
    let length = text.get(start..)?.find('}')?;
    let inner = text.get(start + 1..start + length)?;
    let is_name = !inner.is_empty() && inner.chars().all(|c| c.is_alphanumeric() || "_-. ".contains(c));
    is_name.then(|| text.get(start..=start + length)).flatten()
}

fn issuer(text: &str) -> Option<Conflict> {
    let Some((scheme, rest)) = text.split_once("://") else {
        let host = text.split('/').next().unwrap_or_default();
        let is_host = host.contains('.') || host.starts_with("localhost");
        return is_host.then(|| Conflict::IssuerWithoutScheme { found: text.to_owned() });
    };
    if let Some((before, after)) = rest.split_once("/.well-known/") {
        // RFC 8414 puts the name of the document in front of the issuer's path.
        let (name, path) = after.split_once('/').unwrap_or((after, ""));
        let slash = if path.is_empty() { "" } else { "/" };
        let issuer = format!("{scheme}://{before}{slash}{path}");
        return Some(Conflict::IssuerIsEndpoint { endpoint: format!("/.well-known/{name}"), issuer });
    }
    let endpoint = ENDPOINTS.into_iter().find(|endpoint| rest.ends_with(endpoint))?;
    let issuer = text.strip_suffix(endpoint).unwrap_or(text).to_owned();
    Some(Conflict::IssuerIsEndpoint { endpoint: endpoint.to_owned(), issuer })
}

/// Returns the form that reads a value from the environment.
fn advice(found: &str, path: &[Step], is_secret: bool) -> String {
    let name = found.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let is_variable = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let name = if is_variable { name.to_uppercase() } else { "NAME".to_owned() };
    let mut keys = Vec::new();
    for step in path {
        let Step::Key(key) = step else { break };
        keys.push(key.to_uppercase().replace('-', "_"));
    }
    let variable =
        (keys.len() > 1).then(|| format!("set the environment variable `SCOPEGATE_{}`", keys.join("__")));
    match (is_secret, variable) {
        (true, Some(variable)) => format!("write `{{ env: {name} }}`, or {variable}"),
        (true, None) => format!("write `{{ env: {name} }}`"),
        (false, Some(variable)) => format!("write the value, or {variable}"),
        (false, None) => "write the value".to_owned(),
    }
}
