//! Every identity that a policy's routes may tell, compiled once for all fronts.

use super::{IdentityError, IdentityHeaders, Stripped};
use crate::policy::{Policy, settings::IdentitySettings};

/// Every identity that a route may have, compiled.
#[derive(Debug, Clone)]
pub(crate) struct Identities {
    general: IdentityHeaders,
    of_routes: Vec<(IdentitySettings, IdentityHeaders)>,
    pub(super) stripped: Stripped,
}

impl Identities {
    pub(super) fn compile<'a>(
        general: &IdentitySettings,
        of_routes: impl Iterator<Item = &'a IdentitySettings>,
    ) -> Result<Self, IdentityError> {
        let general = IdentityHeaders::compile(&general.headers)?;
        let mut compiled: Vec<(IdentitySettings, IdentityHeaders)> = Vec::new();
        for settings in of_routes.filter(|settings| !settings.headers.is_empty()) {
            if !compiled.iter().any(|(known, _)| known == settings) {
                compiled.push((settings.clone(), IdentityHeaders::compile(&settings.headers)?));
            }
        }
        let stripped = Stripped::of(compiled.iter().map(|(_, headers)| headers).chain([&general]));
        Ok(Self { general, of_routes: compiled, stripped })
    }

    /// The general one, and those of a policy's routes.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub(crate) fn of_policy(general: &IdentitySettings, policy: &Policy) -> Result<Self, IdentityError> {
        Self::compile(general, policy.routes().iter().filter_map(|route| route.handling().identity.as_ref()))
    }

    /// What a route tells; none if it was not there when the others were compiled.
    pub(super) fn find(&self, route: Option<&IdentitySettings>) -> Option<&IdentityHeaders> {
        match route.filter(|settings| !settings.headers.is_empty()) {
            None => Some(&self.general),
            Some(settings) => {
                self.of_routes.iter().find(|(known, _)| known == settings).map(|(_, headers)| headers)
            }
        }
    }
}
