//! Diagnostics of a configuration: every error at once, each with its location and what to write instead.

mod conflict;
mod document;
mod excerpt;

use std::fmt;

use serde::{Serialize, Serializer, ser::SerializeStruct};

pub use self::{conflict::Conflict, document::DocumentError};

use crate::yaml::{Diagnostic, Location, Node, Problem, Step, path_text};

/// Everything that is wrong with a configuration. `Display` shows it to people, `Serialize` to machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

/// One thing that is wrong, where it stands, and what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    cause: Box<Cause>,
    location: Option<Location>,
    key: String,
    excerpt: Option<String>,
}

/// A reason to refuse a configuration. No variant holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// A file or folder cannot be read.
    #[error("cannot read `{path}`: {detail}")]
    Unreadable {
        /// The file or folder.
        path: String,
        /// The system's message.
        detail: String,
    },
    /// A file is not UTF-8.
    #[error("expected UTF-8, found another encoding; save the file as UTF-8")]
    NotUtf8,
    /// A folder holds no configuration.
    #[error("expected YAML files in `{path}`, found none (names must end in `.yaml` or `.yml`)")]
    NoFiles {
        /// The folder.
        path: String,
    },
    /// A file is read twice.
    #[error("`{path}` is read twice; name it once")]
    ReadTwice {
        /// The file.
        path: String,
    },
    /// An included file holds more than it may.
    #[error(
        "an included file may hold only `scopes`, `routes` and `upstreams`; move `{key}` to the main file"
    )]
    NotIncludable {
        /// The key.
        key: String,
    },
    /// An environment variable that looks like a setting and is none.
    #[error(
        "the environment variable `{name}` names no setting{}",
        nearest.as_deref().map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default()
    )]
    UnknownVariable {
        /// The variable.
        name: String,
        /// The variable for the known key that is written most alike.
        nearest: Option<String>,
    },
    /// Two environment variables for one setting.
    #[error("the environment variables `{name}` and `{other}` are the same setting; unset one")]
    VariableTwice {
        /// The variable.
        name: String,
        /// The other.
        other: String,
    },
    /// A secret is to be read from an environment variable that is not set.
    #[error("the environment variable `{name}` is not set, or empty; it should hold this secret")]
    SecretVariable {
        /// The variable.
        name: String,
    },
    /// A secret is to be read from a file that cannot be read.
    #[error("cannot read the secret file `{path}`: {detail}")]
    SecretFile {
        /// The file.
        path: String,
        /// The system's message.
        detail: String,
    },
    /// A value is not what its key wants, or the key is not known.
    #[error(transparent)]
    Value(Problem),
    /// Settings that contradict each other.
    #[error(transparent)]
    Conflict(#[from] Conflict),
}

impl Cause {
    /// The cause's name for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "unreadable",
            Self::NotUtf8 => "not_utf8",
            Self::NoFiles { .. } => "no_files",
            Self::ReadTwice { .. } => "read_twice",
            Self::NotIncludable { .. } => "not_includable",
            Self::UnknownVariable { .. } => "unknown_variable",
            Self::VariableTwice { .. } => "variable_twice",
            Self::SecretVariable { .. } => "secret_variable",
            Self::SecretFile { .. } => "secret_file",
            Self::Value(problem) => problem.code(),
            Self::Conflict(conflict) => conflict.code(),
        }
    }
}

impl ConfigError {
    pub(super) fn new(cause: impl Into<Cause>, location: Location, path: &[Step]) -> Self {
        Self { cause: Box::new(cause.into()), location: Some(location), key: path_text(path), excerpt: None }
    }

    /// An error that has no location in a text, such as a file that is not there.
    pub(super) fn without_place(cause: Cause) -> Self {
        Self { cause: Box::new(cause), location: None, key: String::new(), excerpt: None }
    }

    /// The cause.
    pub fn cause(&self) -> &Cause {
        &self.cause
    }

