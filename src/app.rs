//! The composition root: configuration → providers, policy, store, gates, one endpoint.

mod administer;
mod assemble;
mod denials;
mod front;
mod inner;
mod metrics;
mod readiness;
mod restart;
mod serve;
mod signing;
mod watch;

use std::{
    ops::Deref,
    sync::{Arc, Weak},
    time::Duration,
};

use arc_swap::ArcSwap;
use poem::{Endpoint, EndpointExt, Request, Response, Result, Route, endpoint::BoxEndpoint, get};
use scopegate_provider::{Clock, SystemClock, Timestamp};

use self::{
    administer::Hand,
    assemble::{Built, Endpoints},
    denials::Denials,
    front::Front,
    metrics::Scrape,
    readiness::NodeReport,
    signing::Signing,
};
use crate::{
    api::{
        grpc_health::{self, GrpcHealth},
        health::{Readyz, healthz},
    },
    config::Config,
    gate::{Gate, IdentityError, forward_auth::grpc},
    grpc::Unimplemented,
    policy::Policy,
    runtime::{self, Connection, Runtime, RuntimeError},
    server::Shutdown,
    store::{ChangeNumber, Heads},
    upstream::{UpstreamError, Upstreams},
};

pub use self::{
    serve::{Greeting, ProviderGreeting, ServeError, Served, serve},
    signing::SigningError,
    watch::Watch,
};

/// A node: everything that a configuration asks for, connected. Clones are the same node.
#[derive(Clone)]
pub struct App(Arc<Node>);

struct Node {
    fixed: Fixed,
    /// The configuration that it was made from.
    first: Arc<Config>,
    gate: Gate,
    current: ArcSwap<Generation>,
    /// Held while a configuration or a change of the store is taken over, so that none is lost.
    changing: tokio::sync::Mutex<()>,
}

/// Where callers reach a node.
#[derive(Debug, Clone)]
pub struct Reached {
    /// Scheme, host and port, as `https://api.example.com`.
    pub public_url: String,
    /// Whether it is known that a caller gets there, so that challenges may point there.
    pub is_certain: bool,
}

/// What lasts through reloads.
struct Fixed {
    reached: Reached,
    runtime: Runtime,
    shutdown: Shutdown,
    /// What administrators act with.
    hand: Arc<Hand>,
    denials: Denials,
    /// The keys of minted tokens.
    signing: Signing,
    started: Timestamp,
}

impl Deref for Fixed {
    type Target = Runtime;
    fn deref(&self) -> &Runtime {
        &self.runtime
    }
}

/// What a configuration made.
struct Generation {
    connections: Vec<Connection>,
    config: Arc<Config>,
    upstreams: Upstreams,
    endpoints: Endpoints,
}

/// Why a node cannot be made from a configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// There is nothing to stand on.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// An upstream cannot be set up.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// Identity headers cannot be as they are configured.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Nothing is configured any more, though something was: the file was probably looked at while it was written.
    #[error("nothing is configured any more: end the program if that is meant")]
    Empty,
    /// There are no keys to sign tokens with.
    #[error(transparent)]
    Signing(#[from] SigningError),
}

impl App {
    /// Makes a node that callers reach there. Providers that cannot be reached yet are waited for in the
    /// background.
    ///
    /// # Errors
    /// [`BuildError`]: what no waiting will mend.
    pub async fn build(config: Config, reached: Reached, shutdown: Shutdown) -> Result<Self, BuildError> {
        Self::with_clock(config, reached, shutdown, Arc::new(SystemClock::new())).await
    }

