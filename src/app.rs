//! The server: a node of the runtime with the endpoints of its listeners.

mod admin_handle;
mod assemble;
mod denials;
mod event_streams;
mod fallback;
mod landing;
mod metrics;
mod own_routes;
mod problem_bodies;
mod readiness;
mod restart;
mod serve;
mod signing;
mod watch;

use std::{
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use aws_lc_rs::{digest, rand};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use poem::{Endpoint, EndpointExt, Request, Response, Result, Route, endpoint::BoxEndpoint, get};
use scopegate_provider::{Clock, Secret, SystemClock, Timestamp};
use tokio::time::MissedTickBehavior;

use self::{
    admin_handle::AdminHandle,
    assemble::Endpoints,
    denials::Denials,
    landing::{LandingAssets, LandingPage},
    metrics::Scrape,
    own_routes::OwnRoutes,
    readiness::NodeReport,
    signing::Signing,
};
use crate::{
    api::{
        SeenSignals, Tries,
        admin::{Admin, report_node, ui::SessionKey},
        grpc_health::{self, GrpcHealth},
        health::{Readyz, healthz},
    },
    config::{Config, ConfigErrors},
    gate::{Gate, IdentityError, check_form, forward_auth::grpc},
    grpc::Unimplemented,
    runtime::{self, Connection, Draft, Frontend, Generation, Runtime, RuntimeError},
    server::Shutdown,
    store::{Nodes, StoreError},
    telemetry::{Spans, TelemetryError},
    upstream::{UpstreamError, Upstreams},
};

pub use self::{
    serve::{Greeting, ProviderGreeting, ServeError, Served, serve},
    signing::SigningError,
    watch::Watch,
};

/// A node with its listeners' endpoints: everything that a configuration asks for, connected. Clones are the same node.
#[derive(Clone)]
pub struct App(Arc<Node>);

type Node = runtime::Node<Server>;

/// The public URL of a node, as callers see it.
#[derive(Debug, Clone)]
pub struct PublicEndpoint {
    /// Scheme, host and port, as `https://api.example.com`.
    pub public_url: String,
    /// Set if callers certainly reach the node at this URL, so that challenges may point there.
    pub is_certain: bool,
}

/// The state that the endpoints of every generation share.
struct Shared {
    public_endpoint: PublicEndpoint,
    shutdown: Shutdown,
    admin_handle: Arc<AdminHandle>,
    denials: Denials,
    /// The keys of minted tokens.
    signing: Signing,
    started: Timestamp,
    tries: Tries,
    /// The name of this node among others: the host's.
    node_id: String,
    /// The secret of the operator page's sessions where none is configured and the store has none.
    session_secret: Secret,
    /// The secret of the sessions that all nodes of the store share.
    session_secret_of_store: OnceLock<Secret>,
    /// The exporter of traces, if a collector is configured.
    spans: Option<Arc<Spans>>,
    /// The signals of providers that were handled.
    seen_signals: SeenSignals,
    /// The error of the last reload, if it failed.
    reload_error: ArcSwapOption<String>,
}

impl Shared {
    /// Returns the count of failed tries, which outlives a reload.
    fn tries(&self, config: &Config) -> Tries {
        self.tries.clone().trusting(config.server.trusted_proxies.clone())
    }

    /// Returns the key of the operator page's sessions.
    fn session_key(&self, config: &Config) -> Option<Arc<SessionKey>> {
        let secret = config.admin.as_ref().and_then(|admin| admin.session_secret.as_ref());
        let secret = secret.or(self.session_secret_of_store.get()).unwrap_or(&self.session_secret);
        let digest = digest::digest(&digest::SHA256, secret.reveal().as_bytes());
        SessionKey::new(digest.as_ref().try_into().ok()?).map(Arc::new)
    }

    /// Takes the secret of the sessions from the store, where all nodes find it. Without it sessions are those of this
    /// node.
    async fn share_session_secret(&self, draft: Draft<'_>) {
        let wants =
            draft.config.admin.as_ref().is_some_and(|admin| admin.ui && admin.session_secret.is_none());
        if !wants || self.session_secret_of_store.get().is_some() {
            return;
        }
        match draft.runtime.store.session_secret(&self.session_secret).await {
            Ok(secret) => drop(self.session_secret_of_store.set(secret)),
            Err(StoreError::NoStore) => {}
            Err(error) => {
                tracing::warn!(%error, "sessions of the operator page are good on this node only, as the store does not answer");
            }
        }
    }
}

/// Returns 32 random bytes, as text.
fn random() -> Result<Secret, BuildError> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| BuildError::Random)?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(bytes)))
}

/// The frontend of the server: the endpoints of its listeners.
struct Server(Shared);

impl Frontend for Server {
    type Endpoints = Endpoints;
    type Error = BuildError;

