//! An OpenAPI document, 3.0 or 3.1, as a tree: its operations and what each asks of its callers.

use std::collections::HashMap;

use scopegate_provider::Scope;

use super::{
    Imported, Operation, Spot,
    access::{Access, Entry, Scheme},
    error::DocumentError,
    paths,
};
use crate::{
    config::error::ConfigError,
    policy::settings::{DocumentLong, MatchLong},
    yaml::{Node, Step, Value},
};

/// The methods under which operations stand (3.1.0, section 4.8.9).
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// How many references may lead to one another.
const DEEPEST: usize = 8;

/// Reads a document.
///
/// # Errors
/// All that is wrong with it.
pub(super) fn read(name: &str, root: &Node, settings: &DocumentLong) -> Result<Imported, Vec<ConfigError>> {
    let imported = Imported {
        name: name.to_owned(),
        upstream: settings.upstream.clone(),
        of_program: false,
        operations: Vec::new(),
        scopes: Vec::new(),
        notes: Vec::new(),
    };
    let mut reader = Reader { root, settings, schemes: HashMap::new(), imported, errors: Vec::new() };
    match reader.version() {
        None => reader.all(),
        Some(error) => reader.errors.push(error),
    }
    if reader.errors.is_empty() { Ok(reader.imported) } else { Err(reader.errors) }
}

struct Reader<'a> {
    root: &'a Node,
    settings: &'a DocumentLong,
    schemes: HashMap<&'a str, Scheme>,
    imported: Imported,
    errors: Vec<ConfigError>,
}

impl<'a> Reader<'a> {
    /// Nothing, where it is of a version that is understood.
    fn version(&self) -> Option<ConfigError> {
        let node = self.root.get("openapi");
        let found = node.and_then(Node::text);
        if found.is_some_and(|version| version.starts_with("3.0.") || version.starts_with("3.1.")) {
            return None;
        }
        let found = match (found, self.root.get("swagger")) {
            (Some(version), _) => format!("`openapi: {version}`"),
            (None, Some(_)) => "`swagger`; convert it to OpenAPI 3".to_owned(),
            (None, None) => "no `openapi`".to_owned(),
        };
        let spot = Spot::new(&node.unwrap_or(self.root).place, &["openapi"]);
        Some(spot.error(DocumentError::Version { found }))
    }

    fn all(&mut self) {
        self.read_schemes();
        let Some(paths) = self.root.get("paths") else { return };
        if !matches!(paths.value, Value::Map(_) | Value::Null) {
            let spot = Spot::new(&paths.place, &["paths"]);
            self.errors.push(spot.error(DocumentError::Shape { expected: "a map of paths" }));
        }
        for entry in paths.entries().iter().filter(|entry| !entry.key.starts_with("x-")) {
            let spot = Spot::new(&entry.key_place, &["paths", &entry.key]);
            let item = followed(self.root, &entry.node);
            match item {
                Ok(item) => self.path(&entry.key, &spot, item),
                Err(error) => self.errors.push(spot.error(error)),
            }
        }
    }

    /// `components.securitySchemes`, and the scopes that they declare.
    fn read_schemes(&mut self) {
        let schemes = self.root.get("components").and_then(|components| components.get("securitySchemes"));
        for entry in schemes.map(Node::entries).unwrap_or_default() {
            let spot = Spot::new(&entry.key_place, &["components", "securitySchemes", &entry.key]);
            match followed(self.root, &entry.node) {
                Ok(scheme) => self.read_scheme(&entry.key, &spot, scheme),
                Err(error) => self.errors.push(spot.error(error)),
            }
        }
    }

    fn read_scheme(&mut self, name: &'a str, spot: &Spot, node: &'a Node) {
        let text = |key: &str| node.get(key).and_then(Node::text);
        let Some(kind) = text("type") else {
            self.errors
                .push(spot.error(DocumentError::Shape { expected: "a security scheme with a `type`" }));
            return;
        };
        let providers = self.settings.schemes.get(name).map(|several| several.0.clone()).unwrap_or_default();
        self.schemes.insert(name, Scheme::new(kind, text("scheme"), providers));
        let flows = node.get("flows").map(Node::entries).unwrap_or_default();
        for scope in flows.iter().filter_map(|flow| flow.node.get("scopes")).flat_map(Node::entries) {
            let described = scope.node.text().unwrap_or_default().to_owned();
            match Scope::parse(&scope.key) {
                Ok(scope) => self.imported.scopes.push((scope, described)),
                Err(error) => self
                    .errors
                    .push(Spot { place: scope.key_place.clone(), ..spot.clone() }.error(error.into())),
            }
        }
    }

    fn path(&mut self, path: &str, spot: &Spot, item: &'a Node) {
        if !matches!(item.value, Value::Map(_)) {
            self.errors
                .push(spot.error(DocumentError::Shape { expected: "a map of methods and operations" }));
            return;
        }
        let operations = item.entries().iter().filter(|entry| METHODS.contains(&entry.key.as_str()));
        let left_out = |label: &String| self.settings.leave_out.contains(label);
        let named: Vec<_> =
            operations.map(|entry| (format!("{} {path}", entry.key.to_ascii_uppercase()), entry)).collect();
        let all_left_out = !named.is_empty() && named.iter().all(|(label, _)| left_out(label));
        let pattern = match paths::pattern(path) {
            Ok(pattern) => Some(pattern),
            // What is left out need not be sayable.
            Err(_) if all_left_out => None,
            Err(error) => return self.errors.push(spot.error(error)),
        };
        for (label, entry) in named {
            let at = Spot {
                place: entry.key_place.clone(),
                path: [spot.path.as_slice(), &[Step::Key(entry.key.clone())]].concat(),
            };
            match self.operation(label, at.clone(), pattern.as_deref(), item, &entry.node) {
                Ok(operation) => self.imported.operations.push(operation),
                Err((spot, error)) => self.errors.push(spot.error(error)),
            }
        }
    }

