//! `ETag` and `If-Match` (RFC 9110, sections 8.8.3 and 13.1.1): a version number in quotes.

use crate::{problem::Problem, reason::Reason, store::Version};

/// The `ETag` of a version.
pub(super) fn etag(version: Version) -> String {
    format!("\"{version}\"")
}

/// Returns the version that `If-Match` expects: nothing in particular without the header or with `*`.
///
/// # Errors
/// 400 for anything that is not one entity tag of ours.
pub(super) fn expected(if_match: Option<&str>) -> Result<Option<Version>, Problem> {
    match if_match.map(str::trim) {
        None | Some("*") => Ok(None),
        Some(tag) => {
            let number = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
            let version = number.and_then(|number| number.parse().ok()).map(Version);
            version.map(Some).ok_or_else(|| {
                Problem::new(
                    Reason::MalformedIfMatch,
                    "expected If-Match with one ETag of this resource, or `*`",
                )
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_comes_back_as_it_was_given() {
        assert_eq!(expected(Some(&etag(Version(7)))), Ok(Some(Version(7))));
    }

    #[test]
    fn a_star_expects_nothing_in_particular() {
        assert_eq!(expected(Some("*")), Ok(None));
    }

    #[test]
    fn a_tag_without_quotes_is_refused() {
        assert_eq!(expected(Some("7")).unwrap_err().reason().as_str(), "malformed_if_match");
    }
}
