//! The endpoint behind the gate for routes without an upstream: the sample API, or 404.

use std::collections::HashMap;

use futures_util::{
    FutureExt,
    future::{Either, ready},
};
use http::{Method, StatusCode};
use poem::{Endpoint, Request, Response, Result, endpoint::BoxEndpoint};
use poem_openapi::error::ParseRequestPayloadError;

use crate::{problem::Problem, reason::Reason, telemetry::Outcome};

/// The endpoint of permitted requests whose route has no upstream.
pub(super) struct Fallback {
    sample: Option<Sample>,
}

/// The sample API.
pub(super) struct Sample {
    /// Endpoints that answer a `GET` by its path alone, spared the layers that read paths, queries and bodies.
    pub(super) plain: HashMap<String, BoxEndpoint<'static>, ahash::RandomState>,
    /// All endpoints.
    pub(super) whole: BoxEndpoint<'static>,
}

impl Fallback {
    /// Creates the endpoint, with the sample API if it is served.
    pub(super) fn new(sample: Option<Sample>) -> Self {
        Self { sample }
    }
}

impl Sample {
    fn find(&self, request: &Request) -> &BoxEndpoint<'static> {
        if *request.method() == Method::GET
            && let Some(plain) = self.plain.get(request.uri().path())
        {
            return plain;
        }
        &self.whole
    }
}

impl Endpoint for Fallback {
    type Output = Response;

    fn call(&self, request: Request) -> impl Future<Output = Result<Response>> + Send {
        match &self.sample {
            Some(sample) => {
                let endpoint = sample.find(&request);
                Either::Left(
                    endpoint.call(request).map(|answer| answer.or_else(|error| Ok(error_response(&error)))),
                )
            }
            None => Either::Right(ready(Ok(nothing_here()))),
        }
    }
}

/// Returns 404, with an outcome to which the gate before this endpoint adds its route and caller.
fn nothing_here() -> Response {
    let description = "the request is permitted, but nothing is served at this path";
    let problem = Problem::new(Reason::NothingHere, description);
    let mut response = problem.response();
    response.set_data(Outcome { route: None, ..Outcome::denied("".into(), problem.reason()) });
    response
}

/// Returns problem details for an error of poem. A handler's own refusal is a problem already.
pub(super) fn error_response(error: &poem::Error) -> Response {
    if let Some(problem) = error.downcast_ref::<Problem>() {
        return problem.response();
    }
    // A body that is JSON, and not what the operation takes.
    if let Some(unknown) = error.downcast_ref::<ParseRequestPayloadError>()
        && unknown.reason.contains("unknown field")
    {
        return Problem::new(Reason::UnknownMember, error.to_string()).response();
    }
    match error.status() {
        StatusCode::NOT_FOUND => nothing_here(),
        status if status.is_client_error() => {
            Problem::new(Reason::MalformedRequest, error.to_string()).with_status(status).response()
        }
        status => {
            tracing::error!(%error, "a handler failed");
            Problem::new(Reason::InternalError, "something failed here").with_status(status).response()
        }
    }
}
