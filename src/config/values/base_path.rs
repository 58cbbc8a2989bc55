//! The path in front of scopegate's own endpoints.

use std::{fmt, str::FromStr};

/// The path in front of scopegate's own endpoints: empty, or such as `/.scopegate`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BasePath(String);

/// A text that is not a base path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected nothing or a path such as `/.scopegate` (letters, digits, `-`, `.`, `_`, `~`; no final slash), found `{found}`"
)]
pub struct BasePathError {
    found: String,
}

impl BasePath {
    /// The path: empty, or with a slash in front and none at the end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BasePath {
    type Err = BasePathError;
    fn from_str(text: &str) -> Result<Self, BasePathError> {
        let is_path = match text.strip_prefix('/') {
            // Segments of unreserved characters (RFC 3986, section 2.3), and no dot segments.
            Some(rest) => rest.split('/').all(|segment| {
                let is_unreserved = segment.chars().all(|c| c.is_ascii_alphanumeric() || "-._~".contains(c));
                is_unreserved && !matches!(segment, "" | "." | "..")
            }),
            None => text.is_empty(),
        };
        if is_path { Ok(Self(text.to_owned())) } else { Err(BasePathError { found: text.to_owned() }) }
    }
}

impl fmt::Display for BasePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

super::as_text!(BasePath, { "type": "string", "pattern": "^(/[A-Za-z0-9._~-]+)*$" });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_final_slash_or_a_dot_segment_is_refused() {
        for text in ["/", "/a/", "a", "/../a", "//a", "/a b"] {
            assert_eq!(text.parse::<BasePath>(), Err(BasePathError { found: text.into() }), "{text}");
        }
    }

    #[test]
    fn nothing_and_a_path_are_taken() {
        assert_eq!("".parse::<BasePath>().unwrap().as_str(), "");
        assert_eq!("/.scopegate/x".parse::<BasePath>().unwrap().as_str(), "/.scopegate/x");
    }
}
