//! The policy and the rules of scopegate's own endpoints, compiled, their errors brought to their places.

use std::collections::HashMap;

use scopegate_provider::{ProviderName, Scope};

use super::{Conflict, Findings, Parts, at};
use crate::{
    policy::{Definition, KnownProvider, Policy, PolicyError, Rule, Source, Vocabulary},
    yaml::{Node, Place, Step},
};

/// What is decided by.
#[derive(Debug)]
pub struct Rules {
    /// What the policy was compiled from; what is stored is compiled together with it.
    pub definition: Definition,
    /// The policy of the file.
    pub policy: Policy,
    /// Who may administer.
    pub admin: Option<Rule>,
    /// Whose token opens `/introspect`.
    pub introspection: Option<Rule>,
    routes: Vec<Place>,
    scopes: HashMap<Scope, Place>,
}

impl Rules {
    /// Where the file declares a route or scope.
    pub fn place(&self, source: &Source) -> Option<&Place> {
        match source {
            Source::Route { index } => self.routes.get(*index),
            Source::Scope { name } => self.scopes.get(name),
            Source::StoredRoute { .. } | Source::StoredScope { .. } => None,
        }
    }
}

pub(super) fn compile(parts: &Parts, findings: &mut Findings<'_>) -> Option<Rules> {
    let definition = definition(parts);
    let scopes = parts.scopes.iter().map(|(name, _)| name.clone());
    let vocabulary = Vocabulary::new(scopes, definition.providers.clone());
    let sections = &parts.sections;
    let admin = sections.admin.as_ref().map(|admin| &admin.require);
    let admin =
        admin.and_then(|require| rule(&["admin", "require"], vocabulary.admin_rule(require), findings));
    let introspection = sections.introspection.as_ref().and_then(|section| section.require.as_ref());
    let introspection = introspection
        .and_then(|require| rule(&["introspection", "require"], vocabulary.rule(require), findings));
    no_providers(parts, findings);
    match Policy::compile(&definition) {
        Ok(compiled) => {
            for warning in &compiled.warnings {
                let (at, message) = told(warning);
                findings.warning(&source(at, parts), message);
            }
            let (routes, scopes) = (route_places(parts, findings), scope_places(parts, findings));
            Some(Rules { definition, policy: compiled.policy, admin, introspection, routes, scopes })
        }
        Err(errors) => {
            for error in errors {
                let path = place(&error, parts);
                findings.error(&path, Conflict::Policy(error.problem));
            }
            None
        }
    }
}

fn route_places(parts: &Parts, findings: &Findings<'_>) -> Vec<Place> {
    let node = findings.tree.get("routes");
    let place = |index: usize| node.and_then(|node| node.items().get(index)).map(|item| item.place.clone());
    parts.routes.iter().filter_map(|(index, _)| place(*index)).collect()
}

fn scope_places(parts: &Parts, findings: &Findings<'_>) -> HashMap<Scope, Place> {
    let entries = findings.tree.get("scopes").map(Node::entries).unwrap_or_default();
    let places: HashMap<&str, &Place> =
        entries.iter().map(|entry| (entry.key.as_str(), &entry.key_place)).collect();
    let place = |name: &Scope| places.get(name.as_str()).map(|place| (name.clone(), Place::clone(place)));
    parts.scopes.iter().filter_map(|(name, _)| place(name)).collect()
}

/// Where a warning belongs, and what it says without saying where.
fn told(warning: &crate::policy::Warning) -> (&Source, String) {
    use crate::policy::Warning;
    let (Warning::AudienceNotNamed { at, .. }
    | Warning::NeverFresh { at }
    | Warning::NeverDecides { at, .. }) = warning;
    let message = warning.to_string();
    let prefix = format!("{at}: ");
    (at, message.strip_prefix(&prefix).unwrap_or(&message).to_owned())
}

fn definition(parts: &Parts) -> Definition {
    let known = |provider: &crate::config::ProviderConfig| KnownProvider {
        name: provider.name().clone(),
        audiences: provider.outline().audiences.clone(),
        introspects: provider.outline().introspects,
    };
    let mut definition = Definition::default();
    definition.providers = parts.providers.iter().map(known).collect();
    // A provider that is wrong is there all the same, so that rules may name it.
    let unknown =
        |name: &ProviderName| KnownProvider { name: name.clone(), audiences: Vec::new(), introspects: true };
    definition.providers.extend(parts.failed_providers.iter().map(unknown));
    definition.upstreams = parts.upstreams.iter().map(|(name, _)| name.clone()).collect();
    for (name, settings) in &parts.scopes {
        definition.add_scope(name.clone(), settings.clone());
    }
    for (_, settings) in &parts.routes {
        definition.add_route(settings.clone());
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

/// A route that wants a token, where nobody issues any.
fn no_providers(parts: &Parts, findings: &mut Findings<'_>) {
    use crate::policy::settings::Allow;
    if !parts.providers.is_empty() || !parts.failed_providers.is_empty() {
        return;
    }
    let wants = |allow: Option<Allow>| matches!(allow, Some(Allow::Optional | Allow::Authenticated));
    let mut routes = parts.routes.iter();
    if let Some((index, _)) = routes.find(|(_, route)| route.require.is_some() || wants(route.allow)) {
        findings.error(&[Step::Key("routes".into()), Step::Index(*index)], Conflict::NoProviders);
    }
}

fn source(source: &Source, parts: &Parts) -> Vec<Step> {
    match source {
        Source::Route { index } => {
            let index = parts.routes.get(*index).map_or(*index, |(index, _)| *index);
            vec![Step::Key("routes".into()), Step::Index(index)]
        }
        Source::Scope { name } | Source::StoredScope { name } => at(&["scopes", name.as_str()]),
        Source::StoredRoute { .. } => at(&["routes"]),
    }
}

fn place(error: &PolicyError, parts: &Parts) -> Vec<Step> {
    let mut path = source(&error.at, parts);
    path.extend(steps(&error.key));
    path
}

/// `require.any_of[0].all` → its steps.
fn steps(key: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for part in key.split('.').filter(|part| !part.is_empty()) {
        let mut pieces = part.split('[');
        steps.extend(pieces.next().filter(|name| !name.is_empty()).map(|name| Step::Key(name.to_owned())));
        steps.extend(pieces.filter_map(|piece| piece.strip_suffix(']')?.parse().ok()).map(Step::Index));
    }
    steps
}
