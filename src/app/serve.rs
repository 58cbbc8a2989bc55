//! A whole run: listen, greet, serve, reload, end.

use std::{io, time::Duration};

use scopegate_provider::HealthReport;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{App, BuildError, PublicEndpoint, Watch, readiness::readiness};
use crate::{
    config::{Config, ConfigErrors, ConfigSource, Loader},
    server::{
        BindError, Bound, InheritError, InheritedSockets, Listen, ListenerSettings, Notifier, Shutdown,
        Watchdog, raise_descriptor_limit,
    },
};

/// The longest time that the greeting waits for providers, so that it can name their keys.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// The interval at which a node that is not ready yet checks whether it is.
const READY_INTERVAL: Duration = Duration::from_millis(100);

/// The time that the end of a node may take beyond `server.shutdown_delay` and `server.shutdown_grace`.
const STOP_MARGIN: Duration = Duration::from_secs(5);

/// The time that the last spans may take to be exported.
const SPANS_TIMEOUT: Duration = Duration::from_secs(2);

/// The pause between two looks at the files.
const LOOK: Duration = Duration::from_secs(1);

/// The time for which files must stay as they are before they are read.
const SETTLE: Duration = Duration::from_millis(200);

/// The number of times that this is waited for.
const TRIES: u32 = 50;

/// The facts that a node prints when it has started.
#[derive(Debug, Clone)]
pub struct Greeting {
    /// Its address as callers see it, base path included.
    pub url: String,
    /// The address of the main listener.
    pub listen: String,
    /// The address of the operations listener.
    pub operations: String,
    /// The address of the gRPC listener, if there is one.
    pub grpc: Option<String>,
    /// The providers.
    pub providers: Vec<ProviderGreeting>,
    /// Set if the built-in development configuration is used.
    pub built_in: bool,
    /// Set if nothing durable is acknowledged because no store is configured.
    pub without_store: bool,
    /// The warnings of the configuration.
    pub warnings: Vec<String>,
    /// The endpoints of its own that are served.
    pub served: Served,
}

/// The endpoints of its own that a node serves.
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
    /// Its health, if it reports any.
    pub health: Option<HealthReport>,
}

/// Errors that end a run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The configuration is wrong.
    #[error("{0}")]
    Config(ConfigErrors),
    /// A listener cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A socket of the service manager cannot be used.
    #[error(transparent)]
    Inherit(#[from] InheritError),
    /// A socket of the service manager would show the built-in configuration to other machines.
    #[error(
        "the service manager's socket listens on `{listen}`, but the built-in configuration has secrets that everyone \
         knows; expected a loopback address or a configuration (`--config`)"
    )]
    DevelopmentBeyondLoopback {
        /// The address.
        listen: Listen,
    },
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
    let listeners = Listeners::bind(&config).await?;
    if matches!(source, ConfigSource::BuiltIn) {
        listeners.require_loopback()?;
    }
    let delay = config.server.shutdown_delay.get();
    let grace = config.server.shutdown_grace.get();
    let watch = Watch::new(config.watched.clone());
    let places = listeners.places();
    let reached = reached(&config, &places.main);
    let shutdown = Shutdown::new();
    let app = App::build(config, reached, shutdown.clone()).await?;
    let serving = listeners.serve(&app, &shutdown);
    app.wait_until_ready(READY_TIMEOUT).await;
    greet(&greeting(&app, source, &places));
    let notifier = Notifier::default();
    let reloading = reload(&app, loader, source, watch, &mut signals.hangup, &notifier);
    let serving_until_the_end = async {
        tokio::join!(announce_readiness(&app, &notifier), reloading);
    };
    tokio::select! {
        () = serving_until_the_end => {}
        () = end(&mut signals.terminate, &mut signals.interrupt) => {}
    }
    tracing::info!("ending: requests in flight are finished");
    notifier.stopping(delay + grace + STOP_MARGIN);
    tokio::select! {
        () = shutdown.run(delay, grace) => {}
        () = serving => {}
    }
    shutdown.cut();
    app.flush_spans(SPANS_TIMEOUT).await;
    Ok(())
}

