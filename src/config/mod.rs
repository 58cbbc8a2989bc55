//! The configuration: read, merged, overlaid with the environment, resolved, parsed and checked before anything starts.
//!
//! YAML is read with the location of each part, settings of the environment replace those of the file, secrets are
//! fetched, then every section is parsed into the type of its owner and all are checked together. All errors are reported
//! at once.
//!
//! ```
//! use scopegate::config::{Config, ConfigSource, Loader};
//!
//! let text = "server: { listn: 127.0.0.1:8080 }".to_owned();
//! let source = ConfigSource::Text { name: "scopegate.yaml".to_owned(), text };
//! let errors = Loader::new().without_environment().load(&source).unwrap_err();
//! let told = errors.to_string();
//! assert!(told.starts_with("error: unknown key `listn`; did you mean `listen`?"), "{told}");
//! assert!(told.contains("--> scopegate.yaml:1:11 (server.listn)"), "{told}");
//! ```

mod check;
mod diagnostics;
mod merge;
mod openapi;
mod overlay;
pub mod own_endpoints;
mod read;
mod resolve;
mod schema;
mod sections;
#[cfg(test)]
mod tests;
mod texts;
mod values;

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

pub use self::{
    check::Rules,
    diagnostics::{Cause, ConfigError, ConfigErrors, Conflict, DocumentError, Warning},
    openapi::Operations,
    read::ConfigSource,
    sections::{
        LocatedTest, ProviderConfig,
        settings::{
            AdminSettings, CacheSettings, Dialect, ForwardAuthSettings, HeaderName, HeaderNameError,
            IntrospectionClient, IntrospectionSettings, OperationsSettings, ServerSettings, StreamSettings,
            TlsSettings,
        },
    },
    values::{BasePath, BasePathError, PublicUrl, PublicUrlError},
};
use self::{
    own_endpoints::{Conditions, ServedEndpoint},
    sections::{Sections, settings::SectionSettings},
};
use crate::yaml::{Diagnostic, Document};
pub use crate::yaml::{Location, Origin, Problem};
use crate::{
    gate::{Resource, mint::MintSettings},
    policy::{
        Policy,
        diff::GeneralSettings,
        settings::{CorsSettings, IdentitySettings, RouteSettings},
    },
    providers::Kinds,
    server::Listen,
    store::StoreSettings,
    telemetry::TelemetrySettings,
    upstream::UpstreamSettings,
};

/// A configuration that can be run: nothing in it is wrong.
#[derive(Debug)]
#[non_exhaustive]
pub struct Config {
    /// The main listener.
    pub server: ServerSettings,
    /// The operations listener.
    pub operations: OperationsSettings,
    /// Administration; none means that there are no admin endpoints. Its rule is in `rules`.
    pub admin: Option<AdminSettings>,
    /// `/introspect`; none means that there is none. Its rule is in `rules`.
    pub introspection: Option<IntrospectionSettings>,
    /// `/token` is served.
    pub token_endpoint: bool,
    /// `/docs` and `/openapi.json` are served.
    pub docs: bool,
    /// The sample API is served.
    pub sample_api: bool,
    /// The store; none means that nothing durable is acknowledged.
    pub store: Option<StoreSettings>,
    /// The providers, in the order of the file.
    pub providers: Vec<ProviderConfig>,
    /// The policy and the rules of scopegate's own endpoints.
    pub rules: Rules,
    /// Decision tests, in the order of the file.
    pub tests: Vec<LocatedTest>,
    /// The upstreams by name, in the order of the file.
    pub upstreams: Vec<(String, UpstreamSettings)>,
    /// The facts about the caller that upstreams receive.
    pub identity: IdentitySettings,
    /// The protected resources that clients get tokens for.
    pub resources: Vec<Resource>,
    /// Settings of minted tokens.
    pub mint: MintSettings,
    /// Forward-auth endpoints.
    pub forward_auth: ForwardAuthSettings,
    /// Cross-origin requests.
    pub cors: Option<CorsSettings>,
    /// Sizes of what is kept in memory.
    pub cache: CacheSettings,
    /// Logs and audit.
    pub telemetry: TelemetrySettings,
    /// Streams.
    pub streams: StreamSettings,
    /// Every file and folder that it was read from: a change of one may change the configuration.
    pub watched: Vec<PathBuf>,
    /// Warnings, repeated at every start.
    pub warnings: Vec<Warning>,
    own: Conditions,
}