    async fn build(
        &self,
        draft: Draft<'_>,
        earlier: Option<&Generation<Endpoints>>,
    ) -> Result<Endpoints, BuildError> {
        let upstreams = match earlier {
            Some(earlier) => earlier.endpoints.upstreams.with(&draft.config.upstreams)?,
            None => Upstreams::new(&draft.config.upstreams)?,
        };
        self.0.share_session_secret(draft).await;
        let endpoints = assemble::endpoints(&self.0, draft, upstreams)?;
        let keys = self.0.signing.keys_for(draft).await?;
        Ok(Endpoints { keys, ..endpoints })
    }

    fn activate(&self, endpoints: &Endpoints) {
        if let Some(keys) = &endpoints.keys {
            self.0.signing.activate(keys);
        }
    }
}

/// Errors that keep a configuration from being put in force.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The runtime cannot be opened, or a provider cannot be connected.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// An upstream cannot be set up.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The configured identity headers are invalid.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The new configuration is empty and the one in force is not: the file was probably read while it was written.
    #[error("nothing is configured any more: end the program if that is meant")]
    Empty,
    /// The system's random number generator failed.
    #[error("the system's random number generator failed")]
    Random,
    /// The export of traces cannot be set up.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// There are no keys to sign tokens with.
    #[error(transparent)]
    Signing(#[from] SigningError),
}

impl App {
    /// Builds a node that callers reach at `public_endpoint`. Providers that cannot be reached yet become ready in the
    /// background.
    ///
    /// # Errors
    /// [`BuildError`]: the configuration cannot be put in force.
    pub async fn build(
        config: Config,
        public_endpoint: PublicEndpoint,
        shutdown: Shutdown,
    ) -> Result<Self, BuildError> {
        // Boxed: the future is large, and embedders hold it in theirs.
        Box::pin(Self::with_clock(config, public_endpoint, shutdown, Arc::new(SystemClock::new()))).await
    }

    /// As [`App::build`], with another clock than the system's.
    ///
    /// # Errors
    /// [`BuildError`]: the configuration cannot be put in force.
    pub async fn with_clock(
        config: Config,
        public_endpoint: PublicEndpoint,
        shutdown: Shutdown,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, BuildError> {
        let runtime = Runtime::open(&config, clock).await?;
        let public_origin = assemble::public_origin(&public_endpoint, &config);
        let node_id = node_id(&config)?;
        let spans = Spans::start(&config.telemetry.traces, &node_id)?;
        let shared = Shared {
            public_endpoint,
            shutdown,
            admin_handle: Arc::default(),
            denials: Denials::start(runtime.store.clone()),
            signing: Signing::default(),
            started: runtime.clock.now(),
            tries: Tries::new(runtime.clock.clone()),
            node_id,
            session_secret: random()?,
            session_secret_of_store: OnceLock::new(),
            spans,
            seen_signals: SeenSignals::default(),
            reload_error: ArcSwapOption::empty(),
        };
        let node = Node::start(runtime, Server(shared), config, public_origin).await?;
        node.frontend.0.admin_handle.bind(&node);
        tokio::spawn(signing::rotate(Arc::downgrade(&node), node.runtime.clock.clone()));
        tokio::spawn(note_keys(Arc::downgrade(&node)));
        tokio::spawn(event_streams::run(Arc::downgrade(&node)));
        tokio::spawn(report(Arc::downgrade(&node)));
        Ok(Self(node))
    }

    /// Replaces the configuration: providers whose settings are the same are kept, requests in flight end as they
    /// began. Listeners, the store and the log stay as they were until the program is restarted, which the log says.
    ///
    /// # Errors
    /// [`BuildError`]; everything is as before.
    pub async fn reload(&self, config: Config) -> Result<(), BuildError> {
        if config.rules.definition.is_empty() && !self.config().rules.definition.is_empty() {
            return Err(BuildError::Empty);
        }
        let waiting = restart::waiting(self.0.boot_config(), &config).join(", ");
        let reloaded = self.0.reload(config).await;
        let error = reloaded.as_ref().err().map(|error| Arc::new(error.to_string()));
        self.0.frontend.0.reload_error.store(error);
        reloaded?;
        self.0.runtime.metrics.good_reloads.increment();
        if !waiting.is_empty() {
            tracing::warn!(keys = waiting, "these keys have changed and wait for a restart");
        }
        Ok(())
    }

    /// Remembers that a new configuration could not be read.
    fn reload_failed(&self, errors: &ConfigErrors) {
        let first = errors.to_string().lines().next().unwrap_or_default().to_owned();
        self.0.frontend.0.reload_error.store(Some(Arc::new(first)));
    }

    /// Returns the endpoint of the main listener.
    pub fn endpoint(&self) -> impl Endpoint<Output = Response> + use<> {
        Current(self.0.clone())
    }

    /// Returns the endpoint of the listener for administrators, if there is one (`admin.listen`).
    pub fn administration(&self) -> impl Endpoint<Output = Response> + use<> {
        Reloadable(self.0.clone(), |endpoints| &endpoints.administration)
    }

    /// Returns the endpoint of the gRPC listener (`forward_auth.grpc_listen`).
    pub fn grpc(&self) -> impl Endpoint<Output = Response> + use<> {
        let report = Arc::new(NodeReport(Arc::downgrade(&self.0)));
        let health = GrpcHealth::new(report, &[grpc::SERVICE], self.0.frontend.0.shutdown.clone());
        let check = Reloadable(self.0.clone(), |endpoints| &endpoints.authorization);
        OwnRoutes::new(Unimplemented)
            .accepting_any_authority()
            .at(format!("/{}/Check", grpc::SERVICE), check)
            .at("/grpc.health.v1.Health/Check".to_owned(), grpc_health::Check(health.clone()))
            .at("/grpc.health.v1.Health/Watch".to_owned(), grpc_health::Watch(health))
    }

    /// Returns the endpoint of the operations listener.
    pub fn operations(&self) -> impl Endpoint<Output = Response> + use<> {
        let readyz = Readyz(Arc::new(NodeReport(Arc::downgrade(&self.0))));
        let metrics = get(Scrape(Arc::downgrade(&self.0)));
        let health = Route::new().at("/healthz", get(healthz)).at("/readyz", get(readyz));
        let landing = get(LandingPage(Arc::downgrade(&self.0)));
        let health = health.at("/", landing).at("/assets/*path", get(LandingAssets));
        health.at("/metrics", metrics).before(checked_form).map_to_response()
    }

    /// Returns the gate.
    pub fn gate(&self) -> &Gate {
        self.0.gate()
    }

    /// Returns the configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.0.current().config.clone()
    }

