//! `/openapi.json`: the document that poem-openapi makes of the operations, overlaid with what the policy really asks of
//! each and with the providers that give tokens. Nothing about access is written down twice.

mod security;

use http::Method;
use scopegate_provider::ProviderName;
use serde_json::{Map, Value, json};

use self::security::{Schemes, reads, requirements};
use crate::policy::{Policy, RawTarget, Rule, Scheme, Source, Target, TokenUse};

/// The facts that the document is made from, beside the operations.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The policy that decides.
    pub policy: &'a Policy,
    /// The providers.
    pub providers: &'a [DocumentedProvider],
    /// The address of scopegate as callers see it.
    pub site: &'a Site,
    /// The rule of administrators, for all operations below `/admin`, which are in no policy.
    pub admin: Option<&'a Rule>,
}

/// A provider, as the document names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentedProvider {
    /// Its name.
    pub name: ProviderName,
    /// Set if `/token` is served and requests tokens of this provider.
    pub gives_tokens: bool,
}

/// The address of scopegate as callers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    scheme: Scheme,
    host: String,
    origin: String,
    base_path: String,
}

impl Site {
    /// From `server.public_url` and `server.base_path`.
    pub fn new(public_url: &url::Url, base_path: &str) -> Self {
        let scheme = if public_url.scheme() == "https" { Scheme::Https } else { Scheme::Http };
        Self {
            scheme,
            host: public_url.host_str().unwrap_or_default().to_owned(),
            origin: public_url.as_str().trim_end_matches('/').to_owned(),
            base_path: base_path.trim_end_matches('/').to_owned(),
        }
    }

    fn url(&self) -> String {
        format!("{}{}", self.origin, self.base_path)
    }
}

/// Overlays a document (OpenAPI 3.0.3): where it is served, one security scheme per provider, and for each operation what
/// the policy asks and how it refuses. An operation that nobody may call is taken out.
///
/// `security` is what is enough: a caller with one of its entries is let through, unless the description asks for more
/// (a role, a claim, a client), which OpenAPI cannot say.
pub fn overlay(document: Value, facts: Facts<'_>) -> Value {
    let Value::Object(mut document) = document else { return document };
    let schemes = Schemes::new(facts);
    if let Some(paths) = object(&mut document, "paths") {
        for (path, operations) in paths.iter_mut() {
            overlay_path(path, operations, facts, &schemes);
        }
        paths.retain(|_, operations| operations.as_object().is_some_and(has_an_operation));
    }
    if let Some(paths) = object(&mut document, "paths") {
        add_imported(paths, facts, &schemes);
    }
    document.insert("servers".to_owned(), json!([{ "url": facts.site.url() }]));
    if let Some(components) = object(&mut document, "components") {
        add(components, "securitySchemes", schemes.document(facts));
        add(components, "schemas", [("Problem".to_owned(), problem_schema())]);
        add(components, "responses", problem_responses());
    }
    Value::Object(document)
}

/// Adds the operations of `policy_from`, with what the policy requires of them.
fn add_imported(paths: &mut Map<String, Value>, facts: Facts<'_>, schemes: &Schemes) {
    for route in facts.policy.routes() {
        let Source::Operation { document, operation } = route.source() else { continue };
        let pattern = route.pattern().to_string();
        let Some((methods, path)) = pattern.split_once(' ') else { continue };
        let path = path.find('/').map_or("/", |start| path.get(start..).unwrap_or("/"));
        if path.contains("**") || *route.rule() == Rule::Nobody {
            continue;
        }
        let Some(members) = object(paths, path) else { continue };
        if !facts.site.base_path.is_empty() {
            // The service is not below scopegate's own base path.
            members.insert("servers".to_owned(), json!([{ "url": facts.site.origin }]));
        }
        for name in methods.split('|').map(str::to_ascii_lowercase) {
            if method(&name).is_none() || members.contains_key(&name) {
                continue;
            }
            let mut imported = imported(document, operation, path);
            overlay_operation(&mut imported, route.rule(), schemes);
            members.insert(name, Value::Object(imported));
        }
    }
}

/// Returns an operation as far as the policy knows it: its name, its document and its path parameters.
fn imported(document: &str, operation: &str, path: &str) -> Map<String, Value> {
    let parameters = path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let parameters = parameters
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
    let mut members = Map::new();
    members.insert("summary".to_owned(), json!(operation));
    members.insert("tags".to_owned(), json!([document]));
    members.insert("parameters".to_owned(), Value::Array(parameters.collect()));
    members.insert(
        "responses".to_owned(),
        json!({ "default": { "description": "The answer of the service." } }),
    );
    members
}

