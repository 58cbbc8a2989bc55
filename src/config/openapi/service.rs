//! The operations of a poem-openapi service, by its metadata. The scopes of `#[oai(scope = …)]` are those that it requires.

#[cfg(feature = "poem-openapi")]
mod metadata;

use std::collections::HashMap;

use http::Method;
use scopegate_provider::Scope;

use super::{
    access::{Access, Entry, Scheme},
    operation::{Imported, Operation},
    paths,
};
use crate::{
    config::diagnostics::{ConfigError, DocumentError, KeyLocation},
    policy::settings::{Allow, MatchLong},
    yaml::{Document, Location, Origin, nearest},
};

/// The operations of a poem-openapi service, whose declared security becomes part of the policy: see
/// [`GateBuilder::openapi`](crate::GateBuilder::openapi).
///
/// Operations that are hidden from the document (`#[oai(hidden)]`) cannot be seen here: they need routes of their own.
#[derive(Debug, Clone)]
pub struct Operations {
    name: String,
    base: String,
    declared: Vec<Declared>,
    schemes: HashMap<&'static str, (&'static str, Option<&'static str>)>,
    scopes: Vec<(&'static str, &'static str)>,
    public: Vec<String>,
}

#[derive(Debug, Clone)]
struct Declared {
    method: Method,
    path: String,
    security: Vec<HashMap<&'static str, Vec<&'static str>>>,
}

impl Operations {
    /// Nests the service at this path, as `Route::new().nest(path, service)` does.
    #[must_use]
    pub fn nested_at(self, path: impl Into<String>) -> Self {
        Self { base: path.into(), ..self }
    }

    /// Opens an operation to every caller: `GET /health`, with the path as the service has it. An operation that requires
    /// no token is an error unless it is named here, or a route of the configuration decides it.
    #[must_use]
    pub fn public(mut self, operation: impl Into<String>) -> Self {
        self.public.push(operation.into());
        self
    }

    /// The routes and scopes of the service.
    pub(in crate::config) fn import(&self) -> Result<Imported, Vec<ConfigError>> {
        let origin = Origin::Text(format!("the service {}", self.name));
        let location = Location::of_document(&Document { origin, text: Box::default() }.into());
        let base =
            paths::base(&self.base).map_err(|error| vec![KeyLocation::new(&location, &[]).error(error)])?;
        let mut imported = Imported {
            name: self.name.clone(),
            upstream: None,
            of_program: true,
            operations: Vec::new(),
            scopes: Vec::new(),
            notes: Vec::new(),
        };
        let mut errors = Vec::new();
        for declared in &self.declared {
            let label = format!("{} {}", declared.method, declared.path);
            let location = KeyLocation::new(&location, &[&label]);
            match self.operation(declared, &base, label, &location) {
                Ok(operation) => imported.operations.push(operation),
                Err(error) => errors.push(location.error(error)),
            }
        }
        let named = self.declared.iter().flat_map(|operation| &operation.security).flat_map(HashMap::values);
        let undescribed = named.flatten().map(|name| (*name, ""));
        for (name, description) in self.scopes.iter().copied().chain(undescribed) {
            match Scope::parse(name) {
                Ok(scope) => imported.scopes.push((scope, description.to_owned())),
                Err(error) => errors.push(KeyLocation::new(&location, &[]).error(error.into())),
            }
        }
        for name in &self.public {
            if let Err(error) = publish(&mut imported.operations, name) {
                errors.push(KeyLocation::new(&location, &[]).error(error));
            }
        }
        if errors.is_empty() { Ok(imported) } else { Err(errors) }
    }

    fn operation(
        &self,
        declared: &Declared,
        base: &str,
        label: String,
        location: &KeyLocation,
    ) -> Result<Operation, DocumentError> {
        let path = format!("{base}{}", paths::pattern(&declared.path)?);
        let patterns = vec![MatchLong { methods: vec![declared.method.to_string()], host: None, path }];
        let access = self.access(&declared.security)?;
        let mut operation = Operation {
            label,
            at: location.clone(),
            security: location.clone(),
            patterns,
            routes: Vec::new(),
            is_declared: access.is_some(),
            left_out: None,
        };
        if let Some(access) = access {
            operation.permit(access);
        }
        Ok(operation)
    }

    /// The access of an operation; `None` where it declares nothing that a gate checks.
    ///
    /// The metadata lists the schemes of one argument, any of which will do, and of several arguments, all of which are
    /// needed, alike. The former share their scopes, so that all the scopes that are named are required in either case.
    fn access(
        &self,
        security: &[HashMap<&'static str, Vec<&'static str>>],
    ) -> Result<Option<Access>, DocumentError> {
        let mut whole = Entry::default();
        for (name, scopes) in security.iter().flatten() {
            let (kind, scheme) = self
                .schemes
                .get(name)
                .ok_or_else(|| DocumentError::UnknownScheme { found: (*name).to_owned() })?;
            let scopes = scopes.iter().map(|scope| Scope::parse(scope)).collect::<Result<_, _>>()?;
            match Scheme::new(kind, *scheme) {
                Scheme::Other => {}
                token @ Scheme::Token(_) => whole.0.push((token, scopes)),
            }
        }
        if security.iter().any(HashMap::is_empty) {
            if whole.0.iter().any(|(_, scopes)| !scopes.is_empty()) {
                return Err(DocumentError::ScopesAndFallback);
            }
            return Ok(Some(Access::Allow(Allow::Optional)));
        }
        // Other credentials are checked by the handler, or not at all: the rule of the gate has to be written.
        if whole.0.is_empty() {
            return Ok(None);
        }
        Access::any_of(&[whole]).map(Some)
    }
}

/// Opens the operation of this label to every caller.
///
/// # Errors
/// There is no such operation, or it requires a token.
fn publish(operations: &mut [Operation], label: &str) -> Result<(), DocumentError> {
    let labels: Vec<&str> = operations.iter().map(|operation| operation.label.as_str()).collect();
    let error = DocumentError::NoSuchOperation { found: label.to_owned(), nearest: nearest(label, &labels) };
    let operation = operations.iter_mut().find(|operation| operation.label == label).ok_or(error)?;
    if !operation.is_declared {
        operation.permit(Access::Allow(Allow::Anonymous));
    }
    if operation.is_public() { Ok(()) } else { Err(DocumentError::NotPublic { operation: label.to_owned() }) }
}
