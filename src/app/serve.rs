//! A whole run: listen, greet, serve, reload, end.

use std::{io, time::Duration};

use scopegate_provider::HealthReport;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{App, BuildError, Watch};
use crate::{
    config::{Config, ConfigErrors, ConfigSource, Loader},
    server::{BindError, Bound, ListenerSettings, Shutdown, raise_descriptor_limit},
};

/// How long the greeting waits for providers, so that it can name their keys.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What a node says when it has started.
#[derive(Debug, Clone)]
pub struct Greeting {
    /// Where callers reach it, base path included.
    pub url: String,
    /// Where it listens.
    pub listen: String,
    /// Where the operations endpoints are.
    pub operations: String,
    /// The providers.
    pub providers: Vec<ProviderGreeting>,
    /// Whether the built-in development configuration is used.
    pub built_in: bool,
    /// Whether nothing durable is acknowledged because no store is configured.
    pub without_store: bool,
    /// What the configuration allows but deserves to be said.
    pub warnings: Vec<String>,
    /// Which of its own endpoints are served.
    pub served: Served,
}

/// Which endpoints of its own a node serves.
#[derive(Debug, Clone, Copy)]
pub struct Served {
    /// `/token`.
    pub token_endpoint: bool,
    /// `/docs`.
    pub docs: bool,
    /// The sample API.
    pub sample_api: bool,
}

/// A provider, as a node names it when it has started.
#[derive(Debug, Clone)]
pub struct ProviderGreeting {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// How it is, if it can say so.
    pub health: Option<HealthReport>,
}

/// Why a run ends before it was told to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The configuration is wrong.
    #[error("{0}")]
    Config(ConfigErrors),
    /// A listener cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The node cannot be made.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The system gives no signals.
    #[error("cannot listen for signals: {0}")]
    Signals(#[from] io::Error),
}

/// Serves until SIGTERM or SIGINT; reads the configuration again at SIGHUP and when a file of it changes.
///
/// # Errors
/// [`ServeError`]: it could not start.
pub async fn serve(
    loader: &Loader,
    source: &ConfigSource,
    config: Config,
    greet: impl FnOnce(&Greeting),
) -> Result<(), ServeError> {
    raise_descriptor_limit();
    let mut signals = Signals::new()?;
    let server = &config.server;
    let (listen, tls, limits) = (server.listen.clone(), server.tls.clone(), server.limits.clone());
    let listener = ListenerSettings { listen, tls, limits };
    let main = Bound::bind(&listener).await?;
    let operations =
        ListenerSettings { listen: config.operations.listen.clone(), ..ListenerSettings::default() };
    let operations = Bound::bind(&operations).await?;
    let administration = administration(&config).await?;
    let shutdown = Shutdown::new();
    let (delay, grace) = (config.server.shutdown_delay.get(), config.server.shutdown_grace.get());
    let watch = Watch::new(config.watched.clone());
    let public_url = public_url(&config, &main);
    let app = App::build(config, public_url, shutdown.clone()).await?;
    let address = operations.local_addr().to_string();
    let ending = shutdown.clone();
    let main_address = main.local_addr().to_string();
    let serving = tokio::spawn(main.serve(app.endpoint(), shutdown.clone()));
    if let Some(administration) = administration {
        tracing::info!(address = %administration.local_addr(), "administrators are served");
        tokio::spawn(administration.serve(app.administration(), shutdown.clone()));
    }
    let operating = tokio::spawn(operations.serve(app.operations(), shutdown));
    app.settle(PATIENCE).await;
    greet(&greeting(&app, source, &main_address, &address));
    let reloading = reload(&app, loader, source, watch, &mut signals.hangup);
    tokio::select! {
        () = reloading => {}
        () = end(&mut signals.terminate, &mut signals.interrupt) => {}
    }
    tracing::info!("ending: requests in flight are finished");
    tokio::select! {
        () = ending.run(delay, grace) => {}
        _ = serving => {}
    }
    ending.cut();
    // The operations listener has nothing to lose.
    operating.abort();
    Ok(())
}

/// The listener for administrators, where they have one of their own. It is secured as the main one is.
async fn administration(config: &Config) -> Result<Option<Bound>, BindError> {
    let Some(listen) = config.admin.as_ref().and_then(|admin| admin.listen.clone()) else { return Ok(None) };
    let (tls, limits) = (config.server.tls.clone(), config.server.limits.clone());
    Bound::bind(&ListenerSettings { listen, tls, limits }).await.map(Some)
}

struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }
}

async fn end(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Reads the configuration again whenever it should be; a bad one changes nothing and says so.
async fn reload(app: &App, loader: &Loader, source: &ConfigSource, mut watch: Watch, hangup: &mut Signal) {
    loop {
        tokio::select! {
            _ = hangup.recv() => { watch.has_changed(); }
            () = changed(&mut watch) => {}
        }
        match loader.load(source) {
            Ok(config) => {
                let (paths, warnings) = (config.watched.clone(), config.warnings.len());
                match app.reload(config).await {
                    Ok(()) => {
                        tracing::info!(warnings, "the configuration was read again and is in force");
                        watch = Watch::new(paths);
                    }
                    Err(error) => tracing::error!(%error, "the earlier configuration stays in force"),
                }
            }
            Err(errors) => tracing::error!("the earlier configuration stays in force:\n{errors}"),
        }
    }
}

async fn changed(watch: &mut Watch) {
    loop {
        tokio::time::sleep(LOOK).await;
        if watch.has_changed() {
            return;
        }
    }
}

fn public_url(config: &Config, bound: &Bound) -> String {
    let scheme = if config.server.tls.is_some() { "https" } else { "http" };
    match &config.server.public_url {
        Some(url) => url.to_string(),
        None => format!("{scheme}://{}", bound.local_addr()),
    }
}

fn greeting(app: &App, source: &ConfigSource, listen: &str, operations: &str) -> Greeting {
    let generation = app.0.current.load_full();
    let config = &generation.config;
    let provider = |connection: &super::Connection| ProviderGreeting {
        name: connection.name().to_string(),
        kind: connection.kind,
        health: connection.connected.provider().health().map(scopegate_provider::Health::report),
    };
    Greeting {
        url: format!("{}{}", app.0.public_url, config.server.base_path),
        listen: listen.to_owned(),
        operations: operations.to_owned(),
        providers: generation.connections.iter().map(provider).collect(),
        built_in: matches!(source, ConfigSource::BuiltIn),
        without_store: config.store.is_none(),
        warnings: config.warnings.iter().map(ToString::to_string).collect(),
        served: Served {
            token_endpoint: config.token_endpoint,
            docs: config.docs,
            sample_api: config.sample_api,
        },
    }
}