fn overlay_path(path: &str, operations: &mut Value, facts: Facts<'_>, schemes: &Schemes) {
    let Some(members) = operations.as_object_mut() else { return };
    let methods: Vec<(String, Method)> =
        members.keys().filter_map(|name| Some((name.clone(), method(name)?))).collect();
    for (name, method) in methods {
        match (rule_of(&method, path, facts), members.get_mut(&name).and_then(Value::as_object_mut)) {
            (Some(rule), Some(operation)) => overlay_operation(operation, rule, schemes),
            _ => drop(members.remove(&name)),
        }
    }
}

/// Returns the rule of an operation; `None` if no caller is permitted.
fn rule_of<'p>(method: &Method, path: &str, facts: Facts<'p>) -> Option<&'p Rule> {
    if path.starts_with("/admin/") {
        return facts.admin;
    }
    let path = format!("{}{}", facts.site.base_path, sample(path));
    let target = Target::parse(RawTarget {
        method,
        scheme: facts.site.scheme,
        authority: None,
        hosts: [facts.site.host.as_str()],
        path_and_query: path.as_bytes(),
    });
    let resolved = facts.policy.resolve(&target.ok()?).ok()?;
    match resolved.route().rule() {
        Rule::Nobody => None,
        rule => Some(rule),
    }
}

/// A path of the template, each parameter a segment that no policy would name: its own text, encoded.
fn sample(template: &str) -> String {
    template.replace('{', "%7B").replace('}', "%7D")
}

fn overlay_operation(operation: &mut Map<String, Value>, rule: &Rule, schemes: &Schemes) {
    operation.insert("security".to_owned(), Value::Array(requirements(rule, schemes)));
    let told = match operation.get("description").and_then(Value::as_str) {
        Some(own) => format!("{own}\n\n{}", reads(rule)),
        None => reads(rule),
    };
    operation.insert("description".to_owned(), json!(told));
    let refusals: &[&str] = match rule.token_use() {
        TokenUse::Ignored => &[],
        TokenUse::Optional => &["401", "503"],
        TokenUse::Required => &["401", "403", "503"],
    };
    let Some(responses) = object(operation, "responses") else { return };
    for status in refusals {
        let reference = json!({ "$ref": format!("#/components/responses/Problem{status}") });
        responses.entry(*status).or_insert(reference);
    }
}

fn has_an_operation(operations: &Map<String, Value>) -> bool {
    operations.keys().any(|name| method(name).is_some())
}

/// The method under which an operation stands (OpenAPI 3.0.3, section 4.7.9).
fn method(name: &str) -> Option<Method> {
    Some(match name {
        "get" => Method::GET,
        "put" => Method::PUT,
        "post" => Method::POST,
        "delete" => Method::DELETE,
        "options" => Method::OPTIONS,
        "head" => Method::HEAD,
        "patch" => Method::PATCH,
        "trace" => Method::TRACE,
        _ => return None,
    })
}

fn problem_schema() -> Value {
    json!({
        "type": "object",
        "description": "Why a request was refused (RFC 9457).",
        "required": ["title", "status", "error_description", "reason"],
        "properties": {
            "title": { "type": "string", "description": "The status in words." },
            "status": { "type": "integer", "description": "The status." },
            "error": { "type": "string",
                       "description": "The code of RFC 6750, section 3.1; left out where no token came." },
            "error_description": { "type": "string", "description": "What is wrong, for a person." },
            "reason": { "type": "string", "description": "What is wrong, from one stable vocabulary." },
            "missing_scopes": { "type": "array", "items": { "type": "string" },
                                "description": "What the token lacks, where scopes would do." },
        },
    })
}

fn problem_responses() -> [(String, Value); 3] {
    let schema = json!({ "$ref": "#/components/schemas/Problem" });
    let content = json!({ "application/problem+json": { "schema": schema } });
    let challenge = "What would be enough (RFC 6750, section 3).";
    let responses = [
        ("401", "No token, or a bad one.", "WWW-Authenticate", challenge),
        ("403", "The token is good and not enough.", "WWW-Authenticate", challenge),
        (
            "503",
            "Nobody can tell now whether the token is good.",
            "Retry-After",
            "When it is worth asking again, in seconds.",
        ),
    ];
    responses.map(|(status, description, header, tells)| {
        let headers = json!({ header: { "description": tells, "schema": { "type": "string" } } });
        let response = json!({ "description": description, "headers": headers, "content": content });
        (format!("Problem{status}"), response)
    })
}

/// The object under `name`, made if nothing is there.
fn object<'a>(members: &'a mut Map<String, Value>, name: &str) -> Option<&'a mut Map<String, Value>> {
    members.entry(name).or_insert_with(|| json!({})).as_object_mut()
}

/// Adds members to the object under `name`.
fn add(members: &mut Map<String, Value>, name: &str, more: impl IntoIterator<Item = (String, Value)>) {
    if let Some(object) = object(members, name) {
        object.extend(more);
    }
}

#[cfg(test)]
mod tests;
