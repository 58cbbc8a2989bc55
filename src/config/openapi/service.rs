//! A service of poem-openapi, by its metadata. What it documents with `#[oai(scope = …)]` is what its callers need.

#[cfg(feature = "poem-openapi")]
mod metadata;

use std::collections::HashMap;

use http::Method;
use scopegate_provider::Scope;

use super::{
    Imported, Operation, Spot,
    access::{Access, Entry, Scheme},
    error::DocumentError,
    paths,
};
use crate::{
    config::error::ConfigError,
    policy::settings::MatchLong,
    yaml::{Document, Origin, Place},
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
    /// The same, nested at this path: `Route::new().nest(path, service)`.
    #[must_use]
    pub fn nested_at(self, path: impl Into<String>) -> Self {
        Self { base: path.into(), ..self }
    }

    /// The same, one of them for everybody: `GET /health`, with the path as the service has it. An operation that asks
    /// for no token is a mistake unless it is named here, or decided by a route of the configuration.
    #[must_use]
    pub fn public(mut self, operation: impl Into<String>) -> Self {
        self.public.push(operation.into());
        self
    }

    /// What the policy takes from them.
    pub(in crate::config) fn import(&self) -> Result<Imported, Vec<ConfigError>> {
        let origin = Origin::Text(format!("the service {}", self.name));
        let place = Place::of_document(&Document { origin, text: Box::default() }.into());
        let base = paths::base(&self.base).map_err(|error| vec![Spot::new(&place, &[]).error(error)])?;
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
            let spot = Spot::new(&place, &[&label]);
            match self.operation(declared, &base, label, &spot) {
                Ok(operation) => imported.operations.push(operation),
                Err(error) => errors.push(spot.error(error)),
            }
        }
        let named = self.declared.iter().flat_map(|operation| &operation.security).flat_map(HashMap::values);
        let undescribed = named.flatten().map(|name| (*name, ""));
        for (name, description) in self.scopes.iter().copied().chain(undescribed) {
            match Scope::parse(name) {
                Ok(scope) => imported.scopes.push((scope, description.to_owned())),
                Err(error) => errors.push(Spot::new(&place, &[]).error(error.into())),
            }
        }
        let wrong = imported.publish(&self.public);
        errors.extend(wrong.into_iter().map(|(_, error)| Spot::new(&place, &[]).error(error)));
        if errors.is_empty() { Ok(imported) } else { Err(errors) }
    }

    fn operation(
        &self,
        declared: &Declared,
        base: &str,
        label: String,
        spot: &Spot,
    ) -> Result<Operation, DocumentError> {
        let path = format!("{base}{}", paths::pattern(&declared.path)?);
        let patterns = vec![MatchLong { methods: vec![declared.method.to_string()], host: None, path }];
        let (at, security) = (spot.clone(), spot.clone());
        let mut operation = Operation { label, at, security, patterns, routes: Vec::new() };
        operation.permit(self.access(&declared.security)?);
        Ok(operation)
    }

    /// The metadata lists the schemes of one argument, any of which will do, and of several arguments, which are needed
    /// all, alike. The former share their scopes, so that all the scopes that are named are what is needed in either case.
    fn access(&self, security: &[HashMap<&'static str, Vec<&'static str>>]) -> Result<Access, DocumentError> {
        let mut whole = Entry::default();
        for (name, scopes) in security.iter().flatten() {
            let (kind, scheme) = self
                .schemes
                .get(name)
                .ok_or_else(|| DocumentError::UnknownScheme { found: (*name).to_owned() })?;
            let scopes = scopes.iter().map(|scope| Scope::parse(scope)).collect::<Result<_, _>>()?;
            match Scheme::new(kind, *scheme, Vec::new()) {
                Scheme::Other => {}
                token @ Scheme::Token(_) => whole.0.push((token, scopes)),
            }
        }
        let fallback = security.iter().any(HashMap::is_empty);
        match (security.is_empty(), fallback) {
            (true, _) => Ok(Access::Undeclared),
            (false, true) if whole.0.iter().any(|(_, scopes)| !scopes.is_empty()) => {
                Err(DocumentError::ScopesAndFallback)
            }
            (false, true) => Ok(Access::Optional),
            // The handler checks it, or nobody does: it is to be said what the gate asks.
            (false, false) if whole.0.is_empty() => Ok(Access::Undeclared),
            (false, false) => Access::any_of(&[whole]),
        }
    }
}
