//! The main listener: scopegate's own endpoints by their exact paths, and everything else through the gate.

use std::collections::HashMap;

use futures_util::{FutureExt, future::Either};
use poem::{Endpoint, EndpointExt, Request, Response, Result, endpoint::BoxEndpoint};

type Boxed = BoxEndpoint<'static>;

/// Scopegate's own endpoints are in no policy: they are found first, by the path as it was sent, so that no other
/// spelling of it reaches them.
pub(super) struct Front<G> {
    exact: HashMap<String, Boxed, ahash::RandomState>,
    below: Vec<(String, Boxed)>,
    gated: G,
}

impl<G: Endpoint<Output = Response>> Front<G> {
    /// Everything through `gated`.
    pub(super) fn new(gated: G) -> Self {
        Self { exact: HashMap::default(), below: Vec::new(), gated }
    }

    /// With an endpoint at this path.
    pub(super) fn at(mut self, path: String, endpoint: impl Endpoint + 'static) -> Self {
        self.exact.insert(path, endpoint.map_to_response().boxed());
        self
    }

    /// With an endpoint at this path and all below it.
    pub(super) fn below(mut self, path: String, endpoint: impl Endpoint + 'static) -> Self {
        self.below.push((path, endpoint.map_to_response().boxed()));
        self
    }

    fn own(&self, path: &str) -> Option<&Boxed> {
        let under =
            |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let below = || self.below.iter().find(|(root, _)| under(root)).map(|(_, endpoint)| endpoint);
        self.exact.get(path).or_else(below)
    }
}

impl<G: Endpoint<Output = Response>> Endpoint for Front<G> {
    type Output = Response;

    fn call(&self, request: Request) -> impl Future<Output = Result<Response>> + Send {
        let answer = match self.own(request.uri().path()) {
            Some(own) => Either::Left(own.call(request)),
            None => Either::Right(self.gated.call(request)),
        };
        answer.map(|answer| Ok(answer.unwrap_or_else(poem::Error::into_response)))
    }
}