    /// The location; `None` if nothing could be read.
    pub fn location(&self) -> Option<&Location> {
        self.location.as_ref()
    }

    /// The path of the key, such as `server.listen` or `routes[2].match`; empty for a whole document.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The line that it stands on and a mark under it, unless a secret stands on that line.
    pub fn excerpt(&self) -> Option<&str> {
        self.excerpt.as_deref()
    }
}

impl From<Diagnostic> for ConfigError {
    fn from(diagnostic: Diagnostic) -> Self {
        Self {
            cause: Box::new(Cause::Value(diagnostic.problem)),
            location: Some(diagnostic.location),
            key: diagnostic.key,
            excerpt: None,
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cause)?;
        if let Some(location) = &self.location {
            write!(f, "\n  --> {location}")?;
            if !self.key.is_empty() {
                write!(f, " ({})", self.key)?;
            }
        }
        self.excerpt.as_ref().map_or(Ok(()), |excerpt| write!(f, "\n{excerpt}"))
    }
}

impl ConfigErrors {
    /// From at least one error, in the order of their locations. `secrets` are the locations that are not shown.
    pub(super) fn from_list(mut errors: Vec<ConfigError>, secrets: &[Location]) -> Self {
        errors.sort_by_cached_key(|error| {
            let location = error.location.as_ref();
            location.map(|location| (location.origin().to_string(), location.line(), location.column()))
        });
        errors.dedup();
        for error in &mut errors {
            error.excerpt =
                error.location.as_ref().and_then(|location| excerpt::of(location, &error.cause, secrets));
        }
        Self(errors)
    }

    /// The errors; at least one.
    pub fn iter(&self) -> std::slice::Iter<'_, ConfigError> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a ConfigErrors {
    type Item = &'a ConfigError;
    type IntoIter = std::slice::Iter<'a, ConfigError>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let gap = if index > 0 { "\n\n" } else { "" };
            write!(f, "{gap}error: {error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

impl Serialize for ConfigErrors {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.0)
    }
}

impl Serialize for ConfigError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let location = self.location.as_ref();
        let mut object = serializer.serialize_struct("ConfigError", 6)?;
        object.serialize_field("file", &location.map(|location| location.origin().to_string()))?;
        object.serialize_field("line", &location.and_then(Location::line))?;
        object.serialize_field("column", &location.and_then(Location::column))?;
        object.serialize_field("key", &self.key)?;
        object.serialize_field("problem", self.cause.code())?;
        object.serialize_field("message", &self.cause.to_string())?;
        object.end()
    }
}

/// A setting that is accepted, and a reason to change it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// The location, if it has one.
    #[serde(rename = "place")]
    pub location: Option<Location>,
    /// The path of the key.
    pub key: String,
    /// The message.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.location.as_ref().map_or(Ok(()), |location| write!(f, "\n  --> {location} ({})", self.key))
    }
}

/// A location and the path of its key.
#[derive(Debug, Clone)]
pub(super) struct KeyLocation {
    pub(super) location: Location,
    pub(super) path: Vec<Step>,
}

impl KeyLocation {
    pub(super) fn new(location: &Location, path: &[&str]) -> Self {
        let path = path.iter().map(|key| Step::Key((*key).to_owned())).collect();
        Self { location: location.clone(), path }
    }

    /// The location of a key below this one.
    pub(super) fn at_key(&self, key: &str, location: &Location) -> Self {
        let path = [self.path.as_slice(), &[Step::Key(key.to_owned())]].concat();
        Self { location: location.clone(), path }
    }

    /// The location of a node that belongs to this key, which may be in another file.
    pub(super) fn at(&self, node: &Node) -> Self {
        Self { location: node.location.clone(), path: self.path.clone() }
    }

    pub(super) fn error(&self, error: DocumentError) -> ConfigError {
        ConfigError::new(Conflict::Document(error), self.location.clone(), &self.path)
    }
}
