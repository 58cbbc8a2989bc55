//! An OpenAPI document, 3.0 or 3.1, as a tree: its operations and the security that each requires.
//!
//! Whatever could hold `security` is read or refused: a part that was skipped could make a rule weaker than the document.

use std::collections::HashMap;

use scopegate_provider::Scope;

use super::{
    access::{Access, Entry, Scheme},
    operation::{Imported, LeftOut, Operation},
    paths,
    references::{Documents, Unresolved},
    selection::Selection,
};
use crate::{
    config::diagnostics::{ConfigError, DocumentError, KeyLocation},
    policy::settings::{Allow, DocumentLong, MatchLong, Undeclared},
    yaml::{Node, Step, Value, nearest},
};

/// The keys under which a path item holds operations (3.1.0, section 4.8.9).
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// The keys of a path item that are read.
const PATH_ITEM: [&str; 10] =
    ["get", "put", "post", "delete", "options", "head", "patch", "trace", "servers", "security"];

/// The keys of an operation that are read.
const OPERATION: [&str; 2] = ["security", "servers"];

/// The keys of a document that are read.
const DOCUMENT: [&str; 4] = ["paths", "components", "security", "servers"];

/// The keys that OpenAPI defines where one of those above could be misspelt.
const OTHER_KEYS: [&str; 20] = [
    "$ref",
    "summary",
    "description",
    "parameters",
    "tags",
    "externalDocs",
    "operationId",
    "requestBody",
    "responses",
    "callbacks",
    "deprecated",
    "openapi",
    "info",
    "jsonSchemaDialect",
    "webhooks",
    "produces",
    "consumes",
    "schemes",
    "host",
    "basePath",
];

/// Reads a document.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn read(
    name: &str,
    documents: &Documents,
    settings: &DocumentLong,
    names: &mut Names,
) -> Result<Imported, Vec<ConfigError>> {
    let imported = Imported {
        name: name.to_owned(),
        upstream: settings.upstream.clone(),
        of_program: false,
        operations: Vec::new(),
        scopes: Vec::new(),
        notes: Vec::new(),
    };
    let mut reader =
        Reader { documents, settings, schemes: HashMap::new(), security: None, imported, errors: Vec::new() };
    match reader.version() {
        None => reader.document(names),
        Some(error) => reader.errors.push(error),
    }
    if reader.errors.is_empty() { Ok(reader.imported) } else { Err(reader.errors) }
}

/// The entries of `public` and `leave_out` as read against a document, and what is wrong with them.
#[derive(Debug, Default)]
pub(super) struct Names {
    public: Vec<Selection>,
    leave_out: Vec<Selection>,
    /// The key of `policy_from`, the index in it, and the error.
    pub(super) errors: Vec<(&'static str, usize, DocumentError)>,
}

/// An operation that was found in the document, before its security is read.
struct Found<'a> {
    label: String,
    path: &'a str,
    /// The entry of `paths`.
    path_location: KeyLocation,
    at: KeyLocation,
    item: &'a Node,
    node: &'a Node,
}

struct Reader<'a> {
    documents: &'a Documents,
    settings: &'a DocumentLong,
    schemes: HashMap<&'a str, Scheme>,
    /// The security of operations that have none of their own.
    security: Option<(KeyLocation, &'a Node)>,
    imported: Imported,
    errors: Vec<ConfigError>,
}

impl<'a> Reader<'a> {
    /// Returns an error unless the document is of a version that is understood.
    fn version(&self) -> Option<ConfigError> {
        let root = self.documents.main();
        let node = root.get("openapi");
        let found = node.and_then(Node::text);
        if found.is_some_and(|version| version.starts_with("3.0.") || version.starts_with("3.1.")) {
            return None;
        }
        let found = match (found, root.get("swagger")) {
            (Some(version), _) => format!("`openapi: {version}`"),
            (None, Some(_)) => "`swagger`; convert it to OpenAPI 3".to_owned(),
            (None, None) => "no `openapi`".to_owned(),
        };
        let location = KeyLocation::new(&node.unwrap_or(root).location, &["openapi"]);
        Some(location.error(DocumentError::Version { found }))
    }

