//! Literals that look like patterns.
//!
//! The policy language has no patterns of texts beside prefixes. A text that only makes sense as a pattern would compare
//! literally and deny every caller, so it is an error that shows the form to write.

/// A literal that looks like a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lookalike {
    /// The form to write instead.
    pub(super) advice: String,
    /// The text in front of the first sign that has a meaning in patterns.
    pub(super) literal: String,
}

/// Sequences that regular expressions and globs consist of, and that no identifier holds.
const SIGNS: [&str; 14] =
    ["*", ".*", "\\d", "\\w", "\\s", "\\.", "\\/", "(?", ".+", "[^", "[a-z", "[A-Z", "[0-9", "${"];

/// Returns the form to write for a literal that looks like a pattern, or `None` for any other.
pub(super) fn lookalike(text: &str) -> Option<Lookalike> {
    if let Some(name) = parameter(text) {
        return Some(Lookalike { advice: format!("{{ path: {name} }}"), literal: String::new() });
    }
    let anchored = text.strip_prefix('^');
    let body = anchored.unwrap_or(text);
    let sign = SIGNS.iter().filter_map(|sign| body.find(sign)).min();
    let braces = body.find('{').filter(|start| body.get(*start..).is_some_and(|rest| rest.contains('}')));
    let end = anchored.and_then(|body| body.strip_suffix('$')).map(str::len);
    let first = [sign, braces, end].into_iter().flatten().min();
    if anchored.is_none() && first.is_none() {
        return None;
    }
    let literal = body.get(..first.unwrap_or(body.len())).unwrap_or_default().to_owned();
    let advice = if literal.is_empty() {
        format!("{{ equals: {text:?} }}")
    } else if end == Some(literal.len()) {
        format!("{literal:?}")
    } else {
        format!("{{ prefix: {literal:?} }}")
    };
    Some(Lookalike { advice, literal })
}

/// Returns the name in `{name}`, as patterns write a segment.
fn parameter(text: &str) -> Option<&str> {
    let name = text.strip_prefix('{')?.strip_suffix('}')?;
    let plain =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    plain.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CASES C3: a literal that can only be meant as a pattern is found, with the form to write.
    #[test]
    fn patterns_are_found_with_the_form_to_write() {
        for (text, advice) in [
            ("repo:acme/*", r#"{ prefix: "repo:acme/" }"#),
            ("repo:acme/*:ref:refs/heads/main", r#"{ prefix: "repo:acme/" }"#),
            ("{id}", "{ path: id }"),
            ("^acme-", r#"{ prefix: "acme-" }"#),
            ("^acme-.*$", r#"{ prefix: "acme-" }"#),
            ("^acme$", r#""acme""#),
            ("acme-.+", r#"{ prefix: "acme-" }"#),
            ("acme-[0-9]", r#"{ prefix: "acme-" }"#),
            (r"acme\.example", r#"{ prefix: "acme" }"#),
            ("acme/{org}/x", r#"{ prefix: "acme/" }"#),
            ("*", r#"{ equals: "*" }"#),
            ("*@acme.example", r#"{ equals: "*@acme.example" }"#),
        ] {
            assert_eq!(lookalike(text).map(|found| found.advice).as_deref(), Some(advice), "{text}");
        }
    }

    /// CASES C3: identifiers that providers issue are literals.
    #[test]
    fn identifiers_are_literals() {
        for text in [
            "auth0|65f0",
            "google-oauth2|1",
            "system:serviceaccount:shop:orders",
            "repo:acme/api:ref:refs/heads/main",
            "spiffe://acme.example/ns/shop",
            "https://acme.example/a?b=c#d",
            "user@acme.example",
            "CN=a, O=b (c)",
            "$",
            "US$",
            "a.b-c_d~e",
            "50%",
            "{",
            "}",
            "",
        ] {
            assert_eq!(lookalike(text), None, "{text}");
        }
    }
}
