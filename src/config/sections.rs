//! The typed parts of a tree, each read on its own so that every error is found.

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context as Digest, SHA256};
use scopegate_provider::{Outline, ProviderName, Scope};

pub(super) mod settings;

use self::settings::SectionSettings;
use super::{
    diagnostics::{Cause, ConfigError, Conflict},
    openapi::{Imported, Operation},
};
use crate::{
    policy::{
        DecisionTest,
        settings::{RouteSettings, ScopeSettings},
    },
    providers::{Kinds, ProviderSettings},
    upstream::UpstreamSettings,
    yaml::{Diagnostic, Entry, Location, Node, Step, Value, nearest, read},
};

#[derive(Debug, Default)]
pub(super) struct Sections {
    pub(super) settings: SectionSettings,
    /// `settings` could not be read and holds the defaults.
    pub(super) settings_failed: bool,
    /// A program embeds the gate, so that none of scopegate's own endpoints is served.
    pub(super) embedded: bool,
    pub(super) providers: Vec<ProviderConfig>,
    /// Those that could not be read.
    pub(super) failed_providers: Vec<ProviderName>,
    pub(super) scopes: Vec<(Scope, ScopeSettings)>,
    /// Each with its index in the file.
    pub(super) routes: Vec<(usize, RouteSettings)>,
    pub(super) tests: Vec<LocatedTest>,
    pub(super) upstreams: Vec<(String, UpstreamSettings)>,
    /// The operations and scopes of OpenAPI documents.
    pub(super) imported: Vec<Imported>,
}

/// A decision test, and its place.
#[derive(Debug, Clone)]
pub struct LocatedTest {
    /// The test.
    pub test: DecisionTest,
    /// Its place.
    pub location: Location,
}

/// A route and its source.
#[derive(Debug, Clone, Copy)]
pub(super) struct DeclaredRoute<'p> {
    pub(super) at: RouteSource<'p>,
    pub(super) route: &'p RouteSettings,
}

/// The source of a route.
#[derive(Debug, Clone, Copy)]
pub(super) enum RouteSource<'p> {
    /// In `routes`, with this index.
    File(usize),
    /// In an OpenAPI document.
    Document(&'p Operation),
}

impl Sections {
    /// Every route, those of documents behind those of the file.
    pub(super) fn declared_routes(&self) -> impl Iterator<Item = DeclaredRoute<'_>> {
        let of_file =
            self.routes.iter().map(|(index, route)| DeclaredRoute { at: RouteSource::File(*index), route });
        let operations = self.imported.iter().flat_map(|imported| &imported.operations);
        of_file.chain(operations.flat_map(|operation| {
            let routes = operation.routes.iter();
            routes.map(move |route| DeclaredRoute { at: RouteSource::Document(operation), route })
        }))
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
    location: Option<Location>,
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

    /// Returns `true` if this node is ready only once it has the keys of this provider.
    pub fn is_required(&self) -> bool {
        self.required
    }

    /// The facts that are known without connecting.
    pub fn outline(&self) -> &Outline {
        &self.outline
    }

