//! The providers as security schemes, and rules as security requirements (OpenAPI 3.0.3, sections 4.7.27 and 4.7.30).

use scopegate_provider::{ProviderName, Scope};
use serde_json::{Map, Value, json};

use super::Facts;
use crate::policy::{Alternative, Rule};

/// The scheme of a document without providers, so that no operation looks open.
const NOBODYS: &str = "bearer";

/// The providers under the names that they have in the document.
pub(super) struct Schemes(Vec<NamedScheme>);

struct NamedScheme {
    key: String,
    provider: Option<ProviderName>,
    /// OpenAPI 3.0 lets only `oauth2` requirements name scopes.
    names_scopes: bool,
}

impl Schemes {
    pub(super) fn new(facts: Facts<'_>) -> Self {
        let mut schemes: Vec<NamedScheme> = Vec::new();
        for provider in facts.providers {
            let mut key = key(&provider.name);
            while schemes.iter().any(|other| other.key == key) {
                key.push('_');
            }
            let provider_name = Some(provider.name.clone());
            schemes.push(NamedScheme { key, provider: provider_name, names_scopes: provider.gives_tokens });
        }
        if schemes.is_empty() {
            schemes.push(NamedScheme { key: NOBODYS.to_owned(), provider: None, names_scopes: false });
        }
        Self(schemes)
    }

    /// `components.securitySchemes`.
    pub(super) fn document(&self, facts: Facts<'_>) -> Map<String, Value> {
        let scopes: Map<String, Value> = facts
            .policy
            .scopes()
            .iter()
            .map(|scope| (scope.name.to_string(), json!(scope.description)))
            .collect();
        let schemes = self.0.iter().map(|scheme| {
            let document = match &scheme.provider {
                Some(name) if scheme.names_scopes => client_credentials(name, &facts.site.url(), &scopes),
                Some(name) => bearer(&format!("A token of the provider {name}.")),
                None => bearer("A token."),
            };
            (scheme.key.clone(), document)
        });
        schemes.collect()
    }

    fn of<'a>(&'a self, alternative: &'a Alternative) -> impl Iterator<Item = &'a NamedScheme> {
        let named = &alternative.providers;
        self.0.iter().filter(move |scheme| {
            named.is_empty() || scheme.provider.as_ref().is_some_and(|provider| named.contains(provider))
        })
    }
}

/// `security` of an operation: each entry is enough.
pub(super) fn requirements(rule: &Rule, schemes: &Schemes) -> Vec<Value> {
    let any_token = schemes.0.iter().map(|scheme| scheme.requirement(&[]));
    match rule {
        Rule::Anonymous | Rule::Nobody => Vec::new(),
        Rule::Optional => [json!({})].into_iter().chain(any_token).collect(),
        Rule::Authenticated => any_token.collect(),
        Rule::Require(alternatives) => {
            let mut entries: Vec<Value> = Vec::new();
            for alternative in alternatives {
                for scheme in schemes.of(alternative) {
                    let sets = scope_sets(alternative);
                    entries.extend(sets.iter().map(|scopes| scheme.requirement(scopes)));
                }
            }
            without_repetition(entries)
        }
    }
}

/// Returns the requirement of a rule as a sentence.
pub(super) fn reads(rule: &Rule) -> String {
    match rule {
        Rule::Anonymous => "Anyone may call this.".to_owned(),
        Rule::Optional => "A token is optional.".to_owned(),
        Rule::Authenticated => "Asks for a valid token.".to_owned(),
        Rule::Nobody => "Nobody may call this.".to_owned(),
        Rule::Require(_) => format!("Asks for: `{rule}`."),
    }
}

impl NamedScheme {
    fn requirement(&self, scopes: &[&Scope]) -> Value {
        let scopes = if self.names_scopes { scopes } else { &[] };
        json!({ self.key.as_str(): scopes })
    }
}

/// The sets of scopes each of which satisfies the alternative's scopes: all of `all`, with one of `any`.
fn scope_sets(alternative: &Alternative) -> Vec<Vec<&Scope>> {
    let all: Vec<&Scope> = alternative.all.iter().collect();
    if alternative.any.is_empty() || alternative.any.iter().any(|scope| alternative.all.contains(scope)) {
        return vec![all];
    }
    alternative.any.iter().map(|one| all.iter().copied().chain([one]).collect()).collect()
}

fn without_repetition(entries: Vec<Value>) -> Vec<Value> {
    let mut once: Vec<Value> = Vec::new();
    for entry in entries {
        if !once.contains(&entry) {
            once.push(entry);
        }
    }
    once
}

/// A component's key: letters, digits, `.`, `-` and `_` (OpenAPI 3.0.3, section 4.7.7.1).
fn key(name: &ProviderName) -> String {
    name.as_str().replace(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-' | '_'), "_")
}

fn client_credentials(provider: &ProviderName, url: &str, scopes: &Map<String, Value>) -> Value {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("provider", provider.as_str())
        .finish();
    json!({
        "type": "oauth2",
        "description": format!("A client of the provider {provider}: give its id and secret."),
        "flows": { "clientCredentials": { "tokenUrl": format!("{url}/token?{query}"), "scopes": scopes } },
    })
}

fn bearer(description: &str) -> Value {
    json!({ "type": "http", "scheme": "bearer", "description": description })
}
