//! The gate as a tower layer: for axum, tonic, and whatever else is a `Service` of `http` requests.

use std::{
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Extensions, Request, Response, StatusCode, Uri, request::Parts};
use poem::Addr;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    extract::{Caller, Principal},
    handler::Admitted,
};
use crate::{
    gate::{
        authorize::authorize,
        cors::Preflight,
        decision::{Answer, Decided},
        request::{
            head::{Head, misplaced},
            subprotocol::Selection,
        },
        state::Gate,
    },
    policy::Scheme,
};

/// Lets requests through to a service or not, as the poem middleware that a [`Gate`] is does.
///
/// A service behind it finds a [`Caller`] in the extensions of the request and, if the caller is known, a [`Principal`].
/// axum's `Extension<Principal>` is a 500 where there is none: without a gate, and for anonymous callers.
///
/// Where it stands matters, since a router changes what it hands on: say which, [`GateLayer::outermost`] or
/// [`GateLayer::nested`].
#[derive(Debug, Clone)]
pub struct GateLayer {
    gate: Gate,
    place: Place,
    peer: fn(&Extensions) -> Option<SocketAddr>,
}

/// Returns `service`, a whole program, behind the gate: [`GateLayer::outermost`] in one line.
///
/// ```
/// # use scopegate::Gate;
/// # fn build(gate: Gate) -> axum::Router {
/// let router = axum::Router::new().route("/me", axum::routing::get(async || "me"));
/// axum::Router::new().fallback_service(scopegate::tower::protect(gate, router))
/// # }
/// ```
pub fn protect<S>(gate: Gate, service: S) -> GateService<S> {
    GateLayer::outermost(gate).layer(service)
}

/// Where a layer stands.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// Before any router.
    Outermost,
    /// Behind one, which keeps the URI as it was sent here.
    Nested(fn(&Extensions) -> Option<&Uri>),
}

impl GateLayer {
    /// Around a whole program, before any router: the service gets the normal form of the path that was decided on.
    ///
    /// axum's `Router::layer` is behind its router; this is around it:
    ///
    /// ```
    /// # use scopegate::{Gate, tower::GateLayer};
    /// use tower_layer::Layer;
    ///
    /// # fn build(gate: Gate) -> axum::Router {
    /// let app = axum::Router::new().route("/me", axum::routing::get(async || "me"));
    /// axum::Router::new().fallback_service(GateLayer::outermost(gate).layer(app))
    /// # }
    /// ```
    pub fn outermost(gate: Gate) -> Self {
        Self { gate, place: Place::Outermost, peer: |_| None }
    }

    /// Behind a router, around a part of a program. `sent` finds the URI as it was sent in the extensions of the request,
    /// as the policy speaks of whole paths; a request without it is a 500. What the router has read can no longer be
    /// changed, so that a path which is not in its normal form is a 400.
    ///
    /// ```
    /// # use scopegate::{Gate, tower::GateLayer};
    /// use axum::{Router, extract::OriginalUri, routing::get};
    ///
    /// # fn build(gate: Gate) -> Router {
    /// let layer = GateLayer::nested(gate, |extensions| extensions.get::<OriginalUri>().map(|uri| &uri.0));
    /// Router::new().nest("/api", Router::new().route("/me", get(async || "me")).layer(layer))
    /// # }
    /// ```
    pub fn nested(gate: Gate, sent: fn(&Extensions) -> Option<&Uri>) -> Self {
        Self { gate, place: Place::Nested(sent), peer: |_| None }
    }
}

impl GateLayer {
    /// With the address of who sends a request, which `peer` finds in its extensions: a proxy of `server.trusted_proxies`
    /// is believed about scheme and host. Without it nobody is.
    ///
    /// ```
    /// # use std::net::SocketAddr;
    /// # use scopegate::{Gate, tower::GateLayer};
    /// use axum::extract::ConnectInfo;
    ///
    /// # fn build(gate: Gate) -> GateLayer {
    /// GateLayer::outermost(gate).peer(|extensions| extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0))
    /// # }
    /// ```
    #[must_use]
    pub fn peer(self, peer: fn(&Extensions) -> Option<SocketAddr>) -> Self {
        Self { peer, ..self }
    }
}

impl<S> Layer<S> for GateLayer {
    type Service = GateService<S>;

    fn layer(&self, inner: S) -> GateService<S> {
        GateService { layer: self.clone(), inner }
    }
}

/// The service that a [`GateLayer`] makes of another.
#[derive(Debug, Clone)]
pub struct GateService<S> {
    layer: GateLayer,
    inner: S,
}

type Answering<R, E> = Pin<Box<dyn Future<Output = Result<Response<R>, E>> + Send>>;

impl<S, B, R> Service<Request<B>> for GateService<S>
where
    S: Service<Request<B>, Response = Response<R>, Future: Send> + Clone + Send + 'static,
    B: Send + 'static,
    R: From<Bytes> + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Answering<R, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that is ready answers; what is left is asked anew whether it is.
        let next = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, next);
        Box::pin(answer(self.layer.clone(), inner, request))
    }
}

async fn answer<S, B, R>(layer: GateLayer, mut inner: S, request: Request<B>) -> Result<Response<R>, S::Error>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: From<Bytes>,
{
    let (mut parts, body) = request.into_parts();
    let peer = (layer.peer)(&parts.extensions).map(Addr::SocketAddr);
    let Some(head) = head(&parts, layer.place, peer.as_ref()) else {
        return Ok(misplaced().http_response().map(R::from));
    };
    let Decided { target, answer, cors } = authorize(&layer.gate.load(), &head).decided().await;
    let admitted = match answer {
        Answer::Permitted(permit) => Admitted::new(permit, &head, target),
        Answer::Preflight(preflight) => return Ok(no_content(*preflight).map(R::from)),
        Answer::Refused(refusal) => Err(refusal),
    };
    let mut response = match admitted {
        Ok(admitted) => {
            let selection = enter(admitted, &mut parts);
            let mut response = inner.call(Request::from_parts(parts, body)).await?;
            selection.apply(response.status(), response.headers_mut());
            response
        }
        Err(refusal) => refusal.problem.http_response_to(&parts.headers).map(R::from),
    };
    cors.apply(response.headers_mut());
    Ok(response)
}

/// What the gate looks at; none where the URI as it was sent is not where it should be.
fn head<'r>(parts: &'r Parts, place: Place, peer: Option<&'r Addr>) -> Option<Head<'r>> {
    let (sent, routed) = match place {
        Place::Outermost => (None, false),
        Place::Nested(find) => (Some(find(&parts.extensions)?), true),
    };
    let https = parts.uri.scheme() == Some(&http::uri::Scheme::HTTPS);
    Some(Head {
        method: &parts.method,
        version: parts.version,
        headers: &parts.headers,
        scheme: if https { Scheme::Https } else { Scheme::Http },
        peer,
        seen: &parts.uri,
        sent,
        routed,
    })
}

fn enter(admitted: Admitted, parts: &mut Parts) -> Selection {
    // A caller that another gate found does not count here.
    parts.extensions.remove::<Principal>();
    let caller = Caller::of(admitted.permit());
    let selection = admitted.enter(&mut parts.uri, &mut parts.headers, &mut parts.extensions);
    if let Caller::Known(principal) = &caller {
        parts.extensions.insert(principal.clone());
    }
    parts.extensions.insert(caller);
    selection
}

fn no_content(answer: Preflight) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    *response.headers_mut() = answer.headers;
    response
}

#[cfg(test)]
mod tests;
