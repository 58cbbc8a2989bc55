//! Reads the files of a configuration.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    diagnostics::{Cause, ConfigError},
    merge::Merger,
    overlay::has_settings,
};
use crate::yaml::{Document, Location, Node, Origin, Problem, Step, Value, parse};

/// The source of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigSource {
    /// A file, or a folder of which every `*.yaml` and `*.yml` is read, in the order of their names, as one
    /// configuration.
    Path(PathBuf),
    /// The development configuration that is built in: it listens on loopback only.
    BuiltIn,
    /// The settings of the environment alone.
    Environment,
    /// A text, and its name for messages.
    Text {
        /// The name.
        name: String,
        /// The text.
        text: String,
    },
}

impl ConfigSource {
    /// Returns `given` (`--config`), else `$SCOPEGATE_CONFIG`, else `./scopegate.yaml` or `./scopegate.yml`, else the
    /// settings of the environment if there are any, else the built-in development configuration.
    pub fn find(given: Option<PathBuf>) -> Self {
        if let Some(path) = given {
            return Self::Path(path);
        }
        if let Some(path) = std::env::var_os("SCOPEGATE_CONFIG").filter(|path| !path.is_empty()) {
            return Self::Path(path.into());
        }
        if let Some(name) =
            ["scopegate.yaml", "scopegate.yml"].into_iter().find(|name| Path::new(name).exists())
        {
            return Self::Path(name.into());
        }
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        if has_settings(names) { Self::Environment } else { Self::BuiltIn }
    }
}

/// A tree, and what it was read from.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) root: Node,
    /// Files and folders whose change may change the tree.
    pub(super) watched: Vec<PathBuf>,
}

/// Reads the source and all that it includes. `texts` take the place of the files of these paths.
pub(super) fn read(
    source: &ConfigSource,
    texts: &HashMap<PathBuf, String>,
) -> Result<Files, Vec<ConfigError>> {
    let mut reading = Reading {
        texts,
        merger: Merger::default(),
        watched: Vec::new(),
        seen: HashSet::new(),
        errors: Vec::new(),
    };
    match source {
        ConfigSource::BuiltIn => {
            reading.text(Origin::BuiltIn, include_str!("../../config/development.yaml"), None);
        }
        ConfigSource::Environment => reading.text(Origin::Text("the environment".to_owned()), "", None),
        ConfigSource::Text { name, text } => reading.text(Origin::Text(name.clone()), text, None),
        ConfigSource::Path(path) if path.is_dir() => reading.folder(path),
        ConfigSource::Path(path) => reading.file(path, Role::Main),
    }
    reading.finish()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Main,
    Included,
}

/// The sections that an included file may hold.
const INCLUDABLE: [&str; 4] = ["scopes", "routes", "tests", "upstreams"];

struct Reading<'t> {
    texts: &'t HashMap<PathBuf, String>,
    merger: Merger,
    watched: Vec<PathBuf>,
    seen: HashSet<PathBuf>,
    errors: Vec<ConfigError>,
}

