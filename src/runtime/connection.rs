//! Providers, connected; those whose settings have not changed are kept through a reload, with their keys.

use scopegate_provider::{Context, ProviderName};

use super::{Runtime, RuntimeError};
use crate::{authenticator::Connected, config::ProviderConfig, store::ProviderState};

/// A connected provider, and the facts of its configuration.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) connected: Connected,
    pub(crate) kind: &'static str,
    /// Set if the node is ready only with its keys.
    pub(crate) required: bool,
    fingerprint: [u8; 32],
}

impl Connection {
    pub(crate) fn name(&self) -> &ProviderName {
        self.connected.name()
    }

    /// Returns `true` if it can verify tokens now. A provider that reports no health counts as ready.
    pub(crate) fn is_ready(&self) -> bool {
        self.connected.provider().health().is_none_or(|health| health.report().ready)
    }

    /// Applies the stored admin state; without one, the provider is enabled and its keys are trusted.
    pub(crate) fn apply_state(&self, states: &[ProviderState]) {
        self.connected.apply_state(states);
    }
}

/// Connects all providers, keeping those of `earlier` that have not changed.
pub(super) async fn all(
    runtime: &Runtime,
    providers: Vec<ProviderConfig>,
    earlier: &[Connection],
) -> Result<Vec<Connection>, RuntimeError> {
    let states = runtime.store.providers();
    let mut connections = Vec::with_capacity(providers.len());
    for provider in providers {
        let same = earlier.iter().find(|known| {
            known.name() == provider.name()
                && known.kind == provider.kind()
                && known.fingerprint == provider.fingerprint()
        });
        let connection = match same {
            Some(known) => Connection { required: provider.is_required(), ..known.clone() },
            None => connect(runtime, provider).await?,
        };
        connection.apply_state(&states);
        connections.push(connection);
    }
    Ok(connections)
}

async fn connect(runtime: &Runtime, provider: ProviderConfig) -> Result<Connection, RuntimeError> {
    let name = provider.name().clone();
    let kind = provider.kind();
    let required = provider.is_required();
    let fingerprint = provider.fingerprint();
    let context =
        Context::new(name.clone(), runtime.clock.clone(), runtime.http.clone(), runtime.offload.clone());
    let made = provider.into_settings().connect(context).await;
    let made = made.map_err(|source| RuntimeError::Connect { name: name.clone(), source })?;
    Ok(Connection { connected: Connected::new(name, made), kind, required, fingerprint })
}
