//! What stands behind the gate: the sample API, or nothing.

use std::collections::HashMap;

use futures_util::{
    FutureExt,
    future::{Either, ready},
};
use http::{Method, StatusCode};
use poem::{Endpoint, Request, Response, Result, endpoint::BoxEndpoint};

use crate::problem::Problem;

/// What a permitted request reaches.
pub(super) struct Inner {
    sample: Option<Sample>,
}

/// The sample API.
pub(super) struct Sample {
    /// What answers a `GET` of a path by that alone: spared the layers that read paths, queries and bodies.
    pub(super) plain: HashMap<String, BoxEndpoint<'static>, ahash::RandomState>,
    /// All of it.
    pub(super) whole: BoxEndpoint<'static>,
}

impl Inner {
    /// The sample API, if it is served.
    pub(super) fn new(sample: Option<Sample>) -> Self {
        Self { sample }
    }
}

impl Sample {
    fn find(&self, request: &Request) -> &BoxEndpoint<'static> {
        let plain = || self.plain.get(request.uri().path());
        let is_plain = *request.method() == Method::GET;
        is_plain.then(plain).flatten().unwrap_or(&self.whole)
    }
}

impl Endpoint for Inner {
    type Output = Response;

    fn call(&self, request: Request) -> impl Future<Output = Result<Response>> + Send {
        match &self.sample {
            Some(sample) => {
                let endpoint = sample.find(&request);
                Either::Left(endpoint.call(request).map(|answer| answer.or_else(|error| Ok(told(&error)))))
            }
            None => Either::Right(ready(Err(nothing_here().into()))),
        }
    }
}

fn nothing_here() -> Problem {
    Problem::not_found("nothing_here", "the request is permitted, but nothing is served at this path")
}

/// An error of poem's as problem details; what a handler refused itself is one already.
pub(super) fn told(error: &poem::Error) -> Response {
    if let Some(problem) = error.downcast_ref::<Problem>() {
        return problem.response();
    }
    match error.status() {
        StatusCode::NOT_FOUND => nothing_here().response(),
        status if status.is_client_error() => {
            Problem::new(status, "malformed_request", error.to_string()).response()
        }
        status => {
            tracing::error!(%error, "a handler failed");
            Problem::new(status, "internal_error", "something went wrong here").response()
        }
    }
}