impl Config {
    /// Loads a configuration with the built-in kinds of providers and this process' environment.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(source: &ConfigSource) -> Result<Self, ConfigErrors> {
        Loader::new().load(source)
    }

    /// Returns the address of the listener for administrators, if they have one of their own.
    pub fn admin_listen(&self) -> Option<&Listen> {
        self.admin.as_ref()?.listen.as_ref()
    }

    /// Returns `true` if a route of `policy` mints tokens for its service.
    pub fn mints(&self, policy: &Policy) -> bool {
        self.own.mints(policy.routes().iter().filter_map(|route| route.options().identity.as_ref()))
    }

    /// Returns scopegate's own endpoints on the main listener.
    pub fn own_endpoints(&self, policy: &Policy) -> Vec<ServedEndpoint> {
        self.own.served(self.mints(policy))
    }

    /// Returns the path to which a provider's security events are pushed.
    pub fn push_path(&self, provider: &str) -> Option<String> {
        self.own.push_path(provider)
    }

    /// Returns the path of the endpoint that answers in place of a route.
    pub fn hidden_by(&self, policy: &Policy, route: &RouteSettings) -> Option<String> {
        self.own.hiding(&self.own_endpoints(policy), route).map(|endpoint| endpoint.path.clone())
    }

    /// Returns the endpoint that answers a request for this path (as it was sent, without the query) before the policy
    /// decides.
    pub fn own_endpoint_at(&self, policy: &Policy, path: &str) -> Option<ServedEndpoint> {
        self.own_endpoints(policy).into_iter().find(|served| served.answers(path))
    }
}

impl Config {
    /// Returns the settings for all routes that a comparison of policies covers.
    pub fn general(&self) -> GeneralSettings {
        GeneralSettings {
            cors: self.cors.clone(),
            identity: self.identity.clone(),
            stream_grace: Some(self.streams.grace),
            upstreams: self.rules.definition.upstreams.clone(),
        }
    }
}

/// Loads configurations.
///
/// ```
/// use scopegate::config::{ConfigSource, Loader};
///
/// let text = "
///     providers: { okta: { domain: acme.okta.com, authorization_server: default, audience: 'api://default' } }
///     scopes: { items: Read items }
///     routes: [ { match: GET /items, require: items } ]
///     store: { url: 'memory:' }
/// ";
/// let source = ConfigSource::Text { name: "scopegate.yaml".to_owned(), text: text.to_owned() };
/// let listen = ("SCOPEGATE_SERVER__LISTEN".to_owned(), "127.0.0.1:8443".to_owned());
/// let config = Loader::new().environment([listen]).load(&source)?;
/// assert_eq!(config.server.listen.to_string(), "127.0.0.1:8443");
/// # Ok::<(), scopegate::config::ConfigErrors>(())
/// ```
#[derive(Clone)]
pub struct Loader {
    kinds: Kinds,
    variables: Vec<(String, String)>,
    services: Vec<Operations>,
    embedded: bool,
    texts: HashMap<PathBuf, String>,
}

impl Loader {
    /// With the built-in kinds of providers and this process' environment.
    pub fn new() -> Self {
        let mut variables = Vec::new();
        for (name, text) in std::env::vars_os() {
            if let (Ok(name), Ok(text)) = (name.into_string(), text.into_string()) {
                variables.push((name, text));
            }
        }
        Self {
            kinds: Kinds::builtin(),
            variables,
            services: Vec::new(),
            embedded: false,
            texts: HashMap::new(),
        }
    }

    /// With these kinds of providers.
    #[must_use]
    pub fn kinds(self, kinds: Kinds) -> Self {
        Self { kinds, ..self }
    }

    /// With the operations of these services as routes.
    #[must_use]
    pub fn services(self, services: Vec<Operations>) -> Self {
        Self { services, ..self }
    }

    /// For a program that embeds a gate: none of scopegate's own endpoints is served.
    #[must_use]
    pub(crate) fn embedded(self) -> Self {
        Self { embedded: true, ..self }
    }

    /// With these texts in place of the files of their paths, as if the files had been edited.
    #[must_use]
    pub(crate) fn with_texts(self, texts: HashMap<PathBuf, String>) -> Self {
        Self { texts, ..self }
    }

    /// With these environment variables and no others.
    #[must_use]
    pub fn environment(self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { variables: variables.into_iter().collect(), ..self }
    }

    /// With no environment variables.
    #[must_use]
    pub fn without_environment(self) -> Self {
        self.environment([])
    }

    /// The JSON Schema (draft 2020-12) of a configuration with these kinds.
    pub fn schema(&self) -> serde_json::Value {
        self.whole_schema().into_value()
    }

