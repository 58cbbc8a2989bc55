//! The line of an error, as a compiler shows it, unless it may hold a secret.

use super::Cause;
use crate::yaml::{Location, Problem, may_hold_secret};

/// Returns the line at `location` with a mark under it; `None` where it may hold a secret.
pub(super) fn of(location: &Location, cause: &Cause, secrets: &[Location]) -> Option<String> {
    let line = location.line()?;
    let column = location.column()?;
    let text = location.line_text()?;
    let is_secret =
        secrets.iter().any(|secret| secret.is_same_document(location) && secret.lines().contains(&line));
    if is_secret || may_hold_secret(location) {
        return None;
    }
    let start = usize::try_from(column).ok()?.saturating_sub(1);
    let width = location.width();
    // The value of a key that is not known may be a secret under a misspelt name.
    let unknown = matches!(cause, Cause::Value(Problem::UnknownKey { .. }));
    let shown: String = if unknown {
        text.chars().take(start + width).chain(": …".chars()).collect()
    } else {
        text.trim_end().to_owned()
    };
    let room = shown.chars().count().saturating_sub(start).max(1);
    let number = line.to_string();
    let gutter = " ".repeat(number.len());
    let mark = "^".repeat(width.min(room));
    Some(format!("{gutter} |\n{number} | {shown}\n{gutter} | {}{mark}", " ".repeat(start)))
}
