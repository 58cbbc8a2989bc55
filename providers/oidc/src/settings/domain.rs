//! The domain of a tenant, as a provider's console shows it.

use std::{borrow::Cow, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use url::Url;

use crate::http::is_loopback;

/// The domain of a tenant: a host name, or the whole URL. Plain `http` is for loopback, where an emulator may run.
///
/// ```
/// use scopegate_oidc::Domain;
///
/// assert_eq!("acme.eu.auth0.com".parse::<Domain>()?.origin(), "https://acme.eu.auth0.com");
/// assert_eq!("http://127.0.0.1:9400/".parse::<Domain>()?.origin(), "http://127.0.0.1:9400");
/// assert!("https://acme.okta.com/oauth2/default".parse::<Domain>().is_err());
/// # Ok::<(), scopegate_oidc::DomainError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain(Url);

/// A string that is not a tenant's domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a tenant's domain such as `acme.eu.auth0.com` or `acme.okta.com`, found `{found}`")]
pub struct DomainError {
    /// The string.
    pub found: String,
}

impl Domain {
    /// Scheme, host and port, without a final slash.
    pub fn origin(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    /// The host.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }
}

impl FromStr for Domain {
    type Err = DomainError;
    fn from_str(text: &str) -> Result<Self, DomainError> {
        let whole = if text.contains("://") { Cow::Borrowed(text) } else { format!("https://{text}").into() };
        let url = Url::parse(&whole).ok().filter(|url| {
            let bare = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
            bare && url.path() == "/"
                && (url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url)))
        });
        url.map(Self).ok_or_else(|| DomainError { found: text.to_owned() })
    }
}

impl<'de> Deserialize<'de> for Domain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Domain {
    fn schema_name() -> Cow<'static, str> {
        "Domain".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["acme.eu.auth0.com", "acme.okta.com"] })
    }
}
