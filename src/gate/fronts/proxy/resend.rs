//! What it takes to send a request a second time.

use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};
use http_body_util::{BodyExt, Empty};

use super::Body;

/// A request that may be acted on twice and has no body (RFC 9110, section 9.2.2): if the connection on which it was
/// sent turns out to have ended, it is sent again.
pub(super) struct Resend {
    method: Method,
    uri: Uri,
    version: Version,
    /// A list: most are dropped without having been looked up.
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Resend {
    pub(super) fn of(request: &Request<Body>) -> Option<Self> {
        let repeatable = request.method().is_idempotent() && hyper::body::Body::is_end_stream(request.body());
        repeatable.then(|| Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            headers: request.headers().iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        })
    }

    pub(super) fn request(self) -> Request<Body> {
        let mut request = Request::new(Empty::new().map_err(|never| match never {}).boxed());
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.version_mut() = self.version;
        for (name, value) in self.headers {
            request.headers_mut().append(name, value);
        }
        request
    }
}
