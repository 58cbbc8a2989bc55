//! `$ref` (OpenAPI 3.1.0, section 4.8.23; RFC 3986; RFC 6901): references inside a document and to files beside it.
//!
//! A reference is followed or refused. It is never skipped, because the part behind it may hold the `security` that a
//! rule is made of.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use percent_encoding::percent_decode_str;

use crate::config::diagnostics::DocumentError;
use crate::yaml::{Document, Node, Origin, Step, Value, parse};

/// The keys below which nothing is read that a rule is made of. Files that only these refer to are not opened.
const UNREAD: [&str; 12] = [
    "parameters",
    "requestBody",
    "responses",
    "schema",
    "schemas",
    "content",
    "headers",
    "examples",
    "example",
    "callbacks",
    "links",
    "requestBodies",
];

/// An OpenAPI description: its main document, and the files that it refers to.
#[derive(Debug)]
pub(super) struct Documents {
    main: Node,
    files: BTreeMap<PathBuf, Result<Node, String>>,
}

/// A reference that cannot be followed, and the node that holds it.
#[derive(Debug)]
pub(super) struct Unresolved<'a> {
    pub(super) node: &'a Node,
    pub(super) error: DocumentError,
}

impl<'a> Unresolved<'a> {
    fn new(node: &'a Node, error: DocumentError) -> Self {
        Self { node, error }
    }
}

impl Documents {
    /// Opens every file that `main` refers to, directly or through other files. A file that cannot be read is an error
    /// only where a reference to it is followed.
    pub(super) fn open(main: Node) -> Self {
        let mut files = BTreeMap::new();
        let mut pending = Vec::new();
        collect_files(&main, &mut pending);
        while let Some(path) = pending.pop() {
            if main.location.origin().file() == Some(path.as_path()) || files.contains_key(&path) {
                continue;
            }
            let read = read_file(&path);
            if let Ok(node) = &read {
                collect_files(node, &mut pending);
            }
            files.insert(path, read);
        }
        Self { main, files }
    }

    /// The main document.
    pub(super) fn main(&self) -> &Node {
        &self.main
    }

    /// The files that were opened beside the main document.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.keys().map(PathBuf::as_path)
    }

    /// Follows the `$ref` of `node`, if it has one. One of `keys` beside it would be lost and is refused.
    pub(super) fn object<'a>(&'a self, node: &'a Node, keys: &[&str]) -> Result<&'a Node, Unresolved<'a>> {
        self.follow(node, &|key| keys.contains(&key), &mut Vec::new())
    }

    /// Follows the `$ref` of a map of names or of a list, beside which nothing else may be written.
    pub(super) fn container<'a>(&'a self, node: &'a Node) -> Result<&'a Node, Unresolved<'a>> {
        self.follow(node, &|_| true, &mut Vec::new())
    }

    fn follow<'a>(
        &'a self,
        node: &'a Node,
        is_lost: &dyn Fn(&str) -> bool,
        trail: &mut Vec<&'a Node>,
    ) -> Result<&'a Node, Unresolved<'a>> {
        let mut current = node;
        while let Some(reference) = current.get("$ref") {
            if let Some(entry) =
                current.entries().iter().find(|entry| entry.key != "$ref" && is_lost(&entry.key))
            {
                return Err(Unresolved::new(
                    reference,
                    DocumentError::BesideReference { key: entry.key.clone() },
                ));
            }
            let Some(text) = reference.text() else {
                let expected = "the text of a reference";
                return Err(Unresolved::new(reference, DocumentError::Shape { expected }));
            };
            if trail.iter().any(|seen| std::ptr::eq(*seen, current)) {
                return Err(Unresolved::new(
                    reference,
                    DocumentError::ReferenceCycle { found: text.to_owned() },
                ));
            }
            trail.push(current);
            current = self.target(reference, text, trail)?;
        }
        Ok(current)
    }

    fn target<'a>(
        &'a self,
        reference: &'a Node,
        text: &str,
        trail: &mut Vec<&'a Node>,
    ) -> Result<&'a Node, Unresolved<'a>> {
        let (file, fragment) = text.split_once('#').unwrap_or((text, ""));
        let mut node = self.document(reference, file).map_err(|error| Unresolved::new(reference, error))?;
        let pointer = decoded(fragment);
        let pointer = match pointer.as_deref() {
            Some("") => return Ok(node),
            Some(pointer) => pointer.strip_prefix('/'),
            None => None,
        };
        let Some(pointer) = pointer else {
            return Err(Unresolved::new(reference, DocumentError::Reference { found: text.to_owned() }));
        };
        for token in pointer.split('/') {
            let token = token.replace("~1", "/").replace("~0", "~");
            // A pointer may lead through another reference.
            if child(node, &token).is_none() && node.get("$ref").is_some() {
                node = self.follow(node, &|_| false, trail)?;
            }
            node = child(node, &token).ok_or_else(|| {
                let missing = token.clone();
                let error = DocumentError::ReferenceLeadsNowhere { found: text.to_owned(), missing };
                Unresolved::new(reference, error)
            })?;
        }
        Ok(node)
    }

    /// The document that the part of a reference before `#` names, as seen from the document that holds the reference.
    fn document(&self, reference: &Node, file: &str) -> Result<&Node, DocumentError> {
        let from = reference.location.origin();
        let path = if file.is_empty() {
            from.file().map(Path::to_owned)
        } else {
            let beside = file_beside(from, file);
            Some(beside.ok_or_else(|| DocumentError::ReferenceOutside { found: file.to_owned() })?)
        };
        let Some(path) = path.filter(|path| self.main.location.origin().file() != Some(path)) else {
            return Ok(&self.main);
        };
        match self.files.get(&path) {
            Some(Ok(node)) => Ok(node),
            Some(Err(detail)) => {
                Err(DocumentError::ReferenceFile { path: path.display().to_string(), detail: detail.clone() })
            }
            // Only parts that are not read refer to it, yet this reference leads through one of them.
            None => Err(DocumentError::ReferenceOutside { found: file.to_owned() }),
        }
    }
}

