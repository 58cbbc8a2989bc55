//! The runtime of a gate: the services that outlive a reload, the node that uses them, and its reload. The server and
//! programs that embed a gate use the same.

mod builder;
mod connection;
mod node;

use std::{io, sync::Arc, time::Duration};

use scopegate_oidc::{BudgetedOffload, Http, HttpSettings, HttpSettingsError, Workers};
use scopegate_provider::{Clock, ConnectError, HttpClient, Offload, ProviderName};

pub use self::builder::{GateBuildError, GateBuilder};
pub(crate) use self::{
    connection::Connection,
    node::{Draft, Frontend, Generation, Node},
};
use crate::{
    authenticator::{Authenticator, AuthenticatorError, VerifiedTokens},
    config::{Config, ProviderConfig},
    gate::{Cors, GateSettings, PublicOrigin, State, effective_policy},
    policy::PolicyError,
    store::{OpenError, Store},
    telemetry::{LiveDecisions, Metrics, metrics::TimedOffload},
};

/// The services that outlive a reload.
pub(crate) struct Runtime {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) store: Store,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tokens: VerifiedTokens,
    http: Arc<dyn HttpClient>,
    offload: Arc<dyn Offload>,
}

/// Errors that can occur while the runtime is opened or providers are connected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// A provider cannot be connected.
    #[error("the provider `{name}`: {source}")]
    Connect {
        /// The provider.
        name: ProviderName,
        /// The cause.
        source: ConnectError,
    },
    /// Two providers conflict.
    #[error(transparent)]
    Authenticator(#[from] AuthenticatorError),
    /// The HTTP client cannot be built.
    #[error(transparent)]
    Http(#[from] HttpSettingsError),
    /// The threads that verify signatures cannot be started.
    #[error("cannot start the threads that check signatures: {0}")]
    Workers(#[from] io::Error),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
}

/// Waits until every provider is ready, for at most `timeout`. Providers that are not ready by then become so in the
/// background.
pub(crate) async fn wait_until_ready(connections: &[Connection], timeout: Duration) {
    let all = async {
        for connection in connections {
            if let Some(health) = connection.connected.provider().health() {
                health.ready().await;
            }
        }
    };
    let _ = tokio::time::timeout(timeout, all).await;
}

impl Runtime {
    /// Opens the store and starts what providers need.
    pub(crate) async fn open(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, RuntimeError> {
        let store = Store::open(config.store.as_ref(), clock.clone()).await?;
        let metrics: Arc<Metrics> = Arc::default();
        LiveDecisions::start(&metrics, clock.clone());
        let tokens = VerifiedTokens::new(config.cache.tokens);
        tokens.remove_expired_regularly(clock.clone());
        Ok(Self {
            http: Arc::new(Http::new(HttpSettings::default())?),
            offload: Arc::new(TimedOffload::new(BudgetedOffload::new(Workers::start()?), metrics.clone())),
            tokens,
            metrics,
            clock,
            store,
        })
    }

    /// Connects all providers, keeping those of `earlier` that have not changed.
    pub(crate) async fn connect(
        &self,
        providers: Vec<ProviderConfig>,
        earlier: &[Connection],
    ) -> Result<Vec<Connection>, RuntimeError> {
        connection::all(self, providers, earlier).await
    }

    /// Builds the state of a gate from the configuration and the store, and returns with it the stored entries that
    /// conflict with the file and are ignored. Clients reach the gate at `public_origin`.
    fn state(
        &self,
        connections: &[Connection],
        config: &Config,
        public_origin: PublicOrigin,
    ) -> Result<(State, Vec<PolicyError>), AuthenticatorError> {
        let connected = connections.iter().map(|connection| connection.connected.clone()).collect();
        let store = Arc::new(self.store.clone());
        let authenticator = Authenticator::new(connected, self.tokens.clone(), store, self.clock.clone())?;
        let effective = effective_policy(&config.rules.definition, &self.store.policy());
        let settings = GateSettings {
            token_limit: config.server.limits.token.get(),
            public_origin,
            resources: config.resources.iter().cloned().collect(),
            cors: Cors::new(config.cors.clone(), &config.server.request_id.0),
            trusted_proxies: config.server.trusted_proxies.clone(),
        };
        let state = State::new(effective.policy, authenticator, settings).timed(self.metrics.clone());
        Ok((state, effective.rejected))
    }
}

#[cfg(test)]
mod tests;
