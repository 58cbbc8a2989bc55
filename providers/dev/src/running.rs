//! An issuer that runs.

use std::{net::SocketAddr, sync::Arc};

use scopegate_oidc::SignerError;
use scopegate_provider::{Clock, Issuer, NameError};

use crate::{
    IssuerSettings, SettingsError, client::ResourceServer, listening::Listening, service::Service,
    settings::Tenant,
};

/// An error of the start of an issuer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Its settings are wrong.
    #[error("`{}`: {_0}", _0.key())]
    Settings(#[from] SettingsError),
    /// The settings common to all kinds are wrong.
    #[error(transparent)]
    Provider(#[from] scopegate_oidc::SettingsError),
    /// The address cannot be listened on.
    #[error("the embedded issuer cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: std::io::Error,
    },
    /// The system has no random bytes to make credentials of.
    #[error("no random bytes could be had")]
    Randomness,
    /// Its address makes no issuer.
    #[error(transparent)]
    Issuer(#[from] NameError),
}

/// A running issuer. Dropping it closes its listener and lets requests in flight finish.
pub struct Running {
    listening: Arc<Listening>,
    service: Arc<Service>,
}

impl IssuerSettings {
    /// Starts the issuer on its own listener.
    ///
    /// # Errors
    /// [`StartError`]: wrong settings, or an address that is taken.
    pub async fn start(&self, clock: Arc<dyn Clock>) -> Result<Running, StartError> {
        self.start_as(None, clock).await
    }

    /// Starts it for an owner: it takes over the address from an earlier issuer of the same owner that still runs there,
    /// keys and revocations included, and gives it back if it ends first.
    ///
    /// # Errors
    /// As [`IssuerSettings::start`].
    pub(crate) async fn start_as(
        &self,
        owner: Option<&str>,
        clock: Arc<dyn Clock>,
    ) -> Result<Running, StartError> {
        let tenant = Tenant::parse(self)?;
        let address = self.listen.get();
        let bound = Listening::at(address, owner).await;
        let listening = bound.map_err(|source| StartError::Bind { address, source })?;
        let memory = listening.answering().map(|earlier| earlier.memory.clone());
        let base = format!("http://{}", listening.address());
        let service = Arc::new(Service::new(tenant, base, memory, clock)?);
        listening.enter(service.clone());
        Ok(Running { listening, service })
    }
}

impl Running {
    /// The address of the listener.
    pub fn address(&self) -> SocketAddr {
        self.listening.address()
    }

    /// The listener's URL, without a final slash.
    pub fn url(&self) -> &str {
        &self.service.base
    }

    /// The issuer, as it stands in `iss`: Auth0's ends in a slash, Okta's has a path.
    pub fn issuer(&self) -> &Issuer {
        &self.service.issuer
    }

    /// The URL of its metadata (OpenID Connect Discovery 1.0, section 4).
    pub fn discovery_url(&self) -> String {
        self.at(&self.service.tenant.dialect.paths().discovery)
    }

    /// The URL of its keys.
    pub fn jwks_url(&self) -> String {
        self.at(&self.service.tenant.dialect.paths().jwks)
    }

    /// The URL of its token endpoint.
    pub fn token_url(&self) -> String {
        self.at(&self.service.tenant.dialect.paths().token)
    }

    /// The URL of its introspection endpoint, if the emulated provider has one.
    pub fn introspection_url(&self) -> Option<String> {
        self.service.tenant.dialect.paths().introspect.map(|path| self.at(&path))
    }

    /// The URL of its revocation endpoint.
    pub fn revocation_url(&self) -> String {
        self.at(&self.service.tenant.dialect.paths().revoke)
    }

    /// The URL of the overview of its functions for development: rotation, broken tokens.
    pub fn overview_url(&self) -> String {
        self.at(crate::endpoint::OVERVIEW)
    }

    /// Lets the next key sign; tokens of earlier keys stay good.
    ///
    /// # Errors
    /// [`SignerError`], and the keys are as before.
    pub async fn rotate(&self) -> Result<(), SignerError> {
        self.service.memory.keys.rotate().await.map(drop)
    }

    /// Withdraws the keys that signed earlier: their tokens are dead.
    ///
    /// # Errors
    /// [`SignerError`], and the keys are as before.
    pub async fn forget(&self) -> Result<(), SignerError> {
        self.service.memory.keys.forget().await.map(drop)
    }

    /// The id of the key that signs now.
    ///
    /// # Errors
    /// [`SignerError`] if no key could be made.
    pub async fn kid(&self) -> Result<String, SignerError> {
        Ok(self.service.memory.keys.keys().await?.current.kid().to_owned())
    }

    /// The client as which the API that the tokens are for introspects and revokes them.
    pub(crate) fn resource_server(&self) -> &ResourceServer {
        &self.service.memory.resource_server
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.service.base)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.listening.leave(&self.service);
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("issuer", &self.service.issuer).finish_non_exhaustive()
    }
}
