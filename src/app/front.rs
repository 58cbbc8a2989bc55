//! The main listener: scopegate's own endpoints by their exact paths, and everything else through the gate.

use std::collections::HashMap;

use poem::{Endpoint, EndpointExt, Request, Response, Result, endpoint::BoxEndpoint};

type Boxed = BoxEndpoint<'static>;

/// Scopegate's own endpoints are in no policy: they are found first, by the path as it was sent, so that no other
/// spelling of it reaches them.
pub(super) struct Front {
    exact: HashMap<String, Boxed>,
    below: Vec<(String, Boxed)>,
    gated: Boxed,
}

impl Front {
    /// Everything through `gated`.
    pub(super) fn new(gated: impl Endpoint<Output = Response> + 'static) -> Self {
        Self { exact: HashMap::new(), below: Vec::new(), gated: gated.boxed() }
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

    fn find(&self, path: &str) -> &Boxed {
        let under =
            |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let below = || self.below.iter().find(|(root, _)| under(root)).map(|(_, endpoint)| endpoint);
        self.exact.get(path).or_else(below).unwrap_or(&self.gated)
    }
}

impl Endpoint for Front {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let answer = self.find(request.uri().path()).call(request).await;
        Ok(answer.unwrap_or_else(poem::Error::into_response))
    }
}
