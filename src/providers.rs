//! The one list of provider kinds. A program that embeds scopegate may add its own.

use std::sync::Arc;

use async_trait::async_trait;
use scopegate_provider::{ConnectError, Context, Outline, Provider, Settings};

use crate::yaml::{Diagnostic, Node, Step};

/// The kinds that a configuration may name.
///
/// ```
/// use scopegate::{
///     config::{ConfigSource, Loader},
///     providers::Kinds,
/// };
///
/// // A program that needs one kind leaves the others out.
/// let kinds = Kinds::none().with::<scopegate_okta::Okta>();
/// let text = "providers: { staff: { kind: auth0, domain: acme.eu.auth0.com, audience: 'api://items' } }".to_owned();
/// let source = ConfigSource::Text { name: "scopegate.yaml".to_owned(), text };
/// let errors = Loader::new().kinds(kinds).without_environment().load(&source).unwrap_err();
/// assert!(errors.to_string().contains("auth0"), "{errors}");
/// ```
#[derive(Debug, Clone)]
pub struct Kinds(Vec<Kind>);

/// A kind of provider: its parser and the schema of its settings.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    name: &'static str,
    read: Read,
    schema: fn() -> serde_json::Value,
}

/// Reads settings from a location; what is wrong goes to the diagnostics.
type Read = fn(&Node, &[Step], &mut Vec<Diagnostic>) -> Option<Box<dyn ProviderSettings>>;

/// The settings of some kind, parsed. Every type that implements [`Settings`] has it.
///
/// ```
/// use scopegate::providers::ProviderSettings;
///
/// let text = r#"{ "domain": "acme.okta.com", "authorization_server": "default", "audience": "api://default" }"#;
/// let settings: Box<dyn ProviderSettings> = Box::new(serde_json::from_str::<scopegate_okta::Okta>(text)?);
/// assert_eq!(settings.outline().issuers[0].as_str(), "https://acme.okta.com/oauth2/default");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[async_trait]
pub trait ProviderSettings: Send + Sync {
    /// Describes the provider without connecting.
    fn outline(&self) -> Outline;

    /// Connects the provider; see [`Settings::connect`].
    ///
    /// # Errors
    /// Errors that do not pass with time.
    async fn connect(self: Box<Self>, context: Context) -> Result<Arc<dyn Provider>, ConnectError>;
}

#[async_trait]
impl<S: Settings + Sync> ProviderSettings for S {
    fn outline(&self) -> Outline {
        Settings::outline(self)
    }

    async fn connect(self: Box<Self>, context: Context) -> Result<Arc<dyn Provider>, ConnectError> {
        Settings::connect(*self, context).await
    }
}

/// Adds the embedded issuer, which is a server.
#[cfg(feature = "server")]
fn with_dev(kinds: Kinds) -> Kinds {
    kinds.with::<scopegate_dev::Dev>()
}

#[cfg(not(feature = "server"))]
fn with_dev(kinds: Kinds) -> Kinds {
    kinds
}

impl Kinds {
    /// An empty list.
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// The kinds that scopegate brings.
    pub fn builtin() -> Self {
        let kinds = Self::none()
            .with::<scopegate_auth0::Auth0>()
            .with::<scopegate_okta::Okta>()
            .with::<scopegate_entra::Entra>()
            .with::<scopegate_keycloak::Keycloak>()
            .with::<scopegate_cognito::Cognito>()
            .with::<scopegate_kubernetes::Kubernetes>();
        with_dev(kinds.with::<scopegate_oidc::Settings>())
    }

    /// Adds a kind, in place of one of the same name.
    #[must_use]
    pub fn with<S: Settings + Sync>(mut self) -> Self {
        self.0.retain(|kind| kind.name != S::KIND);
        let read: Read = |node, path, diagnostics| match crate::yaml::read::<S>(node, path, diagnostics) {
            Some(settings) => Some(Box::new(settings)),
            None => None,
        };
        self.0.push(Kind { name: S::KIND, read, schema: S::schema });
        self
    }

    /// Finds the kind of this name.
    pub fn find(&self, name: &str) -> Option<&Kind> {
        self.0.iter().find(|kind| kind.name == name)
    }

    /// All kinds.
    pub fn iter(&self) -> std::slice::Iter<'_, Kind> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Kinds {
    type Item = &'a Kind;
    type IntoIter = std::slice::Iter<'a, Kind>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Default for Kinds {
    fn default() -> Self {
        Self::builtin()
    }
}

impl Kind {
    /// The kind's name in the configuration.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The JSON Schema of its settings.
    pub fn schema(&self) -> serde_json::Value {
        (self.schema)()
    }

    /// Reads settings of this kind from `node`, which stands at `path`. What is wrong goes to `diagnostics`.
    pub fn read(
        &self,
        node: &Node,
        path: &[Step],
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Box<dyn ProviderSettings>> {
        (self.read)(node, path, diagnostics)
    }
}
