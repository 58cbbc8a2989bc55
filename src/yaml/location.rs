//! Locations in a configuration.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The source that a part of the configuration was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A file.
    File(PathBuf),
    /// The development configuration that is built in.
    BuiltIn,
    /// A text that a program handed over, under the name that it gave.
    Text(String),
    /// An environment variable.
    Variable(String),
}

impl Origin {
    /// The file, if it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::BuiltIn | Self::Text(_) | Self::Variable(_) => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::BuiltIn => f.write_str("the built-in development configuration"),
            Self::Text(name) => f.write_str(name),
            Self::Variable(name) => write!(f, "the environment variable {name}"),
        }
    }
}

/// A text and where it comes from.
#[derive(Debug)]
pub struct Document {
    /// The source.
    pub origin: Origin,
    /// The text; empty for an environment variable, whose value may be a secret.
    pub text: Box<str>,
}

/// A location: the origin, the line and the column (both from 1; an environment variable has neither).
#[derive(Clone)]
pub struct Location {
    document: Arc<Document>,
    line: u32,
    column: u32,
    start: u32,
    length: u32,
}

impl Location {
    /// The document as a whole.
    pub fn of_document(document: &Arc<Document>) -> Self {
        Self { document: Arc::clone(document), line: 0, column: 0, start: 0, length: 0 }
    }

    /// A location that serde-saphyr tells.
    pub(super) fn new(document: &Arc<Document>, location: serde_saphyr::Location) -> Self {
        let span = location.span();
        Self {
            document: Arc::clone(document),
            line: narrow(location.line()),
            column: narrow(location.column()),
            start: span.byte_offset().map_or(0, narrow),
            length: span.byte_len().map_or(0, narrow),
        }
    }

    /// The origin.
    pub fn origin(&self) -> &Origin {
        &self.document.origin
    }

    /// Returns the path of a file that is named here: a relative one starts at the file that names it.
    pub(crate) fn beside(&self, file: &str) -> PathBuf {
        let folder = self.origin().file().and_then(Path::parent);
        folder.map_or_else(|| PathBuf::from(file), |folder| folder.join(file))
    }

    /// The line, from 1; none where the origin has no lines.
    pub fn line(&self) -> Option<u32> {
        (self.line > 0).then_some(self.line)
    }

    /// The column in characters, from 1; none where the origin has no lines.
    pub fn column(&self) -> Option<u32> {
        (self.line > 0).then_some(self.column)
    }

    /// The text of the line.
    pub fn line_text(&self) -> Option<&str> {
        let before = usize::try_from(self.line.checked_sub(1)?).ok()?;
        lines(&self.document.text).nth(before)
    }

    /// The lines above, nearest first.
    pub fn lines_above(&self) -> impl Iterator<Item = &str> {
        let count = usize::try_from(self.line).unwrap_or_default().saturating_sub(1);
        let above: Vec<&str> = lines(&self.document.text).take(count).collect();
        above.into_iter().rev()
    }

    /// Returns the text at the location, as it was written.
    pub fn source_text(&self) -> Option<&str> {
        let start = usize::try_from(self.start).ok()?;
        self.document.text.get(start..start.checked_add(usize::try_from(self.length).ok()?)?)
    }

    /// Returns the number of characters in this line, one at least.
    pub fn width(&self) -> usize {
        let first_line = self.source_text().and_then(|text| lines(text).next()).unwrap_or_default();
        first_line.trim_end().chars().count().max(1)
    }

    /// Returns `true` if both are in one document.
    pub fn is_same_document(&self, other: &Location) -> bool {
        Arc::ptr_eq(&self.document, &other.document)
    }

    /// Every line that it covers.
    pub fn lines(&self) -> std::ops::RangeInclusive<u32> {
        let breaks = self.source_text().map_or(0, |text| lines(text.trim_end()).count().saturating_sub(1));
        self.line..=self.line.saturating_add(u32::try_from(breaks).unwrap_or(u32::MAX))
    }
}

/// The lines of a text as YAML counts them (YAML 1.2.2, section 5.4): a break is LF, CR, or one of each.
fn lines(text: &str) -> impl DoubleEndedIterator<Item = &str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl PartialEq for Location {
    fn eq(&self, other: &Self) -> bool {
        self.document.origin == other.document.origin
            && self.line == other.line
            && self.column == other.column
    }
}

impl Eq for Location {}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line() {
            Some(line) => write!(f, "{}:{line}:{}", self.origin(), self.column),
            None => fmt::Display::fmt(self.origin(), f),
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Location {
    /// As it is displayed: `scopegate.yaml:3:7`.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
