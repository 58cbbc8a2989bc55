//! Placeholders that a template engine or a person was to fill in: `${X}`, `$(X)`, `{{ x }}`, `<x>`.

/// Returns the first placeholder in `text`.
///
/// ```
/// use scopegate::yaml::placeholder;
///
/// assert_eq!(placeholder("https://${TENANT}.okta.com"), Some("${TENANT}"));
/// assert_eq!(placeholder("<your audience>"), Some("<your audience>"));
/// assert_eq!(placeholder("/items/{id}"), None);
/// ```
pub fn placeholder(text: &str) -> Option<&str> {
    if is_variable(text) {
        return Some(text);
    }
    for (open, close) in [("${", "}"), ("$(", ")"), ("%{", "}"), ("{{", "}}"), ("<%", "%>"), ("<", ">")] {
        for (start, _) in text.match_indices(open) {
            let behind = text.get(start + open.len()..)?;
            let Some(length) = behind.find(close) else { continue };
            let inner = behind.get(..length)?;
            let inner = if open == "<" { inner } else { inner.trim() };
            if is_name(inner) {
                return text.get(start..start + open.len() + length + close.len());
            }
        }
    }
    None
}

/// Returns `true` for `$NAME` and `%NAME%`.
fn is_variable(text: &str) -> bool {
    let name = text.strip_prefix('$').or_else(|| text.strip_prefix('%')?.strip_suffix('%'));
    name.is_some_and(|name| {
        name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    })
}

/// Returns `true` for the text inside a placeholder: words, with the operators of shells and templates.
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || "_.$=-".contains(c))
        && text.chars().any(char::is_alphanumeric)
        && !text.ends_with(' ')
        && !text.contains(['<', '{', '\n'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_placeholders_of_shells_and_templates_are_found() {
        for (text, found) in [
            ("${OKTA_SECRET}", "${OKTA_SECRET}"),
            ("https://${TENANT:-acme}.okta.com", "${TENANT:-acme}"),
            ("$(SECRET)", "$(SECRET)"),
            ("$OKTA_SECRET", "$OKTA_SECRET"),
            ("%OKTA_SECRET%", "%OKTA_SECRET%"),
            ("a {{ .Values.tenant }} b", "{{ .Values.tenant }}"),
            ("{{tenant}}", "{{tenant}}"),
            ("<your audience>", "<your audience>"),
            ("https://<tenant>.okta.com", "<tenant>"),
            ("<%= tenant %>", "<%= tenant %>"),
        ] {
            assert_eq!(placeholder(text), Some(found), "{text}");
        }
    }

    #[test]
    fn texts_that_only_hold_the_same_characters_are_not_placeholders() {
        for text in [
            "/items/{id}",
            "a < b > c",
            "$",
            "$5",
            "p$ss",
            "100%",
            "{}",
            "${}",
            "{{}}",
            "<>",
            "x -> y",
            "$2y$10$abc",
        ] {
            assert_eq!(placeholder(text), None, "{text}");
        }
    }
}
