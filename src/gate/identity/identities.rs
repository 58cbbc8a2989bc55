//! Every identity that a policy's routes may tell, compiled once for all fronts, and what becomes of the token.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};

use super::{
    headers::{IdentityError, IdentityHeaders, Stripped},
    mint::{Mint, MintError},
};
use crate::{
    gate::decision::Permit,
    policy::{
        Policy, RouteOptions,
        settings::{Forward, IdentitySettings},
    },
    problem::Problem,
};

/// Every identity that a route may have, compiled.
#[derive(Debug, Clone)]
pub(crate) struct Identities {
    general: IdentityHeaders,
    of_routes: Vec<RouteIdentity>,
    /// The names of the general identity and of the file's routes, which no request may carry.
    pub(in crate::gate) stripped: Stripped,
    /// These, and the names of stored routes.
    pub(in crate::gate) protected: Stripped,
    forward: Forward,
    mint: Option<Arc<Mint>>,
}

/// The identity of a route that is not the general one.
#[derive(Debug, Clone)]
struct RouteIdentity {
    settings: IdentitySettings,
    headers: IdentityHeaders,
    /// The names of a stored route's identity. They are removed from its own requests only, as an administrator must not
    /// take headers off the requests of other routes (invariant 15).
    own: Option<Stripped>,
}

/// The treatment of a caller's token on the way to a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::gate) enum TokenForwarding {
    /// It goes on.
    Keep,
    /// Nothing does.
    Strip,
    /// This `Authorization` does.
    Replace(HeaderValue),
}

impl Identities {
    pub(in crate::gate) fn compile<'a>(
        general: &IdentitySettings,
        of_routes: impl Iterator<Item = (&'a IdentitySettings, bool)>,
    ) -> Result<Self, IdentityError> {
        let forward = general.forward.unwrap_or_default();
        let general = IdentityHeaders::compile(&general.headers)?;
        let mut compiled: Vec<RouteIdentity> = Vec::new();
        for (settings, is_file) in of_routes.filter(|(settings, _)| !settings.headers.is_empty()) {
            match compiled.iter_mut().find(|known| known.settings == *settings) {
                Some(known) if is_file => known.own = None,
                Some(_) => {}
                None => {
                    let headers = IdentityHeaders::compile(&settings.headers)?;
                    let own = (!is_file).then(|| Stripped::of([&headers]));
                    compiled.push(RouteIdentity { settings: settings.clone(), headers, own });
                }
            }
        }
        let of_file = compiled.iter().filter(|one| one.own.is_none()).map(|one| &one.headers);
        let stripped = Stripped::of(of_file.chain([&general]));
        let protected = Stripped::of(compiled.iter().map(|one| &one.headers).chain([&general]));
        Ok(Self { general, of_routes: compiled, stripped, protected, forward, mint: None })
    }

    /// Mints tokens with `mint` on the routes that are configured so.
    #[must_use]
    pub(crate) fn minting(self, mint: Arc<Mint>) -> Self {
        Self { mint: Some(mint), ..self }
    }

    /// Returns the treatment of the caller's token.
    ///
    /// # Errors
    /// No token can be minted: 503, as the caller's own never goes on in its place.
    pub(in crate::gate) fn token_forwarding(&self, permit: &Permit) -> Result<TokenForwarding, Problem> {
        match self.forward(&permit.options) {
            Forward::Keep => Ok(TokenForwarding::Keep),
            Forward::Strip => Ok(TokenForwarding::Strip),
            Forward::Mint => {
                let mint = self.mint.as_ref().ok_or(MintError::NoKey)?;
                Ok(mint.authorization(permit)?.map_or(TokenForwarding::Strip, TokenForwarding::Replace))
            }
        }
    }

    fn forward(&self, options: &RouteOptions) -> Forward {
        options.identity.as_ref().and_then(|identity| identity.forward).unwrap_or(self.forward)
    }

    /// The general one, and those of a policy's routes.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub(crate) fn of_policy(general: &IdentitySettings, policy: &Policy) -> Result<Self, IdentityError> {
        let of_routes = policy
            .routes()
            .iter()
            .filter_map(|route| Some((route.options().identity.as_ref()?, route.source().is_file())));
        Self::compile(general, of_routes)
    }

    /// Returns the identity headers of a route; `None` if the route is newer than these headers.
    pub(in crate::gate) fn find(&self, route: Option<&IdentitySettings>) -> Option<&IdentityHeaders> {
        match route.filter(|settings| !settings.headers.is_empty()) {
            None => Some(&self.general),
            Some(settings) => {
                self.of_routes.iter().find(|known| known.settings == *settings).map(|known| &known.headers)
            }
        }
    }

    /// Removes the names of a stored route's identity from one of its requests, in any spelling.
    pub(in crate::gate) fn strip_own(&self, route: Option<&IdentitySettings>, headers: &mut HeaderMap) {
        let own = route.and_then(|settings| self.of_routes.iter().find(|known| known.settings == *settings));
        if let Some(own) = own.and_then(|own| own.own.as_ref()) {
            own.strip(headers);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::policy::{Definition, Route};

    /// A9: the header names of a stored route's identity do not affect the requests of other routes.
    #[test]
    fn invariant_15_a_stored_routes_identity_names_are_removed_from_its_own_requests_only() {
        let route = |path: &str, header: &str| {
            let route = json!({ "match": path, "allow": "authenticated", "identity": { "headers": { header: "sub" } } });
            serde_json::from_value(route).unwrap()
        };
        let mut definition = Definition::default();
        definition.add_route(route("/file", "X-File"));
        definition.add_stored_route("1", route("/stored", "X-Tenant"));
        let policy = Policy::compile(&definition).unwrap().policy;
        let identities = Identities::of_policy(&IdentitySettings::default(), &policy).unwrap();
        let request = || -> HeaderMap {
            let names = ["x-tenant", "x_tenant", "x-file"];
            names
                .map(|name| (name.parse().unwrap(), HeaderValue::from_static("forged")))
                .into_iter()
                .collect()
        };
        let left = |headers: &HeaderMap| headers.keys().map(ToString::to_string).collect::<Vec<_>>();

        let mut headers = request();
        identities.stripped.strip(&mut headers);
        assert_eq!(left(&headers), ["x-tenant", "x_tenant"]);
        let identity_of = |route: &Route| route.options().identity.clone();
        identities.strip_own(identity_of(&policy.routes()[0]).as_ref(), &mut headers);
        assert_eq!(left(&headers), ["x-tenant", "x_tenant"]);
        identities.strip_own(identity_of(&policy.routes()[1]).as_ref(), &mut headers);
        assert!(headers.is_empty(), "{headers:?}");
    }
}
