//! The main listener: scopegate's own endpoints by their exact paths, and everything else through the gate.

use std::collections::HashMap;

use futures_util::{
    FutureExt,
    future::{Either, ready},
};
use poem::{Endpoint, EndpointExt, Request, Response, Result, endpoint::BoxEndpoint};

use crate::{gate::check_form, server::Brief};

type Boxed = BoxEndpoint<'static>;

/// Scopegate's own endpoints, and the gate for everything else. Own endpoints are found first, by the path as it was sent,
/// so that no other spelling of it reaches them.
pub(super) struct OwnRoutes<G> {
    exact: HashMap<String, Boxed, ahash::RandomState>,
    below: Vec<(String, Boxed)>,
    gated: G,
    /// Requests may name any authority or none.
    accepts_any_authority: bool,
}

impl<G: Endpoint<Output = Response>> OwnRoutes<G> {
    /// Creates routes that send everything to `gated`.
    pub(super) fn new(gated: G) -> Self {
        Self { exact: HashMap::default(), below: Vec::new(), gated, accepts_any_authority: false }
    }

    /// Accepts any authority: in gRPC it may be the name of a proxy's cluster.
    pub(super) fn accepting_any_authority(self) -> Self {
        Self { accepts_any_authority: true, ..self }
    }

    /// Adds an endpoint at this path.
    pub(super) fn at(mut self, path: String, endpoint: impl Endpoint + 'static) -> Self {
        self.exact.insert(path, Brief(endpoint.map_to_response()).boxed());
        self
    }

    /// Adds an endpoint at this path and all below it.
    pub(super) fn below(mut self, path: String, endpoint: impl Endpoint + 'static) -> Self {
        self.below.push((path, Brief(endpoint.map_to_response()).boxed()));
        self
    }

    fn own(&self, path: &str) -> Option<&Boxed> {
        self.exact.get(path).or_else(|| {
            let (_, endpoint) = self.below.iter().find(|(root, _)| is_below(root, path))?;
            Some(endpoint)
        })
    }
}

fn is_below(root: &str, path: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl<G: Endpoint<Output = Response>> Endpoint for OwnRoutes<G> {
    type Output = Response;

    fn call(&self, request: Request) -> impl Future<Output = Result<Response>> + Send {
        let answer = match self.own(request.uri().path()) {
            Some(own) => Either::Left(match check_form(&request) {
                Err(problem) if !self.accepts_any_authority => Either::Right(ready(Err(problem.into()))),
                _ => Either::Left(own.call(request)),
            }),
            None => Either::Right(self.gated.call(request)),
        };
        answer.map(|answer| Ok(answer.unwrap_or_else(poem::Error::into_response)))
    }
}