    fn document(&mut self, names: &mut Names) {
        let root = self.documents.main();
        self.refuse_misspelt(root, &KeyLocation::new(&root.location, &[]), &DOCUMENT);
        self.schemes();
        if let Some(node) = root.get("security") {
            let location = KeyLocation::new(&node.location, &["security"]);
            let list = self.security_list(node, &location);
            // An empty list says nothing.
            self.security =
                self.kept(list).filter(|list| !list.items().is_empty()).map(|list| (location, list));
        }
        let found = self.operations();
        let labels: Vec<&str> = found.iter().map(|found| found.label.as_str()).collect();
        names.public = selections("public", &self.settings.public, &labels, &mut names.errors);
        names.leave_out = selections("leave_out", &self.settings.leave_out, &labels, &mut names.errors);
        let mut unsayable: Vec<&str> = Vec::new();
        for found in found {
            let is_left_out = names.leave_out.iter().any(|selection| selection.contains(&found.label));
            let pattern = match paths::pattern(found.path) {
                Ok(pattern) => Some(pattern),
                // An operation that is left out needs no pattern.
                Err(_) if is_left_out => None,
                Err(error) => {
                    // One error a path.
                    if !unsayable.contains(&found.path) {
                        self.errors.push(found.path_location.error(error));
                        unsayable.push(found.path);
                    }
                    continue;
                }
            };
            let operation = self.operation(found, pattern.as_deref(), is_left_out);
            let operation = self.kept(operation);
            self.imported.operations.extend(operation);
        }
        self.publish(names);
    }

    /// Returns the value, or keeps the error.
    fn kept<T>(&mut self, result: Result<T, ConfigError>) -> Option<T> {
        result.map_err(|error| self.errors.push(error)).ok()
    }

    /// Opens to every caller the operations that `public` selects, if they declare nothing themselves.
    fn publish(&mut self, names: &mut Names) {
        for (index, selection) in names.public.iter().enumerate() {
            let mut is_opened = false;
            for operation in &mut self.imported.operations {
                if !selection.contains(&operation.label) || operation.left_out == Some(LeftOut::ByName) {
                    continue;
                }
                if !operation.is_declared {
                    operation.permit(Access::Allow(Allow::Anonymous));
                }
                is_opened |= operation.is_public();
            }
            if !is_opened {
                let operation = self.settings.public.get(index).cloned().unwrap_or_default();
                names.errors.push(("public", index, DocumentError::NotPublic { operation }));
            }
        }
    }

    /// Reads `components.securitySchemes`, and the scopes that they declare.
    fn schemes(&mut self) {
        let root = self.documents.main();
        let Some(components) = root.get("components") else { return };
        let location = KeyLocation::new(&components.location, &["components"]);
        let Some(components) = self.map(components, &location, "a map of components") else { return };
        let Some(schemes) = components.get("securitySchemes") else { return };
        let location = KeyLocation::new(&schemes.location, &["components", "securitySchemes"]);
        let Some(schemes) = self.map(schemes, &location, "a map of security schemes") else { return };
        for entry in schemes.entries() {
            let location = location.at_key(&entry.key, &entry.key_location);
            let scheme = self.followed(&entry.node, &location, &["type", "scheme", "flows"]);
            if let Some(scheme) = self.kept(scheme) {
                self.scheme(&entry.key, &location, scheme);
            }
        }
    }

    fn scheme(&mut self, name: &'a str, location: &KeyLocation, node: &'a Node) {
        let Some(kind) = node.get("type").and_then(Node::text) else {
            let error = DocumentError::Shape { expected: "a security scheme with a `type`" };
            return self.errors.push(location.at(node).error(error));
        };
        let scheme = match self.settings.schemes.get(name) {
            // Tokens of these providers take the place of whatever the document asks for.
            Some(providers) => Scheme::Token(providers.0.clone()),
            None => Scheme::new(kind, node.get("scheme").and_then(Node::text)),
        };
        self.schemes.insert(name, scheme);
        let Some(flows) = node.get("flows") else { return };
        let Some(flows) = self.map(flows, location, "a map of flows") else { return };
        for flow in flows.entries().iter().filter(|entry| !entry.key.starts_with("x-")) {
            let followed = self.followed(&flow.node, location, &["scopes"]);
            let Some(scopes) = self.kept(followed).and_then(|flow| flow.get("scopes")) else { continue };
            let Some(scopes) = self.map(scopes, location, "a map of scopes and descriptions") else {
                continue;
            };
            for scope in scopes.entries() {
                let description = scope.node.text().unwrap_or_default().to_owned();
                match Scope::parse(&scope.key) {
                    Ok(scope) => self.imported.scopes.push((scope, description)),
                    Err(error) => {
                        self.errors
                            .push(location.at_key(&scope.key, &scope.key_location).error(error.into()));
                    }
                }
            }
        }
    }