    /// Equal for equal settings, secrets included: a provider whose fingerprint has not changed can be kept.
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// The place in the file that configures it, if it is known.
    pub fn location(&self) -> Option<&Location> {
        self.location.as_ref()
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

/// The sections that are read one entry at a time.
const APART: [&str; 5] = ["providers", "scopes", "routes", "tests", "upstreams"];

/// Reads the parts of `root`; what is wrong goes to `errors`.
pub(super) fn parse(
    root: &Node,
    kinds: &Kinds,
    files: &[PathBuf],
    errors: &mut Vec<ConfigError>,
) -> Sections {
    let mut diagnostics = Vec::new();
    let mut main = root.clone();
    if let Value::Map(entries) = &mut main.value {
        // An empty section is like one that is left out.
        entries.retain(|entry| !APART.contains(&entry.key.as_str()) && !entry.node.is_null());
    }
    let settings: Option<SectionSettings> = read(&main, &[], &mut diagnostics);
    let scopes = entries(root, "scopes", &mut diagnostics, |entry, path, diagnostics| {
        let name = name(entry, path, diagnostics)?;
        // A scope without a description has an empty one; one that is wrong is declared all the same.
        let settings = if entry.node.is_null() { None } else { read(&entry.node, path, diagnostics) };
        Some((name, settings.unwrap_or_else(|| ScopeSettings::Description(String::new()))))
    });
    let upstreams = entries(root, "upstreams", &mut diagnostics, |entry, path, diagnostics| {
        read(&entry.node, path, diagnostics).map(|settings| (entry.key.clone(), settings))
    });
    let routes = routes(root, &mut diagnostics);
    let found_tests =
        root.get("tests").map(|node| tests(node, &[Step::Key("tests".into())], &mut diagnostics));
    errors.extend(diagnostics.drain(..).map(ConfigError::from));
    let mut failed_providers = Vec::new();
    let providers = entries(root, "providers", &mut diagnostics, |entry, path, diagnostics| {
        let name = name(entry, path, diagnostics)?;
        let provider = provider(entry, path, &name, kinds, files, errors, diagnostics);
        failed_providers.extend(provider.is_none().then_some(name));
        provider
    });
    errors.extend(diagnostics.into_iter().map(ConfigError::from));
    let settings_failed = settings.is_none();
    Sections {
        settings: settings.unwrap_or_default(),
        settings_failed,
        embedded: false,
        providers,
        failed_providers,
        scopes,
        routes,
        tests: found_tests.unwrap_or_default(),
        upstreams,
        imported: Vec::new(),
    }
}

fn entries<T>(
    root: &Node,
    section: &str,
    diagnostics: &mut Vec<Diagnostic>,
    mut one: impl FnMut(&Entry, &[Step], &mut Vec<Diagnostic>) -> Option<T>,
) -> Vec<T> {
    let Some(node) = root.get(section).filter(|node| !node.is_null()) else { return Vec::new() };
    if !matches!(node.value, Value::Map(_)) {
        diagnostics.push(wrong_type(node, section, "a map of names and settings"));
    }
    let mut found = Vec::new();
    for entry in node.entries().iter().filter(|entry| !entry.node.is_redacted()) {
        let path = [Step::Key(section.to_owned()), Step::Key(entry.key.clone())];
        found.extend(one(entry, &path, diagnostics));
    }
    found
}

fn wrong_type(node: &Node, section: &str, expected: &str) -> Diagnostic {
    let found = match node.value {
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
        Value::Null | Value::Redacted => "nothing",
        Value::Scalar(_) => "text",
    };
    let problem = crate::yaml::Problem::WrongType { expected: expected.to_owned(), found: found.to_owned() };
    Diagnostic::new(problem, node.location.clone(), &[Step::Key(section.to_owned())])
}

/// A name that is a key, parsed.
fn name<T: std::str::FromStr<Err: std::fmt::Display>>(
    entry: &Entry,
    path: &[Step],
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<T> {
    match entry.key.parse() {
        Ok(name) => Some(name),
        Err(error) => {
            let problem = crate::yaml::Problem::Invalid { message: error.to_string() };
            diagnostics.push(Diagnostic::new(problem, entry.key_location.clone(), path));
            None
        }
    }
}

fn routes(root: &Node, diagnostics: &mut Vec<Diagnostic>) -> Vec<(usize, RouteSettings)> {
    let Some(node) = root.get("routes").filter(|node| !node.is_null()) else { return Vec::new() };
    if !matches!(node.value, Value::List(_)) {
        diagnostics.push(wrong_type(node, "routes", "a list of routes, each beginning with `- match: …`"));
    }
    let mut routes = Vec::with_capacity(node.items().len());
    for (index, item) in node.items().iter().enumerate() {
        let path = [Step::Key("routes".into()), Step::Index(index)];
        routes.extend(read(item, &path, diagnostics).map(|route| (index, route)));
    }
    routes
}

/// Reads a list of tests, in the configuration or in a file of its own.
pub(super) fn tests(node: &Node, path: &[Step], diagnostics: &mut Vec<Diagnostic>) -> Vec<LocatedTest> {
    if !node.is_null() && !matches!(node.value, Value::List(_)) {
        diagnostics.push(wrong_type(node, "tests", "a list of tests, each beginning with `- request: …`"));
    }
    let mut tests = Vec::with_capacity(node.items().len());
    for (index, item) in node.items().iter().enumerate() {
        let path = [path, &[Step::Index(index)]].concat();
        let Some(test) = read::<DecisionTest>(item, &path, diagnostics) else { continue };
        if let Some(message) = test.problem() {
            let problem = crate::yaml::Problem::Invalid { message };
            diagnostics.push(Diagnostic::new(problem, item.location.clone(), &path));
        }
        tests.push(LocatedTest { test, location: item.location.clone() });
    }
    tests
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
    files: &[PathBuf],
    errors: &mut Vec<ConfigError>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<ProviderConfig> {
    let host: Host = read(&entry.node, path, diagnostics)?;
    let kind = host.kind.as_deref().unwrap_or(&entry.key);
    let Some(kind) = kinds.find(kind) else {
        let known: Vec<String> = kinds.iter().map(|kind| kind.name().to_owned()).collect();
        let conflict =
            Conflict::UnknownKind { found: kind.to_owned(), nearest: nearest(kind, &known), known };
        let location = entry.node.get("kind").map_or(&entry.key_location, |kind| &kind.location);
        errors.push(ConfigError::new(Cause::Conflict(conflict), location.clone(), path));
        return None;
    };
    let mut rest = entry.node.clone();
    if let Value::Map(entries) = &mut rest.value {
        entries.retain(|entry| entry.key != "kind" && entry.key != "required");
    }
    let settings = kind.read(&rest, path, diagnostics)?;
    let mut digest = Digest::new(&SHA256);
    feed(&mut digest, kind.name().as_bytes());
    feed_node(&mut digest, &rest);
    // A changed certificate authority is a changed setting.
    feed_files(&mut digest, &entry.node, files);
    let outline = settings.outline();
    Some(ProviderConfig {
        name: name.clone(),
        kind: kind.name(),
        required: host.required,
        outline,
        fingerprint: digest.finish().as_ref().try_into().unwrap_or_default(),
        settings,
        location: Some(entry.node.location.clone()),
    })
}

fn feed(digest: &mut Digest, bytes: &[u8]) {
    digest.update(&bytes.len().to_be_bytes());
    digest.update(bytes);
}

fn feed_node(digest: &mut Digest, node: &Node) {
    match &node.value {
        Value::Null | Value::Redacted => digest.update(b"n"),
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
