//! Lines that may hold a secret, where nothing better is known, as in a file that is not even YAML.

use super::location::Location;

/// The words that make a line suspect.
const SUSPECT: [&str; 8] =
    ["secret", "passw", "private", "credential", "api_key", "apikey", "-----begin", "token:"];

/// Returns `true` if the line at `location`, or the block that it belongs to, may hold a secret.
pub fn may_hold_secret(location: &Location) -> bool {
    location.line_text().is_some_and(is_suspect) || is_in_suspect_block(location)
}

fn is_suspect(line: &str) -> bool {
    let line = line.to_lowercase();
    let user_info = line.split_once("://").is_some_and(|(_, rest)| rest.contains('@'));
    user_info || SUSPECT.iter().any(|word| line.contains(word))
}

/// Returns `true` if the line belongs to a block whose first line is suspect, as each line of a private key does.
fn is_in_suspect_block(location: &Location) -> bool {
    let mut deepest = location.line_text().map_or(0, indentation);
    for line in location.lines_above() {
        if line.trim().is_empty() || indentation(line) >= deepest {
            continue;
        }
        if is_suspect(line) {
            return true;
        }
        deepest = indentation(line);
    }
    false
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}
