//! The one parser of routes and scopes that arrive as JSON: from the admin API, the command line and the store.
//!
//! A definition passes the parser and the checks of the configuration file: the same types, the same messages with the
//! key and the nearest valid key, the same identity headers, and no placeholder left in. Callers use what it returns and
//! check nothing again. [`Policy::compile`](crate::policy::Policy::compile) then decides whether the definition fits with
//! all others: patterns, declared scopes, invariant 15.
//!
//! ```
//! use scopegate::gate::definitions::parse_route;
//! use serde_json::json;
//!
//! assert!(parse_route(&json!({ "match": "GET /items/**", "require": "items" })).is_ok());
//!
//! let error = parse_route(&json!({ "match": "GET /z", "alow": "anonymous" })).unwrap_err();
//! assert_eq!(error.to_string(), "`alow`: unknown key `alow`; did you mean `allow`?");
//!
//! let host = json!({ "match": "GET /z", "allow": "anonymous", "identity": { "headers": { "Host": "sub" } } });
//! assert_eq!(parse_route(&host).unwrap_err().key, "identity.headers");
//! ```

use std::sync::Arc;

use scopegate_provider::Scope;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::IdentityHeaders;
use crate::{
    policy::{
        Pattern,
        settings::{MatchSettings, RouteSettings, ScopeSettings},
    },
    yaml::{self, Diagnostic, Document, Location, Node, Origin, Step, path_text, placeholder},
};

/// A definition that is refused: the key, and the problem with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}`: {message}")]
pub struct DefinitionError {
    /// The key in the definition, such as `identity.headers`; `definition` for it as a whole.
    pub key: String,
    /// The problem, and what to write instead.
    pub message: String,
}

/// Parses the definition of a route.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn parse_route(definition: &Value) -> Result<RouteSettings, DefinitionError> {
    let route: RouteSettings = parse(definition, "route")?;
    check_route(&route)?;
    Ok(route)
}

/// Parses the definition of a scope: its description, or the long form.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn parse_scope(definition: &Value) -> Result<ScopeSettings, DefinitionError> {
    parse(definition, "scope")
}

/// The scopes and routes of a policy, as a configuration file has them.
#[derive(Debug, Clone, Default)]
pub struct PolicyText {
    /// The scopes.
    pub scopes: Vec<(Scope, ScopeSettings)>,
    /// The routes.
    pub routes: Vec<RouteSettings>,
}

/// Parses the scopes and routes of a policy from YAML.
///
/// # Errors
/// The first thing that is wrong with it, with its line.
pub fn parse_policy(text: &str) -> Result<PolicyText, DefinitionError> {
    let document = Document { origin: Origin::File("policy.yaml".into()), text: text.into() };
    let root = yaml::parse(&Arc::new(document)).map_err(|diagnostics| first_of(diagnostics, "policy"))?;
    refuse_placeholders(&root, &mut Vec::new())?;
    let known = ["scopes", "routes"];
    if let Some(entry) = root.entries().iter().find(|entry| !known.contains(&entry.key.as_str())) {
        let message = format!("unknown key `{}`; expected `scopes` and `routes`", entry.key);
        return Err(DefinitionError { key: located(&entry.key, &entry.key_location), message });
    }
    let mut policy = PolicyText::default();
    for entry in root.get("scopes").map(Node::entries).unwrap_or_default() {
        let path = [Step::Key("scopes".to_owned()), Step::Key(entry.key.clone())];
        let name = Scope::parse(&entry.key).map_err(|error| DefinitionError {
            key: located(&path_text(&path), &entry.key_location),
            message: error.to_string(),
        })?;
        policy.scopes.push((name, read_at(&entry.node, &path)?));
    }
    for (index, item) in root.get("routes").map(Node::items).unwrap_or_default().iter().enumerate() {
        let path = [Step::Key("routes".to_owned()), Step::Index(index)];
        let route: RouteSettings = read_at(item, &path)?;
        check_route(&route)?;
        policy.routes.push(route);
    }
    Ok(policy)
}

/// Reads a node whose errors name their line.
fn read_at<T: DeserializeOwned>(node: &Node, path: &[Step]) -> Result<T, DefinitionError> {
    let mut diagnostics = Vec::new();
    match yaml::read(node, path, &mut diagnostics) {
        Some(value) if diagnostics.is_empty() => Ok(value),
        _ => Err(first_of(diagnostics, &path_text(path))),
    }
}

fn first_of(diagnostics: Vec<Diagnostic>, otherwise: &str) -> DefinitionError {
    match diagnostics.into_iter().next() {
        Some(first) => {
            DefinitionError { key: located(&first.key, &first.location), message: first.problem.to_string() }
        }
        None => DefinitionError { key: otherwise.to_owned(), message: "it cannot be read".to_owned() },
    }
}

/// Returns a key with its line.
fn located(key: &str, location: &Location) -> String {
    match location.line() {
        Some(line) => format!("{key} (line {line})"),
        None => key.to_owned(),
    }
}

