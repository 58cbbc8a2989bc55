//! The source of a policy.

use std::fmt;

use scopegate_provider::{Audience, ProviderName, Scope};
use serde::{Deserialize, Serialize};

use super::{
    PathCase,
    settings::{FindingKind, RouteSettings, ScopeSettings, TokenSource},
};

/// The source of a policy: declared scopes and routes, and the names that they may refer to.
#[derive(Debug, Clone, Default)]
pub struct Definition {
    /// The configured providers.
    pub providers: Vec<KnownProvider>,
    /// The configured upstreams.
    pub upstreams: Vec<KnownUpstream>,
    /// The places from which a token may come on routes that do not say so themselves.
    pub accept_token: Vec<TokenSource>,
    /// The treatment of case in paths.
    pub case: PathCase,
    pub(super) scopes: Vec<(Source, Scope, ScopeSettings)>,
    pub(super) routes: Vec<(Source, RouteSettings)>,
    file_routes: usize,
}

/// A provider as far as rules refer to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownProvider {
    /// Its name.
    pub name: ProviderName,
    /// The audiences that its settings name.
    pub audiences: Vec<Audience>,
    /// `true` if it can be asked about a token now (`fresh: true`).
    pub introspects: bool,
    /// The scopes that its tokens can carry, if they are known.
    pub scopes: Option<Vec<Scope>>,
}

/// An upstream as far as routes refer to it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KnownUpstream {
    /// Its name.
    pub name: String,
    /// The addresses that it connects to, such as `10.0.0.1:443`.
    pub addresses: Vec<String>,
    /// The host that it is always asked for, where its settings name one.
    pub host: Option<String>,
}

impl KnownUpstream {
    /// Returns `true` unless the two certainly lead to different services.
    pub(super) fn may_be_same_as(&self, other: &Self) -> bool {
        let shares_address = self.addresses.iter().any(|address| other.addresses.contains(address));
        let other_host =
            self.host.as_ref().zip(other.host.as_ref()).is_some_and(|(ours, theirs)| ours != theirs);
        shares_address && !other_host
    }
}

impl From<String> for KnownUpstream {
    fn from(name: String) -> Self {
        Self { name, ..Self::default() }
    }
}

/// The place of a declaration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// The route of this index in the file's `routes`.
    Route {
        /// The index, from 0.
        index: usize,
    },
    /// The scope of this name in the file's `scopes`.
    Scope {
        /// The scope's name.
        name: Scope,
    },
    /// The operation of an OpenAPI document.
    Operation {
        /// The document.
        document: Box<str>,
        /// The operation as the document writes it, such as `GET /items/{id}`.
        operation: Box<str>,
    },
    /// The scope of this name that an OpenAPI document declares.
    DocumentScope {
        /// The document.
        document: Box<str>,
        /// The scope's name.
        name: Scope,
    },
    /// The stored route of this id.
    StoredRoute {
        /// The id.
        id: Box<str>,
    },
    /// The rule of one of scopegate's own endpoints, such as `admin.require`.
    OwnEndpoint {
        /// The endpoint.
        label: Box<str>,
    },
    /// The stored scope of this name.
    StoredScope {
        /// The scope's name.
        name: Scope,
    },
}

impl Source {
    /// Returns `true` if the file, or a document that it names, declares it, so that stored entries must not loosen it.
    pub fn is_file(&self) -> bool {
        match self {
            Self::Route { .. }
            | Self::Scope { .. }
            | Self::Operation { .. }
            | Self::DocumentScope { .. }
            | Self::OwnEndpoint { .. } => true,
            Self::StoredRoute { .. } | Self::StoredScope { .. } => false,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route { index } => write!(f, "routes[{index}]"),
            Self::Scope { name } => write!(f, "scopes.{name}"),
            Self::Operation { document, operation } => write!(f, "{operation} of {document}"),
            Self::DocumentScope { document, name } => write!(f, "scopes.{name} of {document}"),
            Self::OwnEndpoint { label } => write!(f, "the rule of {label}"),
            Self::StoredRoute { id } => write!(f, "stored route {id}"),
            Self::StoredScope { name } => write!(f, "stored scope {name}"),
        }
    }
}

