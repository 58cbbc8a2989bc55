//! The strings of the protocol, each a type of its own: what is parsed once cannot be mixed up later.

use std::{fmt, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

/// A string that is not a valid name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("expected {what}, found an empty string")]
    Empty {
        /// The expected kind of name.
        what: &'static str,
    },
    /// A control character, which could forge a line of a log or a header.
    #[error("expected {what}, found a control character in it")]
    Control {
        /// The expected kind of name.
        what: &'static str,
    },
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
        #[schemars(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses it: neither empty nor holding a control character.
            ///
            /// # Errors
            /// [`NameError`] says what was found.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                if text.is_empty() {
                    return Err(NameError::Empty { what: $what });
                }
                if text.chars().any(char::is_control) {
                    return Err(NameError::Control { what: $what });
                }
                Ok(Self(text.into()))
            }

            /// The text, byte for byte as it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&text).map_err(de::Error::custom)
            }
        }
    };
}

name! {
    /// The name of a configured provider, as its key in `providers:` says.
    ProviderName, "the name of a provider"
}
name! {
    /// An issuer (`iss`), compared byte for byte: Auth0's ends in a slash, Okta's does not (RFC 8414, section 2).
    Issuer, "an issuer"
}
name! {
    /// An audience (`aud`): the API that a token is meant for (RFC 7519, section 4.1.3).
    Audience, "an audience"
}
name! {
    /// The subject of a token (`sub`); unique together with the issuer only.
    Subject, "a subject"
}
name! {
    /// An OAuth 2.0 client (RFC 6749, section 2.2): `client_id`, `azp`, `cid` or `appid` in tokens.
    ClientId, "a client id"
}
name! {
    /// The id of a token (`jti`, RFC 7519, section 4.1.7).
    TokenId, "a token id"
}
name! {
    /// The id of a session at the provider (`sid`).
    SessionId, "a session id"
}
name! {
    /// A role or group, under whatever claim the provider keeps them.
    Role, "a role"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_keeps_its_final_slash() {
        assert_eq!(
            Issuer::parse("https://acme.eu.auth0.com/").unwrap().as_str(),
            "https://acme.eu.auth0.com/"
        );
        assert_ne!(Issuer::parse("https://a.example/"), Issuer::parse("https://a.example"));
    }

    #[test]
    fn an_empty_name_is_refused_with_what_was_expected() {
        assert_eq!(
            Audience::parse("").unwrap_err().to_string(),
            "expected an audience, found an empty string"
        );
    }

    #[test]
    fn a_line_break_in_a_name_is_refused() {
        assert_eq!(Role::parse("a\nb"), Err(NameError::Control { what: "a role" }));
    }
}
