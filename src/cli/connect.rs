//! Providers for commands: an embedded issuer is used if it runs already, and never started.

use std::{sync::Arc, time::Duration};

use futures_util::future::select;
use scopegate_oidc::{Http, HttpSettings};
use scopegate_provider::{Clock, Context, HealthReport, HttpClient, Inline, Provider, SystemClock};

use super::{
    failure::{Failure, Task},
    stored::Stored,
};
use crate::{
    authenticator::{Authenticator, Connected, NoRevocations, RevocationCheck, VerifiedTokens},
    config::{Config, ProviderConfig},
    providers::Kinds,
};

/// The time limit for a provider to be ready.
const PATIENCE: Duration = Duration::from_secs(10);

/// The pause between two looks at whether a provider has failed.
const LOOK: Duration = Duration::from_millis(50);

/// The configuration, its providers such that connecting starts no issuer.
pub(super) fn config(task: &Task) -> Result<Config, Failure> {
    let kinds = Kinds::builtin().with::<scopegate_dev::Elsewhere>();
    Ok(task.loader.clone().kinds(kinds).load(&task.source)?)
}

/// Returns the authenticator that a node would use: with the states of providers and the revocations of the store, if the
/// command could read it.
pub(super) async fn authenticator(
    providers: Vec<ProviderConfig>,
    stored: &Stored,
) -> Result<Authenticator, Failure> {
    let mut connected = Vec::new();
    for provider in providers {
        let provider = one(provider).await?;
        if let Some(store) = &stored.store {
            provider.apply_state(&store.providers());
        }
        connected.push(provider);
    }
    let revocations: Arc<dyn RevocationCheck> = match &stored.store {
        Some(store) => Arc::new(store.clone()),
        None => Arc::new(NoRevocations),
    };
    let clock = Arc::new(SystemClock::new());
    Authenticator::new(connected, VerifiedTokens::new(1), revocations, clock).map_err(Failure::other)
}

/// Connects one.
pub(super) async fn one(provider: ProviderConfig) -> Result<Connected, Failure> {
    let name = provider.name().clone();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let http: Arc<dyn HttpClient> = Arc::new(Http::new(HttpSettings::default()).map_err(Failure::other)?);
    let context = Context::new(name.clone(), clock, http, Arc::new(Inline));
    match provider.into_settings().connect(context).await {
        Ok(provider) => Ok(Connected::new(name, provider)),
        Err(source) => Err(Failure::Connect { name: name.to_string(), source }),
    }
}

/// The provider that is named, or the only one.
pub(super) fn choose(providers: Vec<ProviderConfig>, name: Option<&str>) -> Result<ProviderConfig, Failure> {
    let known: Vec<String> = providers.iter().map(|provider| provider.name().to_string()).collect();
    let mut wanted =
        providers.into_iter().filter(|provider| name.is_none_or(|name| provider.name().as_str() == name));
    match (wanted.next(), wanted.next(), name) {
        (Some(_), Some(_), _) => Err(Failure::WhichProvider { known }),
        (Some(provider), None, _) => Ok(provider),
        (None, ..) if known.is_empty() => Err(Failure::NoProviders),
        (None, _, name) => Err(Failure::NoProvider { name: name.unwrap_or_default().to_owned(), known }),
    }
}

/// Waits until the provider is ready, has failed for good, or has had time enough. Returns its health then.
pub(super) async fn settled(provider: &dyn Provider) -> Option<HealthReport> {
    let health = provider.health()?;
    let failed = async {
        loop {
            tokio::time::sleep(LOOK).await;
            let report = health.report();
            if report.issuers.iter().any(|issuer| issuer.failed_refreshes > 0 && issuer.keys.is_empty()) {
                return;
            }
        }
    };
    // The report tells whether it is ready.
    let _ = tokio::time::timeout(PATIENCE, select(health.ready(), Box::pin(failed))).await;
    Some(health.report())
}
