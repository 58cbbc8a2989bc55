//! What a gate stands on: providers connected, the store opened, and from both and a configuration what it decides by.

mod builder;
mod connect;

use std::{io, sync::Arc, time::Duration};

use scopegate_oidc::{Http, HttpSettings, HttpSettingsError, Workers};
use scopegate_provider::{Clock, ConnectError, HttpClient, Offload, ProviderName};

pub use self::builder::{GateBuildError, GateBuilder};
pub(crate) use self::connect::Connection;
use crate::{
    authenticator::{Authenticator, AuthenticatorError, VerifiedTokens},
    config::{Config, ProviderConfig},
    gate::{Cors, GateSettings, State, fit},
    store::{OpenError, Store},
    telemetry::{Metrics, metrics::TimedOffload},
};

/// What lasts through reloads, whatever stands on it.
pub(crate) struct Runtime {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) store: Store,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tokens: VerifiedTokens,
    http: Arc<dyn HttpClient>,
    offload: Arc<dyn Offload>,
}

/// Why there is nothing to stand on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// A provider cannot be made.
    #[error("the provider `{name}`: {source}")]
    Connect {
        /// The provider.
        name: ProviderName,
        /// Why.
        source: ConnectError,
    },
    /// Providers cannot stand beside each other.
    #[error(transparent)]
    Authenticator(#[from] AuthenticatorError),
    /// The HTTP client cannot be made.
    #[error(transparent)]
    Http(#[from] HttpSettingsError),
    /// The system gives no threads.
    #[error("cannot start the threads that check signatures: {0}")]
    Workers(#[from] io::Error),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
}

/// Waits until every provider can judge tokens, `patience` at most.
pub(crate) async fn settle(connections: &[Connection], patience: Duration) {
    let all = async {
        for connection in connections {
            if let Some(health) = connection.connected.provider().health() {
                health.ready().await;
            }
        }
    };
    // Who is not ready by then is waited for in the background.
    let _ = tokio::time::timeout(patience, all).await;
}

impl Runtime {
    /// Opens the store and starts what providers need.
    pub(crate) async fn open(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, RuntimeError> {
        let store = Store::open(config.store.as_ref(), clock.clone()).await?;
        let metrics: Arc<Metrics> = Arc::default();
        Ok(Self {
            http: Arc::new(Http::new(HttpSettings::default())?),
            offload: Arc::new(TimedOffload::new(Workers::start()?, metrics.clone())),
            tokens: VerifiedTokens::new(config.cache.tokens),
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
        connect::all(self, providers, earlier).await
    }

    /// What the gate decides by, now; challenges point to `resource_metadata`.
    pub(crate) fn state(
        &self,
        connections: &[Connection],
        config: &Config,
        resource_metadata: Option<Box<str>>,
    ) -> Result<State, AuthenticatorError> {
        let connected = connections.iter().map(|connection| connection.connected.clone()).collect();
        let (tokens, store) = (self.tokens.clone(), Arc::new(self.store.clone()));
        let authenticator = Authenticator::new(connected, tokens, store, self.clock.clone())?;
        let policy = fit(&config.rules.definition, &self.store.policy()).adopt();
        let cors = Cors::new(config.cors.clone(), &config.server.request_id.0);
        let settings = GateSettings {
            token_limit: config.server.limits.token.get(),
            resource_metadata,
            cors,
            trusted_proxies: config.server.trusted_proxies.clone(),
        };
        Ok(State::new(policy, authenticator, settings).timed(self.metrics.clone()))
    }
}
