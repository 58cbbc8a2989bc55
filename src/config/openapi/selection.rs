//! `public` and `leave_out`: the operations of a document that an entry names.

use super::paths;
use crate::{
    config::diagnostics::DocumentError,
    policy::{HostPattern, PathPattern, Pattern, Segment},
    yaml::nearest,
};

/// The operations that one entry of `public` or `leave_out` selects.
#[derive(Debug)]
pub(super) enum Selection {
    /// The operation of this label, such as `GET /items/{id}`.
    One(String),
    /// Every operation whose path and method a pattern matches, such as `/internal/**`.
    Matching(Pattern),
}

impl Selection {
    /// Parses an entry. The label of an operation is that operation alone; any other text is a pattern, in which
    /// `{name}` is any one segment and a final `**` any number of them.
    pub(super) fn parse(text: &str, labels: &[&str]) -> Result<Self, DocumentError> {
        if labels.contains(&text) {
            return Ok(Self::One(text.to_owned()));
        }
        let no_such =
            || DocumentError::NoSuchOperation { found: text.to_owned(), nearest: nearest(text, labels) };
        let pattern = Pattern::parse(text).ok().filter(|pattern| pattern.host_path.host == HostPattern::Any);
        let selection = Self::Matching(pattern.ok_or_else(no_such)?);
        if labels.iter().any(|label| selection.contains(label)) { Ok(selection) } else { Err(no_such()) }
    }

    /// Returns `true` if the operation of this label is selected.
    pub(super) fn contains(&self, label: &str) -> bool {
        match self {
            Self::One(one) => one == label,
            Self::Matching(pattern) => label.split_once(' ').is_some_and(|(method, path)| {
                let method = method.parse().is_ok_and(|method| pattern.methods.contains(&method));
                method && matches_path(&pattern.host_path.path, path)
            }),
        }
    }
}

/// Returns `true` if `pattern` matches a path as the document writes it, whether or not a rule can be written for it.
fn matches_path(pattern: &PathPattern, path: &str) -> bool {
    let mut given = path.split('/').filter(|segment| !segment.is_empty());
    let mut all = true;
    for segment in pattern.segments() {
        all &= given.next().is_some_and(|given| match segment {
            // The literal is in normal form; what the document writes may not be.
            Segment::Literal(literal) => paths::pattern(&format!("/{given}"))
                .ok()
                .and_then(|path| PathPattern::parse(&path).ok())
                .is_some_and(
                    |parsed| matches!(parsed.segments(), [Segment::Literal(text)] if text == literal),
                ),
            Segment::Parameter(_) => true,
        });
    }
    all && (pattern.takes_rest() || given.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: [&str; 5] = [
        "GET /items/{id}",
        "GET /items/latest",
        "POST /items/{id}:cancel",
        "GET /internal/a/b",
        "DELETE /items/{id}",
    ];

    fn selected(text: &str) -> Vec<&'static str> {
        let selection = Selection::parse(text, &LABELS).unwrap();
        LABELS.into_iter().filter(|label| selection.contains(label)).collect()
    }

    /// CASES I2: `leave_out` and `public` take patterns.
    #[test]
    fn an_entry_is_one_operation_by_its_label_and_else_a_pattern() {
        assert_eq!(selected("GET /items/{id}"), ["GET /items/{id}"]);
        assert_eq!(selected("GET /items/{any}"), ["GET /items/{id}", "GET /items/latest"]);
        assert_eq!(selected("POST|DELETE /items/**"), ["POST /items/{id}:cancel", "DELETE /items/{id}"]);
        assert_eq!(selected("/internal/**"), ["GET /internal/a/b"]);
        assert_eq!(selected("/**").len(), LABELS.len());
    }

    #[test]
    fn an_entry_that_selects_nothing_is_refused_with_the_nearest_operation() {
        for text in ["GET /itemz/{id}", "GET /nothing/**", "api.example/items/**", "GET", ""] {
            let error = Selection::parse(text, &LABELS).unwrap_err();
            assert!(matches!(error, DocumentError::NoSuchOperation { .. }), "{text}: {error}");
        }
    }
}