impl Definition {
    /// A definition without scopes and routes.
    pub fn new(providers: Vec<KnownProvider>, upstreams: Vec<KnownUpstream>) -> Self {
        Self { providers, upstreams, ..Self::default() }
    }

    /// Adds a scope of the file.
    pub fn add_scope(&mut self, name: Scope, settings: ScopeSettings) {
        self.scopes.push((Source::Scope { name: name.clone() }, name, settings));
    }

    /// Adds a route of the file, behind those that are there.
    pub fn add_route(&mut self, settings: RouteSettings) {
        self.routes.push((Source::Route { index: self.file_routes }, settings));
        self.file_routes += 1;
    }

    /// Adds an operation of an OpenAPI document.
    pub fn add_operation(&mut self, document: &str, operation: &str, settings: RouteSettings) {
        let source = Source::Operation { document: document.into(), operation: operation.into() };
        self.routes.push((source, settings));
    }

    /// Adds a scope that an OpenAPI document declares, unless it is declared already.
    pub fn add_document_scope(&mut self, document: &str, name: Scope, settings: ScopeSettings) {
        if self.scopes.iter().all(|(_, known, _)| *known != name) {
            let source = Source::DocumentScope { document: document.into(), name: name.clone() };
            self.scopes.push((source, name, settings));
        }
    }

    /// Returns the definition with these scopes and routes in place of those of the file.
    #[must_use]
    pub fn with_policy(
        &self,
        scopes: impl IntoIterator<Item = (Scope, ScopeSettings)>,
        routes: impl IntoIterator<Item = RouteSettings>,
    ) -> Self {
        let mut definition = Self { file_routes: 0, ..self.clone() };
        definition.scopes.retain(|(source, ..)| !matches!(source, Source::Scope { .. }));
        definition.routes.retain(|(source, _)| !matches!(source, Source::Route { .. }));
        scopes.into_iter().for_each(|(name, settings)| definition.add_scope(name, settings));
        routes.into_iter().for_each(|settings| definition.add_route(settings));
        definition
    }

    /// Adds a stored scope.
    pub fn add_stored_scope(&mut self, name: Scope, settings: ScopeSettings) {
        self.scopes.push((Source::StoredScope { name: name.clone() }, name, settings));
    }

    /// Adds a stored route.
    pub fn add_stored_route(&mut self, id: impl Into<Box<str>>, settings: RouteSettings) {
        self.routes.push((Source::StoredRoute { id: id.into() }, settings));
    }

    /// Returns `true` if it declares nothing at all.
    pub fn is_empty(&self) -> bool {
        self.providers.is_empty() && self.scopes.is_empty() && self.routes.is_empty()
    }

    /// Returns the routes, each with the place of its declaration.
    pub fn routes(&self) -> impl Iterator<Item = (&Source, &RouteSettings)> {
        self.routes.iter().map(|(source, settings)| (source, settings))
    }

    /// Returns the kinds of findings that a route lists as intended.
    pub(super) fn intended(&self, at: &Source) -> &[FindingKind] {
        let guessed = match at {
            Source::Route { index } => self.routes.get(*index).filter(|(source, _)| source == at),
            _ => None,
        };
        let found = guessed.or_else(|| self.routes.iter().find(|(source, _)| source == at));
        found.map(|(_, settings)| settings.intended.as_slice()).unwrap_or_default()
    }

    /// The scopes, each with where it was declared.
    pub fn scopes(&self) -> impl Iterator<Item = (&Source, &Scope, &ScopeSettings)> {
        self.scopes.iter().map(|(source, name, settings)| (source, name, settings))
    }

    pub(super) fn has_stored(&self) -> bool {
        let mut sources =
            self.routes.iter().map(|(source, _)| source).chain(self.scopes.iter().map(|(source, ..)| source));
        sources.any(|source| !source.is_file())
    }
}
