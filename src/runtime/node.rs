//! A node: the services that outlive a reload, the configuration in force, and the gate that decides by both.
//!
//! The server and programs that embed a gate run the same node. They differ in their [`Frontend`]: the server builds
//! listeners' endpoints for each generation, an embedder has none.
//!
//! A reload and a change of the store take the same path. Everything that can fail comes first. The swap follows, and
//! from then on every request is decided by the new generation alone.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use futures_util::{FutureExt, future::select};
use scopegate_provider::Timestamp;
use tokio::sync::watch;

use super::{Connection, Runtime, RuntimeError};
use crate::{
    config::{Config, ProviderConfig},
    gate::{Gate, PublicOrigin},
    policy::PolicyError,
    store::Heads,
};

/// The pause after which a failed change of the store is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The endpoints that a node serves through its gate.
pub(crate) trait Frontend: Send + Sync + Sized + 'static {
    /// The endpoints of one generation.
    type Endpoints: Send + Sync + 'static;
    /// Errors that keep endpoints from being built.
    type Error: From<RuntimeError> + fmt::Display + Send;

    /// Builds the endpoints of a generation. Changes nothing that requests can see.
    fn build(
        &self,
        draft: Draft<'_>,
        earlier: Option<&Generation<Self::Endpoints>>,
    ) -> impl Future<Output = Result<Self::Endpoints, Self::Error>> + Send;

    /// Puts in force what [`Frontend::build`] prepared beside the endpoints. Cannot fail.
    fn activate(&self, endpoints: &Self::Endpoints);
}

/// A generation that is not in force yet.
#[derive(Clone, Copy)]
pub(crate) struct Draft<'a> {
    pub(crate) runtime: &'a Runtime,
    /// A gate that decides by this generation for ever.
    pub(crate) gate: &'a Gate,
    /// The gate that always decides by the generation in force, for whatever outlives this one.
    pub(crate) live: &'a Gate,
    pub(crate) connections: &'a [Connection],
    pub(crate) config: &'a Config,
}

/// A configuration in force, and what was built from it.
pub(crate) struct Generation<E> {
    pub(crate) connections: Vec<Connection>,
    pub(crate) config: Arc<Config>,
    /// Stored entries that are ignored because they conflict with the configuration.
    pub(crate) rejected: Vec<PolicyError>,
    /// The moment from which the generation is in force.
    pub(crate) since: Timestamp,
    pub(crate) endpoints: E,
}

/// A node that serves `F`.
pub(crate) struct Node<F: Frontend> {
    pub(crate) runtime: Runtime,
    pub(crate) frontend: F,
    gate: Gate,
    boot_config: Arc<Config>,
    current: ArcSwap<Generation<F::Endpoints>>,
    /// Held while a configuration or a change of the store is taken over, so that none is lost.
    reload_lock: tokio::sync::Mutex<()>,
    /// The moment from which a change of the store cannot be put in force, in milliseconds; 0 if it can.
    behind_since: AtomicI64,
}

impl<F: Frontend> Node<F> {
    /// Connects the providers, builds the first generation and starts to follow the store.
    ///
    /// # Errors
    /// A provider cannot be connected, or the endpoints cannot be built.
    pub(crate) async fn start(
        runtime: Runtime,
        frontend: F,
        mut config: Config,
        public_origin: PublicOrigin,
    ) -> Result<Arc<Self>, F::Error> {
        // Subscribes before anything is read: later changes are noticed.
        let changes = runtime.store.subscribe();
        runtime.store.keep_audit(config.telemetry.audit.retention.get());
        let providers = std::mem::take(&mut config.providers);
        let connections = runtime.connect(providers, &[]).await?;
        let boot_config = Arc::new(config);
        let config = boot_config.clone();
        let state = runtime.state(&connections, &config, public_origin);
        let (state, rejected) = state.map_err(RuntimeError::from)?;
        log_rejected(&rejected, &[]);
        let state = Arc::new(state);
        let gate = Gate::new(state.clone());
        let draft = Draft {
            runtime: &runtime,
            gate: &Gate::new(state),
            live: &gate,
            connections: &connections,
            config: &config,
        };
        let endpoints = frontend.build(draft, None).await?;
        frontend.activate(&endpoints);
        let since = runtime.clock.now();
        let current = ArcSwap::from_pointee(Generation { connections, config, rejected, since, endpoints });
        let reload_lock = tokio::sync::Mutex::default();
        let behind_since = AtomicI64::new(0);
        let node =
            Arc::new(Self { runtime, frontend, gate, boot_config, current, reload_lock, behind_since });
        tokio::spawn(follow_store(Arc::downgrade(&node), changes));
        Ok(node)
    }

