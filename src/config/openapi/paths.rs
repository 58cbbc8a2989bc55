//! Paths of OpenAPI documents as patterns.

use crate::{
    config::diagnostics::DocumentError,
    policy::{PathPattern, Segment},
};

/// Turns a path of a document into that of a pattern: the same segments, with names that patterns take.
///
/// # Errors
/// Not a path, or a template that is not a whole segment.
pub(super) fn pattern(path: &str) -> Result<String, DocumentError> {
    let inner = path.strip_prefix('/').filter(|_| !path.contains(['*', '?', '#']));
    let inner = inner.ok_or_else(|| DocumentError::Path { found: path.to_owned() })?;
    let mut pattern = String::new();
    for segment in inner.split('/') {
        pattern.push('/');
        pattern.push_str(&pattern_segment(segment)?);
    }
    Ok(pattern)
}

fn pattern_segment(text: &str) -> Result<String, DocumentError> {
    if !text.contains(['{', '}']) {
        // A colon is how other languages begin a parameter; here it is a colon.
        return Ok(text.strip_prefix(':').map_or_else(|| text.to_owned(), |rest| format!("%3A{rest}")));
    }
    let name = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    let Some(name) = name.filter(|name| !name.is_empty() && !name.contains(['{', '}'])) else {
        return Err(DocumentError::Template { found: text.to_owned() });
    };
    Ok(format!("{{{}}}", name.replace(|character: char| !character.is_ascii_alphanumeric(), "_")))
}

/// Returns the path of a server's URL (3.1.0, section 4.8.5), without a final slash.
///
/// # Errors
/// It depends on a variable, or on the URL of the document.
pub(super) fn of_server(url: &str) -> Result<String, DocumentError> {
    let after_scheme = url.split_once("://").map(|(_, rest)| rest).or_else(|| url.strip_prefix("//"));
    let path = match after_scheme {
        Some(rest) => rest.find('/').and_then(|start| rest.get(start..)).unwrap_or_default(),
        None if url.is_empty() || url.starts_with('/') => url,
        None => return Err(DocumentError::Server { found: url.to_owned() }),
    };
    let path = path.split(['?', '#']).next().unwrap_or_default();
    base(path).map_err(|_| DocumentError::Server { found: url.to_owned() })
}

/// Parses a base path; without a final slash.
///
/// # Errors
/// It is not one of literal segments.
pub(super) fn base(path: &str) -> Result<String, DocumentError> {
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() {
        return Ok(String::new());
    }
    let pattern = PathPattern::parse(trimmed).ok().filter(|pattern| !pattern.takes_rest());
    let is_literal = pattern.is_some_and(|pattern| {
        pattern.segments().iter().all(|segment| matches!(segment, Segment::Literal(_)))
    });
    if is_literal { Ok(trimmed.to_owned()) } else { Err(DocumentError::BasePath { found: path.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_that_are_whole_segments_are_parameters_whatever_their_name() {
        assert_eq!(pattern("/items/{item id}/x{"), Err(DocumentError::Template { found: "x{".into() }));
        assert_eq!(pattern("/items/{item.id}/").as_deref(), Ok("/items/{item_id}/"));
        for part in ["{a}.json", "{a}-{b}", "{a}:cancel", "{}", "v{a}", "{a}{b}"] {
            assert!(matches!(pattern(&format!("/x/{part}")), Err(DocumentError::Template { .. })), "{part}");
        }
    }

    #[test]
    fn a_path_cannot_smuggle_what_patterns_have_and_paths_have_not() {
        for bad in ["/items/**", "items", "/a?b", "/a#b", "", "/*"] {
            assert_eq!(pattern(bad), Err(DocumentError::Path { found: bad.into() }), "{bad}");
        }
        let colon = PathPattern::parse(&pattern("/a/:b").unwrap()).unwrap();
        assert_eq!(colon.to_string(), "/a/:b");
    }

    #[test]
    fn the_path_of_a_server_is_what_follows_its_host() {
        let paths =
            ["https://api.example/v1/", "https://{env}.example:{port}/v1", "/v1", "//api.example/v1?x"];
        for url in paths {
            assert_eq!(of_server(url).as_deref(), Ok("/v1"), "{url}");
        }
        for url in ["", "/", "https://api.example"] {
            assert_eq!(of_server(url).as_deref(), Ok(""), "{url}");
        }
        for url in ["v1", "../v1", "https://api.example/{version}", "{url}", "https://a/**"] {
            assert_eq!(of_server(url), Err(DocumentError::Server { found: url.into() }), "{url}");
        }
    }
}
