//! The gate alone, for other people's programs: configured as the server is, without listeners of its own.

use std::{path::PathBuf, sync::Arc, time::Duration};

use scopegate_provider::{Clock, Settings, SystemClock};
use tokio::sync::watch;

use super::{Connection, Runtime, RuntimeError, settle};
use crate::{
    config::{Config, ConfigErrors, ConfigSource, Loader, Operations},
    gate::Gate,
    providers::Kinds,
    store::Heads,
};

/// How long a new gate waits for its providers' keys.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often it is looked whether a gate is still there.
const LOOK: Duration = Duration::from_secs(10);

/// Makes a [`Gate`]; see [`Gate::builder`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build`"]
pub struct GateBuilder {
    source: ConfigSource,
    kinds: Kinds,
    clock: Option<Arc<dyn Clock>>,
    services: Vec<Operations>,
}

/// Why there is no gate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GateBuildError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The providers or the store cannot be made from it.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

impl Gate {
    /// A gate for one's own program. Only `providers`, `scopes`, `routes`, `cors`, `store`, `cache`, `server.limits` and
    /// `server.trusted_proxies` of the configuration matter to it.
    ///
    /// ```no_run
    /// use poem::{EndpointExt, Route, handler};
    /// use scopegate::{Gate, Principal};
    ///
    /// #[handler]
    /// fn me(principal: Principal) -> String {
    ///     principal.scopes().to_string()
    /// }
    ///
    /// # tokio::runtime::Runtime::new()?.block_on(async {
    /// let yaml = "
    ///     providers: { okta: { domain: acme.okta.com, authorization_server: default, audience: 'api://default' } }
    ///     scopes: { items: Read items }
    ///     routes: [ { match: GET /api/me, require: items } ]
    /// ";
    /// let gate = Gate::builder().config_text(yaml).build().await?;
    /// let app = Route::new().nest("/api", Route::new().at("/me", me)).with(gate);
    /// # drop(app);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder() -> GateBuilder {
        GateBuilder {
            source: ConfigSource::find(None),
            kinds: Kinds::builtin(),
            services: Vec::new(),
            clock: None,
        }
    }
}

impl GateBuilder {
    /// Configured by this file, or this folder of files. Else `$SCOPEGATE_CONFIG`, else `./scopegate.yaml`, else what
    /// is built in for development.
    pub fn config_file(self, path: impl Into<PathBuf>) -> Self {
        Self { source: ConfigSource::Path(path.into()), ..self }
    }

    /// Configured by this YAML.
    pub fn config_text(self, yaml: impl Into<String>) -> Self {
        let name = "the configuration of the program".to_owned();
        Self { source: ConfigSource::Text { name, text: yaml.into() }, ..self }
    }

    /// With a kind of provider of one's own.
    pub fn provider_kind<S: Settings + Sync>(self) -> Self {
        Self { kinds: self.kinds.with::<S>(), ..self }
    }

    /// By this clock instead of the system's: for tests.
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock: Some(clock), ..self }
    }

    /// With a poem-openapi service behind it: what `#[oai(scope = …)]` declares is enforced, as if each operation were a
    /// route. Where the service is nested, say so with [`Operations::nested_at`]. An operation that declares no security
    /// scheme, is not named by [`Operations::public`] and is not decided by a route of the configuration is an error.
    ///
    /// ```no_run
    /// use poem::{EndpointExt, Route};
    /// use poem_openapi::{
    ///     Enum, OAuthScopes, OpenApi, OpenApiService, SecurityScheme, auth::Bearer, payload::PlainText,
    /// };
    /// use scopegate::{Gate, Operations};
    ///
    /// #[derive(OAuthScopes)]
    /// enum Scopes {
    ///     /// Read orders
    ///     #[oai(rename = "orders")]
    ///     Orders,
    /// }
    ///
    /// #[derive(SecurityScheme)]
    /// #[oai(ty = "oauth2", flows(client_credentials(token_url = "/token", scopes = "Scopes")))]
    /// struct Token(Bearer);
    ///
    /// struct Shop;
    ///
    /// #[OpenApi]
    /// impl Shop {
    ///     #[oai(path = "/orders", method = "get")]
    ///     async fn orders(&self, #[oai(scope = "Scopes::Orders")] _token: Token) -> PlainText<&'static str> {
    ///         PlainText("[]")
    ///     }
    ///
    ///     #[oai(path = "/health", method = "get")]
    ///     async fn health(&self) -> PlainText<&'static str> {
    ///         PlainText("well")
    ///     }
    /// }
    ///
    /// # tokio::runtime::Runtime::new()?.block_on(async {
    /// let service = OpenApiService::new(Shop, "shop", "1");
    /// let operations = Operations::of(&service).nested_at("/api").public("GET /health");
    /// let gate = Gate::builder().openapi(operations).build().await?;
    /// let app = Route::new().nest("/api", service).with(gate);
    /// # drop(app);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn openapi(mut self, service: impl Into<Operations>) -> Self {
        self.services.push(service.into());
        self
    }

    /// Makes the gate. Providers that cannot be reached within two seconds are waited for in the background.
    ///
    /// # Errors
    /// [`GateBuildError`].
    pub async fn build(self) -> Result<Gate, GateBuildError> {
        let loader = Loader::new().kinds(self.kinds).services(self.services);
        let mut config = loader.load_aside(&self.source).await?;
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        let runtime = Runtime::open(&config, clock).await?;
        // Before anything of it is read: what changes afterwards is told.
        let changes = runtime.store.subscribe();
        let providers = std::mem::take(&mut config.providers);
        let connections = runtime.connect(providers, &[]).await?;
        let state = runtime.state(&connections, &config, None).map_err(RuntimeError::from)?;
        let gate = Gate::new(state);
        settle(&connections, PATIENCE).await;
        let watcher = StoreWatcher { runtime, connections, config, gate: gate.clone() };
        tokio::spawn(watcher.run(changes));
        Ok(gate)
    }
}

/// What stands behind a gate for as long as somebody has it.
struct StoreWatcher {
    runtime: Runtime,
    connections: Vec<Connection>,
    config: Config,
    gate: Gate,
}

impl StoreWatcher {
    /// Takes over what changes in the store.
    async fn run(self, mut changes: watch::Receiver<Heads>) {
        while !self.gate.is_last() {
            // Nothing for a while is a reason to look whether the gate is still there; an error ends this with the store.
            match tokio::time::timeout(LOOK, changes.changed()).await {
                Ok(Ok(())) => self.take_over(),
                Ok(Err(_)) => return,
                Err(_) => {}
            }
        }
    }

    fn take_over(&self) {
        let states = self.runtime.store.providers();
        self.connections.iter().for_each(|connection| connection.apply_state(&states));
        match self.runtime.state(&self.connections, &self.config, None) {
            Ok(state) => self.gate.replace(state),
            Err(error) => tracing::error!(%error, "a change of the store could not be taken over"),
        }
    }
}
