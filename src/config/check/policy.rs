//! The policy and the rules of scopegate's own endpoints, compiled, their errors brought to their locations.

use std::collections::HashMap;

use scopegate_provider::Scope;

use super::{Conflict, Findings, Sections, at};
use crate::{
    config::{openapi::Operation, sections::DeclaredRoute},
    policy::{
        Definition, KnownProvider, Policy, PolicyError, Rule, Source, Vocabulary, settings::ScopeSettings,
    },
    yaml::{Location, Node, Step},
};

/// The policy, and the rules of scopegate's own endpoints.
#[derive(Debug)]
pub struct Rules {
    /// The definition of the policy; stored entries are compiled together with it.
    pub definition: Definition,
    /// The policy of the file.
    pub policy: Policy,
    /// The rule of administrators.
    pub admin: Option<Rule>,
    /// The rule of callers that may look at what administrators see.
    pub admin_read: Option<Rule>,
    /// The rule of callers of `/introspect`.
    pub introspection: Option<Rule>,
    places: Places,
}

/// The locations at which the file declares routes, scopes, operations, and the rules of scopegate's own endpoints.
#[derive(Debug)]
struct Places {
    routes: Vec<Location>,
    scopes: HashMap<Scope, Location>,
    operations: HashMap<Source, Location>,
    own: HashMap<&'static str, Location>,
}

impl Rules {
    /// Returns the location of the `require` of this section, such as `admin`.
    pub fn own_place(&self, section: &str) -> Option<&Location> {
        self.places.own.get(section)
    }

    /// Returns the location at which the file declares a route or scope.
    pub fn place(&self, source: &Source) -> Option<&Location> {
        match source {
            Source::Route { index } => self.places.routes.get(*index),
            Source::Scope { name } => self.places.scopes.get(name),
            Source::Operation { .. } => self.places.operations.get(source),
            Source::DocumentScope { .. }
            | Source::OwnEndpoint { .. }
            | Source::StoredRoute { .. }
            | Source::StoredScope { .. } => None,
        }
    }
}

impl Places {
    fn find(sections: &Sections, tree: &Node) -> Self {
        let routes = tree.get("routes").map(Node::items).unwrap_or_default();
        let routes =
            sections.routes.iter().filter_map(|(index, _)| Some(routes.get(*index)?.location.clone()));
        let scopes = tree.get("scopes").map(Node::entries).unwrap_or_default();
        let scopes: HashMap<&str, &Location> =
            scopes.iter().map(|entry| (entry.key.as_str(), &entry.key_location)).collect();
        let scopes = sections.scopes.iter().filter_map(|(name, _)| {
            let location = scopes.get(name.as_str())?;
            Some((name.clone(), Location::clone(location)))
        });
        let own = ["admin", "introspection"].into_iter().filter_map(|section| {
            let rule = tree.get(section)?.get("require")?;
            Some((section, rule.location.clone()))
        });
        let mut operations = HashMap::new();
        for imported in &sections.imported {
            for operation in &imported.operations {
                let document = imported.name.as_str().into();
                let source = Source::Operation { document, operation: operation.label.as_str().into() };
                operations.insert(source, operation.at.location.clone());
            }
        }
        Self { routes: routes.collect(), scopes: scopes.collect(), operations, own: own.collect() }
    }
}

pub(super) fn compile(sections: &Sections, findings: &mut Findings<'_>) -> Option<Rules> {
    let definition = definition(sections);
    let scopes = sections.scopes.iter().map(|(name, _)| name.clone());
    let vocabulary = Vocabulary::new(scopes, definition.providers.clone());
    let settings = &sections.settings;
    let admin_read = settings.admin.as_ref().and_then(|admin| admin.read.as_ref());
    let admin_read =
        admin_read.and_then(|require| rule(&["admin", "read"], vocabulary.admin_rule(require), findings));
    let admin = settings.admin.as_ref().map(|admin| &admin.require);
    let admin =
        admin.and_then(|require| rule(&["admin", "require"], vocabulary.admin_rule(require), findings));
    let introspection = settings.introspection.as_ref().and_then(|section| section.require.as_ref());
    let introspection = introspection
        .and_then(|require| rule(&["introspection", "require"], vocabulary.rule(require), findings));
    no_providers(sections, findings);
    match Policy::compile(&definition) {
        Ok(compiled) => {
            for warning in &compiled.warnings {
                let (at, message) = source_and_message(warning);
                match operation(at, sections) {
                    Some(operation) => findings.warning_in(&operation.at, message),
                    None => findings.warning(&source(at, sections), message),
                }
            }
            let places = Places::find(sections, findings.tree);
            Some(Rules { definition, policy: compiled.policy, admin, admin_read, introspection, places })
        }
        Err(errors) => {
            for error in errors {
                report(error, sections, findings);
            }
            None
        }
    }
}