impl Reading<'_> {
    fn finish(self) -> Result<Files, Vec<ConfigError>> {
        let mut errors = self.errors;
        match self.merger.finish(&mut errors) {
            Some(root) if errors.is_empty() => Ok(Files { root, watched: self.watched }),
            _ => Err(errors),
        }
    }

    fn folder(&mut self, path: &Path) {
        self.watched.push(path.to_owned());
        match matching(path, |name| wildcard("*.yaml", name) || wildcard("*.yml", name)) {
            Ok(files) if files.is_empty() => {
                self.errors
                    .push(ConfigError::without_place(Cause::NoFiles { path: path.display().to_string() }));
            }
            Ok(files) => files.iter().for_each(|file| self.file(file, Role::Main)),
            Err(error) => self.errors.push(ConfigError::without_place(unreadable(path, &error))),
        }
    }

    fn file(&mut self, path: &Path, role: Role) {
        if let Err(cause) = self.try_file(path, role) {
            self.errors.push(ConfigError::without_place(cause));
        }
    }

    fn try_file(&mut self, path: &Path, role: Role) -> Result<(), Cause> {
        let bytes = match self.texts.get(path) {
            Some(text) => text.clone().into_bytes(),
            None => std::fs::read(path).map_err(|error| unreadable(path, &error))?,
        };
        let real = path.canonicalize().map_err(|error| unreadable(path, &error))?;
        if !self.seen.insert(real) {
            return Err(Cause::ReadTwice { path: path.display().to_string() });
        }
        self.watched.push(path.to_owned());
        let origin = Origin::File(path.to_owned());
        match String::from_utf8(bytes) {
            Ok(text) if role == Role::Main => self.text(origin, &text, path.parent()),
            Ok(text) => self.included(origin, &text),
            Err(_) => {
                let document = Arc::new(Document { origin, text: Box::default() });
                self.errors.push(ConfigError::new(Cause::NotUtf8, Location::of_document(&document), &[]));
            }
        }
        Ok(())
    }

    fn text(&mut self, origin: Origin, text: &str, folder: Option<&Path>) {
        let Some(mut node) = self.parse(origin, text) else { return };
        let mut includes = None;
        if let Value::Map(entries) = &mut node.value
            && let Some(at) = entries.iter().position(|entry| entry.key == "include")
        {
            includes = Some(entries.remove(at).node);
        }
        self.merger.add(node);
        if let Some(includes) = includes {
            self.includes(&includes, folder.unwrap_or(Path::new("")));
        }
    }

    fn included(&mut self, origin: Origin, text: &str) {
        let Some(node) = self.parse(origin, text) else { return };
        let mut allowed = node.clone();
        if let Value::Map(entries) = &mut allowed.value {
            entries.retain(|entry| INCLUDABLE.contains(&entry.key.as_str()));
        }
        for entry in node.entries().iter().filter(|entry| !INCLUDABLE.contains(&entry.key.as_str())) {
            let cause = Cause::NotIncludable { key: entry.key.clone() };
            self.errors.push(ConfigError::new(
                cause,
                entry.key_location.clone(),
                &[Step::Key(entry.key.clone())],
            ));
        }
        self.merger.add(allowed);
    }

    fn parse(&mut self, origin: Origin, text: &str) -> Option<Node> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let document = Arc::new(Document { origin, text: text.into() });
        match parse(&document) {
            Ok(node) => Some(node),
            Err(diagnostics) => {
                self.errors.extend(diagnostics.into_iter().map(ConfigError::from));
                None
            }
        }
    }

    fn includes(&mut self, includes: &Node, folder: &Path) {
        let at = [Step::Key("include".into())];
        let mut diagnostics = Vec::new();
        let patterns: Option<Vec<String>> = crate::yaml::read(includes, &at, &mut diagnostics);
        self.errors.extend(diagnostics.into_iter().map(ConfigError::from));
        for (index, pattern) in patterns.unwrap_or_default().iter().enumerate() {
            if let Err(cause) = self.include(&folder.join(pattern)) {
                let path = [Step::Key("include".into()), Step::Index(index)];
                let location = includes.items().get(index).map_or(&includes.location, |item| &item.location);
                self.errors.push(ConfigError::new(cause, location.clone(), &path));
            }
        }
    }

    fn include(&mut self, pattern: &Path) -> Result<(), Cause> {
        let name = pattern.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let folder = pattern.parent().unwrap_or(Path::new(""));
        if folder.to_string_lossy().contains('*') {
            let message =
                "`*` may stand only in the last part of a path, such as `routes.d/*.yaml`".to_owned();
            return Err(Cause::Value(Problem::Invalid { message }));
        }
        if !name.contains('*') {
            return self.try_file(pattern, Role::Included);
        }
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        self.watched.push(folder.to_owned());
        let files =
            matching(folder, |file| wildcard(name, file)).map_err(|error| unreadable(folder, &error))?;
        files.iter().try_for_each(|file| self.try_file(file, Role::Included))
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Cause {
    Cause::Unreadable { path: path.display().to_string(), detail: error.to_string() }
}

/// The files of a folder whose names are wanted, in the order of their names; hidden ones (Kubernetes' `..data`) are
/// left out.
fn matching(folder: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        if !name.starts_with('.') && wanted(name) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Returns `true` if `name` matches `pattern`, in which `*` is any characters.
fn wildcard(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, after)) => name.strip_prefix(before).is_some_and(|rest| {
            let starts = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
            starts.filter_map(|at| rest.get(at..)).any(|rest| wildcard(after, rest))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        assert!(wildcard("*.yaml", "a.yaml") && wildcard("a*b*", "axxbyy") && wildcard("*", ""));
        assert!(!wildcard("*.yaml", "a.yml") && !wildcard("a*b", "axc"));
    }
}
