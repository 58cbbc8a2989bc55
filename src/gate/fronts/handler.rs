//! The step from a permit to the handler, common to the fronts that call a handler in this process.

use http::{Extensions, HeaderMap, Uri};

use super::extract::Caller;
use crate::{
    gate::{
        decision::{Permit, Refusal},
        request::{head::Head, subprotocol::Selection},
    },
    policy::Target,
};

/// A request that may go on to its handler.
pub(super) struct Admitted {
    permit: Permit,
    /// The URI that the handler has to see instead.
    uri: Option<Uri>,
}

impl Admitted {
    /// Prepares a permitted request.
    ///
    /// # Errors
    /// The handler would not see the path that was decided on.
    pub(super) fn new(
        mut permit: Permit,
        head: &Head<'_>,
        target: Option<Target>,
    ) -> Result<Self, Box<Refusal>> {
        let uri = target.as_ref().map(|target| head.rewritten(target)).transpose();
        let uri = uri.map_err(|problem| Box::new(Refusal::unrouted(problem)))?;
        permit.target = target;
        Ok(Self { permit, uri: uri.flatten() })
    }

    /// Returns the permit.
    pub(super) fn permit(&self) -> &Permit {
        &self.permit
    }

    /// Changes the request to what the handler has to see: the normal form of the path, no token among the subprotocols,
    /// and the permit. A caller that another gate found is removed.
    pub(super) fn enter(
        self,
        uri: &mut Uri,
        headers: &mut HeaderMap,
        extensions: &mut Extensions,
    ) -> Selection {
        let selection = self.permit.clear_subprotocols(headers);
        if let Some(normal) = self.uri {
            *uri = normal;
        }
        extensions.remove::<Caller>();
        extensions.insert::<Permit>(self.permit);
        selection
    }
}
