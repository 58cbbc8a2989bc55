//! Advice for the usual mistakes in YAML: values that have to be quoted, tabs, indentation.

use super::{location::Location, secrecy::may_hold_secret};

/// The characters that begin something other than text (YAML 1.2.2, section 5.3).
const INDICATORS: [char; 7] = ['@', '`', '%', '*', '&', '!', '|'];

/// Returns advice for the line at which the parser stopped, with a semicolon in front; empty if the mistake is not a usual
/// one. A value that may be a secret is not shown.
pub(super) fn hint(location: &Location, message: &str) -> String {
    let Some(line) = location.line_text() else { return String::new() };
    let hint = advice(line, location.column(), message);
    if may_hold_secret(location) && hint.contains("this value") {
        "; quote the value".to_owned()
    } else {
        hint
    }
}

fn advice(line: &str, column: Option<u32>, message: &str) -> String {
    let advice = if line.trim_start_matches(' ').starts_with('\t') {
        Some("indent with spaces, because YAML takes no tabs".to_owned())
    } else {
        quote(line, column).or_else(|| structure(message))
    };
    advice.map(|advice| format!("; {advice}")).unwrap_or_default()
}

/// Returns advice to quote the value that the parser stopped at.
fn quote(line: &str, column: Option<u32>) -> Option<String> {
    let stop = column.and_then(|column| usize::try_from(column).ok()).unwrap_or_default().saturating_sub(1);
    let values = values(line);
    // The value that holds the place where the parser stopped, or the last one before it.
    let value = values.iter().rfind(|value| value.start <= stop && needs_quotes(&value.text));
    value.or_else(|| values.iter().find(|value| needs_quotes(&value.text))).map(|value| {
        let text = value.text.trim();
        format!("quote this value: `\"{}\"`", text.replace('"', "\\\""))
    })
}

fn structure(message: &str) -> Option<String> {
    let expected_key = message.contains("did not find expected key");
    expected_key.then(|| "begin the keys of one map in the same column".to_owned())
}

/// A value that is written without quotes, and the column at which it starts, from 0.
struct Value {
    start: usize,
    text: String,
}

/// Returns `true` for a text that YAML does not read as text unless it is quoted.
fn needs_quotes(text: &str) -> bool {
    let text = text.trim();
    let embedded = text.find(['{', '[']).is_some_and(|at| at > 0);
    text.starts_with(INDICATORS) || embedded || text.ends_with(':') || text.contains(": ")
}

/// Returns the values of a line that are written without quotes. A brace inside a value belongs to it.
fn values(line: &str) -> Vec<Value> {
    let characters: Vec<char> = line.chars().collect();
    let mut values = Vec::new();
    let mut start = None;
    let mut depth = 0_usize;
    let mut quoted: Option<char> = None;
    let flow = line.contains('{') && line.contains(": ");
    for (at, character) in characters.iter().copied().enumerate() {
        let before = at.checked_sub(1).and_then(|at| characters.get(at)).copied();
        let after = characters.get(at + 1).copied();
        if let Some(open) = quoted {
            quoted = (character != open).then_some(open);
            continue;
        }
        if character == '#' && before.is_none_or(char::is_whitespace) {
            finish(&characters, &mut start, at, &mut values);
            return values;
        }
        match (start, character) {
            (None, '"' | '\'') => quoted = Some(character),
            // A key ends; its value begins.
            (None, ':' | '-' | ',' | '{' | '[')
                if after.is_none_or(|after| after == ' ' || character == '[') =>
            {
                start = Some(at + 1);
                depth = 0;
            }
            (Some(from), _)
                if characters.get(from..at).is_some_and(|text| text.iter().all(|c| *c == ' ')) =>
            {
                match character {
                    '"' | '\'' => {
                        quoted = Some(character);
                        start = None;
                    }
                    '{' | '[' => start = Some(at + 1),
                    '}' | ']' | ',' => start = None,
                    _ => {}
                }
            }
            (Some(from), ':') if after == Some(' ') && !has_colon(&characters, from, at) && depth == 0 => {
                // What was taken for a value is a key.
                start = Some(at + 1);
            }
            (Some(_), '{' | '[') => depth += 1,
            (Some(_), '}' | ']') if depth > 0 => depth -= 1,
            (Some(_), ',') if flow && depth == 0 => {
                finish(&characters, &mut start, at, &mut values);
                start = Some(at + 1);
            }
            (Some(_), '}' | ']') => finish(&characters, &mut start, at, &mut values),
            _ => {}
        }
    }
    finish(&characters, &mut start, characters.len(), &mut values);
    values
}

/// Returns `true` if the text so far is a value, because a key stands in front of it.
fn has_colon(characters: &[char], from: usize, _at: usize) -> bool {
    from.checked_sub(1).and_then(|at| characters.get(at)) == Some(&':')
}

fn finish(characters: &[char], start: &mut Option<usize>, end: usize, values: &mut Vec<Value>) {
    if let Some(from) = start.take() {
        let text: String = characters.get(from..end).unwrap_or_default().iter().collect();
        if !text.trim().is_empty() {
            values.push(Value { start: from, text });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CASES C12: the message says what to quote.
    #[test]
    fn the_value_that_has_to_be_quoted_is_shown_in_quotes() {
        for (line, column, expected) in [
            ("store: { url: memory: }", 21, "\"memory:\""),
            ("  - { match: GET /items/{id}, require: items }", 25, "\"GET /items/{id}\""),
            ("  - { require: items, match: GET /items/{id} }", 41, "\"GET /items/{id}\""),
            ("routes: [ { match: /{a}/b, allow: nobody } ]", 21, "\"/{a}/b\""),
            ("routes: [ { match: [GET /{a}], allow: nobody } ]", 26, "\"GET /{a}\""),
            ("  - match: *", 12, "\"*\""),
            ("  okta: { issuer: https://a, audience: @api }", 40, "\"@api\""),
            ("  a: Read: items", 10, "\"Read: items\""),
            ("providers: { okta: { client_secret: %abc, audience: x } }", 37, "\"%abc\""),
        ] {
            let advice = advice(line, Some(column), "");
            assert_eq!(advice, format!("; quote this value: `{expected}`"), "{line}");
        }
    }

    #[test]
    fn tabs_and_indentation_are_named() {
        assert!(advice("\t- x", Some(2), "").contains("YAML takes no tabs"));
        assert!(
            advice("  tls: b", Some(3), "while parsing a block mapping, did not find expected key")
                .contains("same column")
        );
        assert_eq!(advice("a: \"b", Some(4), "found unexpected end of stream"), "");
    }
}
