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

/// The head of a request, as frameworks let a gate change it.
pub(super) trait RequestHead {
    fn uri_mut(&mut self) -> &mut Uri;
    fn headers_mut(&mut self) -> &mut HeaderMap;
    fn extensions_mut(&mut self) -> &mut Extensions;
}

impl RequestHead for poem::Request {
    fn uri_mut(&mut self) -> &mut Uri {
        self.uri_mut()
    }

    fn headers_mut(&mut self) -> &mut HeaderMap {
        self.headers_mut()
    }

    fn extensions_mut(&mut self) -> &mut Extensions {
        self.extensions_mut()
    }
}

#[cfg(feature = "tower")]
impl RequestHead for http::request::Parts {
    fn uri_mut(&mut self) -> &mut Uri {
        &mut self.uri
    }

    fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.headers
    }

    fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.extensions
    }
}

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
    pub(super) fn enter(self, request: &mut impl RequestHead) -> Selection {
        let selection = self.permit.clear_subprotocols(request.headers_mut());
        if let Some(normal) = self.uri {
            *request.uri_mut() = normal;
        }
        let extensions = request.extensions_mut();
        extensions.remove::<Caller>();
        extensions.insert::<Permit>(self.permit);
        selection
    }
}
