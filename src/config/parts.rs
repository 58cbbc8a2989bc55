//! The typed parts of a tree, each read on its own so that every error is found.

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context as Digest, SHA256};
use scopegate_provider::{Outline, ProviderName, Scope};

use super::{
    check::Conflict,
    error::{Cause, ConfigError},
    openapi::{Imported, Operation},
    sections::Sections,
};
use crate::{
    gate::UpstreamSettings,
    policy::settings::{RouteSettings, ScopeSettings},
    providers::{Kinds, ProviderSettings},
    yaml::{Entry, Fault, Node, Step, Value, nearest, read},
};

#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) sections: Sections,
    /// Whether `sections` could not be read and is nothing but defaults.
    pub(super) sections_failed: bool,
    pub(super) providers: Vec<ProviderConfig>,
    /// Those that could not be read.
    pub(super) failed_providers: Vec<ProviderName>,
    pub(super) scopes: Vec<(Scope, ScopeSettings)>,
    /// Each with its index in the file.
    pub(super) routes: Vec<(usize, RouteSettings)>,
    pub(super) upstreams: Vec<(String, UpstreamSettings)>,
    /// What OpenAPI documents say.
    pub(super) imported: Vec<Imported>,
}

/// A route, and where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written<'p> {
    pub(super) at: At<'p>,
    pub(super) route: &'p RouteSettings,
}

/// Where a route stands.
#[derive(Debug, Clone, Copy)]
pub(super) enum At<'p> {
    /// In `routes`, with this index.
    File(usize),
    /// In an OpenAPI document.
    Document(&'p Operation),
}

impl Parts {
    /// Every route, those of documents behind those of the file.
    pub(super) fn written<'p>(&'p self) -> impl Iterator<Item = Written<'p>> {
        let of_file = self.routes.iter().map(|(index, route)| Written { at: At::File(*index), route });
        let operations = self.imported.iter().flat_map(|imported| &imported.operations);
        let of_operation = |operation: &'p Operation| {
            operation.routes.iter().map(move |route| Written { at: At::Document(operation), route })
        };
        of_file.chain(operations.flat_map(of_operation))
    }
}

/// A provider of the configuration: its settings, parsed.
pub struct ProviderConfig {
    name: ProviderName,
    kind: &'static str,
    required: bool,
    outline: Outline,
    fingerprint: [u8; 32],
    settings: Box<dyn ProviderSettings>,
}

impl ProviderConfig {
    /// Its name.
    pub fn name(&self) -> &ProviderName {
        &self.name
    }

    /// Its kind.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Whether this node is ready only once it has the keys of this provider.
    pub fn is_required(&self) -> bool {
        self.required
    }

    /// What is known without connecting.
    pub fn outline(&self) -> &Outline {
        &self.outline
    }

    /// Equal for equal settings, secrets included: a provider whose fingerprint has not changed can be kept.
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// The settings, to connect by.
    pub fn into_settings(self) -> Box<dyn ProviderSettings> {
        self.settings
    }
}

impl std::fmt::Debug for ProviderConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProviderConfig")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl ProviderConfig {
    /// A changed certificate authority is a changed setting.
    fn with_files(mut self, node: &Node, files: &[PathBuf]) -> Self {
        let mut digest = Digest::new(&SHA256);
        digest.update(&self.fingerprint);
        feed_files(&mut digest, node, files);
        self.fingerprint = digest.finish().as_ref().try_into().unwrap_or(self.fingerprint);
        self
    }
}

fn feed_files(digest: &mut Digest, node: &Node, files: &[PathBuf]) {
    let named = node.text().map(Path::new).filter(|path| files.iter().any(|file| file == path));
    if let Some(content) = named.and_then(|path| std::fs::read(path).ok()) {
        feed(digest, &content);
    }
    let inner = node.entries().iter().map(|entry| &entry.node).chain(node.items());
    for node in inner {
        feed_files(digest, node, files);
    }
}

/// What `Sections` leaves to be read one entry at a time.
const APART: [&str; 4] = ["providers", "scopes", "routes", "upstreams"];

/// Reads the parts of `root`; what is wrong goes to `errors`.
pub(super) fn read_parts(
    root: &Node,
    kinds: &Kinds,
    files: &[PathBuf],
    errors: &mut Vec<ConfigError>,
) -> Parts {
    let mut faults = Vec::new();
    let mut main = root.clone();
    if let Value::Map(entries) = &mut main.value {
        // A section with nothing in it is a section left out.
        entries.retain(|entry| !APART.contains(&entry.key.as_str()) && !entry.node.is_null());
    }
    let sections: Option<Sections> = read(&main, &[], &mut faults);
    let scopes = entries(root, "scopes", &mut faults, scope);
    let upstreams = entries(root, "upstreams", &mut faults, upstream);
    let routes = routes(root, &mut faults);
    errors.extend(faults.drain(..).map(ConfigError::from));
    let mut failed_providers = Vec::new();
    let mut of_providers = |entry: &Entry, path: &[Step], faults: &mut Vec<Fault>| {
        let name = name(entry, path, faults)?;
        let provider = provider(entry, path, &name, kinds, errors, faults);
        let provider = provider.map(|provider| provider.with_files(&entry.node, files));
        failed_providers.extend(provider.is_none().then_some(name));
        provider
    };
    let providers = entries(root, "providers", &mut faults, &mut of_providers);
    errors.extend(faults.into_iter().map(ConfigError::from));
    let sections_failed = sections.is_none();
    let sections = sections.unwrap_or_default();
    let imported = Vec::new();
    Parts { sections, sections_failed, providers, failed_providers, scopes, routes, upstreams, imported }
}