    /// Loads a configuration. It reads files, and fetches the documents that `policy_from` has by their URLs: it blocks.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(&self, source: &ConfigSource) -> Result<Config, ConfigErrors> {
        self.try_load(source).map_err(|(errors, secrets)| ConfigErrors::from_list(errors, &secrets))
    }

    /// As [`Loader::load`], for tasks, which must not block.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub async fn load_aside(&self, source: &ConfigSource) -> Result<Config, ConfigErrors> {
        let loader = self.clone();
        let source = source.clone();
        match tokio::task::spawn_blocking(move || loader.load(&source)).await {
            Ok(config) => config,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The program ends.
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// Reads a file of decision tests: a list, as `tests` in a configuration.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load_tests(path: &Path) -> Result<Vec<LocatedTest>, ConfigErrors> {
        let origin = Origin::File(path.into());
        let text = std::fs::read_to_string(path).map_err(|error| {
            let document = Document { origin: origin.clone(), text: Box::default() };
            let problem = Problem::Invalid { message: format!("the file cannot be read: {error}") };
            let diagnostic = Diagnostic::new(problem, Location::of_document(&document.into()), &[]);
            ConfigErrors::from_list(vec![diagnostic.into()], &[])
        })?;
        let document = Arc::new(Document { origin, text: text.into() });
        let mut diagnostics = Vec::new();
        let tests = match crate::yaml::parse(&document) {
            Ok(node) => sections::tests(&node, &[], &mut diagnostics),
            Err(errors) => {
                diagnostics.extend(errors);
                Vec::new()
            }
        };
        if diagnostics.is_empty() {
            return Ok(tests);
        }
        Err(ConfigErrors::from_list(diagnostics.into_iter().map(ConfigError::from).collect(), &[]))
    }

    fn whole_schema(&self) -> schema::Schema {
        schema::Schema::new(schemars::schema_for!(SectionSettings), &self.kinds)
    }

    fn try_load(&self, source: &ConfigSource) -> Result<Config, (Vec<ConfigError>, Vec<Location>)> {
        // Read and merge.
        let read::Files { root, mut watched } =
            read::read(source, &self.texts).map_err(|errors| (errors, Vec::new()))?;
        let schema = self.whole_schema();
        let mut errors = Vec::new();
        // Overlay and resolve.
        let (mut root, warnings) = overlay::overlay(root, &self.variables, &schema, &mut errors);
        let resolved = resolve::resolve(&mut root, &schema, &self.variables);
        texts::check(&mut root, &resolved.secrets, &mut errors);
        errors.extend(resolved.errors);
        watched.extend(resolved.files);
        // Parse.
        let mut sections = sections::parse(&root, &self.kinds, &watched, &mut errors);
        let documents = std::mem::take(&mut sections.settings.policy_from);
        sections.imported =
            openapi::import(documents, &sections.upstreams, &root, &self.services, &mut watched, &mut errors);
        sections.embedded = self.embedded;
        // Check.
        let (rules, mut findings) = check::check(&sections, &root);
        findings.warnings.extend(warnings);
        errors.extend(findings.errors);
        match rules {
            Some(rules) if errors.is_empty() => Ok(config(sections, rules, watched, findings.warnings)),
            _ => Err((errors, resolved.secrets)),
        }
    }
}

impl fmt::Debug for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The environment may hold secrets.
        f.debug_struct("Loader").field("kinds", &self.kinds).finish_non_exhaustive()
    }
}

impl Default for Loader {
    fn default() -> Self {
        Self::new()
    }
}

fn config(parsed: Sections, rules: Rules, watched: Vec<PathBuf>, warnings: Vec<Warning>) -> Config {
    let own = Conditions::new(&parsed.settings, &parsed.providers);
    let sections = parsed.settings;
    Config {
        own,
        server: sections.server,
        operations: sections.operations,
        admin: sections.admin,
        introspection: sections.introspection,
        token_endpoint: sections.token_endpoint,
        docs: sections.docs,
        sample_api: sections.sample_api,
        store: sections.store,
        providers: parsed.providers,
        rules,
        tests: parsed.tests,
        upstreams: parsed.upstreams,
        identity: sections.identity.general(),
        resources: sections.resources,
        mint: sections.identity.mint,
        forward_auth: sections.forward_auth,
        cors: sections.cors,
        cache: sections.cache,
        telemetry: sections.telemetry,
        streams: sections.streams,
        watched,
        warnings,
    }
}
