//! Every identity that a policy's routes may tell, compiled once for all fronts, and what becomes of the token.

use std::sync::Arc;

use http::HeaderValue;

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
    of_routes: Vec<(IdentitySettings, IdentityHeaders)>,
    pub(in crate::gate) stripped: Stripped,
    forward: Forward,
    mint: Option<Arc<Mint>>,
}

/// What becomes of a caller's token on the way to a service.
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
        of_routes: impl Iterator<Item = &'a IdentitySettings>,
    ) -> Result<Self, IdentityError> {
        let forward = general.forward.unwrap_or_default();
        let general = IdentityHeaders::compile(&general.headers)?;
        let mut compiled: Vec<(IdentitySettings, IdentityHeaders)> = Vec::new();
        for settings in of_routes.filter(|settings| !settings.headers.is_empty()) {
            if !compiled.iter().any(|(known, _)| known == settings) {
                compiled.push((settings.clone(), IdentityHeaders::compile(&settings.headers)?));
            }
        }
        let stripped = Stripped::of(compiled.iter().map(|(_, headers)| headers).chain([&general]));
        Ok(Self { general, of_routes: compiled, stripped, forward, mint: None })
    }

    /// Where a route wants it, tokens are minted by this one.
    #[must_use]
    pub(crate) fn minting(self, mint: Arc<Mint>) -> Self {
        Self { mint: Some(mint), ..self }
    }

    /// What becomes of the caller's token.
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
        Self::compile(general, policy.routes().iter().filter_map(|route| route.options().identity.as_ref()))
    }

    /// What a route tells; none if it was not there when the others were compiled.
    pub(in crate::gate) fn find(&self, route: Option<&IdentitySettings>) -> Option<&IdentityHeaders> {
        match route.filter(|settings| !settings.headers.is_empty()) {
            None => Some(&self.general),
            Some(settings) => {
                self.of_routes.iter().find(|(known, _)| known == settings).map(|(_, headers)| headers)
            }
        }
    }
}
