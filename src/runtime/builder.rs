//! The builder of a gate in another program: configured as the server is, without listeners of its own.

use std::{path::PathBuf, sync::Arc, time::Duration};

use scopegate_provider::{Clock, Settings, SystemClock};

use super::{Draft, Frontend, Generation, Node, Runtime, RuntimeError, wait_until_ready};
use crate::{
    config::{ConfigErrors, ConfigSource, Loader, Operations},
    gate::{Gate, PublicOrigin},
    providers::Kinds,
};

/// The longest time that a new gate waits for its providers' keys.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// Builds a [`Gate`]; see [`Gate::builder`].
///
/// ```no_run
/// use scopegate::Gate;
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let gate = Gate::builder()
///     .config_file("scopegate.yaml")
///     .build()
///     .await?;
/// # drop(gate);
/// # Ok::<(), scopegate::GateBuildError>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build`"]
pub struct GateBuilder {
    source: ConfigSource,
    kinds: Kinds,
    clock: Option<Arc<dyn Clock>>,
    services: Vec<Operations>,
}

/// Errors that can occur while a gate is built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GateBuildError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// A provider cannot be connected, or the store cannot be opened.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

impl Gate {
    /// Returns a builder of a gate for another program. Only `providers`, `scopes`, `routes`, `cors`, `store`, `cache`, `server.limits` and
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
    /// Reads the configuration from this file, or this folder of files. Otherwise from `$SCOPEGATE_CONFIG`, else from
    /// `./scopegate.yaml`, else the built-in one for development.
    pub fn config_file(self, path: impl Into<PathBuf>) -> Self {
        Self { source: ConfigSource::Path(path.into()), ..self }
    }

    /// Reads the configuration from this YAML.
    pub fn config_text(self, yaml: impl Into<String>) -> Self {
        let name = "the configuration of the program".to_owned();
        Self { source: ConfigSource::Text { name, text: yaml.into() }, ..self }
    }

    /// Adds a kind of provider.
    pub fn provider_kind<S: Settings + Sync>(self) -> Self {
        Self { kinds: self.kinds.with::<S>(), ..self }
    }

    /// Uses this clock instead of the system's, for tests.
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock: Some(clock), ..self }
    }

    /// Enforces what the operations of a poem-openapi service declare with `#[oai(scope = …)]`, as if each were a route. Where the service is nested, say so with [`Operations::nested_at`]. An operation that declares no security
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

    /// Builds the gate. Providers that cannot be reached within two seconds become ready in the background.
    ///
    /// # Errors
    /// [`GateBuildError`].
    pub async fn build(self) -> Result<Gate, GateBuildError> {
        let loader = Loader::new().kinds(self.kinds).services(self.services).embedded();
        let config = loader.load_aside(&self.source).await?;
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        let runtime = Runtime::open(&config, clock).await?;
        let url = config.server.public_url.as_ref().map(|url| url.to_string().into());
        let public_origin = PublicOrigin { at_callers_host: url.is_none(), url };
        let node = Node::start(runtime, Embedded, config, public_origin).await?;
        wait_until_ready(&node.current().connections, READY_TIMEOUT).await;
        Ok(node.gate().clone().with_owner(node))
    }
}

/// The frontend of a gate in another program, which serves its own endpoints.
struct Embedded;

impl Frontend for Embedded {
    type Endpoints = ();
    type Error = RuntimeError;

    async fn build(&self, _: Draft<'_>, _: Option<&Generation<()>>) -> Result<(), RuntimeError> {
        Ok(())
    }

    fn activate(&self, (): &()) {}
}
