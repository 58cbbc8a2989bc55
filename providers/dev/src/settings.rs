//! The issuer's settings, as written and as checked.

use std::{collections::HashMap, sync::Arc, time::Duration};

use schemars::JsonSchema;
use scopegate_oidc::{List, SigningAlgorithm};
use scopegate_provider::{Audience, ClientId, Scope, Secret, Span};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    LoopbackAddress,
    client::{Client, Clients},
    dialect::{Auth0, Cognito, Dialect, Entra, Keycloak, Okta, Standard},
};

/// The settings of an issuer. They are checked when it starts, or by [`IssuerSettings::check`].
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IssuerSettings {
    /// The listener's address on loopback. Port 0 takes a free one.
    #[serde(default)]
    pub listen: LoopbackAddress,
    /// The APIs that tokens are issued for: one or a list.
    pub audience: List<Audience>,
    /// The clients that may request tokens.
    pub clients: Vec<ClientSettings>,
    /// The algorithm of signatures: ES256 by default, RS256 where a provider is emulated.
    pub algorithm: Option<SigningAlgorithm>,
    /// The lifetime of tokens: an hour by default, or as the emulated provider's tokens live.
    pub token_lifetime: Option<Span>,
    /// The provider whose paths, token shapes and errors it takes on.
    pub emulate: Option<Emulate>,
    /// Auth0's profile of access tokens; only with `emulate: auth0`.
    pub token_dialect: Option<TokenDialect>,
    /// The id of Okta's authorization server, `default` unless said, or `org` for the organisation's own; only with
    /// `emulate: okta`.
    pub authorization_server: Option<String>,
}

/// A client of the issuer.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientSettings {
    /// Its id.
    pub id: ClientId,
    /// Its secret.
    pub secret: Secret,
    /// The scopes that it may request, and gets if it names none.
    #[serde(default)]
    pub scopes: Vec<Scope>,
    /// Claims that its tokens carry beside the issuer's own, or in their place; `null` leaves one out.
    #[serde(default)]
    pub claims: Map<String, Value>,
    /// The lifetime of its tokens, where that differs from `token_lifetime`.
    pub lifetime: Option<Span>,
    /// The form of its tokens.
    #[serde(default)]
    pub tokens: TokenFormat,
}

/// The form of a client's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenFormat {
    /// Signed, and verified with the issuer's keys.
    #[default]
    Jwt,
    /// A handle that means something to the issuer alone, which is asked about it (RFC 7662). A token with a `fault` is a
    /// JWT all the same.
    Opaque,
}

/// A provider that the issuer emulates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Emulate {
    /// An Auth0 tenant.
    Auth0,
    /// A custom authorization server of Okta.
    Okta,
    /// A tenant of Microsoft Entra ID.
    Entra,
    /// A realm of Keycloak.
    Keycloak,
    /// A user pool of Amazon Cognito.
    Cognito,
}

/// Auth0's profiles of access tokens, by Auth0's own names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenDialect {
    /// Auth0's own: `typ: JWT`, `azp`, `gty`, neither `jti` nor `client_id`.
    #[default]
    AccessToken,
    /// RFC 9068's: `typ: at+jwt`, `client_id`, `jti`.
    Rfc9068Profile,
}

/// An error in an issuer's settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// An address that others could reach.
    #[error(
        "the embedded issuer listens on loopback only: expected `127.0.0.1:PORT` or `[::1]:PORT`, found `{found}`"
    )]
    NotLoopback {
        /// The value.
        found: String,
    },
    /// A list of audiences with none in it.
    #[error("expected at least one audience")]
    NoAudience,
    /// A list of clients with none in it.
    #[error("expected at least one client: without a client no token can be requested")]
    NoClient,
    /// Two clients of one id.
    #[error("the client `{id}` is there twice")]
    DuplicateClient {
        /// The id.
        id: ClientId,
    },
    /// An algorithm that the emulated provider does not sign with.
    #[error("{emulated} signs with RS256: leave `algorithm` out or write RS256, found {found}")]
    Algorithm {
        /// The emulated provider.
        emulated: &'static str,
        /// The value.
        found: SigningAlgorithm,
    },
    /// A key that means something only for one emulation.
    #[error("`{key}` is for `emulate: {emulate}` only")]
    OnlyFor {
        /// The key.
        key: &'static str,
        /// The emulation that it belongs to.
        emulate: &'static str,
    },
    /// An id that cannot stand in a path.
    #[error("expected an authorization server's id of letters, digits, `-` and `_`, found `{found}`")]
    AuthorizationServer {
        /// The value.
        found: String,
    },
    /// Tokens that would be dead at once.
    #[error("a token must live for a second at least")]
    Lifetime,
}

impl SettingsError {
    /// Returns the setting's key.
    pub fn key(&self) -> &'static str {
        match self {
            Self::NotLoopback { .. } => "listen",
            Self::NoAudience => "audience",
            Self::NoClient | Self::DuplicateClient { .. } => "clients",
            Self::Algorithm { .. } => "algorithm",
            Self::OnlyFor { key, .. } => key,
            Self::AuthorizationServer { .. } => "authorization_server",
            Self::Lifetime => "token_lifetime",
        }
    }
}

