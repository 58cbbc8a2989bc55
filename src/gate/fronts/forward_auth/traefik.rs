//! Traefik's `forwardAuth`: `X-Forwarded-Method`, `-Proto`, `-Host` and `-Uri`, all of them. Any answer but 2xx is
//! relayed as it is.

use poem::Request;

use super::{
    Dialect,
    original_request::{MetadataError, OriginalRequest, forwarded},
};

/// Traefik.
#[derive(Debug, Clone, Copy)]
pub struct Traefik;

impl Dialect for Traefik {
    fn original_request(&self, request: &Request) -> Result<OriginalRequest, MetadataError> {
        forwarded(request.headers())
    }
}