/// Returns the member or item of `node` that one token of a JSON Pointer names.
fn child<'a>(node: &'a Node, token: &str) -> Option<&'a Node> {
    match node.value {
        Value::List(_) => node.child(&Step::Index(token.parse().ok()?)),
        _ => node.get(token),
    }
}

/// Collects the files that the references below `node` name.
fn collect_files(node: &Node, files: &mut Vec<PathBuf>) {
    if let Some(reference) = node.get("$ref")
        && let Some(text) = reference.text()
    {
        let file = text.split('#').next().unwrap_or_default();
        files.extend((!file.is_empty()).then(|| file_beside(reference.location.origin(), file)).flatten());
    }
    for entry in node.entries().iter().filter(|entry| !UNREAD.contains(&entry.key.as_str())) {
        collect_files(&entry.node, files);
    }
    for item in node.items() {
        collect_files(item, files);
    }
}

/// Returns the file that a relative reference names; `None` for a URL, an absolute path, or a reference from a document
/// that is not a file.
fn file_beside(from: &Origin, reference: &str) -> Option<PathBuf> {
    let name = decoded(reference)?;
    let has_scheme = name.split_once(':').is_some_and(|(scheme, _)| !scheme.contains('/'));
    let folder = from.file()?.parent().unwrap_or(Path::new(""));
    if has_scheme || name.starts_with('/') || name.contains(['?', '\\', '\0']) {
        return None;
    }
    Some(without_dots(&folder.join(name)))
}

/// Removes `.` and `..` from a path, so that a file has one name however it is referred to.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if plain.file_name().is_some() => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

fn decoded(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// Reads a file as a tree.
fn read_file(path: &Path) -> Result<Node, String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let text = String::from_utf8(bytes).map_err(|_| DocumentError::NotUtf8.to_string())?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).into();
    let document = Document { origin: Origin::File(path.to_owned()), text };
    parse(&Arc::new(document)).map_err(|diagnostics| {
        let first = diagnostics.first();
        first.map_or_else(String::new, |diagnostic| {
            format!("{} (at {})", diagnostic.problem, diagnostic.location)
        })
    })
}