    fn operation(
        &mut self,
        label: String,
        at: Spot,
        pattern: Option<&str>,
        item: &Node,
        node: &'a Node,
    ) -> Result<Operation, (Spot, DocumentError)> {
        let bases = self.bases(item, node).map_err(|error| (at.clone(), error))?;
        let method = label.split(' ').next().unwrap_or_default().to_owned();
        let served = |base: &String| {
            let path = format!("{base}{}", pattern?);
            Some(MatchLong { methods: vec![method.clone()], host: self.settings.host.clone(), path })
        };
        let patterns = bases.iter().filter_map(served).collect();
        let security = self.security(&at, node);
        let mut operation = Operation {
            label,
            security: security.as_ref().map_or_else(|| at.clone(), |(spot, _)| spot.clone()),
            at,
            patterns,
            routes: Vec::new(),
        };
        let Some((spot, security)) = security.filter(|_| !self.settings.leave_out.contains(&operation.label))
        else {
            return Ok(operation);
        };
        let access = self.access(&spot, security).map_err(|error| (spot, error))?;
        operation.permit(access);
        Ok(operation)
    }

    /// What stands in front of an operation's path: its own servers', the path's, or the document's.
    fn bases(&self, item: &Node, operation: &Node) -> Result<Vec<String>, DocumentError> {
        if let Some(base) = &self.settings.base_path {
            return Ok(vec![paths::base(base)?]);
        }
        let servers = [operation, item, self.root].into_iter().filter_map(|node| node.get("servers"));
        let servers = servers.map(Node::items).find(|servers| !servers.is_empty()).unwrap_or_default();
        let mut bases = Vec::new();
        for url in servers.iter().filter_map(|server| server.get("url").and_then(Node::text)) {
            let base = paths::of_server(url)?;
            if !bases.contains(&base) {
                bases.push(base);
            }
        }
        if bases.is_empty() {
            bases.push(String::new());
        }
        Ok(bases)
    }

    /// What is said about the callers of an operation, by itself or else by the document; an empty list of the
    /// document's says nothing.
    fn security(&self, at: &Spot, operation: &'a Node) -> Option<(Spot, &'a Node)> {
        if let Some(own) = operation.get("security") {
            let path = [at.path.as_slice(), &[Step::Key("security".to_owned())]].concat();
            return Some((Spot { place: own.place.clone(), path }, own));
        }
        let general = self.root.get("security").filter(|node| !node.items().is_empty())?;
        Some((Spot::new(&general.place, &["security"]), general))
    }

    fn access(&mut self, spot: &Spot, security: &Node) -> Result<Access, DocumentError> {
        if !matches!(security.value, Value::List(_)) {
            return Err(DocumentError::Shape { expected: "a list of security requirements" });
        }
        let entries = security.items().iter().map(|item| self.entry(item)).collect::<Result<Vec<_>, _>>()?;
        let access = Access::any_of(&entries)?;
        if entries.iter().any(|entry| !entry.is_checked())
            && matches!(access, Access::Authenticated | Access::Require(_))
        {
            let note = "an alternative without a bearer token is left out: tokens are all that is checked";
            self.imported.notes.push((spot.clone(), note.to_owned()));
        }
        Ok(access)
    }

    fn entry(&self, item: &Node) -> Result<Entry, DocumentError> {
        if !matches!(item.value, Value::Map(_)) {
            return Err(DocumentError::Shape { expected: "a map of security schemes and scopes" });
        }
        let mut entry = Entry::default();
        for named in item.entries() {
            let scheme = self.schemes.get(named.key.as_str());
            let scheme = scheme.ok_or_else(|| DocumentError::UnknownScheme { found: named.key.clone() })?;
            if !matches!(named.node.value, Value::List(_)) {
                return Err(DocumentError::Shape { expected: "a list of scopes" });
            }
            let scope = |node: &Node| match node.text() {
                Some(text) => Ok(Scope::parse(text)?),
                None => Err(DocumentError::Shape { expected: "the name of a scope" }),
            };
            // Only tokens have scopes; what else is named beside another scheme is not looked at.
            let scopes = match scheme {
                Scheme::Token(_) => named.node.items().iter().map(scope).collect::<Result<_, _>>()?,
                Scheme::Other => Vec::new(),
            };
            entry.0.push((scheme.clone(), scopes));
        }
        Ok(entry)
    }
}

/// What a node refers to, if it refers to anything: something in this document.
fn followed<'a>(root: &'a Node, node: &'a Node) -> Result<&'a Node, DocumentError> {
    let mut node = node;
    for _ in 0..DEEPEST {
        let Some(reference) = node.get("$ref").and_then(Node::text) else { return Ok(node) };
        let wrong = || DocumentError::Reference { found: reference.to_owned() };
        if node.entries().iter().any(|entry| METHODS.contains(&entry.key.as_str())) {
            // Which of the two would be meant is not said.
            return Err(DocumentError::Shape { expected: "either `$ref` or operations" });
        }
        let steps = reference.strip_prefix("#/").ok_or_else(wrong)?.split('/');
        let into = |node: &'a Node, step: &str| node.get(&step.replace("~1", "/").replace("~0", "~"));
        node = steps.into_iter().try_fold(root, into).ok_or_else(wrong)?;
    }
    Err(DocumentError::Reference {
        found: node.get("$ref").and_then(Node::text).unwrap_or_default().to_owned(),
    })
}
