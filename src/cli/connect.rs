//! Providers for commands that ask them: the embedded issuer is looked for where it already runs, never started.

use std::{sync::Arc, time::Duration};

use scopegate_oidc::{Http, HttpSettings};
use scopegate_provider::{Clock, Context, HealthReport, HttpClient, Inline, Provider, SystemClock};

use super::failure::{Failure, Task};
use crate::{
    authenticator::Connected,
    config::{Config, ProviderConfig},
    providers::Kinds,
};

/// How long a provider may take to be ready.
const PATIENCE: Duration = Duration::from_secs(10);

/// The configuration, its providers such that connecting starts no issuer.
pub(super) fn config(task: &Task) -> Result<Config, Failure> {
    let kinds = Kinds::builtin().with::<scopegate_dev::Elsewhere>();
    Ok(task.loader.clone().kinds(kinds).load(&task.source)?)
}

/// Connects all.
pub(super) async fn all(providers: Vec<ProviderConfig>) -> Result<Vec<Connected>, Failure> {
    let mut connected = Vec::new();
    for provider in providers {
        connected.push(one(provider).await?);
    }
    Ok(connected)
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

/// Waits until the provider can judge tokens, or has had time enough; how it is then.
pub(super) async fn settled(provider: &dyn Provider) -> Option<HealthReport> {
    let health = provider.health()?;
    // Whether it is ready is in the report.
    let _ = tokio::time::timeout(PATIENCE, health.ready()).await;
    Some(health.report())
}