    /// Returns the gate, which always decides by the generation in force.
    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Returns the configuration that the node was started with.
    pub(crate) fn boot_config(&self) -> &Config {
        &self.boot_config
    }

    /// Returns the generation in force.
    pub(crate) fn current(&self) -> Arc<Generation<F::Endpoints>> {
        self.current.load_full()
    }

    /// Returns the moment from which a change of the store cannot be put in force, while that is so.
    pub(crate) fn behind_since(&self) -> Option<Timestamp> {
        let since = self.behind_since.load(Ordering::Relaxed);
        (since != 0).then(|| Timestamp::from_millis(since))
    }

    /// Replaces the configuration. Providers whose settings have not changed keep their keys; requests in flight end as
    /// they began.
    ///
    /// # Errors
    /// The configuration cannot be put in force. The earlier one stays.
    pub(crate) async fn reload(&self, mut config: Config) -> Result<(), F::Error> {
        let _guard = self.reload_lock.lock().await;
        let providers = std::mem::take(&mut config.providers);
        self.swap(Some(providers), Arc::new(config)).await
    }

    /// Puts in force what the store holds in memory.
    ///
    /// # Errors
    /// The change cannot be put in force. The earlier generation stays, except that disabled providers and distrusted
    /// keys are in force at once.
    pub(crate) async fn apply_store(&self) -> Result<(), F::Error> {
        let _guard = self.reload_lock.lock().await;
        let generation = self.current.load_full();
        let states = self.runtime.store.providers();
        generation.connections.iter().for_each(|connection| connection.apply_state(&states));
        self.swap(None, generation.config.clone()).await
    }

    /// Builds the next generation and swaps it in: providers as given, or those in force.
    async fn swap(
        &self,
        providers: Option<Vec<ProviderConfig>>,
        config: Arc<Config>,
    ) -> Result<(), F::Error> {
        let earlier = self.current.load_full();
        let connections = match providers {
            Some(providers) => self.runtime.connect(providers, &earlier.connections).await?,
            None => earlier.connections.clone(),
        };
        let public_origin = self.gate.current().settings().public_origin.clone();
        let state = self.runtime.state(&connections, &config, public_origin);
        let (state, rejected) = state.map_err(RuntimeError::from)?;
        log_rejected(&rejected, &earlier.rejected);
        let state = Arc::new(state);
        let draft = Draft {
            runtime: &self.runtime,
            gate: &Gate::new(state.clone()),
            live: &self.gate,
            connections: &connections,
            config: &config,
        };
        let endpoints = self.frontend.build(draft, Some(&earlier)).await?;
        // Nothing fails from here on.
        self.runtime.store.keep_audit(config.telemetry.audit.retention.get());
        self.frontend.activate(&endpoints);
        let since = self.runtime.clock.now();
        self.current.store(Arc::new(Generation { connections, config, rejected, since, endpoints }));
        self.gate.replace(state);
        Ok(())
    }
}

/// Logs stored entries that are ignored from now on.
fn log_rejected(rejected: &[PolicyError], earlier: &[PolicyError]) {
    for error in rejected.iter().filter(|error| !earlier.contains(error)) {
        tracing::warn!(%error, "ignoring a stored entry that conflicts with the configuration file");
    }
}

/// Puts changes of the store in force for as long as the node exists. A change that fails is tried again.
async fn follow_store<F: Frontend>(node: Weak<Node<F>>, mut changes: watch::Receiver<Heads>) {
    let mut applied = Heads::default();
    let mut failing = false;
    loop {
        if failing {
            let Some(clock) = node.upgrade().map(|node| node.runtime.clock.clone()) else { return };
            select(changes.changed().boxed(), clock.sleep(RETRY)).await;
        } else if changes.changed().await.is_err() {
            return;
        }
        let heads = *changes.borrow_and_update();
        // Revocations are in force as soon as the store has them in memory.
        let found =
            Heads { last: applied.last, revocations: applied.revocations, stamp: applied.stamp, ..heads };
        if found == applied && !failing {
            continue;
        }
        let Some(node) = node.upgrade() else { return };
        match node.apply_store().await {
            Ok(()) => {
                if failing {
                    tracing::info!("a change of the store that had failed is in force");
                }
                node.behind_since.store(0, Ordering::Relaxed);
                (applied, failing) = (found, false);
            }
            Err(error) => {
                if !failing {
                    tracing::error!(%error, "cannot put a change of the store in force; will retry");
                    node.behind_since.store(node.runtime.clock.now().millis(), Ordering::Relaxed);
                }
                failing = true;
            }
        }
    }
}