    /// Returns every operation of `paths`.
    fn operations(&mut self) -> Vec<Found<'a>> {
        let mut found = Vec::new();
        let Some(paths) = self.documents.main().get("paths") else { return found };
        let location = KeyLocation::new(&paths.location, &["paths"]);
        let Some(paths) = self.map(paths, &location, "a map of paths") else { return found };
        for entry in paths.entries().iter().filter(|entry| !entry.key.starts_with("x-")) {
            let path_location = location.at_key(&entry.key, &entry.key_location);
            let item = self.followed(&entry.node, &path_location, &PATH_ITEM);
            let Some(item) = self.kept(item) else { continue };
            if !matches!(item.value, Value::Map(_)) {
                let error = DocumentError::Shape { expected: "a map of methods and operations" };
                self.errors.push(path_location.at(item).error(error));
                continue;
            }
            self.refuse_misspelt(item, &path_location, &PATH_ITEM);
            let before = found.len();
            for operation in item.entries().iter().filter(|entry| METHODS.contains(&entry.key.as_str())) {
                found.push(Found {
                    label: format!("{} {}", operation.key.to_ascii_uppercase(), entry.key),
                    path: &entry.key,
                    path_location: path_location.clone(),
                    at: path_location.at_key(&operation.key, &operation.key_location),
                    item,
                    node: &operation.node,
                });
            }
            if let Err(error) = paths::pattern(&entry.key)
                && found.len() == before
            {
                self.errors.push(path_location.error(error));
            }
        }
        found
    }

    /// Refuses a key that looks like one that a rule is made of: what is below it would not be read.
    fn refuse_misspelt(&mut self, node: &'a Node, location: &KeyLocation, read: &[&str]) {
        for entry in node.entries() {
            let key = entry.key.as_str();
            let is_known = key != "security" && read.contains(&key) || OTHER_KEYS.contains(&key);
            if key.starts_with("x-") || is_known || key == "security" && read != PATH_ITEM {
                continue;
            }
            let nearest = nearest(key, read);
            let is_operation =
                ["responses", "security", "$ref"].iter().any(|key| entry.node.get(key).is_some());
            if nearest.is_some() || is_operation && read == PATH_ITEM {
                let error = DocumentError::UnknownKey { found: key.to_owned(), nearest };
                self.errors.push(location.at_key(key, &entry.key_location).error(error));
            }
        }
    }

    fn operation(
        &mut self,
        found: Found<'a>,
        pattern: Option<&str>,
        is_left_out: bool,
    ) -> Result<Operation, ConfigError> {
        let Found { label, at, item, node, .. } = found;
        let node = self.followed(node, &at, &OPERATION)?;
        if !matches!(node.value, Value::Map(_) | Value::Null) {
            return Err(at.at(node).error(DocumentError::Shape { expected: "an operation" }));
        }
        self.refuse_misspelt(node, &at, &OPERATION);
        let mut patterns = Vec::new();
        for base in self.bases(item, node, &at)? {
            let Some(pattern) = pattern else { break };
            let methods = vec![label.split(' ').next().unwrap_or_default().to_owned()];
            let path = format!("{base}{pattern}");
            patterns.push(MatchLong { methods, host: self.settings.host.clone(), path });
        }
        let security = self.security(&at, node)?;
        let mut operation = Operation {
            label,
            security: security.as_ref().map_or_else(|| at.clone(), |(location, _)| location.clone()),
            at,
            patterns,
            routes: Vec::new(),
            is_declared: security.is_some(),
            left_out: is_left_out.then_some(LeftOut::ByName),
        };
        match security {
            _ if is_left_out => {}
            Some((location, security)) => operation.permit(self.access(&location, security)?),
            None => match self.settings.undeclared {
                None => {}
                Some(Undeclared::Nobody) => operation.permit(Access::Allow(Allow::Nobody)),
                Some(Undeclared::Authenticated) => operation.permit(Access::Allow(Allow::Authenticated)),
                Some(Undeclared::LeaveOut) => operation.left_out = Some(LeftOut::Undeclared),
            },
        }
        Ok(operation)
    }

    /// Returns the paths in front of an operation's own: those of its own servers, else of its path's, else of the
    /// document's.
    fn bases(
        &mut self,
        item: &'a Node,
        operation: &'a Node,
        at: &KeyLocation,
    ) -> Result<Vec<String>, ConfigError> {
        if let Some(base) = &self.settings.base_path {
            return paths::base(base).map(|base| vec![base]).map_err(|error| at.error(error));
        }
        let mut bases = Vec::new();
        for node in [operation, item, self.documents.main()] {
            let Some(servers) = node.get("servers") else { continue };
            let servers = self.container(servers, at)?;
            if !matches!(servers.value, Value::List(_) | Value::Null) {
                return Err(at.at(servers).error(DocumentError::Shape { expected: "a list of servers" }));
            }
            for server in servers.items() {
                let server = self.followed(server, at, &["url", "variables"])?;
                let Some(url) = server.get("url").and_then(Node::text) else {
                    return Err(at
                        .at(server)
                        .error(DocumentError::Shape { expected: "a server with a `url`" }));
                };
                let base = paths::of_server(url).map_err(|error| at.error(error))?;
                if !bases.contains(&base) {
                    bases.push(base);
                }
            }
            if !bases.is_empty() {
                return Ok(bases);
            }
        }
        Ok(vec![String::new()])
    }

    /// Returns the security of an operation: its own, or else the document's.
    fn security(
        &self,
        at: &KeyLocation,
        operation: &'a Node,
    ) -> Result<Option<(KeyLocation, &'a Node)>, ConfigError> {
        let Some(own) = operation.get("security") else { return Ok(self.security.clone()) };
        let location = at.at_key("security", &own.location);
        let list = self.security_list(own, &location)?;
        Ok(Some((location, list)))
    }

    fn security_list(&self, node: &'a Node, location: &KeyLocation) -> Result<&'a Node, ConfigError> {
        let list = self.container(node, location)?;
        match list.value {
            Value::List(_) => Ok(list),
            _ => Err(location
                .at(list)
                .error(DocumentError::Shape { expected: "a list of security requirements" })),
        }
    }

    fn access(&mut self, location: &KeyLocation, security: &'a Node) -> Result<Access, ConfigError> {
        let mut entries = Vec::with_capacity(security.items().len());
        for item in security.items() {
            entries.push(self.entry(item, location)?);
        }
        let access = Access::any_of(&entries).map_err(|error| location.error(error))?;
        if entries.iter().any(|entry| !entry.is_checked())
            && matches!(access, Access::Allow(Allow::Authenticated) | Access::Require(_))
        {
            let note = "an alternative without a bearer token is left out, because only tokens are checked; name the \
                        providers whose tokens take its place in `schemes`";
            self.imported.notes.push((location.clone(), note.to_owned()));
        }
        Ok(access)
    }

    fn entry(&self, item: &'a Node, location: &KeyLocation) -> Result<Entry, ConfigError> {
        let item = self.container(item, location)?;
        if !matches!(item.value, Value::Map(_)) {
            let expected = "a map of security schemes and scopes";
            return Err(location.at(item).error(DocumentError::Shape { expected }));
        }
        let mut entry = Entry::default();
        for named in item.entries() {
            let Some(scheme) = self.schemes.get(named.key.as_str()) else {
                let error = DocumentError::UnknownScheme { found: named.key.clone() };
                return Err(
                    KeyLocation { location: named.key_location.clone(), ..location.clone() }.error(error)
                );
            };
            let list = self.container(&named.node, location)?;
            if !matches!(list.value, Value::List(_)) {
                return Err(location.at(list).error(DocumentError::Shape { expected: "a list of scopes" }));
            }
            let mut scopes = Vec::new();
            // Only tokens have scopes; what an API key lists is not looked at.
            for item in list.items().iter().filter(|_| matches!(scheme, Scheme::Token(_))) {
                let text = item.text();
                let text = text.ok_or(DocumentError::Shape { expected: "the name of a scope" });
                let scope = text.and_then(|text| Ok(Scope::parse(text)?));
                scopes.push(scope.map_err(|error| location.at(item).error(error))?);
            }
            entry.0.push((scheme.clone(), scopes));
        }
        Ok(entry)
    }

    /// Follows the reference of an object, beside which none of `keys` may be written.
    fn followed(
        &self,
        node: &'a Node,
        location: &KeyLocation,
        keys: &[&str],
    ) -> Result<&'a Node, ConfigError> {
        self.documents.object(node, keys).map_err(|unresolved| unresolved.error(location))
    }

    /// Follows the reference of a list or of a map of names.
    fn container(&self, node: &'a Node, location: &KeyLocation) -> Result<&'a Node, ConfigError> {
        self.documents.container(node).map_err(|unresolved| unresolved.error(location))
    }

    /// Follows the reference of a map; an empty value is an empty map, and any other value an error.
    fn map(&mut self, node: &'a Node, location: &KeyLocation, expected: &'static str) -> Option<&'a Node> {
        let followed = self.container(node, location);
        let node = self.kept(followed)?;
        if !matches!(node.value, Value::Map(_) | Value::Null) {
            self.errors.push(location.at(node).error(DocumentError::Shape { expected }));
            return None;
        }
        Some(node)
    }
}

/// Parses the entries of `public` or `leave_out`.
fn selections(
    key: &'static str,
    entries: &[String],
    labels: &[&str],
    errors: &mut Vec<(&'static str, usize, DocumentError)>,
) -> Vec<Selection> {
    let mut selections = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        match Selection::parse(entry, labels) {
            Ok(selection) => selections.push(selection),
            Err(error) => errors.push((key, index, error)),
        }
    }
    selections
}

impl Unresolved<'_> {
    fn error(self, location: &KeyLocation) -> ConfigError {
        let path = [location.path.as_slice(), &[Step::Key("$ref".to_owned())]].concat();
        KeyLocation { location: self.node.location.clone(), path }.error(self.error)
    }
}
