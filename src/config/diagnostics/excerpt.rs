//! The line of an error, shown as a compiler would, unless it holds a secret.

use super::Cause;
use crate::yaml::{Location, Problem};

/// What makes a line suspect where nothing better is known, as in a file that is not even YAML.
const SUSPECT: [&str; 8] =
    ["secret", "passw", "private", "credential", "api_key", "apikey", "-----begin", "token:"];

/// The line of `place` with a mark under it; nothing where a secret may stand on it.
pub(super) fn of(location: &Location, cause: &Cause, secrets: &[Location]) -> Option<String> {
    let (line, column) = (location.line()?, location.column()?);
    let text = location.line_text()?;
    let holds_secret =
        |secret: &&Location| secret.is_same_document(location) && secret.lines().contains(&line);
    if is_suspect(text)
        || secrets.iter().any(|secret| holds_secret(&secret))
        || within_suspect_block(location)
    {
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

fn is_suspect(line: &str) -> bool {
    let line = line.to_lowercase();
    let user_info = line.split_once("://").is_some_and(|(_, rest)| rest.contains('@'));
    user_info || SUSPECT.iter().any(|word| line.contains(word))
}

/// Whether the line belongs to a block whose first line is suspect, as each line of a private key does.
fn within_suspect_block(location: &Location) -> bool {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut deepest = location.line_text().map_or(0, indent);
    for line in location.lines_above() {
        if line.trim().is_empty() || indent(line) >= deepest {
            continue;
        }
        if is_suspect(line) {
            return true;
        }
        deepest = indent(line);
    }
    false
}