    /// As [`App::build`], by another clock than the system's.
    ///
    /// # Errors
    /// [`BuildError`]: what no waiting will mend.
    pub async fn with_clock(
        mut config: Config,
        reached: Reached,
        shutdown: Shutdown,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, BuildError> {
        let runtime = Runtime::open(&config, clock).await?;
        // Before anything of it is read: what changes afterwards is told.
        let changes = runtime.store.subscribe();
        runtime.store.keep_audit(config.telemetry.audit.retention.get());
        let (started, denials) = (runtime.clock.now(), Denials::start(runtime.store.clone()));
        let (hand, signing) = (Arc::default(), Signing::default());
        let fixed = Fixed { reached, runtime, shutdown, hand, denials, signing, started };
        let connections = fixed.connect(std::mem::take(&mut config.providers), &[]).await?;
        let state = assemble::state(&fixed, &connections, &config).map_err(RuntimeError::from)?;
        fixed.sign_for(&config, state.policy()).await?;
        let gate = Gate::new(state);
        let upstreams = Upstreams::new(&config.upstreams)?;
        let built = Built { gate: &gate, connections: &connections, config: &config, upstreams: &upstreams };
        let endpoints = assemble::endpoints(&fixed, built)?;
        let first = Arc::new(config);
        let config = first.clone();
        let current = ArcSwap::from_pointee(Generation { connections, config, upstreams, endpoints });
        let changing = tokio::sync::Mutex::default();
        let node = Arc::new(Node { fixed, first, gate, current, changing });
        node.fixed.hand.hold(&node);
        tokio::spawn(follow_store(Arc::downgrade(&node), changes));
        tokio::spawn(signing::tend(Arc::downgrade(&node), node.fixed.clock.clone()));
        Ok(Self(node))
    }

    /// Goes on by another configuration: providers whose settings are the same are kept, requests in flight end as
    /// they began. Listeners, the store and the log stay as they were until the program starts anew, which the log says.
    ///
    /// # Errors
    /// [`BuildError`]; everything is as before.
    pub async fn reload(&self, mut config: Config) -> Result<(), BuildError> {
        let _changing = self.0.changing.lock().await;
        if config.rules.definition.is_empty() && !self.config().rules.definition.is_empty() {
            return Err(BuildError::Empty);
        }
        self.0.fixed.store.keep_audit(config.telemetry.audit.retention.get());
        let providers = std::mem::take(&mut config.providers);
        let connections = self.0.fixed.connect(providers, &self.0.current.load().connections).await?;
        let upstreams = self.0.current.load().upstreams.with(&config.upstreams)?;
        let waiting = restart::waiting(&self.0.first, &config).join(", ");
        self.0.take_over(connections, Arc::new(config), upstreams).await?;
        self.0.fixed.metrics.good_reloads.increment();
        if !waiting.is_empty() {
            tracing::warn!(keys = waiting, "these keys have changed and wait for a restart");
        }
        Ok(())
    }

    /// The endpoint of the main listener.
    pub fn endpoint(&self) -> impl Endpoint<Output = Response> + use<> {
        Current(self.0.clone())
    }

    /// The endpoint of the listener for administrators, if there is one (`admin.listen`).
    pub fn administration(&self) -> impl Endpoint<Output = Response> + use<> {
        CurrentBeside(self.0.clone(), |endpoints| &endpoints.administration)
    }

    /// The endpoint of the gRPC listener (`forward_auth.grpc_listen`).
    pub fn grpc(&self) -> impl Endpoint<Output = Response> + use<> {
        let report = Arc::new(NodeReport(Arc::downgrade(&self.0)));
        let health = GrpcHealth::new(report, &[grpc::SERVICE], self.0.fixed.shutdown.clone());
        let check = CurrentBeside(self.0.clone(), |endpoints| &endpoints.authorization);
        Front::new(Unimplemented)
            .at(format!("/{}/Check", grpc::SERVICE), check)
            .at("/grpc.health.v1.Health/Check".to_owned(), grpc_health::Check(health.clone()))
            .at("/grpc.health.v1.Health/Watch".to_owned(), grpc_health::Watch(health))
    }

    /// The endpoint of the operations listener.
    pub fn operations(&self) -> impl Endpoint<Output = Response> + use<> {
        let readyz = Readyz(Arc::new(NodeReport(Arc::downgrade(&self.0))));
        let metrics = get(Scrape(Arc::downgrade(&self.0)));
        let health = Route::new().at("/healthz", get(healthz)).at("/readyz", get(readyz));
        health.at("/metrics", metrics).map_to_response()
    }

    /// The gate: for what decides beside the main endpoint.
    pub fn gate(&self) -> &Gate {
        &self.0.gate
    }

    /// The configuration by which it goes.
    pub fn config(&self) -> Arc<Config> {
        self.0.current.load().config.clone()
    }

    /// Waits until every provider can judge tokens, `patience` at most.
    pub async fn settle(&self, patience: Duration) {
        let connections = self.0.current.load().connections.clone();
        runtime::settle(&connections, patience).await;
    }
}

impl Fixed {
    /// Sees to it that there are keys, if tokens are minted.
    async fn sign_for(&self, config: &Config, policy: &Policy) -> Result<(), SigningError> {
        if !signing::mints(config, policy) {
            return Ok(());
        }
        match self.signing.prepare(&config.mint, &self.store, self.clock.now()).await {
            // A policy must not wait for a key.
            Err(error) if self.signing.ring.published().is_some() => {
                tracing::warn!(%error, "the keys for minted tokens stay as they are");
                Ok(())
            }
            answer => answer,
        }
    }
}

impl Node {
    async fn take_over(
        &self,
        connections: Vec<Connection>,
        config: Arc<Config>,
        upstreams: Upstreams,
    ) -> Result<(), BuildError> {
        let state = assemble::state(&self.fixed, &connections, &config).map_err(RuntimeError::from)?;
        self.fixed.sign_for(&config, state.policy()).await?;
        self.gate.replace(state);
        let built =
            Built { gate: &self.gate, connections: &connections, config: &config, upstreams: &upstreams };
        let endpoints = assemble::endpoints(&self.fixed, built)?;
        self.current.store(Arc::new(Generation { connections, config, upstreams, endpoints }));
        Ok(())
    }

    /// Takes over what the store has in memory.
    async fn take_over_store(&self) {
        let _changing = self.changing.lock().await;
        let generation = self.current.load_full();
        let states = self.fixed.store.providers();
        generation.connections.iter().for_each(|connection| connection.apply_state(&states));
        let (connections, config) = (generation.connections.clone(), generation.config.clone());
        if let Err(error) = self.take_over(connections, config, generation.upstreams.clone()).await {
            tracing::error!(%error, "a change of the store could not be taken over");
        }
    }
}

/// Calls the endpoint of the configuration by which the node goes now.
struct Current(Arc<Node>);

impl Endpoint for Current {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let generation = self.0.current.load_full();
        generation.endpoints.main.call(request).await
    }
}

/// Calls another endpoint of the configuration by which the node goes now.
struct CurrentBeside(Arc<Node>, fn(&Endpoints) -> &BoxEndpoint<'static>);

impl Endpoint for CurrentBeside {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let generation = self.0.current.load_full();
        (self.1)(&generation.endpoints).call(request).await
    }
}

/// Takes changes of the store over for as long as there is a node. Revocations are in force without that.
async fn follow_store(node: Weak<Node>, mut changes: tokio::sync::watch::Receiver<Heads>) {
    let mut seen = (ChangeNumber::default(), ChangeNumber::default());
    while changes.changed().await.is_ok() {
        let heads = *changes.borrow_and_update();
        let found = (heads.policy, heads.providers);
        if std::mem::replace(&mut seen, found) == found {
            continue;
        }
        let Some(node) = node.upgrade() else { return };
        node.take_over_store().await;
    }
}
