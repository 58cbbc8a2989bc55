//! Caddy's `forward_auth`: `X-Forwarded-Method`, `-Proto`, `-Host` and `-Uri`, all of them. Any answer but 2xx is
//! relayed as it is.

use poem::Request;

use super::{
    Dialect,
    original_request::{MetadataError, OriginalRequest, forwarded},
};

/// Caddy.
#[derive(Debug, Clone, Copy)]
pub struct Caddy;

impl Dialect for Caddy {
    fn original_request(&self, request: &Request) -> Result<OriginalRequest, MetadataError> {
        forwarded(request.headers())
    }
}
