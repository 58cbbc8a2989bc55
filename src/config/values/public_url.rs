//! The URL at which callers reach scopegate.

use std::{fmt, str::FromStr};

use url::Url;

/// The URL at which callers reach scopegate: scheme, host and port, as `https://api.example.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

/// A text that is not a public URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublicUrlError {
    /// Not an http or https URL.
    #[error("expected a URL such as `https://api.example.com`, found `{found}`")]
    Url {
        /// The text that was found.
        found: String,
    },
    /// More than scheme, host and port.
    #[error(
        "expected scheme, host and port only, as `{origin}`, found something behind it; a path belongs in `server.base_path`"
    )]
    MoreThanOrigin {
        /// The text to write.
        origin: String,
    },
}

impl PublicUrl {
    /// The URL without a final slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PublicUrl {
    type Err = PublicUrlError;
    fn from_str(text: &str) -> Result<Self, PublicUrlError> {
        let url =
            Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let origin = match &url {
            // Nothing is shown of a URL that holds a password.
            Some(url) if url.username().is_empty() && url.password().is_none() => {
                url.origin().ascii_serialization()
            }
            Some(_) => return Err(PublicUrlError::Url { found: "a URL with a user in it".to_owned() }),
            None => return Err(PublicUrlError::Url { found: text.to_owned() }),
        };
        let rest = url.map(|url| url.path() == "/" && url.query().is_none() && url.fragment().is_none());
        if rest == Some(true) { Ok(Self(origin)) } else { Err(PublicUrlError::MoreThanOrigin { origin }) }
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

super::as_text!(PublicUrl, { "type": "string", "format": "uri", "pattern": "^https?://" });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_sent_to_the_base_path() {
        let error = "https://a.example/api".parse::<PublicUrl>().unwrap_err();
        assert_eq!(error, PublicUrlError::MoreThanOrigin { origin: "https://a.example".into() });
    }

    #[test]
    fn a_final_slash_is_taken_off() {
        assert_eq!("https://A.example:443/".parse::<PublicUrl>().unwrap().as_str(), "https://a.example");
    }

    #[test]
    fn a_host_alone_is_refused_with_an_example() {
        assert!(matches!("api.example".parse::<PublicUrl>(), Err(PublicUrlError::Url { .. })));
    }
}