struct Listeners {
    main: Bound,
    operations: Bound,
    /// Of administrators, where they have one of their own.
    administration: Option<Bound>,
    /// Of Envoy, if it asks over gRPC.
    grpc: Option<Bound>,
}

/// The addresses of the listeners, with the ports that the system chose.
struct Places {
    main: Listen,
    operations: Listen,
    grpc: Option<Listen>,
}

impl Listeners {
    /// Adopts the sockets of the service manager, and binds the addresses of the other listeners.
    async fn bind(config: &Config) -> Result<Self, ServeError> {
        let mut inherited = InheritedSockets::from_env()?;
        // Administrators are secured as callers are; the operations listener is for the inside.
        let secured = |key: &'static str, listen: &Listen| {
            let tls = config.server.tls.clone();
            let limits = config.server.limits.clone();
            ListenerSettings { key, listen: listen.clone(), tls, client_ca: None, limits }
        };
        let operations = ListenerSettings {
            key: "operations.listen",
            listen: config.operations.listen.clone(),
            ..ListenerSettings::default()
        };
        let administration = match config.admin_listen() {
            Some(listen) => {
                let settings = secured("admin.listen", listen);
                Some(Bound::adopt_or_bind(&settings, inherited.remove("admin")).await?)
            }
            None => None,
        };
        let grpc = match config.forward_auth.grpc_listener(&config.server.limits) {
            Some(settings) => Some(Bound::adopt_or_bind(&settings, inherited.remove("grpc")).await?),
            None => None,
        };
        let main = secured("server.listen", &config.server.listen);
        let main = Bound::adopt_or_bind(&main, inherited.remove("server")).await?;
        let operations = Bound::adopt_or_bind(&operations, inherited.remove("operations")).await?;
        for name in inherited.names() {
            tracing::warn!(
                name,
                "ignoring a socket of the service manager: the configuration has no such listener"
            );
        }
        Ok(Self { main, operations, administration, grpc })
    }

    fn require_loopback(&self) -> Result<(), ServeError> {
        let all =
            [Some(&self.main), Some(&self.operations), self.administration.as_ref(), self.grpc.as_ref()];
        for bound in all.into_iter().flatten() {
            let listen = bound.local_addr();
            if !listen.is_loopback() {
                return Err(ServeError::DevelopmentBeyondLoopback { listen: listen.clone() });
            }
        }
        Ok(())
    }

    fn places(&self) -> Places {
        Places {
            main: self.main.local_addr().clone(),
            operations: self.operations.local_addr().clone(),
            grpc: self.grpc.as_ref().map(|grpc| grpc.local_addr().clone()),
        }
    }

    /// Serves on all of them; what is returned ends with those that have something to lose: callers' requests and Envoy's
    /// checks of them.
    fn serve(self, app: &App, shutdown: &Shutdown) -> impl Future<Output = ()> + use<> {
        if let Some(administration) = self.administration {
            tracing::info!(address = %administration.local_addr(), "administrators are served");
            tokio::spawn(administration.serve(app.administration(), shutdown.clone()));
        }
        // Its only peers are proxies.
        let grpc = self.grpc.map(|grpc| grpc.exempting(|_| true));
        let grpc = grpc.map(|grpc| tokio::spawn(grpc.serve(app.grpc(), shutdown.clone())));
        tokio::spawn(self.operations.serve(app.operations(), shutdown.clone()));
        let exempt = app.clone();
        let main = self
            .main
            .feeding(Watchdog::from_env())
            .exempting(move |peer| exempt.config().server.trusted_proxies.contains(peer));
        let main = tokio::spawn(main.serve(app.endpoint(), shutdown.clone()));
        async move {
            for serving in [Some(main), grpc].into_iter().flatten() {
                // One that failed has ended, too.
                let _ = serving.await;
            }
        }
    }
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

/// Notifies the service manager once the node can decide: it listens, and has the keys of the providers it requires.
async fn announce_readiness(app: &App, notifier: &Notifier) {
    let mut shown = Vec::new();
    loop {
        let readiness = readiness(&app.0);
        if readiness.ready {
            return notifier.ready(&status(app));
        }
        if readiness.reasons != shown {
            notifier.status(&readiness.reasons.join("; "));
            shown = readiness.reasons;
        }
        tokio::time::sleep(READY_INTERVAL).await;
    }
}

