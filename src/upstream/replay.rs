//! The conditions under which a request is sent a second time.
//!
//! A request is sent again at most once, on a new connection, and only if the upstream cannot have acted on it:
//! no byte of it was written, because the pooled connection turned out to be closed; or an HTTP/2 upstream has said
//! that it did not process it (RFC 9113, section 8.7). Everything else, idempotent or not, is the caller's to repeat.

use http::Request;

use super::RelayBody;

/// Returns a copy of a request whose body is in memory.
pub(super) fn copy(request: &Request<RelayBody>) -> Option<Request<RelayBody>> {
    let mut copy = Request::new(request.body().try_clone()?);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

/// Returns `true` if the upstream has said that it did not process the request: the stream was refused, or is above the
/// last one of a graceful GOAWAY.
pub(super) fn is_unprocessed(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>());
    source.filter(|error| error.is_remote()).is_some_and(|error| {
        let is_refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
        is_refused || error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR)
    })
}