/// Checks what the types of a route do not rule out.
///
/// # Errors
/// An identity header that HTTP or the gate needs, that occurs twice, or that carries no claim.
pub fn check_route(route: &RouteSettings) -> Result<(), DefinitionError> {
    let Some(identity) = &route.identity else { return Ok(()) };
    match IdentityHeaders::compile(&identity.headers) {
        Ok(_) => Ok(()),
        Err(error) => Err(DefinitionError { key: "identity.headers".to_owned(), message: error.to_string() }),
    }
}

/// Returns the patterns of a route; those that do not parse are left to the policy, which refuses them.
pub fn patterns(matches: &MatchSettings) -> Vec<Pattern> {
    match matches {
        MatchSettings::One(text) => Pattern::parse(text).into_iter().collect(),
        MatchSettings::Many(texts) => texts.iter().flat_map(|text| Pattern::parse(text)).collect(),
        MatchSettings::Long(long) => {
            Pattern::from_parts(&long.methods, long.host.as_deref(), &long.path).into_iter().collect()
        }
    }
}

fn parse<T: DeserializeOwned>(definition: &Value, name: &str) -> Result<T, DefinitionError> {
    let node = yaml::from_json(definition, name);
    refuse_placeholders(&node, &mut Vec::new())?;
    let mut diagnostics = Vec::new();
    let parsed = yaml::read(&node, &[], &mut diagnostics);
    match (parsed, diagnostics.into_iter().next()) {
        (Some(parsed), None) => Ok(parsed),
        (_, Some(first)) => {
            let key = if first.key.is_empty() { "definition".to_owned() } else { first.key };
            Err(DefinitionError { key, message: first.problem.to_string() })
        }
        (None, None) => {
            Err(DefinitionError { key: "definition".to_owned(), message: format!("expected a {name}") })
        }
    }
}

/// Refuses `${X}`, `{{ x }}` and `<x>` in every text but descriptions and `{ equals: … }`.
fn refuse_placeholders(node: &Node, path: &mut Vec<Step>) -> Result<(), DefinitionError> {
    if let Some(found) = node.text().and_then(placeholder)
        && !path.is_empty()
    {
        let message = format!("`{found}` is a placeholder that was not filled in");
        return Err(DefinitionError { key: path_text(path), message });
    }
    for entry in
        node.entries().iter().filter(|entry| !["description", "equals"].contains(&entry.key.as_str()))
    {
        path.push(Step::Key(entry.key.clone()));
        refuse_placeholders(&entry.node, path)?;
        path.pop();
    }
    for (index, item) in node.items().iter().enumerate() {
        path.push(Step::Index(index));
        refuse_placeholders(item, path)?;
        path.pop();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(members: &Value) -> String {
        let mut route = json!({ "match": "GET /z", "allow": "anonymous" });
        for (key, value) in members.as_object().unwrap() {
            route[key] = value.clone();
        }
        parse_route(&route).unwrap_err().to_string()
    }

    /// CASES C15, AUDIT D4: identity headers that no node could set.
    #[test]
    fn identity_headers_that_cannot_be_set_are_refused() {
        for headers in [
            json!({ "Host": "sub" }),
            json!({ "Content-Length": "sub" }),
            json!({ "X-Forwarded-Host": "sub" }),
            json!({ "X Y": "sub" }),
            json!({ "": "sub" }),
            json!({ "X-A": "sub", "x_a": "sub" }),
            json!({ "X-A": "/a~2" }),
            json!({ "X-A": "" }),
        ] {
            let refusal = refusal(&json!({ "identity": { "headers": headers } }));
            assert!(refusal.starts_with("`identity.headers`: "), "{headers}: {refusal}");
        }
    }

    /// CASES C16: a definition passes the parser of the file.
    #[test]
    fn a_definition_is_refused_with_its_key_and_the_nearest_valid_one() {
        for (members, expected) in [
            (json!({ "requier": "items" }), "`requier`: unknown key `requier`; did you mean `require`?"),
            (
                json!({ "identity": { "header": {} } }),
                "`identity.header`: unknown key `header`; did you mean `headers`?",
            ),
            (json!({ "fresh": "yes" }), "`fresh`: expected `true` or `false`, found the text `yes`"),
            (
                json!({ "upstream": "${UPSTREAM}" }),
                "`upstream`: `${UPSTREAM}` is a placeholder that was not filled in",
            ),
        ] {
            assert_eq!(refusal(&members), expected);
        }
        assert!(
            parse_route(&json!("nonsense")).unwrap_err().to_string().starts_with("`definition`: expected")
        );
        assert!(parse_route(&json!(null)).is_err());
        assert!(
            parse_scope(&json!({ "descripton": "x" })).unwrap_err().to_string().contains("`description`")
        );
        assert!(parse_scope(&json!("Read <all> items")).is_ok());
    }
}
