//! What is wrong with settings, and what to write instead.

use std::time::Duration;

use scopegate_provider::{ConnectError, Span};

use super::ClientAuthenticationMethod;
use crate::http::HttpSettingsError;

/// What is wrong with settings. Each message begins with the key; none holds a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// No issuer.
    #[error(
        "`issuer`: expected the issuer as it stands in `iss` of the tokens, such as `https://id.example/realms/acme`"
    )]
    NoIssuer,
    /// An issuer that is no URL.
    #[error(
        "`{key}`: expected a URL without query and fragment, such as `https://id.example/realms/acme`, found `{found}`"
    )]
    IssuerUrl {
        /// `issuer` or `issuers`.
        key: &'static str,
        /// What was found.
        found: String,
    },
    /// Plain `http` to a host that is not allowed.
    #[error(
        "`{key}`: plain http is for loopback only; use https, or name `{host}` in `http.insecure_hosts` if its network is trusted"
    )]
    Insecure {
        /// The key.
        key: &'static str,
        /// The host.
        host: String,
    },
    /// Nothing says whom tokens must be meant for.
    #[error(
        "`audience`: expected the audience of this API, so that tokens meant for others are refused; for an issuer whose tokens carry none, such as Cognito, `allowed_clients`"
    )]
    NoAudience,
    /// An empty list where one would let nothing through.
    #[error("`{key}`: an empty list admits no token; leave it out for the default")]
    Empty {
        /// The key.
        key: &'static str,
    },
    /// A duration out of range.
    #[error("`{key}`: expected a duration from {} to {}", Span::new(*least), Span::new(*most))]
    Range {
        /// The key.
        key: &'static str,
        /// The least.
        least: Duration,
        /// The most.
        most: Duration,
    },
    /// Keys would be too old before they are fetched again.
    #[error("`jwks.stale_if_error`: expected at least `jwks.refresh` ({refresh})")]
    StaleBeforeRefresh {
        /// `jwks.refresh`.
        refresh: Span,
    },
    /// Introspection, and no client to ask as.
    #[error(
        "`client_id`: introspection needs a client: give `client_id` and `client_secret`, or `client_authentication: none` where the endpoint asks for none"
    )]
    IntrospectionWithoutClient,
    /// A secret or key without the client that it belongs to.
    #[error("`client_id`: expected the client that `{key}` belongs to")]
    NoClientId {
        /// The key that is there.
        key: &'static str,
    },
    /// What the method of client authentication needs is not there, or something else is.
    #[error("`client_authentication`: {advice}")]
    Authentication {
        /// What to write.
        advice: &'static str,
    },
    /// The private key cannot be used. It is not shown.
    #[error("`private_key`: expected an RSA, P-256, P-384 or Ed25519 private key in PEM (PKCS #8)")]
    PrivateKey,
    /// How the provider is reached.
    #[error("`http`: {0}")]
    Http(#[from] HttpSettingsError),
    /// What a kind does not have.
    #[error("`{key}`: {problem}")]
    Kind {
        /// The key.
        key: &'static str,
        /// What is wrong with it for this kind, and what to write instead.
        problem: String,
    },
}

impl SettingsError {
    /// What a kind does not have, or wants otherwise.
    pub fn kind(key: &'static str, problem: impl Into<String>) -> Self {
        Self::Kind { key, problem: problem.into() }
    }

    pub(super) fn authentication(method: ClientAuthenticationMethod, has_secret: bool) -> Self {
        use ClientAuthenticationMethod as Method;
        let advice = match (method, has_secret) {
            (Method::ClientSecretBasic | Method::ClientSecretPost, false) => {
                "it needs `client_secret`, which is missing"
            }
            (Method::ClientSecretBasic | Method::ClientSecretPost, true) => {
                "with `client_secret` and `private_key` both given, `private_key_jwt` and no secret would be meant; take one of them out"
            }
            (Method::PrivateKeyJwt, true) => "`private_key_jwt` needs `private_key` and no `client_secret`",
            (Method::PrivateKeyJwt, false) => "`private_key_jwt` needs `private_key`, which is missing",
            (Method::None, _) => {
                "`none` contradicts `client_secret` or `private_key`; take them out, or say how they are to be used"
            }
        };
        Self::Authentication { advice }
    }
}

impl From<SettingsError> for ConnectError {
    fn from(error: SettingsError) -> Self {
        let text = error.to_string();
        let (key, problem) = text.split_once(": ").unwrap_or(("", &text));
        Self::Setting { key: key.trim_matches('`').to_owned(), problem: problem.to_owned() }
    }
}