    /// Waits until the spans of the past were exported, for at most `timeout`.
    async fn flush_spans(&self, timeout: Duration) {
        if let Some(spans) = &self.0.frontend.0.spans {
            spans.flush(timeout).await;
        }
    }

    /// Waits until every provider is ready, for at most `timeout`.
    pub async fn wait_until_ready(&self, timeout: Duration) {
        runtime::wait_until_ready(&self.0.current().connections, timeout).await;
    }
}

/// The interval of reports to the other nodes.
const REPORT: Duration = Duration::from_secs(5);

/// Notes the state of the providers' keys once a second, for as long as the node exists.
async fn note_keys(node: Weak<Node>) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        second.tick().await;
        let Some(node) = node.upgrade() else { return };
        let now = node.runtime.clock.now();
        for connection in &node.current().connections {
            if let Some(health) = connection.connected.provider().health() {
                node.runtime.metrics.keys.note(connection.name(), &health.report(), now);
            }
        }
    }
}

/// Reports the state of the node to the others of its store, for as long as it exists.
async fn report(node: Weak<Node>) {
    let mut interval = tokio::time::interval(REPORT);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let Some(node) = node.upgrade() else { return };
        let is_administered = node.current().config.admin.is_some();
        if !is_administered || !has_shared_store(node.boot_config()) {
            continue;
        }
        let handle = node.frontend.0.admin_handle.clone();
        let admin = Admin::new(node.gate().clone(), node.runtime.store.clone(), handle);
        // The store itself tells when it does not answer.
        if let Err(error) = report_node(&admin).await {
            tracing::debug!(%error, "cannot report the state of this node to the others");
        }
    }
}

/// Checks the form of a request to the operations listener. Probes that speak HTTP/1.0 need not name a host.
async fn checked_form(request: Request) -> Result<Request> {
    if request.version() > http::Version::HTTP_10 || request.headers().contains_key(http::header::HOST) {
        check_form(&request)?;
    }
    Ok(request)
}

/// Returns `true` if other nodes may use the store of this configuration.
fn has_shared_store(config: &Config) -> bool {
    config.store.as_ref().is_some_and(|store| store.url.is_shared())
}

/// Returns the name of the host; where nodes share a store, with some characters that tell its runs apart.
fn node_id(config: &Config) -> Result<String, BuildError> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = if name.trim().is_empty() { "node" } else { name.trim() };
    if !has_shared_store(config) {
        return Ok(name.to_owned());
    }
    let run: String = random()?.reveal().chars().filter(char::is_ascii_alphanumeric).take(4).collect();
    Ok(format!("{name}-{run}"))
}

/// The main listener's endpoint of the generation in force.
struct Current(Arc<Node>);

impl Endpoint for Current {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let generation = self.0.current();
        generation.endpoints.main.call(request).await
    }
}

/// Another listener's endpoint of the generation in force.
struct Reloadable(Arc<Node>, fn(&Endpoints) -> &BoxEndpoint<'static>);

impl Endpoint for Reloadable {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let generation = self.0.current();
        (self.1)(&generation.endpoints).call(request).await
    }
}
