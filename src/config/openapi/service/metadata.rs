//! The metadata that poem-openapi has of a service.

use poem_openapi::{
    OpenApi, OpenApiService,
    registry::{MetaOperation, Registry},
};

use super::{Declared, Operations};

impl Operations {
    /// The operations of a service that is not nested.
    pub fn of<T: OpenApi, W>(_: &OpenApiService<T, W>) -> Self {
        let mut registry = Registry::new();
        T::register(&mut registry);
        let schemes =
            registry.security_schemes.iter().map(|(name, scheme)| (*name, (scheme.ty, scheme.scheme)));
        let paths = T::meta().into_iter().flat_map(|api| api.paths);
        let mut declared = Vec::new();
        for path in paths {
            for operation in path.operations {
                let MetaOperation { method, security, .. } = operation;
                declared.push(Declared { method, path: path.path.clone(), security });
            }
        }
        Self {
            name: std::any::type_name::<T>().to_owned(),
            base: String::new(),
            declared,
            schemes: schemes.collect(),
            scopes: scopes(&registry),
            public: Vec::new(),
        }
    }
}

impl<T: OpenApi, W> From<&OpenApiService<T, W>> for Operations {
    fn from(service: &OpenApiService<T, W>) -> Self {
        Self::of(service)
    }
}

/// The scopes that the flows of OAuth 2.0 list, and the description of each.
fn scopes(registry: &Registry) -> Vec<(&'static str, &'static str)> {
    let flows = registry.security_schemes.values().filter_map(|scheme| scheme.flows.as_ref());
    let flows = flows.flat_map(|flows| {
        [&flows.implicit, &flows.password, &flows.client_credentials, &flows.authorization_code]
    });
    let scopes = flows.flatten().flat_map(|flow| &flow.scopes);
    scopes.map(|scope| (scope.name, scope.description.unwrap_or_default())).collect()
}
