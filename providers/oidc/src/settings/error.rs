//! Errors of settings.

use std::time::Duration;

use scopegate_provider::{ConnectError, Span};

use super::ClientAuthenticationMethod;
use crate::{http::HttpSettingsError, key_set::KeySetError};

/// An error of settings. Each message begins with the key; none holds a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// No issuer.
    #[error(
        "`issuer`: expected the issuer, byte for byte as in `iss` of the tokens, such as `https://id.example/realms/acme`"
    )]
    NoIssuer,
    /// An issuer that is not a URL.
    #[error(
        "`{key}`: expected a URL without query and fragment, such as `https://id.example/realms/acme`, found `{found}`"
    )]
    IssuerUrl {
        /// `issuer` or `issuers`.
        key: &'static str,
        /// The text.
        found: String,
    },
    /// An issuer without a scheme.
    #[error("`{key}`: the scheme is missing: write `https://{found}`")]
    IssuerScheme {
        /// `issuer` or `issuers`.
        key: &'static str,
        /// The text.
        found: String,
    },
    /// The URL of a document in place of the issuer.
    #[error("`{key}`: that is the URL of a document, not the issuer; leave off `{suffix}`")]
    IssuerDocument {
        /// `issuer` or `issuers`.
        key: &'static str,
        /// The end that is too much.
        suffix: String,
    },
    /// The template of all tenants' issuers in place of one.
    #[error(
        "`{key}`: `{{tenantid}}` is a placeholder for the id of a tenant, and no token has it in `iss`; use `kind: entra` with `tenant: ID` or `tenants: any`"
    )]
    IssuerTemplate {
        /// `issuer` or `issuers`.
        key: &'static str,
    },
    /// A type of token that is never an access token.
    #[error("`token_types`: a token of the type `{found}` is never an access token")]
    ForeignType {
        /// The type.
        found: &'static str,
    },
    /// More than one source of keys.
    #[error("`jwks`: the keys come from one place only; leave off all but one of {keys}")]
    KeySources {
        /// The keys that are there.
        keys: String,
    },
    /// Keys in the settings that cannot be used.
    #[error("`jwks.keys`: {0}")]
    InlineKeys(KeySetError),
    /// Signed introspection answers without a client that they are meant for.
    #[error("`introspection.signed`: a signed answer names the client that asked; give `client_id`")]
    SignedWithoutClient,
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
    /// The settings name no audience.
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
    /// Keys would be stale before they are fetched again.
    #[error("`jwks.stale_if_error`: expected at least `jwks.refresh` ({refresh})")]
    StaleBeforeRefresh {
        /// `jwks.refresh`.
        refresh: Span,
    },
    /// Introspection without a client.
    #[error(
        "`client_id`: introspection needs a client: give `client_id` and `client_secret`, or `client_authentication: none` where the endpoint asks for none"
    )]
    IntrospectionWithoutClient,
    /// A secret or key without a client.
    #[error("`client_id`: expected the client that `{key}` belongs to")]
    NoClientId {
        /// The key.
        key: &'static str,
    },
    /// The method of client authentication does not fit the secret or key.
    #[error("`client_authentication`: {advice}")]
    Authentication {
        /// The advice.
        advice: &'static str,
    },
    /// The private key cannot be used. It is not shown.
    #[error("`private_key`: expected an RSA, P-256, P-384 or Ed25519 private key in PEM (PKCS #8)")]
    PrivateKey,
    /// The HTTP client.
    #[error("`http`: {0}")]
    Http(#[from] HttpSettingsError),
    /// A value that does not fit the kind.
    #[error("`{key}`: {problem}")]
    Kind {
        /// The key.
        key: &'static str,
        /// The problem, and what to write instead.
        problem: String,
    },
}

impl SettingsError {
    pub(super) fn range(key: &'static str, least: Duration, most: Duration) -> Self {
        Self::Range { key, least, most }
    }

    /// Returns an error of a kind.
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