/// Reports an error of the policy at its location.
fn report(error: PolicyError, sections: &Sections, findings: &mut Findings<'_>) {
    let mut path = source(&error.at, sections);
    path.extend(steps(&error.key));
    let conflict = Conflict::Policy(error.problem);
    match operation(&error.at, sections) {
        Some(operation) if error.key.starts_with("require") => {
            findings.error_in(&operation.security, conflict);
        }
        Some(operation) => findings.error_in(&operation.at, conflict),
        None => findings.error(&path, conflict),
    }
}

/// Returns the operation that declares something.
fn operation<'p>(source: &Source, sections: &'p Sections) -> Option<&'p Operation> {
    let Source::Operation { document, operation } = source else { return None };
    let imported = sections.imported.iter().filter(|imported| *imported.name == **document);
    imported.flat_map(|imported| &imported.operations).find(|known| *known.label == **operation)
}

/// Returns the source of a warning, and its message without it.
fn source_and_message(warning: &crate::policy::Warning) -> (&Source, String) {
    use crate::policy::Warning;
    let (Warning::AudienceNotNamed { at, .. }
    | Warning::NeverFresh { at }
    | Warning::NeverDecides { at, .. }) = warning;
    let message = warning.to_string();
    let prefix = format!("{at}: ");
    (at, message.strip_prefix(&prefix).unwrap_or(&message).to_owned())
}

fn definition(sections: &Sections) -> Definition {
    let mut definition = Definition::default();
    definition.accept_token.clone_from(&sections.settings.accept_token);
    definition.case = sections.settings.case;
    for provider in &sections.providers {
        let outline = provider.outline();
        definition.providers.push(KnownProvider {
            name: provider.name().clone(),
            audiences: outline.audiences.clone(),
            introspects: outline.introspects,
            scopes: outline.scopes.clone(),
        });
    }
    // A provider with an error is known all the same, so that rules may name it.
    for name in &sections.failed_providers {
        definition.providers.push(KnownProvider {
            name: name.clone(),
            audiences: Vec::new(),
            introspects: true,
            scopes: None,
        });
    }
    definition.upstreams =
        sections.upstreams.iter().map(|(name, settings)| settings.known_as(name)).collect();
    for (name, settings) in &sections.scopes {
        definition.add_scope(name.clone(), settings.clone());
    }
    for (_, settings) in &sections.routes {
        definition.add_route(settings.clone());
    }
    // The scopes and operations of documents come behind those of the file.
    for imported in &sections.imported {
        for (scope, description) in &imported.scopes {
            let settings = ScopeSettings::Description(description.clone());
            definition.add_document_scope(&imported.name, scope.clone(), settings);
        }
        for operation in &imported.operations {
            for route in &operation.routes {
                definition.add_operation(&imported.name, &operation.label, route.clone());
            }
        }
    }
    definition
}

fn rule(
    keys: &[&str],
    rule: Result<Rule, Vec<crate::policy::RuleError>>,
    findings: &mut Findings<'_>,
) -> Option<Rule> {
    match rule {
        Ok(rule) => Some(rule),
        Err(errors) => {
            for error in errors {
                let mut path = at(keys);
                path.extend(steps(&error.key));
                findings.error(&path, Conflict::Policy(error.problem));
            }
            None
        }
    }
}

/// Refuses a route that needs a token where no provider issues any.
fn no_providers(sections: &Sections, findings: &mut Findings<'_>) {
    use crate::policy::settings::Allow;
    if !sections.providers.is_empty() || !sections.failed_providers.is_empty() {
        return;
    }
    let needing = sections.declared_routes().find(|DeclaredRoute { route, .. }| {
        route.require.is_some() || matches!(route.allow, Some(Allow::Optional | Allow::Authenticated))
    });
    if let Some(written) = needing {
        findings.route_error(written.at, &[], Conflict::NoProviders);
    }
}

pub(super) fn source(source: &Source, sections: &Sections) -> Vec<Step> {
    match source {
        Source::Route { index } => {
            let index = sections.routes.get(*index).map_or(*index, |(index, _)| *index);
            vec![Step::Key("routes".into()), Step::Index(index)]
        }
        Source::Scope { name } | Source::StoredScope { name } => at(&["scopes", name.as_str()]),
        Source::StoredRoute { .. } | Source::OwnEndpoint { .. } => at(&["routes"]),
        Source::Operation { .. } | Source::DocumentScope { .. } => at(&["policy_from"]),
    }
}

/// Parses the path of a key, such as `require.any_of[0].all`.
fn steps(key: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for part in key.split('.').filter(|part| !part.is_empty()) {
        let mut pieces = part.split('[');
        steps.extend(pieces.next().filter(|name| !name.is_empty()).map(|name| Step::Key(name.to_owned())));
        steps.extend(pieces.filter_map(|piece| piece.strip_suffix(']')?.parse().ok()).map(Step::Index));
    }
    steps
}
