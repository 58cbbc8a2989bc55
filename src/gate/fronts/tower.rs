//! The gate as a tower layer: for axum, tonic, and whatever else is a `Service` of `http` requests.

mod body;

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    Router,
    body::{Body, HttpBody},
    extract::{ConnectInfo, MatchedPath, OriginalUri},
    response::IntoResponse,
};
use bytes::Bytes;
use http::{Extensions, Request, Response, StatusCode, Uri, request::Parts};
use poem::Addr;
use tower_layer::Layer;
use tower_service::Service;

pub use self::body::GateBody;
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
        resources,
        state::Gate,
    },
    policy::Scheme,
    server::ClientCertThumbprint,
};

/// Returns a program whose requests all pass the gate: an axum `Router`, the `Routes` of tonic, or another service. A
/// handler finds the caller as `Extension<Principal>` or `Extension<Caller>`.
///
/// The proxies of `server.trusted_proxies` are believed about scheme and host if the program is served with
/// `into_make_service_with_connect_info::<SocketAddr>()`.
///
/// ```
/// # use scopegate::Gate;
/// use axum::{Extension, Router, routing::get};
/// use scopegate::Principal;
///
/// async fn me(Extension(principal): Extension<Principal>) -> String {
///     principal.scopes().to_string()
/// }
///
/// # fn build(gate: Gate) -> Router {
/// let router = Router::new().route("/me", get(me));
/// let app = scopegate::tower::protect(gate, router);
/// # app
/// # }
/// ```
pub fn protect<S, B>(gate: impl Into<Gate>, service: S) -> Router
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
    B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Send + Unpin + 'static,
    Response<GateBody<B>>: IntoResponse,
{
    let layer = GateLayer::outermost(gate.into()).peer(connect_info);
    Router::new().fallback_service(layer.layer(service))
}

/// Returns the address that axum has added to the request.
fn connect_info(extensions: &Extensions) -> Option<SocketAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0)
}

/// Admits requests to a service or refuses them, as the poem middleware that a [`Gate`] is does.
///
/// A service behind it finds a [`Caller`] in the extensions of the request and, if the caller is known, a [`Principal`].
/// axum's `Extension<Principal>` is a 500 where there is none: without a gate, and for anonymous callers.
///
/// The layer decides by the URI as it was sent, even if it is inside of a nested axum `Router`. Another router than axum's
/// has to keep that URI: [`GateLayer::nested`].
#[derive(Debug, Clone)]
pub struct GateLayer {
    gate: Gate,
    position: Position,
    peer: fn(&Extensions) -> Option<SocketAddr>,
}

/// The position of a layer.
#[derive(Debug, Clone, Copy)]
enum Position {
    /// Before any router but axum's.
    Outermost,
    /// Behind a router that keeps the URI as it was sent.
    Nested(fn(&Extensions) -> Option<&Uri>),
}

impl GateLayer {
    /// Creates a layer around a whole program: the service gets the normal form of the path that was decided on. Inside of
    /// an axum `Router`, which keeps the URI as it was sent, it decides by that URI.
    ///
    /// ```no_run
    /// # use scopegate::{Gate, tower::GateLayer};
    /// # fn build(gate: Gate, services: tonic::service::Routes) {
    /// let server = tonic::transport::Server::builder().layer(GateLayer::outermost(gate)).add_routes(services);
    /// # drop(server);
    /// # }
    /// ```
    pub fn outermost(gate: Gate) -> Self {
        Self { gate, position: Position::Outermost, peer: |_| None }
    }

    /// Creates a layer behind a router, around a part of a program. `sent` finds the URI as it was sent in the extensions
    /// of the request, as the policy speaks of whole paths; a request without it is a 500. The router has read the path
    /// already, so that a path which is not in its normal form is a 400.
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
        Self { gate, position: Position::Nested(sent), peer: |_| None }
    }
}

impl GateLayer {
    /// Sets the function that finds the address of the peer in the extensions of a request. A proxy of
    /// `server.trusted_proxies` is believed about scheme and host. Without an address, no peer is believed.
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

type Answering<R, E> = Pin<Box<dyn Future<Output = Result<Response<GateBody<R>>, E>> + Send>>;

impl<S, B, R> Service<Request<B>> for GateService<S>
where
    S: Service<Request<B>, Response = Response<R>, Future: Send> + Clone + Send + 'static,
    B: Send + 'static,
    R: HttpBody<Data = Bytes> + Unpin + 'static,
{
    type Response = Response<GateBody<R>>;
    type Error = S::Error;
    type Future = Answering<R, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The service that is ready answers, and its clone has to become ready for the next request.
        let next = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, next);
        Box::pin(answer(self.layer.clone(), inner, request))
    }
}

async fn answer<S, B, R>(
    layer: GateLayer,
    mut inner: S,
    request: Request<B>,
) -> Result<Response<GateBody<R>>, S::Error>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: HttpBody<Data = Bytes>,
{
    let (mut parts, body) = request.into_parts();
    let peer = (layer.peer)(&parts.extensions).map(Addr::SocketAddr);
    let Some(head) = head(&parts, layer.position, peer.as_ref()) else {
        return Ok(misplaced().http_response().map(GateBody::own));
    };
    let metadata = resources::answer(&layer.gate.load(), &head);
    if let Some(metadata) = metadata {
        return Ok(metadata.map(GateBody::own));
    }
    let Decided { target, answer, cors } = authorize(&layer.gate.load(), &head).decided().await;
    let admitted = match answer {
        Answer::Permitted(permit) => Admitted::new(permit, &head, target),
        Answer::Preflight(preflight) => return Ok(no_content(*preflight).map(GateBody::own)),
        Answer::Refused(refusal) => Err(refusal),
    };
    let mut response = match admitted {
        Ok(admitted) => {
            let selection = enter(admitted, &mut parts);
            let mut response = inner.call(Request::from_parts(parts, body)).await?;
            selection.apply(response.status(), response.headers_mut());
            response.map(GateBody::inner)
        }
        Err(refusal) => refusal.problem.http_response_to(&parts.headers).map(GateBody::own),
    };
    cors.apply(response.headers_mut());
    Ok(response)
}

/// Returns the head of a request; `None` if the URI as it was sent is not where it should be.
fn head<'r>(parts: &'r Parts, position: Position, peer: Option<&'r Addr>) -> Option<Head<'r>> {
    let (sent, routed) = match position {
        Position::Outermost => match parts.extensions.get::<OriginalUri>() {
            // An axum router has removed the front of the path.
            Some(OriginalUri(sent)) if sent.path() != parts.uri.path() => (Some(sent), true),
            _ => (None, parts.extensions.get::<MatchedPath>().is_some()),
        },
        Position::Nested(find) => (Some(find(&parts.extensions)?), true),
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
        certificate: parts.extensions.get::<ClientCertThumbprint>().map(|found| found.0),
        routed,
    })
}

fn enter(admitted: Admitted, parts: &mut Parts) -> Selection {
    // A caller that another gate found does not count here.
    parts.extensions.remove::<Principal>();
    let caller = Caller::of(admitted.permit());
    let selection = admitted.enter(parts);
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