/// Returns the line that `systemctl status` shows.
fn status(app: &App) -> String {
    let connections = app.0.current().connections.len();
    format!("serving {}; {connections} providers", app.0.frontend.0.public_endpoint.public_url)
}

/// Reads the configuration again whenever it should be; a bad one changes nothing and says so.
async fn reload(
    app: &App,
    loader: &Loader,
    source: &ConfigSource,
    mut watch: Watch,
    hangup: &mut Signal,
    notifier: &Notifier,
) {
    loop {
        tokio::select! {
            _ = hangup.recv() => {}
            () = changed(&mut watch) => {}
        }
        notifier.reloading();
        let bad_reloads = &app.0.runtime.metrics.bad_reloads;
        match read(loader, source, &mut watch).await {
            Ok((config, next)) => {
                let warnings = config.warnings.len();
                match app.reload(config).await {
                    Ok(()) => {
                        tracing::info!(warnings, "the configuration was read again and is in force");
                        watch = next;
                        notifier.reloaded(&status(app));
                    }
                    Err(error) => {
                        bad_reloads.increment();
                        notifier.reloaded(&format!("the earlier configuration stays in force: {error}"));
                        tracing::error!(%error, "the earlier configuration stays in force");
                    }
                }
            }
            Err(errors) => {
                bad_reloads.increment();
                app.reload_failed(&errors);
                notifier.reloaded(&format!("the earlier configuration stays in force: {errors}"));
                tracing::error!("the earlier configuration stays in force:\n{errors}");
            }
        }
    }
}

/// Reads the configuration once nobody is writing it: the first half of a file may be a good configuration, too. With what
/// looks at its files from then on.
async fn read(
    loader: &Loader,
    source: &ConfigSource,
    watch: &mut Watch,
) -> Result<(Config, Watch), ConfigErrors> {
    let mut tries = 0;
    loop {
        tries += 1;
        watch.has_changed();
        tokio::time::sleep(SETTLE).await;
        let is_last = tries == TRIES;
        if watch.has_changed() && !is_last {
            continue;
        }
        let read = loader.load_aside(source).await.map(|config| {
            let next = Watch::new(config.watched.clone());
            (config, next)
        });
        if !watch.has_changed() || is_last {
            return read;
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

fn reached(config: &Config, listen: &Listen) -> PublicEndpoint {
    if let Some(url) = &config.server.public_url {
        return PublicEndpoint { public_url: url.to_string(), is_certain: true };
    }
    let scheme = if config.server.tls.is_some() { "https" } else { "http" };
    // Nobody reaches a socket, or all addresses at once, by their names.
    let is_certain = matches!(listen, Listen::Tcp(address) if !address.ip().is_unspecified());
    PublicEndpoint { public_url: format!("{scheme}://{listen}"), is_certain }
}

/// Returns the address of a listener as people write it.
fn shown(listen: &Listen, secured: bool) -> String {
    match (listen, secured) {
        (Listen::Unix(_), _) => listen.to_string(),
        (Listen::Tcp(address), true) => format!("https://{address}"),
        (Listen::Tcp(address), false) => format!("http://{address}"),
    }
}

fn greeting(app: &App, source: &ConfigSource, places: &Places) -> Greeting {
    let generation = app.0.current();
    let config = &generation.config;
    let providers = generation.connections.iter().map(|connection| ProviderGreeting {
        name: connection.name().to_string(),
        kind: connection.kind,
        health: connection.connected.provider().health().map(scopegate_provider::Health::report),
    });
    Greeting {
        url: format!("{}{}", app.0.frontend.0.public_endpoint.public_url, config.server.base_path),
        listen: shown(&places.main, config.server.tls.is_some()),
        operations: shown(&places.operations, false),
        grpc: places.grpc.as_ref().map(|grpc| shown(grpc, config.forward_auth.grpc_tls.is_some())),
        providers: providers.collect(),
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
