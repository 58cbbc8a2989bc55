//! The bodies of problems, for the client that gets them: a page for a browser, problem details with the id of the
//! request for every other client.

use std::sync::Arc;

use futures_util::TryFutureExt;
use http::{HeaderName, HeaderValue, header};
use poem::{Endpoint, Middleware, Request, Response, Result};

use crate::{
    problem::{Problem, ProblemPage, RequestIdentifiers, accepts_html},
    telemetry::TraceParent,
};

/// Middleware behind the one that gives each request its id.
#[derive(Debug, Clone)]
pub(super) struct ProblemBodies {
    /// The header with the id of the request.
    request_id: HeaderName,
    /// The path of the documentation, if it is served.
    docs: Option<Arc<str>>,
}

impl ProblemBodies {
    /// Creates the middleware.
    pub(super) fn new(request_id: HeaderName, docs: Option<Arc<str>>) -> Self {
        Self { request_id, docs }
    }

    fn set_body(&self, response: &mut Response, asked: &Asked) {
        let Some(problem) = response.extensions_mut().remove::<Problem>() else { return };
        let id = asked.id.as_ref();
        let request_id = id.and_then(|id| id.to_str().ok()).unwrap_or_default();
        let page = asked.host.as_ref().and_then(|host| {
            let host = host.to_str().unwrap_or_default();
            problem.page(ProblemPage { request_id, host, docs: self.docs.as_deref() })
        });
        if let Some(page) = page {
            let html = const { HeaderValue::from_static("text/html; charset=utf-8") };
            response.headers_mut().insert(header::CONTENT_TYPE, html);
            response.set_body(page);
            return;
        }
        let trace_id = asked.trace.as_ref().and_then(TraceParent::trace_id);
        let ids = RequestIdentifiers { request_id: Some(request_id), trace_id };
        response.set_body(problem.body_for(ids));
    }
}

/// The facts about a request that the body of its problem depends on.
struct Asked {
    id: Option<HeaderValue>,
    trace: Option<TraceParent>,
    /// The host, for a client that gets a page.
    host: Option<HeaderValue>,
}

impl<E: Endpoint<Output = Response>> Middleware<E> for ProblemBodies {
    type Output = WithProblemBodies<E>;

    fn transform(&self, inner: E) -> Self::Output {
        WithProblemBodies { inner, bodies: self.clone() }
    }
}

/// The endpoint that [`ProblemBodies`] makes of another.
#[derive(Debug)]
pub(super) struct WithProblemBodies<E> {
    inner: E,
    bodies: ProblemBodies,
}

impl<E: Endpoint<Output = Response>> Endpoint for WithProblemBodies<E> {
    type Output = Response;

    // Not an `async fn`, which would hold the request twice.
    fn call(&self, request: Request) -> impl Future<Output = Result<Response>> + Send {
        let id = request.headers().get(&self.bodies.request_id).cloned();
        // Only a page names the host.
        let host = accepts_html(request.headers()).then(|| {
            let authority = request.uri().authority().map(http::uri::Authority::as_str);
            let authority = authority.and_then(|authority| HeaderValue::from_str(authority).ok());
            let host = authority.or_else(|| request.headers().get(header::HOST).cloned());
            host.unwrap_or(const { HeaderValue::from_static("this API") })
        });
        let asked = Asked { id, trace: TraceParent::of(request.headers()), host };
        self.inner.call(request).map_ok(move |mut response| {
            self.bodies.set_body(&mut response, &asked);
            response
        })
    }
}