impl IssuerSettings {
    /// An issuer for these audiences and clients, everything else as it is unless said.
    pub fn new(audience: impl IntoIterator<Item = Audience>, clients: Vec<ClientSettings>) -> Self {
        Self {
            listen: LoopbackAddress::default(),
            audience: List(audience.into_iter().collect()),
            clients,
            algorithm: None,
            token_lifetime: None,
            emulate: None,
            token_dialect: None,
            authorization_server: None,
        }
    }

    /// Checks the settings without starting anything.
    ///
    /// # Errors
    /// The first error.
    pub fn check(&self) -> Result<(), SettingsError> {
        Tenant::parse(self).map(drop)
    }
}

impl ClientSettings {
    /// A client that may ask for these scopes.
    pub fn new(id: ClientId, secret: Secret, scopes: impl IntoIterator<Item = Scope>) -> Self {
        Self {
            id,
            secret,
            scopes: scopes.into_iter().collect(),
            claims: Map::new(),
            lifetime: None,
            tokens: TokenFormat::Jwt,
        }
    }
}

/// Settings that were found to be right.
pub(crate) struct Tenant {
    pub(crate) audiences: Box<[Audience]>,
    pub(crate) clients: Clients,
    pub(crate) algorithm: SigningAlgorithm,
    pub(crate) dialect: Arc<dyn Dialect>,
}

impl Tenant {
    pub(crate) fn parse(settings: &IssuerSettings) -> Result<Self, SettingsError> {
        let dialect = dialect(settings)?;
        let lifetime = settings.token_lifetime.map_or(dialect.default_lifetime(), Span::get);
        Ok(Self {
            audiences: audiences(&settings.audience)?,
            clients: clients(&settings.clients, lifetime)?,
            algorithm: algorithm(settings)?,
            dialect,
        })
    }
}

fn audiences(audiences: &List<Audience>) -> Result<Box<[Audience]>, SettingsError> {
    match audiences.0.as_slice() {
        [] => Err(SettingsError::NoAudience),
        list => Ok(list.into()),
    }
}

fn clients(settings: &[ClientSettings], lifetime: Duration) -> Result<Clients, SettingsError> {
    if settings.is_empty() {
        return Err(SettingsError::NoClient);
    }
    let mut clients = HashMap::new();
    for client in settings {
        let lifetime = client.lifetime.map_or(lifetime, Span::get);
        if lifetime < Duration::from_secs(1) {
            return Err(SettingsError::Lifetime);
        }
        if clients.insert(client.id.clone(), Client::new(client, lifetime)).is_some() {
            return Err(SettingsError::DuplicateClient { id: client.id.clone() });
        }
    }
    Ok(Clients::new(clients))
}

fn algorithm(settings: &IssuerSettings) -> Result<SigningAlgorithm, SettingsError> {
    let emulated = match settings.emulate {
        None => return Ok(settings.algorithm.unwrap_or_default()),
        Some(Emulate::Auth0) => "Auth0",
        Some(Emulate::Okta) => "Okta",
        Some(Emulate::Entra) => "Entra ID",
        Some(Emulate::Keycloak) => "Keycloak",
        Some(Emulate::Cognito) => "Cognito",
    };
    match settings.algorithm {
        None | Some(SigningAlgorithm::Rs256) => Ok(SigningAlgorithm::Rs256),
        Some(found) => Err(SettingsError::Algorithm { emulated, found }),
    }
}

fn dialect(settings: &IssuerSettings) -> Result<Arc<dyn Dialect>, SettingsError> {
    let emulate = settings.emulate;
    if settings.token_dialect.is_some() && emulate != Some(Emulate::Auth0) {
        return Err(SettingsError::OnlyFor { key: "token_dialect", emulate: "auth0" });
    }
    if settings.authorization_server.is_some() && emulate != Some(Emulate::Okta) {
        return Err(SettingsError::OnlyFor { key: "authorization_server", emulate: "okta" });
    }
    Ok(match emulate {
        None => Arc::new(Standard),
        Some(Emulate::Entra) => Arc::new(Entra),
        Some(Emulate::Keycloak) => Arc::new(Keycloak),
        Some(Emulate::Cognito) => Arc::new(Cognito),
        Some(Emulate::Auth0) => Arc::new(Auth0::new(settings.token_dialect.unwrap_or_default())),
        Some(Emulate::Okta) => {
            Arc::new(Okta::new(server_id(settings.authorization_server.as_deref().unwrap_or("default"))?))
        }
    })
}

fn server_id(text: &str) -> Result<&str, SettingsError> {
    let is_segment = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    // `/oauth2/v1/…` belongs to the org server.
    if text.is_empty() || text == "v1" || !is_segment {
        return Err(SettingsError::AuthorizationServer { found: text.to_owned() });
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