fn entries<T>(
    root: &Node,
    section: &str,
    faults: &mut Vec<Fault>,
    mut one: impl FnMut(&Entry, &[Step], &mut Vec<Fault>) -> Option<T>,
) -> Vec<T> {
    let at = |key: &str| vec![Step::Key(section.to_owned()), Step::Key(key.to_owned())];
    let Some(node) = root.get(section).filter(|node| !node.is_null()) else { return Vec::new() };
    if !matches!(node.value, Value::Map(_)) {
        faults.push(wrong_type(node, section, "a map of names and settings"));
    }
    let entries = node.entries().iter().filter(|entry| !entry.node.is_hole());
    entries.filter_map(|entry| one(entry, &at(&entry.key), faults)).collect()
}

fn wrong_type(node: &Node, section: &str, expected: &str) -> Fault {
    let found = match node.value {
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
        Value::Null | Value::Hole => "nothing",
        Value::Scalar(_) => "text",
    };
    let problem = crate::yaml::Problem::WrongType { expected: expected.to_owned(), found: found.to_owned() };
    Fault::new(problem, node.place.clone(), &[Step::Key(section.to_owned())])
}

/// A name that is a key, parsed.
fn name<T: std::str::FromStr<Err: std::fmt::Display>>(
    entry: &Entry,
    path: &[Step],
    faults: &mut Vec<Fault>,
) -> Option<T> {
    let refuse = |error: T::Err| {
        let problem = crate::yaml::Problem::Invalid { message: error.to_string() };
        Fault::new(problem, entry.key_place.clone(), path)
    };
    entry.key.parse().map_err(|error| faults.push(refuse(error))).ok()
}

fn scope(entry: &Entry, path: &[Step], faults: &mut Vec<Fault>) -> Option<(Scope, ScopeSettings)> {
    let name = name(entry, path, faults)?;
    // A scope without a description has an empty one; one that is wrong is declared all the same.
    let settings = if entry.node.is_null() { None } else { read(&entry.node, path, faults) };
    Some((name, settings.unwrap_or_else(|| ScopeSettings::Description(String::new()))))
}

fn upstream(entry: &Entry, path: &[Step], faults: &mut Vec<Fault>) -> Option<(String, UpstreamSettings)> {
    read(&entry.node, path, faults).map(|settings| (entry.key.clone(), settings))
}

fn routes(root: &Node, faults: &mut Vec<Fault>) -> Vec<(usize, RouteSettings)> {
    let Some(node) = root.get("routes").filter(|node| !node.is_null()) else { return Vec::new() };
    if !matches!(node.value, Value::List(_)) {
        faults.push(wrong_type(node, "routes", "a list of routes, each beginning with `- match: …`"));
    }
    let mut routes = Vec::with_capacity(node.items().len());
    for (index, item) in node.items().iter().enumerate() {
        let path = [Step::Key("routes".into()), Step::Index(index)];
        routes.extend(read(item, &path, faults).map(|route| (index, route)));
    }
    routes
}

/// The keys of a provider that are scopegate's, not its kind's.
#[derive(serde::Deserialize)]
struct Host {
    kind: Option<String>,
    #[serde(default)]
    required: bool,
}

fn provider(
    entry: &Entry,
    path: &[Step],
    name: &ProviderName,
    kinds: &Kinds,
    errors: &mut Vec<ConfigError>,
    faults: &mut Vec<Fault>,
) -> Option<ProviderConfig> {
    let host: Host = read(&entry.node, path, faults)?;
    let kind = host.kind.as_deref().unwrap_or(&entry.key);
    let Some(kind) = kinds.find(kind) else {
        let known: Vec<String> = kinds.iter().map(|kind| kind.name().to_owned()).collect();
        let conflict =
            Conflict::UnknownKind { found: kind.to_owned(), nearest: nearest(kind, &known), known };
        let place = entry.node.get("kind").map_or(&entry.key_place, |kind| &kind.place);
        errors.push(ConfigError::new(Cause::Conflict(conflict), place.clone(), path));
        return None;
    };
    let mut rest = entry.node.clone();
    if let Value::Map(entries) = &mut rest.value {
        entries.retain(|entry| entry.key != "kind" && entry.key != "required");
    }
    let settings = kind.read(&rest, path, faults)?;
    let fingerprint = fingerprint(kind.name(), &rest);
    let outline = settings.outline();
    Some(ProviderConfig {
        name: name.clone(),
        kind: kind.name(),
        required: host.required,
        outline,
        fingerprint,
        settings,
    })
}

fn fingerprint(kind: &str, node: &Node) -> [u8; 32] {
    let mut digest = Digest::new(&SHA256);
    feed(&mut digest, kind.as_bytes());
    feed_node(&mut digest, node);
    digest.finish().as_ref().try_into().unwrap_or_default()
}

fn feed(digest: &mut Digest, bytes: &[u8]) {
    digest.update(&bytes.len().to_be_bytes());
    digest.update(bytes);
}

fn feed_node(digest: &mut Digest, node: &Node) {
    match &node.value {
        Value::Null | Value::Hole => digest.update(b"n"),
        Value::Scalar(scalar) => {
            digest.update(b"s");
            feed(digest, scalar.text.as_bytes());
        }
        Value::List(items) => {
            digest.update(b"l");
            digest.update(&items.len().to_be_bytes());
            for item in items {
                feed_node(digest, item);
            }
        }
        Value::Map(entries) => {
            digest.update(b"m");
            digest.update(&entries.len().to_be_bytes());
            for entry in entries {
                feed(digest, entry.key.as_bytes());
                feed_node(digest, &entry.node);
            }
        }
    }
}
