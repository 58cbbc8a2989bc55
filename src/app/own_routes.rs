//! The main listener: scopegate's own endpoints by their exact paths, and everything else through the gate.

use std::{collections::HashMap, sync::Arc};

use futures_util::{
    FutureExt,
    future::{BoxFuture, ready},
};
use poem::{Endpoint, EndpointExt, Request, Response, Result, endpoint::BoxEndpoint};

use crate::{
    gate::check_form,
    problem::Problem,
    server::Brief,
    telemetry::{Outcome, Restored},
};

/// One of scopegate's own endpoints, and its label in logs and metrics.
struct Own {
    label: Arc<str>,
    endpoint: BoxEndpoint<'static>,
}

/// Scopegate's own endpoints, and the gate for everything else. Own endpoints are found first, by the path as it was sent,
/// so that no other spelling of it reaches them.
pub(super) struct OwnRoutes<G> {
    exact: HashMap<String, Own, ahash::RandomState>,
    below: Vec<(String, Own)>,
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
        let label = path.as_str().into();
        self.exact.insert(path, Own { label, endpoint: Brief(endpoint.map_to_response()).boxed() });
        self
    }

    /// Adds an endpoint at this path and all below it.
    pub(super) fn below(mut self, path: String, endpoint: impl Endpoint + 'static) -> Self {
        let label = format!("{path}/**").into();
        self.below.push((path, Own { label, endpoint: Brief(endpoint.map_to_response()).boxed() }));
        self
    }

    fn own(&self, path: &str) -> Option<&Own> {
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
        let own = self.own(request.uri().path());
        // Boxed: every layer above moves the future of a request, and that of the gate holds the request.
        let answer: BoxFuture<'_, Result<Response>> = match own {
            Some(own) => match check_form(&request) {
                Err(problem) if !self.accepts_any_authority => Box::pin(ready(Err(problem.into()))),
                _ => Box::pin(own.endpoint.call(request)),
            },
            None => Box::pin(self.gated.call(request)),
        };
        answer.map(move |answer| {
            let mut response = answer.unwrap_or_else(Problem::error_response);
            if let Some(own) = own {
                add_outcome(&mut response, &own.label);
            }
            Ok(response)
        })
    }
}

/// Adds the outcome to a refusal of an own endpoint that has none yet, so that it is logged, counted and audited.
fn add_outcome(response: &mut Response, label: &Arc<str>) {
    if let Some(outcome) = response.extensions_mut().get_mut::<Outcome>() {
        outcome.route.get_or_insert_with(|| label.clone());
        return;
    }
    let Some(problem) = response.data::<Problem>().filter(|_| response.data::<Restored>().is_none()) else {
        return;
    };
    if matches!(problem.status().as_u16(), 400 | 401 | 403 | 405 | 429 | 503) {
        let outcome = Outcome::denied(label.clone(), problem.reason());
        let detail = Some(problem.description().into());
        response.set_data(Outcome { detail, ..outcome });
    }
}
