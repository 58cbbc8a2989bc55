//! Errors of commands.

use serde_json::{Value, json};

use crate::{
    config::{ConfigErrors, Loader},
    store::StoreError,
    yaml::one_of,
};

/// Errors of a command: exit code 1, or 2 for a wrong use.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// There is no such provider.
    #[error("there is no provider `{name}`; expected {}", one_of(known))]
    NoProvider {
        /// The name that was given.
        name: String,
        /// The providers.
        known: Vec<String>,
    },
    /// There are several providers.
    #[error("several providers are configured; say which one with `--provider`: {}", one_of(known))]
    WhichProvider {
        /// The providers.
        known: Vec<String>,
    },
    /// There is no provider at all.
    #[error("no provider is configured; add one under `providers`")]
    NoProviders,
    /// The arguments cannot be understood.
    #[error("{0}")]
    Usage(String),
    /// A provider cannot be made.
    #[error("the provider `{name}`: {source}")]
    Connect {
        /// The provider.
        name: String,
        /// The reason.
        source: scopegate_provider::ConnectError,
    },
    /// The provider publishes no key of this id.
    #[error(
        "the provider `{name}` publishes no key `{kid}`; expected {known}, or `--force` to distrust it all the same"
    )]
    UnknownKey {
        /// The provider.
        name: String,
        /// The id that was given.
        kid: String,
        /// The ids of its keys.
        known: String,
    },
    /// The keys of the provider are not known.
    #[error(
        "cannot tell whether the provider `{name}` publishes this key: {problem}; `--force` distrusts it all the same"
    )]
    NoKeys {
        /// The provider.
        name: String,
        /// The reason.
        problem: String,
    },
    /// The provider does not do this.
    #[error("the provider `{name}` gives no tokens to clients")]
    NoTokens {
        /// The provider.
        name: String,
    },
    /// A call to the transmitter of security events failed.
    #[error("the security events of `{name}`: {source}")]
    Stream {
        /// The provider.
        name: String,
        /// The reason.
        source: scopegate_provider::StreamError,
    },
    /// There is no token.
    #[error("no token: {0}")]
    TokenRequest(#[from] scopegate_provider::TokenRequestError),
    /// The system refuses.
    #[error("{0}")]
    System(#[from] std::io::Error),
    /// Anything else that a part says for itself.
    #[error("{0}")]
    Other(Box<dyn std::error::Error + Send + Sync>),
}

impl Failure {
    /// A failure that a part words itself.
    pub(super) fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Other(error.into())
    }

    /// An error of the store, with its innermost cause.
    pub(super) fn store(error: StoreError) -> Self {
        match &error {
            StoreError::Unavailable(_) => Self::Other(format!("{error}: {}", error.cause()).into()),
            _ => Self::other(error),
        }
    }

    /// Returns `true` if the command was used wrongly.
    pub(super) fn is_wrong_use(&self) -> bool {
        matches!(self, Self::Usage(_) | Self::WhichProvider { .. } | Self::NoProvider { .. })
    }

    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Config(errors) => json!({ "good": false, "errors": errors }),
            other => json!({ "good": false, "errors": [{ "message": other.to_string() }] }),
        }
    }
}

/// The input of every command.
pub(super) struct Task {
    pub(super) loader: Loader,
    pub(super) source: crate::config::ConfigSource,
    pub(super) console: super::console::Console,
}

impl Task {
    /// The configuration.
    pub(super) fn config(&self) -> Result<crate::config::Config, Failure> {
        Ok(self.loader.load(&self.source)?)
    }
}

/// The result of a command that ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Yes,
    No,
}

impl From<bool> for Verdict {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}
